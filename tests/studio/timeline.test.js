// The timeline of the Train page: kernels, feature maps and embedding of a run as of each of its epochs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { photos } from './made.js';
import { browser, folder, isInBrowser, needsServer, page, studio } from './studio.js';
import { aligned, normalized } from '../../crates/lucida-studio/web/js/alignment.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const EPOCHS = 4;
const data = photos(join(folder(), 'photos'), ['left', 'right'], 8);
let [served, chrome, shown] = [];

before(async () => {
  served = await studio(folder(), '--data', data);
  chrome = await browser();
  shown = await page(chrome, served.url);
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const clean = () => assert.deepEqual(shown.wrong.splice(0), []);
const label = () => shown.textContent('label[for="epoch"]');
const parameter = (name) => new URL(shown.url()).searchParams.get(name);
/** Waits until all three parts are those of an epoch. */
const drawn = (epoch) => shown.waitForFunction((of) => ['#inside-kernels', '#inside-maps'].every((id) => document.querySelector(id).getAttribute('aria-label')?.endsWith(`after epoch ${of}`)) && document.querySelector('.embedding').getAttribute('aria-label')?.includes(`after epoch ${of}.`), String(epoch));
/** The dots when they have arrived, with their classes. */
async function dots() {
  await shown.waitForTimeout(900);
  return shown.$$eval('circle.dot', (all) => all.map((dot) => ({ at: [Number(dot.getAttribute('cx')), Number(dot.getAttribute('cy'))], class: dot.getAttribute('class').match(/class-\d/)[0] })));
}
/** The pixels of the canvases of a group. */
const pixels = (id) => shown.$$eval(`${id} canvas`, (all) => all.map((canvas) => canvas.toDataURL()).join());
/** The variance of the means of the classes by the mean variance within them. */
function separation(all) {
  let [between, within] = [0, 0];
  for (const name of new Set(all.map((dot) => dot.class))) {
    const own = all.filter((dot) => dot.class === name).map(({ at }) => at);
    const mean = [0, 1].map((axis) => own.reduce((sum, at) => sum + at[axis], 0) / own.length);
    between += own.length * (mean[0] ** 2 + mean[1] ** 2);
    within += own.reduce((sum, at) => sum + (at[0] - mean[0]) ** 2 + (at[1] - mean[1]) ** 2, 0);
  }
  return between / within;
}

async function train(epochs, { set = 'digits', network = null } = {}) {
  await shown.goto(`${served.url}/train`);
  // Without photos, there is nothing to choose.
  if (!isInBrowser) await shown.selectOption('#data', set);
  if (network) await shown.selectOption('#network', network);
  await shown.fill('#epochs', String(epochs));
  await shown.fill('#batch', set === 'digits' ? '128' : '4');
  const before = parameter('run');
  await shown.click('#start');
  await shown.waitForFunction((run) => ![null, run].includes(new URLSearchParams(location.search).get('run')), before);
}
/** Waits until the run has ended. */
const ended = () => shown.waitForSelector('#run-actions a:has-text("Inspect")', { timeout: 120_000 });

test('rotated and reflected points are aligned', () => {
  const points = normalized(Array.from({ length: 40 }, (_, at) => [3 + Math.cos(at) * (1 + at), 7 + Math.sin(1.3 * at) * 2 * at]));
  const turned = (angle, sign) => points.map(([x, y]) => [x * Math.cos(angle) - sign * y * Math.sin(angle), x * Math.sin(angle) + sign * y * Math.cos(angle)]);
  assert.ok(Math.abs(Math.max(...points.map(([x, y]) => Math.hypot(x, y))) - 1) < 1e-12);
  for (const angle of [0, 0.4, 2, -2.9, Math.PI]) {
    for (const sign of [1, -1]) {
      aligned(turned(angle, sign), points).forEach(([x, y], at) => assert.ok(Math.hypot(x - points[at][0], y - points[at][1]) < 1e-9, `${angle}, ${sign}`));
    }
  }
  assert.deepEqual(aligned([[0, 0]], [[1, 1]]), [[0, 0]]);
});

test('the timeline follows a training, and stays where it is moved', async () => {
  await train(400);
  await shown.waitForFunction(() => Number(document.querySelector('#epoch').max) >= 2, null, { timeout: 60_000 });
  await shown.waitForFunction(() => document.querySelector('#epoch').value === document.querySelector('#epoch').max);
  assert.match(await shown.textContent('#epoch-note'), /following the training/);
  assert.ok(await shown.isHidden('#epoch-follow'));
  await shown.focus('#epoch');
  await shown.keyboard.press('Home');
  await drawn(0);
  assert.equal(await label(), 'Epoch 0 of 400');
  assert.match(await shown.textContent('#epoch-note'), /^The initial weights, before training/);
  const max = Number(await shown.getAttribute('#epoch', 'max'));
  await shown.waitForFunction((before) => Number(document.querySelector('#epoch').max) > before, max);
  assert.equal(await label(), 'Epoch 0 of 400');
  assert.equal(parameter('epoch'), '0');
  await shown.click('#epoch-follow');
  assert.equal(parameter('epoch'), null);
  const now = Number(await shown.getAttribute('#epoch', 'max'));
  await shown.waitForFunction((before) => Number(document.querySelector('#epoch').value) > before && document.querySelector('#epoch').value === document.querySelector('#epoch').max, now);
  await shown.click('#run-actions button:has-text("Stop")');
  await shown.waitForSelector('#run-actions button:has-text("Remove")');
  await drawn(Number(await shown.getAttribute('#epoch', 'max')));
  clean();
});

test('kernels, maps and embedding are those of each epoch, and the classes separate', async () => {
  await train(EPOCHS);
  await ended();
  await drawn(EPOCHS);
  const last = { dots: await dots(), kernels: await pixels('#inside-kernels'), maps: await pixels('#inside-maps') };
  assert.equal(last.dots.length, 300);
  await shown.focus('#epoch');
  await shown.keyboard.press('Home');
  await drawn(0);
  const first = { dots: await dots(), kernels: await pixels('#inside-kernels'), maps: await pixels('#inside-maps') };
  assert.notEqual(first.kernels, last.kernels);
  assert.notEqual(first.maps, last.maps);
  assert.ok(separation(last.dots) > 2 * separation(first.dots), `${separation(first.dots)}, ${separation(last.dots)}`);
  // Step by step with the arrow keys: the dots move less than if they were mirrored.
  let before = first.dots;
  for (let epoch = 1; epoch <= EPOCHS; epoch += 1) {
    await shown.keyboard.press('ArrowRight');
    await drawn(epoch);
    assert.equal(await shown.getAttribute('#epoch', 'aria-valuetext'), `${epoch} of ${EPOCHS}`);
    const now = await dots();
    const moved = ([x, y]) => now.reduce((sum, { at }, index) => sum + (x * at[0] - before[index].at[0]) ** 2 + (y * at[1] - before[index].at[1]) ** 2, 0);
    for (const mirror of [[-1, 1], [1, -1], [-1, -1]]) assert.ok(moved([1, 1]) <= moved(mirror), `epoch ${epoch}`);
    before = now;
  }
  // The same epoch looks the same again, but for a rotation.
  assert.ok(Math.abs(separation(before) / separation(last.dots) - 1) < 0.01);
  assert.equal(await pixels('#inside-maps'), last.maps);
  await shown.keyboard.press('ArrowLeft');
  await shown.keyboard.press('ArrowRight');
  await drawn(EPOCHS);
  (await dots()).forEach(({ at }, index) => assert.ok(Math.hypot(at[0] - before[index].at[0], at[1] - before[index].at[1]) < 1e-3));
  // A reload keeps the epoch.
  await shown.keyboard.press('ArrowLeft');
  await drawn(EPOCHS - 1);
  await shown.reload();
  await drawn(EPOCHS - 1);
  assert.equal(await label(), `Epoch ${EPOCHS - 1} of ${EPOCHS}`);
  clean();
});

test('playing goes through all epochs, and can be paused', async () => {
  await drawn(EPOCHS - 1);
  await shown.click('#epoch-play');
  assert.equal(await shown.textContent('#epoch-play'), 'Pause');
  await drawn(EPOCHS);
  await shown.waitForFunction(() => document.querySelector('#epoch-play').textContent === 'Play');
  await shown.click('#epoch-play');
  await drawn(0);
  await drawn(1);
  await shown.click('#epoch-play');
  const paused = await label();
  await shown.waitForTimeout(1500);
  assert.equal(await label(), paused);
  assert.equal(await shown.textContent('#epoch-play'), 'Play');
  clean();
});

test('images of the embedding by pointer, keyboard and class', async () => {
  const image = () => shown.getAttribute('.embedding-image img', 'src');
  await shown.locator('circle.dot').first().hover({ force: true });
  await shown.waitForFunction(() => document.querySelector('.embedding-image img').src);
  assert.match(await shown.textContent('.embedding-image p'), /^built-in digit no\. \d+ \(an? \d\)$/);
  await shown.focus('.embedding');
  const before = await image();
  await shown.keyboard.press('ArrowRight');
  assert.notEqual(await image(), before);
  await shown.click('.class-legend button:has-text("7")');
  assert.equal(await shown.locator('circle.dot:not(.dim)').count(), await shown.locator('circle.class-7').count());
  await shown.focus('.embedding');
  await shown.keyboard.press('ArrowRight');
  await shown.keyboard.press('ArrowRight');
  assert.match(await shown.textContent('.embedding-image p'), /\(a 7\)$/);
  // Enter shows the feature maps of this image.
  const maps = await pixels('#inside-maps');
  await shown.keyboard.press('Enter');
  for (let tries = 0; tries < 50 && await pixels('#inside-maps') === maps; tries += 1) await shown.waitForTimeout(100);
  assert.notEqual(await pixels('#inside-maps'), maps);
  await shown.click('#inside-images .thumb >> nth=2');
  await shown.selectOption('#inside-layer', 'conv2d_1');
  await shown.waitForFunction(() => document.querySelector('#inside-maps').getAttribute('aria-label').includes('conv2d_1'));
  await shown.click('.class-legend button:has-text("7")');
  clean();
});

test('the section has no faults for assistive technology, and fits all widths', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await shown.emulateMedia({ colorScheme });
    for (const width of [390, 768, 1280, 1920]) {
      await shown.setViewportSize({ width, height: 860 });
      assert.ok(await shown.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}`);
    }
    await shown.evaluate(axe);
    const { violations } = await shown.evaluate(() => window.axe.run('.inside', { resultTypes: ['violations'] }));
    assert.deepEqual(violations.map(({ id, nodes }) => [colorScheme, id, nodes.map(({ html }) => html).slice(0, 3)]), []);
  }
  await shown.emulateMedia({ colorScheme: 'light' });
  await shown.setViewportSize({ width: 1280, height: 860 });
  clean();
});

test('an epoch is inspected on the other pages', async () => {
  await shown.focus('#epoch');
  await shown.keyboard.press('Home');
  await shown.keyboard.press('ArrowRight');
  await drawn(1);
  const run = parameter('run');
  await shown.click('#epoch-inspect');
  await shown.waitForSelector('.map');
  assert.equal(parameter('model'), `job-${run}@1`);
  assert.ok(await shown.isHidden('#not-found'));
  assert.equal(await shown.$eval('#model', (select) => select.selectedOptions[0].textContent), `Run ${run}, epoch 1`);
  const listed = await shown.evaluate(async () => (await (await fetch('/api/models')).json()).map(({ id }) => id));
  assert.ok(listed.includes(`job-${run}`) && !listed.some((id) => id.includes('@')));
  await shown.click('nav a:has-text("Explain")');
  await shown.waitForSelector('.class');
  assert.equal(await shown.inputValue('#model'), `job-${run}@1`);
  clean();
  await shown.goto(`${served.url}/?model=job-${run}@99`);
  await shown.waitForSelector('#not-found:has-text("There is no model")');
  shown.wrong.splice(0);
});

test('an epoch that is not kept, and a removed run', async () => {
  await shown.goto(`${served.url}/train?run=0002&epoch=77`);
  await shown.waitForSelector('#not-found:has-text("The weights after epoch “77” are not kept")');
  await drawn(EPOCHS);
  await shown.click('#run-actions button:has-text("Remove")');
  await shown.click('dialog button.primary');
  await shown.waitForFunction(() => !document.querySelector('[data-run="0002"]'));
  assert.equal(await shown.evaluate(async () => (await fetch('/api/models/job-0002@1')).status), 404);
  shown.wrong.splice(0);
});

test('a run that was killed continues its epochs', { skip: needsServer }, async (t) => {
  const runs = folder();
  let own = await studio(runs);
  t.after(() => own.stop());
  const ask = async (path, body) => (await fetch(`${own.url}${path}`, body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json();
  const kept = async () => (await ask('/api/jobs/0001')).news.findLast((news) => news.kept)?.kept ?? [];
  await ask('/api/jobs', { kind: 'train', epochs: 6, batch_size: 256, learning_rate: 0.001 });
  for (let tries = 0; tries < 600 && (await kept()).length < 3; tries += 1) await new Promise((wait) => { setTimeout(wait, 20); });
  const gone = new Promise((end) => { own.child.on('exit', end); });
  own.child.kill('SIGKILL');
  await gone;
  own = await studio(runs);
  const before = await kept();
  assert.ok(before.length >= 3);
  for (const epoch of before) assert.equal((await ask(`/api/models/job-0001@${epoch}`)).name, `Run 0001, epoch ${epoch}`);
  await ask('/api/jobs/0001/resume', {});
  for (let tries = 0; tries < 600 && (await ask('/api/jobs/0001')).state !== 'done'; tries += 1) await new Promise((wait) => { setTimeout(wait, 50); });
  assert.deepEqual(await kept(), [0, 1, 2, 3, 4, 5, 6]);
  for (const epoch of await kept()) assert.equal((await ask(`/api/models/job-0001@${epoch}/embedding?count=10`)).images.length, 10);
});

test('photos: a network from scratch has a timeline, a head on a frozen base says why not', { skip: needsServer }, async () => {
  await train(2, { set: 'photos', network: 'basic-cnn' });
  await ended();
  await drawn(2);
  assert.equal((await dots()).length, 16);
  assert.match(await shown.textContent('.class-legend'), /left.*right/);
  await train(1, { set: 'photos', network: 'vgg16-builtin' });
  await shown.waitForFunction(() => document.querySelector('#inside-note').textContent.startsWith('Only the head'), null, { timeout: 120_000 });
  assert.ok(await shown.isHidden('#inside-body'));
  await ended();
  clean();
});

test('with reduced motion, dots do not move but change their places', async () => {
  await shown.emulateMedia({ reducedMotion: 'reduce' });
  await shown.goto(`${served.url}/train?run=0001&epoch=0`);
  await drawn(0);
  const frames = shown.evaluate(() => new Promise((done) => {
    const seen = new Set();
    const dot = document.querySelector('circle.dot');
    new MutationObserver(() => seen.add(dot.getAttribute('cx'))).observe(dot, { attributes: true });
    setTimeout(() => done(seen.size), 1500);
  }));
  await shown.focus('#epoch');
  await shown.keyboard.press('ArrowRight');
  await drawn(1);
  assert.equal(await frames, 1);
  await shown.emulateMedia({ reducedMotion: 'no-preference' });
  clean();
});
