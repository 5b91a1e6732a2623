// How the pages reach the studio. It has two homes: a server, or this browser.

const { home, page } = document.documentElement.dataset;

/** Whether the studio runs in this browser: there is no server, and no folders of this machine. */
export const isInBrowser = home === 'browser';

/** Path of this page, such as `/train`; the network page is `/`. */
export const here = page;

/** URL of a page of the studio: `pageUrl('/train', { run: '0003' })`. Parameters without a value are left out. */
export function pageUrl(path, parameters = {}) {
  const query = String(new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null)));
  const address = isInBrowser ? `${path.slice(1) || 'network'}.html` : path;
  return query ? `${address}?${query}` : address;
}
