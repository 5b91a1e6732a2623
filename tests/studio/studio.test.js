// The studio in a real browser, starting from an empty folder: train, draw, inspect, explain, stop, restart.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { browser, folder, isInBrowser, page, reopened, stroke, studio } from './studio.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const runs = folder();
let [served, chrome, shown] = [];

before(async () => {
  served = await studio(runs);
  chrome = await browser();
  shown = await page(chrome, served.url);
});

after(async () => {
  await chrome?.close();
  await served?.stop();
});

/** Checks that there were no errors on the console, and no requests to other hosts. */
const clean = (of) => assert.deepEqual(of.wrong, []);

test('a small run is started, and its curve grows', async () => {
  await shown.goto(`${served.url}/train`);
  await shown.fill('#name', 'Digits');
  await shown.fill('#epochs', '4');
  await shown.click('#start');
  const line = shown.locator('path.line:not(.thin)').first();
  const points = async () => ((await line.getAttribute('d').catch(() => null)) ?? '').split('L').length;
  await shown.waitForFunction(() => document.querySelector('path.line:not(.thin)')?.getAttribute('d')?.includes('L'), null, { timeout: 120_000 });
  const early = await points();
  await shown.waitForSelector('[data-run="0001"] .fine:has-text("%"):not(:has-text("epoch"))', { timeout: 120_000 });
  await shown.waitForFunction((least) => document.querySelector('path.line:not(.thin)').getAttribute('d').split('L').length > least, early);
  assert.equal(await points(), 4);
  assert.equal(await shown.locator('#samples figure').count(), 12);
  // The confusion matrix opens its images.
  await shown.locator('#confusion .right').nth(3).click();
  await shown.waitForSelector('#cell .tile');
  clean(shown);
});

test('a seven is drawn, and read', async () => {
  await shown.goto(`${served.url}/draw`);
  await shown.waitForSelector('#layers section:nth-child(8)');
  assert.equal(await shown.inputValue('#model'), 'job-0001');
  const layer = () => shown.evaluate(() => document.querySelectorAll('#layers canvas')[5].toDataURL());
  const blank = await layer();
  await stroke(shown, [0.28, 0.25], [0.72, 0.25], [0.46, 0.82]);
  await shown.waitForFunction(() => document.querySelector('#bars').dataset.best === '7');
  assert.notEqual(await layer(), blank);
  assert.match(await shown.textContent('#verdict'), /7/);
  // Latency from a stroke to the update.
  const times = [];
  for (let at = 0; at < 20; at += 1) {
    await stroke(shown, [0.3 + at / 100, 0.5], [0.32 + at / 100, 0.52]);
    await shown.waitForTimeout(30);
    times.push(Number(await shown.getAttribute('#pad', 'data-milliseconds')));
  }
  times.sort((a, b) => a - b);
  console.log(`a stroke takes ${times[10]} ms at the median, ${times[19]} at most`);
  assert.ok(times[10] < 50, `${times[10]} ms`);
  await shown.click('#clear');
  await shown.waitForFunction(() => document.querySelector('#bars').dataset.best === '');
  // Draw a one with the keyboard.
  await shown.focus('#pad');
  await shown.keyboard.down('Shift');
  for (let at = 0; at < 17; at += 1) await shown.keyboard.press('ArrowDown');
  await shown.keyboard.up('Shift');
  await shown.waitForFunction(() => document.querySelector('#bars').dataset.best === '1');
  clean(shown);
});

test('from the graph to a layer to a filter', async () => {
  await shown.goto(served.url);
  await shown.click('.node:has-text("conv2d_1")');
  await shown.waitForFunction(() => document.querySelector('#layer-name').textContent === 'conv2d_1');
  await shown.waitForSelector('.map');
  assert.equal(await shown.locator('.map').count(), 48);
  const liveliest = await shown.evaluate(() => [...document.querySelectorAll('.map:not(.dead)')][0].dataset.channel);
  await shown.click(`.map[data-channel="${liveliest}"]`);
  await shown.waitForSelector('.pair img');
  await shown.waitForSelector('img[src*="/files/picture.png"]', { timeout: 60_000 });
  await shown.waitForSelector('.examples img, .figure:has-text("dead filter")', { timeout: 60_000 });
  assert.ok(await shown.isVisible('.picker-now .field'));
  assert.match(shown.url(), new RegExp(`layer=conv2d_1&channel=${liveliest}`));
  // Choose another image, with the keyboard only.
  const before = await shown.getAttribute('.picker-now img', 'src');
  await shown.focus('.thumb:nth-child(3)');
  await shown.keyboard.press('Enter');
  await shown.waitForFunction((src) => document.querySelector('.picker-now img').getAttribute('src') !== src, before);
  await shown.waitForSelector('.map');
  clean(shown);
});

