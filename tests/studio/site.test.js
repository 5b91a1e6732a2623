// The studio in the browser, from static files: what only this home has. `SITE` is the folder that
// `crates/lucida-web/build-site` has written; without it, there is nothing to test.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { classifier, png } from './made.js';
import { binary, browser, folder, isInBrowser, page, studio } from './studio.js';

const skip = !isInBrowser && 'SITE names no folder';
/** Keras's own files, where they are next to the checkout. */
const golden = new URL('../../../shared/golden/', import.meta.url).pathname;
let [served, chrome, shown] = [];

before(async () => {
  if (skip) return;
  served = await studio(folder());
  chrome = await browser();
  shown = await page(chrome, served.url, { view: null });
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const clean = (of = shown) => assert.deepEqual(of.wrong.splice(0), []);
/** The JSON that the studio answers to a request of the page. */
const api = (path, of = shown) => of.evaluate(async (address) => (await (await import(new URL('./js/transport.js', location.href).href)).send(address)).json(), path);
const parameter = (name) => new URL(shown.url()).searchParams.get(name);

test('the first visit: usable in under two seconds, and sent nowhere', { skip }, async () => {
  const began = performance.now();
  await shown.goto(`${served.url}/`);
  await shown.waitForFunction(() => Number(document.querySelector('#ov-stage')?.dataset.waiting) === 0);
  const milliseconds = performance.now() - began;
  console.log(`all maps of the first page are there after ${milliseconds.toFixed(0)} ms`);
  assert.ok(milliseconds < 4000, `${milliseconds} ms`);
  assert.ok(await shown.evaluate(() => crossOriginIsolated));
  clean();
});

test('the files are small', { skip }, () => {
  const site = process.env.SITE;
  const packed = (name) => gzipSync(readFileSync(join(site, name))).length;
  const files = readdirSync(site, { recursive: true }).filter((name) => statSync(join(site, name)).isFile());
  // A browser loads one of the programs.
  const program = Math.max(...files.filter((name) => name.endsWith('.wasm')).map(packed));
  const pages = files.filter((name) => !name.startsWith('assets') && !name.endsWith('.wasm'));
  const bytes = pages.reduce((sum, name) => sum + packed(name), program);
  console.log(`the largest program is ${(program / 1e6).toFixed(2)} MB compressed; with all pages and scripts ${(bytes / 1e6).toFixed(2)} MB`);
  assert.ok(bytes < 6e6, `${bytes} bytes`);
});

test('with --threads, the program computes on all cores', { skip: skip || (!existsSync(join(process.env.SITE, 'lucida-threads.wasm')) && 'SITE has no threads') }, async () => {
  const outer = shown.context().pages()[0];
  await outer.goto(`${served.url}/`);
  await outer.waitForSelector('#page:not([hidden])');
  const threads = outer.workers().filter((worker) => worker.url().endsWith('thread.js')).length;
  assert.equal(threads, await outer.evaluate(() => navigator.hardwareConcurrency) - 1);
  // Without an answer of a thread that has failed, the program would wait for it without end.
  await outer.evaluate(() => new BroadcastChannel('lucida-thread').postMessage('unreachable'));
  await outer.waitForSelector('#text:has-text("The computation failed: unreachable.")');
  await outer.reload();
  await outer.waitForSelector('#page:not([hidden])');
  clean();
});

test('three epochs on the digits, with a curve that grows', { skip }, async () => {
  await shown.goto(`${served.url}/train`);
  await shown.fill('#epochs', '3');
  await shown.fill('#batch', '32');
  const began = performance.now();
  await shown.click('#start');
  await shown.waitForFunction(() => document.querySelectorAll('#charts path.line').length > 0);
  const early = await shown.getAttribute('#charts path.line', 'd');
  await shown.waitForSelector('#run-note:has-text("best epoch")', { timeout: 60_000 });
  const seconds = (performance.now() - began) / 1000;
  const [, accuracy] = (await shown.textContent('#run-note')).match(/Validation accuracy ([\d.]+) %/);
  console.log(`three epochs: ${accuracy} % in ${seconds.toFixed(1)} s`);
  assert.ok(Number(accuracy) >= 97 && seconds < 30, `${accuracy} % in ${seconds} s`);
  assert.ok((await shown.getAttribute('#charts path.line', 'd')).length > early.length);
  clean();
});

test('a photo is classified in under a second', { skip }, async () => {
  await shown.goto(`${served.url}/explain?model=efficientnet-lite0&image=cat`);
  await shown.waitForSelector('.class');
  const began = performance.now();
  await shown.setInputFiles('.picker input[type="file"]', { name: 'photo.png', mimeType: 'image/png', buffer: png(640, 480, (x, y) => [x % 256, y % 256, (x * y) % 256]) });
  await shown.waitForFunction(() => new URLSearchParams(location.search).get('image')?.startsWith('up-'));
  await shown.waitForFunction(() => !document.querySelector('.class')?.closest('[aria-busy="true"]'));
  const milliseconds = performance.now() - began;
  console.log(`a photo is opened and classified in ${milliseconds.toFixed(0)} ms`);
  assert.ok(milliseconds < 1000, `${milliseconds} ms`);
  clean();
});

test('model files are opened, predict what the program for the command line predicts, and are removed', { skip }, async () => {
  const place = folder();
  const made = join(place, 'photos.onnx');
  writeFileSync(made, classifier(3));
  const files = [made, ...[join(golden, 'mnist_cnn.keras'), join(golden, 'models/keras_mobilenet_v2/model.keras')].filter(existsSync)];
  const photo = join(place, 'photo.png');
  writeFileSync(photo, png(90, 60, (x, y) => [x < 40 ? 250 : 20, y * 4, (x * 7) % 256]));
  for (const file of files) {
    await shown.goto(`${served.url}/explain`);
    await shown.waitForSelector('.class');
    const chosen = await shown.inputValue('#model');
    await shown.setInputFiles('#model-file', file);
    await shown.waitForFunction((before) => document.querySelector('#model').value !== before, chosen);
    const id = await shown.inputValue('#model');
    assert.match(id, /^open-/);
    const before = parameter('image');
    if (file === made) await shown.setInputFiles('.picker input[type="file"]', photo);
    await shown.waitForFunction(([made, old]) => new URLSearchParams(location.search).get('image')?.startsWith('up-') && (!made || new URLSearchParams(location.search).get('image') !== old), [file === made, before]);
    const { probabilities } = await api(`/api/models/${id}/prediction?image=${parameter('image')}`);
    const { predictions: [told] } = JSON.parse(execFileSync(binary, ['predict', file, photo, '--json']));
    told.probabilities.forEach((value, at) => assert.ok(Math.abs(value - probabilities[at]) < 1e-5, `${file}, class ${at}: ${value}, ${probabilities[at]}`));
    assert.equal((await api(`/api/models/${id}/settings`)).unsaved, null);
    if (await shown.isHidden('#settings')) await shown.click('#settings-toggle');
    await shown.click('#model-remove');
    await shown.click('.sure .primary');
    await shown.waitForFunction((gone) => [...document.querySelector('#model').options].every(({ value }) => value !== gone), id);
  }
  await shown.setInputFiles('#model-file', { name: 'broken.keras', mimeType: 'application/octet-stream', buffer: Buffer.from('no model') });
  await shown.waitForSelector('#status:has-text("broken.keras")');
  shown.wrong.splice(0);
});

test('a run is stopped at once, is kept, and resumes after the page was closed', { skip }, async () => {
  await shown.goto(`${served.url}/train`);
  await shown.fill('#name', 'Long');
  await shown.fill('#epochs', '40');
  await shown.fill('#batch', '128');
  await shown.click('#start');
  await shown.waitForSelector('#run-note:has-text("Epoch 1:")', { timeout: 60_000 });
  const began = performance.now();
  await shown.click('#run-actions button:has-text("Stop")');
  await shown.waitForSelector('#run-note:has-text("Stopped")');
  assert.ok(performance.now() - began < 2000, 'stopping takes too long');
  await shown.click('#run-actions button:has-text("Resume")');
  await shown.waitForSelector('#run-note:has-text("Epoch 2:")', { timeout: 60_000 });
  // The page is closed in the middle of the run.
  await shown.reload();
  await shown.waitForSelector('#run-note:has-text("Interrupted")');
  await shown.click('#run-actions button:has-text("Resume")');
  await shown.waitForSelector('#run-note:has-text("Epoch 3:")', { timeout: 60_000 });
  await shown.click('#run-actions button:has-text("Stop")');
  await shown.waitForSelector('#run-note:has-text("Stopped")');
  clean();
});

test('another tab has to ask, and then takes over', { skip }, async () => {
  const other = await shown.context().newPage();
  await other.goto(`${served.url}/#/draw`);
  await other.waitForSelector('#here:not([hidden])');
  assert.match(await other.textContent('#text'), /another tab/);
  await other.click('#here');
  await other.waitForSelector('#page:not([hidden])');
  const before = shown.context().pages()[0];
  await before.waitForSelector('#here:not([hidden])');
  assert.match(await before.textContent('#text'), /another tab/);
  await other.close();
  await before.click('#here');
  await before.waitForSelector('#page:not([hidden])');
  clean();
});

test('without a connection: every page, with what was made before', { skip }, async () => {
  // What the service worker fetches once the first page is shown.
  await shown.waitForFunction(async () => (await (await caches.open((await caches.keys())[0])).keys()).filter(({ url }) => url.includes('/assets/')).length >= 8, null, { polling: 500 });
  await shown.context().setOffline(true);
  await shown.reload();
  for (const path of ['/', '/draw', '/mechanics', '/explain', '/train', '/style', '/jobs', '/lessons']) {
    await shown.goto(`${served.url}${path}`);
    await shown.waitForSelector('main :visible');
  }
  await shown.goto(`${served.url}/train`);
  await shown.waitForSelector('[data-run="0001"]');
  const [{ id }] = await api('/api/models');
  assert.equal((await api(`/api/models/${id}/prediction?image=digit-3`)).probabilities.length, 10);
  await shown.context().setOffline(false);
  clean();
});
