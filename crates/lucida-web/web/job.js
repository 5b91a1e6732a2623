// A worker that runs one job, on a copy of the studio's files. What it writes and its events go to the studio, in order.

import { startProgram } from './program.js';

addEventListener('message', async ({ data: { module, files: changes, id, resumes, stop } }) => {
  let program = null;
  const isStopped = () => stop !== null && Atomics.load(new Int32Array(stop), 0) !== 0;
  const event = (text) => {
    // The rest of the copy may be out of date by now, and is not this job's to change.
    if (program) postMessage({ changes: program.files.takeChanges(`/runs/studio/${id}`, '/runs/features'), event: text });
  };
  program = await startProgram(module, changes, { event, isStopped });
  try {
    program.call({ call: 'run', id, resumes });
    postMessage({ ended: 'the job ended without a result' });
  } catch (error) {
    postMessage({ ended: error.message });
  }
});