test('what is asked for twice is shown once, and the last choice wins', async () => {
  // Late responses: the first request takes longest, so that later ones overtake it.
  let late = 600;
  await shown.route(/\/layers\/[^/]+(\/maps\?.*)?$/, async (route) => {
    late = Math.max(0, late - 150);
    await new Promise((wait) => { setTimeout(wait, late); });
    await route.continue();
  });
  await shown.goto(`${served.url}/?model=job-0001&image=digit-3`);
  await shown.waitForSelector('.node');
  for (const layer of ['conv2d_1', 'conv2d', 'conv2d_1', 'conv2d_1']) await shown.click(`.node:has(b:text-is("${layer}"))`);
  await shown.waitForSelector('.map');
  await shown.waitForTimeout(900);
  assert.equal(await shown.textContent('#layer-name'), 'conv2d_1');
  assert.equal(await shown.locator('.map').count(), 48);
  assert.equal(await shown.locator('#kernels figure').count(), 48);
  await shown.unrouteAll({ behavior: 'wait' });
  clean(shown);
});

test('branches, and an image of one\'s own', async () => {
  await shown.goto(`${served.url}/?model=inception-v3`);
  await shown.waitForSelector('.node.join');
  assert.equal(await shown.locator('.node.join').count(), 15);
  await shown.click('.node:has-text("mixed7")');
  await shown.waitForFunction(() => document.querySelector('#layer-name').textContent === 'mixed7');
  await shown.waitForSelector('.map');
  const places = await shown.evaluate(() => new Set([...document.querySelectorAll('.node')].map((node) => node.style.left)).size);
  assert.ok(places >= 6, `${places} places`);
  await shown.selectOption('#model', 'vgg16-builtin');
  await shown.waitForFunction(() => document.querySelector('#graph-facts').textContent.includes('vgg16'));
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEklEQVR4nGM4oaGhEXWCAUIBACDUBMWAMr5eAAAAAElFTkSuQmCC', 'base64');
  await shown.setInputFiles('#image-file', { name: 'mine.png', mimeType: 'image/png', buffer: png });
  await shown.waitForFunction(() => location.search.includes('image=up-'));
  await shown.waitForSelector('.map');
  clean(shown);
});

test('a number is taken apart, and a weight changed', async () => {
  await shown.goto(`${served.url}/mechanics?model=job-0001&image=digit-7&layer=conv2d_1&channel=2`);
  await shown.waitForSelector('.cell');
  await shown.click('.steps li:nth-child(4) button');
  await shown.waitForSelector('#equation b');
  const sum = () => shown.textContent('#equation b');
  const before = await sum();
  // The sum is that of the products and the bias.
  await shown.click('.steps li:nth-child(2) button');
  await shown.fill('input.cell >> nth=4', '2.5');
  await shown.keyboard.press('Enter');
  await shown.waitForSelector('input.changed');
  assert.match(await shown.textContent('#mech-verdict'), /changed weight/);
  await shown.click('.steps li:nth-child(4) button');
  await shown.click('#output-map', { position: { x: 40, y: 40 } });
  await shown.waitForFunction((old) => document.querySelector('#equation b').textContent !== old, before);
  await shown.click('.steps li:nth-child(7) button');
  await shown.waitForSelector('#terms table');
  await shown.click('button.cell >> nth=2');
  await shown.waitForSelector('button.cell[aria-pressed="true"] >> nth=0');
  await shown.click('.steps li:nth-child(8) button');
  assert.match(await shown.textContent('#equation'), /through all/);
  await shown.click('.steps li:nth-child(1) button');
  await shown.click('#play');
  await shown.waitForFunction(() => document.querySelector('#step-number').textContent.startsWith('Step 2'));
  await shown.click('#play');
  clean(shown);
});

test('a decision is explained', async () => {
  await shown.goto(`${served.url}/explain?model=job-0001&image=digit-7`);
  await shown.waitForSelector('#methods input');
  await shown.waitForSelector('.class input');
  for (const slow of ['rise', 'score-cam']) await shown.uncheck(`#methods input[value="${slow}"]`);
  await shown.click('#go');
  const filled = () => document.querySelector('.bar-track span')?.style.width.endsWith('%') && parseFloat(document.querySelector('.bar-track span').style.width) > 0;
  await shown.waitForFunction(filled, null, { timeout: 60_000, polling: 'raf' });
  await shown.waitForFunction(() => document.querySelectorAll('.card img').length === 10, null, { timeout: 90_000 });
  assert.equal(await shown.locator('.card .measures').count(), 10);
  await shown.selectOption('#order', 'insertion');
  const insertions = await shown.$$eval('.card .measures > div:last-child dd', (all) => all.map((one) => Number(one.textContent)));
  assert.deepEqual(insertions, [...insertions].sort((a, b) => b - a));
  clean(shown);
});

