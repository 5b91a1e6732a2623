// The overview of the network page: live maps, the inputs of a map, unfolded operations, folded modules, and its speed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { browser, folder, page, studio } from './studio.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let [served, chrome, shown] = [];

/** Opens a page that remembers no view: the overview is the first one. */
const opened = (options = {}) => page(chrome, served.url, { view: null, ...options });

before(async () => {
  served = await studio(folder());
  chrome = await browser();
  shown = await opened({ reducedMotion: 'reduce' });
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const clean = (of) => assert.deepEqual(of.wrong, []);
/** Waits until all cards on the screen have their maps. */
const loaded = (of = shown) => of.waitForFunction(() => Number(document.querySelector('#ov-stage').dataset.waiting) === 0);
const open = async (query, of = shown) => {
  await of.goto(`${served.url}/?${query}`);
  await loaded(of);
};
const parameter = (name) => new URL(shown.url()).searchParams.get(name);
const formula = () => shown.textContent('#un-formula p:last-child');
/** Parses a number as the page shows it. */
const parsed = (text) => Number(text.trim().replaceAll('−', '-'));

test('without a model, the maps of the built-in network are there at once', async () => {
  const one = await opened();
  await one.goto(served.url);
  await loaded(one);
  assert.ok(await one.isVisible('#overview') && !await one.isVisible('#one-layer'));
  // Once more, without the time to load the model.
  await one.reload();
  const times = await one.evaluate(() => new Promise((done) => {
    const look = () => (Number(document.querySelector('#ov-stage').dataset.waiting) === 0 ? done(performance.now()) : requestAnimationFrame(look));
    look();
  }));
  console.log(`all maps are there ${times.toFixed(0)} ms after the start of the navigation`);
  assert.ok(times < 3000, `${times} ms`);
  // Its blocks are folded, and all of it is on the screen.
  const cards = await one.$$eval('.ov-group', (groups) => groups.map((group) => group.getBoundingClientRect().toJSON()));
  assert.ok(cards.length >= 15 && cards.length <= 26, `${cards.length} cards`);
  assert.ok(cards.every(({ left, right }) => left >= 0 && right <= 1280));
  // The maps differ from an empty canvas in many colors.
  const colors = await one.evaluate(() => {
    const canvas = document.querySelector('#ov-canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(Array.from({ length: data.length / 4 }, (_, at) => data[4 * at])).size;
  });
  assert.ok(colors > 100, `${colors} grays`);
  clean(one);
  await one.context().close();
});

test('with the keyboard: from layer to map, its inputs, its operation, and back', async () => {
  await open('view=overview&model=mnist-cnn&image=digit-0');
  await shown.focus('.ov-node[tabindex="0"]');
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowDown', 'ArrowDown']) await shown.keyboard.press(key);
  await shown.waitForSelector('#ov-card .ov-kernels');
  assert.equal(parameter('layer'), 'conv2d_1');
  assert.equal(parameter('channel'), '1');
  assert.match(await shown.textContent('#ov-card'), /A convolution of 24 maps of max_pooling2d; strongest kernels: \d+/);
  assert.match(await shown.textContent('#ov-live'), /conv2d_1, map 1 of 48, from .* strongest kernels/);
  assert.equal(await shown.locator('#ov-card .ov-kernels canvas').count(), 12);
  // The strongest kernel is that of the server.
  const strongest = await shown.evaluate(async () => (await (await fetch('/api/models/mnist-cnn/layers/conv2d_1/channels/1/inputs')).json()).kernels[0].channel);
  assert.equal(await shown.textContent('#ov-card .ov-kernels b >> nth=0'), String(strongest));
  await shown.keyboard.press('Enter');
  await shown.waitForSelector('#unfold:not([hidden]) .cell');
  assert.equal(parameter('unfold'), '0');
  // With reduced motion, nothing moves until Play.
  assert.equal(await shown.textContent('#un-play'), 'Play');
  const before = await formula();
  await shown.waitForTimeout(700);
  assert.equal(await formula(), before);
  // The numbers add up: bias, this map, the others.
  const [left, right] = before.split('=');
  const terms = left.replace(/from the other \d+ maps/, '').replaceAll('− ', '+ −').split('+').map(parsed);
  assert.equal(terms.length, 3);
  assert.ok(Math.abs(terms.reduce((sum, term) => sum + term, 0) - parsed(right)) < 0.01, before);
  await shown.waitForSelector('.sum-bars');
  assert.equal(await shown.locator('.sum-bar').count(), 24);
  await shown.click('#un-next');
  await shown.waitForFunction((text) => document.querySelector('#un-formula p:last-child').textContent !== text, before);
  await shown.click('#un-stages button:has-text("relu")');
  await shown.waitForSelector('.un-curve circle');
  assert.match(await formula(), /^max\(0, .*\) = /);
  await shown.keyboard.press('Escape');
  assert.ok(await shown.isHidden('#unfold'));
  assert.equal(parameter('unfold'), null);
  // The focus is on the map again.
  assert.match(await shown.evaluate(() => document.activeElement.getAttribute('aria-label')), /^conv2d_1, map 1 of 48/);
  await shown.goBack();
  await shown.waitForSelector('#unfold:not([hidden])');
  await shown.goBack();
  await shown.waitForSelector('#unfold', { state: 'hidden' });
  clean(shown);
});

test('an animation slides, pauses, and continues', async () => {
  const one = await opened();
  await open('view=overview&model=mnist-cnn&image=digit-0&layer=max_pooling2d&channel=3&unfold=0', one);
  await one.waitForFunction(() => document.querySelector('#un-play').textContent === 'Pause');
  const first = await one.textContent('#un-step');
  await one.waitForFunction((text) => document.querySelector('#un-step').textContent !== text, first);
  await one.click('#un-play');
  const held = await one.textContent('#un-step');
  await one.waitForTimeout(600);
  assert.equal(await one.textContent('#un-step'), held);
  assert.match(new URL(one.url()).searchParams.get('at'), /^\d+,\d+$/);
  await one.click('#un-play');
  await one.waitForFunction((text) => document.querySelector('#un-step').textContent !== text, held);
  clean(one);
  await one.context().close();
});

test('another image changes the maps, the inputs and the operation', async () => {
  await open('view=overview&model=mnist-cnn&image=digit-0&layer=conv2d_1&channel=1&unfold=0&at=6,6');
  await shown.waitForSelector('#unfold:not([hidden]) .cell');
  const before = await formula();
  await shown.click('.thumb >> nth=1');
  await shown.waitForFunction((text) => document.querySelector('#un-formula p:last-child').textContent !== text, before);
  assert.equal(parameter('at'), '6,6');
  await shown.click('#un-close');
  await shown.waitForSelector('#ov-card:not([hidden])');
  const input = () => shown.evaluate(() => document.querySelector('#ov-card canvas').toDataURL());
  const map = await input();
  await shown.click('.thumb >> nth=3');
  await shown.waitForFunction((url) => (document.querySelector('#ov-card:not([hidden]) canvas')?.toDataURL() ?? url) !== url, map);
  clean(shown);
});

test('each kind of operation unfolds with its numbers', async () => {
  const unfold = async (model, layer, channel, stage = 0) => {
    await open(`view=overview&model=${model}&layer=${layer}&channel=${channel}&unfold=${stage}`);
    await shown.waitForSelector('#unfold:not([hidden]) #un-formula p');
    return { text: await formula(), stages: await shown.$$eval('#un-stages button', (buttons) => buttons.map((button) => button.textContent)) };
  };
  const pooled = await unfold('mnist-cnn', 'max_pooling2d', 3);
  const [values, most] = pooled.text.match(/max\((.*)\) = (.*)/).slice(1);
  assert.equal(Math.max(...values.split(', ').map(parsed)).toFixed(2), parsed(most).toFixed(2));
  assert.match((await unfold('mnist-cnn', 'dense', 5)).text, /from 576 terms = /);
  assert.deepEqual((await unfold('mnist-cnn', 'dense', 5)).stages, ['Dense', 'relu']);
  const softmax = await unfold('mnist-cnn', 'dense_1', 2, 1);
  const [power, sum, quotient] = softmax.text.match(/(.*) \/ (.*) = (.*)/).slice(1).map(parsed);
  assert.ok(Math.abs(power / sum - quotient) < 0.002, softmax.text);
  const flat = await unfold('mnist-cnn', 'flatten', 70);
  assert.match(await shown.textContent('#un-text'), /channel 6 of the pixel at row 0, column 1/);
  assert.match(flat.text, /y = /);
  // Normalization and ReLU6 share the box of a depthwise convolution.
  const stages = ['DepthwiseConv2D', 'BatchNormalization', 'relu6'];
  const normalized = await unfold('efficientnet-lite0', '_conv_stem', 4, 1);
  assert.deepEqual(normalized.stages, ['Conv2D', ...stages.slice(1)]);
  const [gamma, x, mean, deviation, beta, y] = normalized.text.match(/(.*) · \((\S+) ([−+] \S+)\) \/ (\S+) ([−+] \S+) = (.*)/).slice(1).map((text) => parsed(text.replace(' ', '')));
  assert.ok(Math.abs((gamma * (x + mean)) / deviation + beta - y) < 0.02 * Math.max(1, Math.abs(y)), normalized.text);
  await open('view=overview&model=efficientnet-lite0&open=_blocks.2&layer=_blocks.2._depthwise_conv&channel=0&unfold=0');
  await shown.waitForSelector('#unfold:not([hidden]) #un-formula p');
  assert.deepEqual(await shown.$$eval('#un-stages button', (buttons) => buttons.map((button) => button.textContent)), stages);
  await open('view=overview&model=efficientnet-lite0&open=_blocks.2&layer=_blocks.2&channel=7&unfold=0');
  await shown.waitForSelector('#unfold:not([hidden]) #un-formula p');
  const [a, b, total] = (await formula()).match(/(\S+) ([−+] \S+) = (.*)/).slice(1).map((text) => parsed(text.replace(' ', '')));
  assert.ok(Math.abs(a + b - total) < 0.02, await formula());
  assert.equal(await shown.locator('#un-inputs canvas').count(), 2);
  assert.match((await unfold('efficientnet-lite0', 'avgpool', 12)).text, /49 of 49 values: .* \/ 49 = /);
  assert.match((await unfold('squeezenet1-1', 'fire2', 70)).text, /y = /);
  assert.match(await shown.textContent('#un-text'), /this one is channel 6 of/);
  clean(shown);
});

test('modules unfold and fold, and the URL names them', async () => {
  await open('view=overview&model=efficientnet-lite0');
  const cards = () => shown.locator('.ov-group').count();
  const folded = await cards();
  const place = await shown.evaluate(() => {
    const box = [...document.querySelectorAll('.ov-group')].find((group) => group.getAttribute('aria-label') === '_blocks.2').getBoundingClientRect();
    return [box.left + box.width / 2, box.top - 8];
  });
  await shown.mouse.click(...place);
  await shown.waitForFunction((count) => document.querySelectorAll('.ov-group').length === count + 3, folded);
  assert.equal(parameter('open'), '_blocks.2');
  await shown.reload();
  await loaded();
  assert.equal(await cards(), folded + 3);
  await shown.click('.ov-close');
  assert.equal(await cards(), folded);
  assert.equal(parameter('open'), null);
  await shown.goBack();
  await shown.waitForFunction((count) => document.querySelectorAll('.ov-group').length === count + 3, folded);
  await shown.click('#ov-fold');
  assert.equal(await cards(), folded);
  // A link to a layer of a folded module unfolds it.
  await open('view=overview&model=efficientnet-lite0&layer=_blocks.3._expand_conv');
  assert.equal(parameter('open'), '_blocks.3');
  // A search unfolds the module of the layer.
  await shown.fill('#ov-search', '_blocks.7._project_conv');
  await shown.keyboard.press('Enter');
  await shown.waitForFunction(() => document.activeElement.getAttribute('aria-label')?.startsWith('_blocks.7._project_conv'));
  assert.equal(parameter('open'), '_blocks.3,_blocks.7');
  await shown.fill('#ov-search', 'no such layer');
  await shown.keyboard.press('Enter');
  assert.match(await shown.textContent('#ov-missing'), /No layer is called/);
  clean(shown);
});

test('the view is remembered, and links to a layer still open it', async () => {
  const one = await opened();
  await open('model=mnist-cnn', one);
  await one.click('#show-layer');
  await one.waitForSelector('.map');
  assert.match(one.url(), /view=layer/);
  await one.goto('about:blank');
  await one.goto(`${served.url}/?model=mnist-cnn`);
  await one.waitForSelector('.map');
  await one.click('#show-overview');
  await loaded(one);
  await one.goto(`${served.url}/?model=mnist-cnn&layer=conv2d_1&channel=3`);
  await one.waitForSelector('.map');
  assert.ok(await one.isHidden('#overview'));
  await one.goto(`${served.url}/?model=mnist-cnn&view=nothing`);
  await one.waitForFunction(() => document.querySelector('#not-found').textContent.includes('no view “nothing”'));
  clean(one);
  await one.context().close();
});

test('panning and zooming VGG16 and EfficientNet-Lite0 draw a frame in time', async () => {
  for (const model of ['vgg16', 'efficientnet-lite0&open=_blocks.0,_blocks.1,_blocks.2,_blocks.3,_blocks.4,_blocks.5,_blocks.6']) {
    await shown.goto(`${served.url}/?view=overview&model=${model}`);
    await shown.waitForFunction(() => Number(document.querySelector('#ov-stage').dataset.waiting) === 0, null, { timeout: 120_000 });
    const box = await shown.locator('#ov-stage').boundingBox();
    await shown.mouse.move(box.x + box.width / 2, box.y + box.height - 40);
    await shown.evaluate(() => { window.drawn = []; new PerformanceObserver((list) => window.drawn.push(...list.getEntries().map(({ duration }) => duration))).observe({ entryTypes: ['measure'] }); });
    for (let at = 0; at < 60; at += 1) await shown.mouse.wheel(at % 2 ? 30 : 0, at < 30 ? -30 : 30);
    const times = (await shown.evaluate(() => window.drawn)).sort((a, b) => a - b);
    assert.ok(times.length > 20, `${times.length} frames`);
    console.log(`${model.split('&')[0]}: ${times.length} frames, ${times[times.length >> 1].toFixed(1)} ms at the median, ${times[Math.floor(times.length * 0.95)].toFixed(1)} ms in 95 of 100`);
    assert.ok(times[times.length >> 1] < 1000 / 60, `${times[times.length >> 1]} ms`);
  }
  // Now it is larger than the screen.
  for (let at = 0; at < 6; at += 1) await shown.click('#ov-in');
  await shown.waitForSelector('#ov-map:not([hidden])');
  await shown.click('#ov-fit');
  clean(shown);
});

test('what is shown is saved as PNG and SVG', async () => {
  await open('view=overview&model=mnist-cnn&image=digit-2&layer=conv2d_1&channel=1');
  const saved = async (button) => {
    const [download] = await Promise.all([shown.waitForEvent('download'), shown.click(button)]);
    return readFileSync(await download.path());
  };
  assert.deepEqual([...(await saved('#ov-png'))].slice(0, 4), [137, 80, 78, 71]);
  const drawn = (await saved('#ov-svg')).toString();
  assert.match(drawn, /^<svg [^>]*viewBox/);
  assert.ok(drawn.split('<image ').length > 70, 'its maps');
  const error = await shown.evaluate((text) => new DOMParser().parseFromString(text, 'image/svg+xml').querySelector('parsererror')?.textContent ?? null, drawn);
  assert.equal(error, null);
  clean(shown);
});

test('the pointer lights the inputs, and leaving dims nothing', async () => {
  await open('view=overview&model=mnist-cnn&image=digit-0');
  await shown.evaluate(() => document.activeElement.blur());
  const colors = () => shown.evaluate(() => document.querySelector('#ov-canvas').toDataURL());
  const plain = await colors();
  const box = await shown.locator('.ov-group').nth(3).boundingBox();
  await shown.mouse.move(box.x + box.width / 2, box.y + box.height / 24);
  await shown.waitForSelector('#ov-card:not([hidden])');
  assert.match(await shown.textContent('#ov-card'), /^conv2d_1, map 0 of 4814 × 14, from .*A convolution of 24 maps/);
  assert.notEqual(await colors(), plain);
  const address = shown.url();
  await shown.mouse.move(box.x + box.width / 2, 10);
  await shown.waitForSelector('#ov-card', { state: 'hidden' });
  await shown.waitForFunction((before) => document.querySelector('#ov-canvas').toDataURL() === before, plain);
  // Pointing is not a choice: the URL stays.
  assert.equal(shown.url(), address);
  clean(shown);
});

test('a finger points first, then unfolds', async () => {
  const one = await opened({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, reducedMotion: 'reduce' });
  await open('view=overview&model=mnist-cnn', one);
  const box = await one.locator('.ov-group').nth(1).boundingBox();
  const at = [box.x + box.width / 2, box.y + box.height / 24];
  await one.touchscreen.tap(...at);
  await one.waitForSelector('#ov-card:not([hidden])');
  assert.ok(await one.isHidden('#unfold'));
  await one.touchscreen.tap(...at);
  await one.waitForSelector('#unfold:not([hidden])');
  clean(one);
  await one.context().close();
});

test('narrow and wide, light and dark: axe finds nothing serious, and nothing sticks out', async () => {
  for (const [width, colorScheme] of [[390, 'light'], [768, 'dark'], [1280, 'light'], [1920, 'dark']]) {
    const one = await opened({ viewport: { width, height: 860 }, colorScheme, bypassCSP: true, reducedMotion: 'reduce' });
    for (const query of ['view=overview&model=mnist-cnn&image=digit-0&layer=conv2d_1&channel=1', 'view=overview&model=mnist-cnn&image=digit-0&layer=conv2d_1&channel=1&unfold=0', 'view=overview&model=mnist-cnn&image=digit-0&layer=dense_1&channel=1&unfold=1']) {
      await open(query, one);
      if (query.includes('unfold')) await one.waitForSelector('#un-formula p');
      const over = await one.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${query} is ${over} pixels too wide at ${width}`);
      await one.evaluate(axe);
      const found = await one.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      const serious = found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => [query, width, colorScheme, id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).slice(0, 3)]), []);
    }
    clean(one);
    await one.context().close();
  }
});
