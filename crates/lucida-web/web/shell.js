// The page around the pages of the studio. It owns the worker that answers their requests, so that a run continues while one
// page replaces another, and its address names the page and the view that are shown: `#/train?run=0003`.

const $ = (selector) => document.querySelector(selector);
const frame = $('#page');
/** What a visit without a page in its address sees first: a digit on its way through a network. */
const FIRST = 'network.html?view=overview&model=digits&image=digit-7';

function tell(text, { button = false } = {}) {
  $('#text').textContent = text;
  $('#here').hidden = !button;
  $('#message').hidden = false;
  frame.hidden = true;
}

/** The file of the page that the address names. */
function wanted() {
  const [, page, query] = location.hash.match(/^#\/([a-z-]*)(\?.*)?$/) ?? [];
  return page === undefined ? FIRST : `${page || 'network'}.html${query ?? ''}`;
}

/**
 * The service worker serves the files when there is no connection, and answers the requests of images. Its responses isolate
 * this page from other sites, without which a running job cannot be told to stop: the first visit loads the page again.
 */
async function serviceWorker() {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register('service-worker.js');
  await navigator.serviceWorker.ready;
  if (navigator.serviceWorker.controller === null) await new Promise((done) => { navigator.serviceWorker.addEventListener('controllerchange', done, { once: true }); });
  if (!crossOriginIsolated && sessionStorage.getItem('lucida-reloaded') === null) {
    sessionStorage.setItem('lucida-reloaded', 'yes');
    location.reload();
    await new Promise(() => {});
  }
}

/** Resolves once this is the only page that uses the files; another one that asks for them ends this one. */
async function alone() {
  if (!('locks' in navigator)) return;
  const hold = (options) => new Promise((held) => {
    navigator.locks.request('lucida', options, (lock) => {
      held(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    }).catch(() => {
      worker?.terminate();
      tell('Lucida is now open in another tab. What was stored is there.', { button: true });
      $('#here').onclick = () => location.reload();
    });
  });
  if (await hold({ ifAvailable: true })) return;
  tell('Lucida is open in another tab. If you use it here, a run there stops; you can resume it.', { button: true });
  await new Promise((done) => { $('#here').onclick = done; });
  await hold({ steal: true });
}

let worker = null;
const waiting = new Map();
const listeners = new Set();
let last = 0;

/** Sends a request to the worker; resolves to its status, headers and body. */
function send(request) {
  last += 1;
  const id = last;
  worker.postMessage({ id, request }, [request.body]);
  return new Promise((done) => { waiting.set(id, done); });
}

function startWorker() {
  worker = new Worker('studio.js', { type: 'module' });
  return new Promise((ready, failed) => {
    worker.addEventListener('error', (event) => failed(new Error(event.message ?? 'the program did not load')));
    worker.addEventListener('message', ({ data }) => {
      if (data.ready) ready();
      else if (data.failed !== undefined) failed(new Error(data.failed));
      else if (data.event !== undefined) for (const listener of [...listeners]) listener(data.event);
      else if (data.problem !== undefined) problems.push(data.problem);
      else {
        waiting.get(data.id)(data.response);
        waiting.delete(data.id);
      }
    });
  });
}

/** What the page in the frame should tell the user, once each. */
const problems = [];

/** What the page in the frame uses: see its `transport.js`. */
window.studio = {
  send,
  /** Calls a function with the JSON of each event; returns a function that ends this. */
  listen(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  /** Takes over the address and the title of the page in the frame. */
  moved(page, search, title) {
    history.replaceState(null, '', `#${page}${search}`);
    document.title = title;
  },
  /** Takes the messages for the user that have come since the last call. */
  problems: () => problems.splice(0),
};

// A program that waits for a thread that has failed answers nothing any more.
new BroadcastChannel('lucida-thread').addEventListener('message', ({ data }) => {
  if (worker === null) return;
  worker.terminate();
  tell(`The computation failed: ${data}. Reload the page to continue with what was stored.`);
});

// Requests of images and downloads reach the service worker, which passes them on.
navigator.serviceWorker?.addEventListener('message', async ({ data: { request }, ports: [port] }) => {
  const response = await started.then(() => send(request));
  port.postMessage(response, [response.body.buffer]);
});

const started = (async () => {
  await serviceWorker();
  await alone();
  tell('Loading Lucida…');
  await startWorker();
})();

try {
  await started;
  frame.src = wanted();
  frame.addEventListener('load', () => { $('#message').hidden = true; frame.hidden = false; }, { once: true });
  addEventListener('hashchange', () => { frame.contentWindow.location.replace(wanted()); });
  navigator.storage?.persist?.();
  if (!navigator.connection?.saveData) navigator.serviceWorker?.controller?.postMessage('keep');
} catch (error) {
  const isOld = typeof WebAssembly === 'undefined' || error instanceof WebAssembly.CompileError;
  tell(isOld ? 'This browser is too old for Lucida: it needs WebAssembly with SIMD (Chrome or Edge 91, Firefox 89, Safari 16.4, or later).' : `Lucida could not start: ${error.message}. Reload the page to try again.`);
}
