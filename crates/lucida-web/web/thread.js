// A worker that is one thread of a program. It computes; files belong to the thread that answers messages.

import { Files } from './files.js';
import { Wasi } from './wasi.js';

let program = null;
addEventListener('message', async ({ data: { module, memory, number, argument } }) => {
  if (module !== undefined) {
    program = { module, memory };
    postMessage('ready');
    return;
  }
  try {
    // Not before, as the first instance prepares the memory, and is the program.
    const start = await new Wasi(new Files(() => null)).thread(program);
    start(number, argument);
  } catch (error) {
    // The program waits for this thread without end, so the page around it has to end it.
    new BroadcastChannel('lucida-thread').postMessage(error.message);
  }
});
