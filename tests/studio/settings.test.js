// The preprocessing card, for a model whose file does not store it: previewed, applied, saved, loaded again.

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { browser, folder, page, studio } from './studio.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const runs = folder();
const model = join(folder(), 'photos.onnx');
copyFileSync(fileURLToPath(new URL('../../crates/lucida/tests/onnx/files/keras_tf.onnx', import.meta.url)), model);
const LONG = ['a', 'b', 'c'].map((letter) => `${letter} name of forty characters, which is long`);
const PAGES = ['/', '/draw', '/mechanics', '/explain'];
let [served, chrome, shown] = [];

before(async () => {
  served = await studio(runs, model);
  chrome = await browser();
  shown = await page(chrome, served.url);
});

after(async () => {
  await chrome?.close();
  await served?.stop();
});

const clean = (of) => assert.deepEqual(of.wrong.splice(0), []);
const card = '#settings:not([hidden])';
const settled = (of) => of.waitForSelector(`${card} .bars li`);
const focused = (of) => of.evaluate(() => document.activeElement.id || document.activeElement.tagName);

test('the card appears where the preprocessing is only assumed, on each page about the model', async () => {
  for (const path of PAGES) {
    await shown.goto(served.url + path);
    await settled(shown);
    assert.equal(await focused(shown), 'BODY');
    assert.match(await shown.textContent('#settings-note'), /does not say how images are prepared/);
    assert.match(await shown.textContent('#settings-names-note'), /^3 expected/);
  }
  await shown.selectOption('#model', 'vgg16-builtin');
  await shown.waitForSelector('#settings', { state: 'hidden' });
  clean(shown);
});

test('the preview follows what is chosen, and shows the last answer only', async () => {
  await shown.goto(`${served.url}/?model=given`);
  await settled(shown);
  const red = () => shown.textContent('#settings-channels tbody tr td');
  const unit = await red();
  // The first response arrives last.
  let late = 900;
  await shown.route('**/settings/preview', async (route) => {
    const wait = late;
    late = 0;
    await new Promise((end) => { setTimeout(end, wait); });
    await route.continue();
  });
  await shown.selectOption('#settings-format', 'raw');
  await shown.waitForTimeout(400);
  await shown.selectOption('#settings-format', 'caffe');
  assert.equal(await shown.inputValue('#settings-order'), 'bgr');
  await shown.waitForFunction(() => document.querySelector('#settings-channels tbody th').textContent === 'Blue');
  await shown.waitForTimeout(900);
  assert.match(await red(), /^−/);
  await shown.unrouteAll({ behavior: 'wait' });
  await shown.selectOption('#settings-format', 'custom');
  await shown.fill('#settings-mean', '0.2, 0.3, oops');
  await shown.waitForSelector('#settings-problem:not(:empty)');
  // The browser reports a response with status 400 on its console.
  shown.wrong.splice(0, shown.wrong.length, ...shown.wrong.filter((text) => !text.includes('400')));
  await shown.fill('#settings-mean', '0');
  await shown.fill('#settings-std', '1');
  await shown.waitForFunction((value) => document.querySelector('#settings-channels tbody td').textContent === value && document.querySelector('#settings-problem').textContent === '', unit);
  // Another image.
  const image = await shown.getAttribute('#settings-image', 'src');
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEklEQVR4nGM4oaGhEXWCAUIBACDUBMWAMr5eAAAAAElFTkSuQmCC', 'base64');
  await shown.setInputFiles('#image-file', { name: 'mine.png', mimeType: 'image/png', buffer: png });
  await shown.waitForFunction((src) => document.querySelector('#settings-image').getAttribute('src') !== src, image);
  await shown.fill('#settings-names', '["one", "two", "three"]');
  await shown.waitForFunction(() => document.querySelector('#settings-bars').textContent.includes('two'));
  clean(shown);
});

test('class names that do not fit are refused with their number', async () => {
  await shown.fill('#settings-names', 'one\ntwo');
  await shown.waitForSelector('#settings-problem:has-text("2 given, 3 expected")');
  await shown.click('#settings-save');
  await shown.waitForTimeout(200);
  assert.ok(await shown.isVisible(card));
  assert.ok(!existsSync(`${model}.lucida.json`));
  const names = join(folder(), 'class_indices.json');
  writeFileSync(names, JSON.stringify({ [LONG[2]]: 2, [LONG[0]]: 0, [LONG[1]]: 1 }));
  await shown.setInputFiles('#settings-file', names);
  await shown.waitForFunction((name) => document.querySelector('#settings-bars').textContent.includes(name), LONG[1]);
  shown.wrong.splice(0);
});

