// How the pages reach the studio. It has two homes: a server, or this browser.

const { home, page } = document.documentElement.dataset;

/** Whether the studio runs in this browser: there is no server, and no folders of this machine. */
export const isInBrowser = home === 'browser';

// Without the page around it, which owns the worker, a page of the browser's home opens that first.
if (isInBrowser && parent === window) {
  location.replace(`./#${page}${location.search}`);
  await new Promise(() => {});
}

/** Path of this page, such as `/train`; the network page is `/`. */
export const here = page;

/** URL of a page of the studio: `pageUrl('/train', { run: '0003' })`. Parameters without a value are left out. */
export function pageUrl(path, parameters = {}) {
  const query = String(new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null)));
  const address = isInBrowser ? `${path.slice(1) || 'network'}.html` : path;
  return query ? `${address}?${query}` : address;
}

/** Sends a request, as `fetch` does. */
export async function send(address, options = {}) {
  if (!isInBrowser) return fetch(address, options);
  options.signal?.throwIfAborted();
  const request = new Request(new URL(address, location.href), { ...options, signal: undefined });
  const response = await parent.studio.send({ method: request.method, path: address, headers: [...request.headers], body: await request.arrayBuffer() });
  options.signal?.throwIfAborted();
  return new Response(response.status === 204 ? null : response.body, response);
}

/** A stream of events with the interface of `EventSource`, as far as events.js uses it. */
class LocalEvents extends EventTarget {
  constructor() {
    super();
    this.close = parent.studio.listen((data) => this.onmessage?.({ data }));
    queueMicrotask(() => this.dispatchEvent(new Event('hello')));
  }
}

/** Opens the stream of events of jobs. */
export const openEvents = () => (isInBrowser ? new LocalEvents() : new EventSource('/api/events'));

/** Tells the page around this one which view is shown, for its address and title. */
export function moved() {
  if (isInBrowser) parent.studio.moved(here, location.search, document.title);
}

/** Messages for the user about the browser's home that have come since the last call. */
export const problems = () => (isInBrowser ? parent.studio.problems() : []);

// A download is a navigation, which does not reach the service worker in every browser.
if (isInBrowser) {
  document.addEventListener('click', async (event) => {
    const link = event.target.closest('a[download][href*="/api/"]');
    if (!link) return;
    event.preventDefault();
    const url = URL.createObjectURL(await (await send(link.pathname + link.search)).blob());
    const save = document.createElement('a');
    [save.href, save.download] = [url, link.download];
    save.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  });
}
