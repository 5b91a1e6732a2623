// Serves the files of the site without a connection, and passes requests of the studio's API to the page that answers them.

/** Replaced when the site is built: a hash of all files, the names of those of the first visit, and of the built-in data. */
const VERSION = 'VERSION';
const FILES = ['FILES'];
const ASSETS = ['ASSETS'];
const CACHE = `lucida-${VERSION}`;

addEventListener('install', (event) => {
  event.waitUntil((async () => {
    await (await caches.open(CACHE)).addAll(FILES);
    await skipWaiting();
  })());
});

addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith('lucida-') && name !== CACHE) await caches.delete(name);
    await clients.claim();
  })());
});

// Once the first page is shown, the page around it asks for everything that a visit without a connection may need.
addEventListener('message', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    for (const name of ASSETS) if (await cache.match(name) === undefined) await cache.add(name).catch(() => {});
  })());
});

addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (origin !== location.origin) return;
  event.respondWith(pathname.startsWith('/api/') ? ask(event.request) : file(event.request));
});

/** A file: from the cache, or else from the site, which is then kept. */
async function file(request) {
  const cache = await caches.open(CACHE);
  const address = request.mode === 'navigate' ? request.url.replace(/[?#].*/, '') : request.url;
  let found = await cache.match(address);
  if (found === undefined) {
    found = await fetch(address);
    if (found.ok) await cache.put(address, found.clone());
  }
  return isolated(found);
}

/** Adds the headers that isolate a page from other sites, which shared memory needs. */
function isolated(response) {
  if (response.redirected || response.type === 'opaqueredirect') return Response.redirect(response.url);
  const headers = new Headers(response.headers);
  headers.set('cross-origin-embedder-policy', 'require-corp');
  headers.set('cross-origin-opener-policy', 'same-origin');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** Asks the page around the pages. */
async function ask(request) {
  const { pathname, search } = new URL(request.url);
  const pages = await clients.matchAll({ type: 'window' });
  const shells = pages.filter(({ frameType }) => frameType === 'top-level');
  if (shells.length === 0) return new Response(JSON.stringify({ error: 'Lucida is not open.' }), { status: 503, headers: { 'content-type': 'application/json' } });
  const body = await request.arrayBuffer();
  // Only one of several tabs answers: that which uses the files.
  const answers = shells.map((shell) => {
    const { port1, port2 } = new MessageChannel();
    shell.postMessage({ request: { method: request.method, path: pathname + search, headers: [...request.headers], body } }, [port2]);
    return new Promise((done) => { port1.onmessage = ({ data }) => done(data); });
  });
  const { status, headers, body: bytes } = await Promise.race(answers);
  return new Response(bytes, { status, headers });
}
