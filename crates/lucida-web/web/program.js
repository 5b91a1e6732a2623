// One instance of the program, with its files, in a worker.

import { Files } from './files.js';
import { Threads } from './threads.js';
import { Device, Wasi } from './wasi.js';

const ASSETS = '/assets/';

/** Fetches built-in data, while the program waits: null if there is none of this name, or no connection. */
function asset(path) {
  const request = new XMLHttpRequest();
  request.open('GET', new URL(`assets/${path.slice(ASSETS.length)}`, import.meta.url), false);
  request.responseType = 'arraybuffer';
  try {
    request.send();
  } catch {
    return null;
  }
  return request.status === 200 ? new Uint8Array(request.response) : null;
}

/**
 * Starts a compiled program on the files that `changes` create. `event(text)` is called with each of its events, and
 * `isStopped()` tells whether its job should stop. Returns the files, and a function `call(head, body)` that resolves one
 * message of the program: to `[head, body]`, and `end()`.
 */
export async function startProgram(module, changes, { event, isStopped = () => false }) {
  const files = new Files((path) => {
    if (path === '/stop') return isStopped() ? new Uint8Array() : null;
    return path.startsWith(ASSETS) ? asset(path) : null;
  });
  for (const folder of ['/runs', ASSETS]) files.createFolder(folder);
  files.apply(changes);
  const decoder = new TextDecoder();
  files.put('/events', new Device((bytes) => { for (const line of decoder.decode(bytes).split('\n')) if (line) event(line); }));
  // The files come from the store, or from another instance: they are not news.
  files.takeChanges();
  const cores = navigator.hardwareConcurrency ?? 1;
  const threads = await Threads.start(module, cores);
  const system = threads === null ? new Wasi(files) : new Wasi(files, { LUCIDA_THREADS: cores });
  const answer = await system.start(module, threads ?? undefined);
  const call = (head, body = new Uint8Array()) => {
    const line = new TextEncoder().encode(`${JSON.stringify(head)}\n`);
    const message = new Uint8Array(line.length + body.length);
    message.set(line);
    message.set(body, line.length);
    const whole = answer(message);
    const end = whole.indexOf(0x0a);
    const found = JSON.parse(decoder.decode(whole.subarray(0, end)));
    if (found.error !== undefined) throw new Error(found.error);
    return [found, whole.slice(end + 1)];
  };
  call({ call: 'open' });
  return { files, call, end: () => threads?.end() };
}
