// Starts the studio and a browser, for the tests next to this file. The studio has two homes: with SITE, the folder that
// `crates/lucida-web/build-site` has written, it runs in the browser, and otherwise behind its server.

import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const binary = process.env.LUCIDA ?? join(root, 'target/release/lucida');
export const folder = () => mkdtempSync(join(tmpdir(), 'lucida-studio-'));

const site = process.env.SITE;
/** Whether the studio runs in the browser. For the option `skip` of a test: what only a server has. */
export const isInBrowser = site !== undefined;
export const needsServer = isInBrowser && 'it needs a server';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.wasm': 'application/wasm' };
let files = null;

/** Serves the files of the site: as plainly as any server does, and at the same address for all tests of a file. */
async function fileServer() {
  const respond = async ({ url }, response) => {
    const path = new URL(url, 'http://localhost').pathname;
    const name = path.endsWith('/') ? `${path}index.html` : path;
    const bytes = await readFile(join(site, name)).catch(() => null);
    response.writeHead(bytes ? 200 : 404, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' }).end(bytes);
  };
  const server = createServer(respond);
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

/** Starts a studio with a folder of runs. In the browser, runs are in the browser. */
export async function studio(runs, ...more) {
  if (isInBrowser) {
    files ??= await fileServer();
    return { url: files, child: null, stop: async () => 0 };
  }
  const child = spawn(binary, ['studio', '--runs', runs, ...(more.includes('--port') ? [] : ['--port', '0']), ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise((found, failed) => {
    let printed = '';
    child.stdout.on('data', (data) => {
      printed += data;
      const line = printed.match(/The studio is at (\S+)\//);
      if (line) found(line[1]);
    });
    child.on('exit', (code) => failed(new Error(`the studio ended with ${code}: ${printed}`)));
  });
  const ended = new Promise((end) => child.on('exit', end));
  return { url, child, stop: async () => { child.kill('SIGTERM'); return ended; } };
}

/** Launches Debian's Chromium, or the one in the environment variable CHROMIUM, with more arguments. */
export const browser = (...more) =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', ...more] });

/**
 * Opens a page that collects what must not happen: errors on the console, and requests to other hosts. It remembers a view of
 * the network page, by default that of one layer.
 */
export async function page(of, url, { view = 'layer', context: known = null, ...options } = {}) {
  const context = known ?? await of.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  // For development: with WEB, style sheets and scripts come from this folder, without a build.
  if (process.env.WEB) await context.route('**/assets/**', (route) => route.fulfill({ path: join(process.env.WEB, new URL(route.request().url()).pathname.split('/').slice(3).join('/')) }));
  if (view) await context.addInitScript((name) => { if (location.protocol !== 'about:' && localStorage.getItem('lucida-network-view') === null) localStorage.setItem('lucida-network-view', JSON.stringify(name)); }, view);
  const opened = await context.newPage();
  const wrong = [];
  opened.on('console', (message) => { if (['error', 'warning'].includes(message.type())) wrong.push(message.text()); });
  opened.on('pageerror', (error) => wrong.push(String(error)));
  opened.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(`${url}/`)) wrong.push(`a request to ${request.url()}`);
  });
  opened.on('requestfailed', (request) => { if (process.env.VERBOSE) console.log(request.method(), request.url(), request.failure().errorText); });
  opened.on('response', async (response) => {
    if (process.env.VERBOSE && response.status() >= 400) console.log(response.status(), response.request().method(), response.url(), await response.text());
  });
  opened.wrong = wrong;
  opened.setDefaultTimeout(30_000);
  return isInBrowser ? framed(opened, url) : opened;
}

/** Opens a page after a restart. Behind a server, its browser remembers nothing; in the browser, runs are part of it. */
export async function reopened(of, before, url, options = {}) {
  const context = before.context();
  if (!isInBrowser) await context.close();
  return page(of, url, { ...options, ...(isInBrowser && { context }) });
}

/** What belongs to the page around the frame. */
const OUTER = new Set(['close', 'context', 'emulateMedia', 'isClosed', 'keyboard', 'mouse', 'on', 'off', 'request', 'route', 'screenshot', 'setDefaultTimeout', 'setViewportSize', 'touchscreen', 'unrouteAll', 'unroute', 'viewportSize', 'waitForEvent', 'waitForRequest', 'waitForResponse', 'wrong', 'addInitScript', 'video']);

/** A page of the studio in the frame that it has in the browser, with the functions and URLs that it has behind a server. */
function framed(outer, root) {
  const inner = () => outer.frames()[1];
  /** The frame, once a page of the studio is loaded in it. */
  const ready = async () => {
    await outer.waitForSelector('#page:not([hidden])');
    await inner().waitForLoadState();
  };
  const moves = {
    async goto(address) {
      if (address === 'about:blank') return outer.goto(address);
      const { pathname, search } = new URL(address);
      // The address of a page itself, as copied from it.
      if (pathname.endsWith('.html')) {
        await outer.goto(address);
        await ready();
      // A navigation inside, as by a link, once the page around it is there.
      } else if (inner() && await outer.isVisible('#page')) await inner().goto(`${root}/${pathname.slice(1) || 'network'}.html${search}`);
      else {
        await outer.goto(`${root}/#${pathname}${search}`);
        await ready();
      }
      return null;
    },
    async reload() {
      await outer.reload();
      await ready();
    },
    url: () => inner().url().replace(/\/network\.html/, '/').replace(/\.html/, ''),
    async goBack() { await outer.evaluate(() => history.back()); },
    async goForward() { await outer.evaluate(() => history.forward()); },
  };
  return new Proxy(outer, {
    get(target, name) {
      if (name in moves) return moves[name];
      const of = OUTER.has(name) ? target : inner() ?? target;
      return typeof of[name] === 'function' ? of[name].bind(of) : of[name];
    },
    set(target, name, value) {
      target[name] = value;
      return true;
    },
  });
}

/** Draws a line through points of the pad, as fractions of its width and height. */
export async function stroke(of, ...points) {
  const box = await of.locator('#pad').boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await of.mouse.move(...at(points[0]));
  await of.mouse.down();
  for (const point of points.slice(1)) await of.mouse.move(...at(point), { steps: 10 });
  await of.mouse.up();
}