test('it is used for now, everywhere, and opened again with the keyboard', async () => {
  await shown.selectOption('#settings-format', 'raw');
  await shown.click('#settings-use');
  await shown.waitForSelector('#settings', { state: 'hidden' });
  assert.equal(await focused(shown), 'settings-toggle');
  await shown.goto(`${served.url}/explain`);
  await shown.waitForSelector(`.class:has-text("${LONG[0]}")`);
  assert.ok(await shown.isHidden('#settings'));
  // Long names leave room for the bars.
  await shown.setViewportSize({ width: 390, height: 860 });
  const track = await shown.locator('.class .track').first().boundingBox();
  assert.ok(track.width > 20, `${track.width} pixels`);
  await shown.setViewportSize({ width: 1280, height: 860 });
  await shown.focus('#settings-toggle');
  await shown.keyboard.press('Enter');
  await settled(shown);
  assert.equal(await focused(shown), 'settings-toggle');
  assert.equal(await shown.inputValue('#settings-format'), 'raw');
  assert.equal(await shown.inputValue('#settings-names'), LONG.join('\n'));
  await shown.focus('#settings-fit');
  await shown.keyboard.press('Escape');
  assert.ok(await shown.isHidden('#settings'));
  assert.equal(await focused(shown), 'settings-toggle');
  assert.ok(!existsSync(`${model}.lucida.json`));
  clean(shown);
});

test('a card that was closed stays closed, until it is wanted', async () => {
  await served.stop();
  served = await studio(runs, model);
  await shown.context().close();
  shown = await page(chrome, served.url);
  await shown.goto(served.url);
  await settled(shown);
  await shown.click('#settings-close');
  await shown.goto(`${served.url}/draw`);
  await shown.waitForSelector('#layers section');
  assert.ok(await shown.isHidden('#settings'));
  // The preprocessing of a built-in model is fixed.
  await shown.selectOption('#model', 'vgg16-builtin');
  await shown.waitForFunction(() => location.search.includes('vgg16-builtin'));
  await shown.click('#settings-toggle');
  await shown.waitForSelector(card);
  assert.equal(await shown.locator('#settings-bars li').count(), 0);
  assert.match(await shown.textContent('#settings-note'), /is fixed/);
  assert.ok(await shown.isDisabled('#settings-use'));
  assert.equal(await shown.inputValue('#settings-format'), 'caffe');
  clean(shown);
});

test('nothing sticks out, and no one is shut out', async () => {
  for (const [width, colorScheme] of [[390, 'light'], [900, 'dark'], [1280, 'dark'], [1280, 'light']]) {
    const one = await page(chrome, served.url, { viewport: { width, height: 860 }, colorScheme, bypassCSP: true });
    for (const path of PAGES) {
      await one.goto(served.url + path);
      await settled(one);
      await one.selectOption('#settings-format', 'custom');
      await one.fill('#settings-names', LONG.join('\n'));
      await one.waitForFunction((name) => document.querySelector('#settings-bars').textContent.includes(name), LONG[2]);
      const over = await one.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${path} is ${over} pixels too wide at ${width}`);
      const bar = await one.evaluate(() => [...document.querySelectorAll('.mark, #model, #settings-toggle')].map((part) => part.getBoundingClientRect()).map(({ top, bottom }) => Math.round((top + bottom) / 2)));
      assert.ok(Math.max(...bar) - Math.min(...bar) <= 2, `the bar wraps at ${width}: ${bar}`);
      const overlap = await one.evaluate(() => {
        const box = document.querySelector('#settings').getBoundingClientRect();
        const others = [document.querySelector('.bar'), document.querySelector('main').lastElementChild].map((other) => other.getBoundingClientRect());
        return others.some((other) => other.top < box.bottom - 1 && other.bottom > box.top + 1);
      });
      assert.ok(!overlap, `${path} at ${width}`);
      await one.evaluate(axe);
      const found = await one.evaluate(() => window.axe.run('#settings', { resultTypes: ['violations'] }));
      assert.deepEqual(found.violations.map(({ id, nodes }) => [path, width, colorScheme, id, nodes.map(({ html }) => html).slice(0, 3)]), []);
    }
    clean(one);
    await one.context().close();
  }
});

test('saved with the model, it is found after a restart', async () => {
  await shown.goto(`${served.url}/?model=given`);
  await shown.waitForSelector('.thumb');
  await shown.click('#settings-toggle');
  await settled(shown);
  await shown.selectOption('#settings-format', 'tf');
  await shown.fill('#settings-names', LONG.join('\n'));
  await shown.click('#settings-save');
  await shown.waitForSelector('#status:has-text("photos.onnx.lucida.json")');
  assert.deepEqual(JSON.parse(readFileSync(`${model}.lucida.json`, 'utf8')).class_names, LONG);
  await served.stop();
  served = await studio(runs, model);
  await shown.context().close();
  shown = await page(chrome, served.url);
  await shown.goto(`${served.url}/explain`);
  await shown.waitForSelector(`.class:has-text("${LONG[0]}")`);
  assert.ok(await shown.isHidden('#settings'));
  await shown.click('#settings-toggle');
  await settled(shown);
  assert.equal(await shown.inputValue('#settings-format'), 'tf');
  clean(shown);
});

test('every label that holds is marked, not the most probable one alone', async () => {
  const labels = await studio(folder(), model, '--task', 'multilabel');
  const seen = await page(chrome, labels.url);
  await seen.goto(`${labels.url}/draw`);
  await seen.waitForSelector('#bars li.best');
  const rows = await seen.$$eval('#bars li', (items) => items.map((item) => [item.classList.contains('best'), parseFloat(item.querySelector('.value').textContent)]));
  assert.equal(rows.length, 3);
  for (const [best, value] of rows) assert.equal(best, value >= 50);
  clean(seen);
  await seen.context().close();
  await labels.stop();
});