test('a run is stopped', async () => {
  await shown.goto(`${served.url}/train`);
  await shown.fill('#name', 'Long');
  await shown.fill('#epochs', '900');
  await shown.click('#start');
  await shown.waitForSelector('#run-actions button:has-text("Stop")');
  await shown.waitForSelector('.run-item.open .fine:has-text("epoch")');
  await shown.click('#run-actions button:has-text("Stop")');
  await shown.waitForSelector('.run-item.open .fine:has-text("stopped")', { timeout: 60_000 });
  clean(shown);
});

test('a run goes on where it was stopped', async () => {
  await shown.fill('#name', 'Three');
  await shown.fill('#epochs', '3');
  await shown.click('#start');
  await shown.waitForSelector('.run-item.open .fine:has-text("epoch 2")', { timeout: 60_000 });
  await shown.click('#run-actions button:has-text("Stop")');
  await shown.click('#run-actions button:has-text("Resume")', { timeout: 60_000 });
  await shown.waitForSelector('#run-note:has-text("of 3")', { timeout: 60_000 });
  clean(shown);
});

test('an image is stylized: it changes, converges, and can be compared', async () => {
  await shown.goto(`${served.url}/style`);
  await shown.fill('#size', '128');
  await shown.fill('#effort', '0.2');
  await shown.click('#paint');
  await shown.waitForSelector('#after[src*="step-"]', { timeout: 60_000 });
  const early = await shown.getAttribute('#after', 'src');
  await shown.waitForFunction((old) => document.querySelector('#after').getAttribute('src') !== old, early, { timeout: 60_000 });
  await shown.waitForSelector('#after[src$="painting.png"]', { timeout: 90_000 });
  // The image may appear a moment before the job ends.
  await shown.waitForSelector('#painting-note:has-text(" pixels after ")', { timeout: 30_000 });
  assert.match(await shown.textContent('#painting-note'), /128 × \d+ pixels after \d+ steps/);
  await shown.waitForSelector('#style-chart path.line');
  const width = () => shown.evaluate(() => document.querySelector('#before').style.clipPath);
  const before = await width();
  await shown.focus('#part');
  await shown.keyboard.press('ArrowRight');
  assert.notEqual(await width(), before);
  const [download] = await Promise.all([shown.waitForEvent('download'), shown.click('#painting-actions a')]);
  assert.deepEqual([...readFileSync(await download.path())].slice(0, 4), [137, 80, 78, 71]);
  // Another is stopped.
  await shown.fill('#size', '512');
  await shown.click('#paint');
  await shown.click('#stop');
  await shown.waitForSelector('#painting-note:has-text("topped")', { timeout: 60_000 });
  clean(shown);
});

test('a restart finds everything', async () => {
  await shown.goto('about:blank');
  assert.equal(await served.stop(), 0);
  served = await studio(runs);
  shown = await reopened(chrome, shown, served.url);
  await shown.goto(`${served.url}/train`);
  await shown.waitForSelector('[data-run="0001"]');
  await shown.click('#open-0001');
  await shown.waitForSelector('#confusion .right');
  await shown.check('#show-0001');
  await shown.waitForSelector('path.line');
  await shown.goto(`${served.url}/style`);
  await shown.waitForSelector('.gallery img');
  await shown.goto(`${served.url}/jobs`);
  await shown.waitForSelector('.job >> nth=6');
  clean(shown);
});

test('narrow and wide, light and dark: nothing sticks out, and no one is shut out', async () => {
  // A color scheme only changes colors, and a width only the layout.
  for (const [width, colorScheme] of [[390, 'light'], [1280, 'dark'], [1920, 'light']]) {
    const one = await page(chrome, served.url, { viewport: { width, height: 860 }, colorScheme, bypassCSP: true });
    for (const path of ['/', '/draw', '/mechanics', '/explain', '/train', '/style', '/jobs', '/lessons', ...(isInBrowser ? [] : ['/no-such-page'])]) {
      await one.goto(`${served.url}${path}`);
      await one.waitForSelector('main :visible');
      if (['/', '/explain', '/mechanics'].includes(path)) await one.waitForSelector('.thumb');
      await one.waitForTimeout(400);
      const over = await one.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${path} is ${over} pixels too wide at ${width}`);
      // Texts and contrast do not depend on the width: one scan for a phone and one for a desktop are enough.
      if (width === 1920) continue;
      await one.evaluate(axe);
      const found = await one.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      const serious = found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => [path, width, colorScheme, id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).slice(0, 3)]), []);
    }
    one.wrong.splice(0, one.wrong.length, ...one.wrong.filter((text) => !text.includes('404')));
    clean(one);
    await one.context().close();
  }
});
