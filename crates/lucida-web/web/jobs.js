// The jobs of the studio: a worker for each that runs.

/** Calls of the program for jobs, and a worker for each job that it says is running. */
export class JobWorkers {
  #workers = new Map();

  /** `ask(head, body)` calls the studio's program, and keeps what has changed in its `files`. */
  constructor({ module, files, ask }) {
    Object.assign(this, { module, files, ask });
  }

  /** Starts the jobs whose turn it is, and stops those that are to stop. */
  settle() {
    for (const { id, resumes, stop } of this.ask({ call: 'running' })) {
      const worker = this.#workers.get(id);
      if (worker === undefined) this.#start(id, resumes);
      else if (stop && worker.flag !== null) Atomics.store(new Int32Array(worker.flag), 0, 1);
      // Without shared memory, a computing worker hears nothing: its checkpoint is that of the last epoch.
      else if (stop) this.#end(id, '');
    }
  }

  #start(id, resumes) {
    const flag = self.crossOriginIsolated ? new SharedArrayBuffer(4) : null;
    const worker = new Worker(new URL('job.js', import.meta.url), { type: 'module' });
    this.#workers.set(id, { worker, flag });
    worker.addEventListener('message', ({ data: { changes, event, ended } }) => {
      if (!this.#workers.has(id)) return;
      if (changes) this.files.apply(changes);
      if (event) this.ask({ call: 'receive' }, event);
      if (ended !== undefined) this.#end(id, ended);
    });
    worker.addEventListener('error', ({ message }) => { if (this.#workers.has(id)) this.#end(id, message ?? 'the worker of the job did not start'); });
    const copy = this.files.all('/runs');
    worker.postMessage({ module: this.module, files: copy, id, resumes, stop: flag }, copy.flatMap(([, node]) => node.bytes?.buffer ?? []));
  }

  /** Ends the worker of a job, and the job, unless it has ended by itself. */
  #end(id, problem) {
    this.#workers.get(id).worker.terminate();
    this.#workers.delete(id);
    this.ask({ call: 'abandon', id, problem });
    this.settle();
  }

  /** Ends all workers: the program that they belong to has ended. */
  endAll() {
    for (const { worker } of this.#workers.values()) worker.terminate();
    this.#workers.clear();
  }
}
