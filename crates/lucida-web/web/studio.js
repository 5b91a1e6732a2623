// The worker that answers the requests of the pages, in place of a server.

import { JobWorkers } from './jobs.js';
import { startProgram } from './program.js';
import { openStore } from './store.js';
import { sharedMemory } from './threads.js';
import { Ended } from './wasi.js';

/** A program with one relaxed SIMD instruction (`f32x4.relaxed_madd`): whether it is valid tells which program can run here. */
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11,
]);

/** Whether the site has a program with threads: set when it is built. */
const HAS_THREADS = false;
const ending = !WebAssembly.validate(RELAXED) ? '' : HAS_THREADS && sharedMemory() !== null ? '-threads' : '-relaxed';

const compiled = WebAssembly.compileStreaming(fetch(new URL(`lucida${ending}.wasm`, import.meta.url)));

const store = await openStore().catch(() => null);
let program = null;
let jobs = null;

/** Starts the program, on the files of the browser's database or on those of the instance that has ended. */
async function start(changes) {
  const module = await compiled;
  program = await startProgram(module, changes, { event: (event) => postMessage({ event }) });
  const ask = (head, body = '') => {
    const [answer] = program.call(head, new TextEncoder().encode(body));
    keep();
    return answer;
  };
  jobs = new JobWorkers({ module, files: program.files, ask });
  keep();
}

let kept = Promise.resolve();
let isFull = false;
/** Keeps what has changed in the browser's database. */
function keep() {
  const changes = program.files.takeChanges('/runs');
  if (changes.length === 0 || store === null) return;
  kept = kept.then(() => store.save(changes)).catch((error) => {
    if (!isFull) postMessage({ problem: `The browser keeps no more files (${error?.name ?? 'no room'}): what is new is lost when this page is closed. Remove runs or images that you no longer need, or download them.` });
    isFull = true;
  });
}

/** Answers a request; a program that ends is started again, and its running jobs are interrupted. */
async function respond({ method, path, headers, body }) {
  try {
    const [head, answer] = program.call({ call: 'respond', method, path, headers }, new Uint8Array(body));
    keep();
    // Reading starts and stops no job, and a stroke of a drawing is not to wait for this.
    if (method !== 'GET') jobs.settle();
    return { ...head, body: answer };
  } catch (error) {
    const text = `The computation failed: ${error.message}.`;
    if (error instanceof Ended) {
      jobs.endAll();
      program.end();
      await start(program.files.all('/runs'));
      postMessage({ event: JSON.stringify({ type: 'again' }) });
    }
    return { status: 500, headers: [['content-type', 'application/json']], body: new TextEncoder().encode(JSON.stringify({ error: text })) };
  }
}

let turn = start(store === null ? [] : await store.load());
turn.then(() => postMessage({ ready: true }), (error) => postMessage({ failed: error.message }));
addEventListener('message', ({ data: { id, request } }) => {
  turn = turn.then(async () => {
    const response = await respond(request);
    postMessage({ id, response }, [response.body.buffer]);
  });
});
if (store === null) postMessage({ problem: 'This browser keeps no files for pages in this mode: what you make here is lost when this page is closed.' });
