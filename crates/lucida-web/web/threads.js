// Threads of a program: workers that share its memory.

/** Size of a page of memory in bytes, that at the start, and the maximum, of 4 GB, in pages. */
const [START, MAXIMUM] = [1024, 65536];

/** Memory that workers share: null if this browser, or this page, has none. */
export function sharedMemory() {
  try {
    return self.crossOriginIsolated ? new WebAssembly.Memory({ initial: START, maximum: MAXIMUM, shared: true }) : null;
  } catch {
    return null;
  }
}

export class Threads {
  #last = 0;

  /**
   * Starts workers for `count` threads of a compiled program, one of which is that of the caller, and returns them once they
   * wait; null if the program has one thread only. They are started now because a computing program hears nothing from them.
   */
  static async start(module, count) {
    if (!WebAssembly.Module.imports(module).some(({ kind }) => kind === 'memory')) return null;
    const threads = new Threads();
    threads.memory = sharedMemory();
    threads.workers = Array.from({ length: count - 1 }, () => new Worker(new URL('thread.js', import.meta.url), { type: 'module' }));
    await Promise.all(threads.workers.map((worker) => new Promise((ready, failed) => {
      worker.addEventListener('message', ready, { once: true });
      worker.addEventListener('error', ({ message }) => failed(new Error(message ?? 'a thread did not start')), { once: true });
      worker.postMessage({ module, memory: threads.memory });
    })));
    return threads;
  }

  /** WASI's `thread-spawn`: starts a thread, and returns its number; -1 if there is no worker for it. */
  spawn = (argument) => {
    if (this.#last === this.workers.length) return -1;
    this.#last += 1;
    this.workers[this.#last - 1].postMessage({ number: this.#last, argument });
    return this.#last;
  };

  end() {
    for (const worker of this.workers) worker.terminate();
  }
}
