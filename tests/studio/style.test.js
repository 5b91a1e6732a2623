// The style page in one pass: networks, sliders, the camera, and the training of a network.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { photos, png } from './made.js';
import { binary, browser, folder, page, studio } from './studio.js';

const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
const files = folder();
const style = (name, color) => ({ name: `${name}.png`, mimeType: 'image/png', buffer: png(96, 72, color) });
let [served, chrome] = [];

before(async () => {
  served = await studio(folder(), '--data', photos(folder(), ['a', 'b'], 3));
  chrome = await browser(...CAMERA);
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

/** Opens the style page in one of its modes. */
async function opened(mode, options = {}, of = chrome) {
  const shown = await page(of, served.url, options);
  await shown.goto(`${served.url}/style?mode=${mode}`);
  return shown;
}
/** Waits until the URL of the result is not `old`, and returns it. */
async function result(shown, old = '') {
  await shown.waitForFunction((before) => { const image = document.querySelector('#pass-after'); return image.src.startsWith('blob:') && image.src !== before && image.complete; }, old);
  return shown.evaluate(() => document.querySelector('#pass-after').src);
}
const isVisible = (shown, selector) => shown.locator(selector).isVisible();

test('one pass: the result is there at once, and follows the sliders', async () => {
  const shown = await opened('optimize');
  await shown.click('#modes label:has-text("One pass")');
  assert.match(shown.url(), /mode=pass/);
  const first = await result(shown);
  assert.match(await shown.textContent('#pass-note'), /512 × 341 pixels in \d+/);
  assert.ok(!(await isVisible(shown, '#paint')) && !(await isVisible(shown, '#mix')));
  await shown.fill('#pass-size', '192');
  const small = await result(shown, first);
  await shown.waitForSelector('#pass-note:has-text("192 × 128 pixels")');
  // With strength 0, the result is the photo: both halves are the same.
  await shown.fill('#strength', '0');
  await result(shown, small);
  assert.equal(await shown.textContent('#strength-out'), '0 %');
  const requests = [];
  let open = 0;
  shown.on('request', (request) => { if (request.url().includes('/pass?')) { requests.push(request.url()); open += 1; assert.ok(open <= 1, 'two requests at a time'); } });
  shown.on('requestfinished', (request) => { if (request.url().includes('/pass?')) open -= 1; });
  // Moving a slider fast sends few requests, and the last value counts.
  await shown.focus('#strength');
  for (let step = 0; step < 20; step += 1) await shown.keyboard.press('ArrowRight');
  await shown.check('#keep-colors');
  await shown.waitForFunction(() => document.querySelector('#pass-main').getAttribute('aria-busy') === 'false');
  await shown.waitForTimeout(300);
  assert.ok(requests.length < 21, `${requests.length} requests for 21 changes`);
  assert.match(requests[requests.length - 1], /strength=1&keep_colors=true/);
  const divide = () => shown.evaluate(() => document.querySelector('#pass-before').style.clipPath);
  const before = await divide();
  await shown.focus('#pass-part');
  await shown.keyboard.press('ArrowRight');
  assert.notEqual(await divide(), before);
  const [download] = await Promise.all([shown.waitForEvent('download'), shown.click('#pass-download')]);
  assert.deepEqual([...readFileSync(await download.path())].slice(0, 4), [137, 80, 78, 71]);
  // Another image.
  const last = await result(shown);
  await shown.setInputFiles('#content-file', style('mine', (x, y) => [2 * x, 3 * y, 90]));
  await result(shown, last);
  await shown.waitForSelector('#pass-note:has-text("192 × 144 pixels")');
  // Back leads to the other mode.
  await shown.goBack();
  await shown.waitForSelector('#paint:visible');
  assert.deepEqual(shown.wrong, []);
  await shown.context().close();
});

test('a network is opened, mixed and removed; other files are refused with the reason', async () => {
  const network = join(files, 'two.lucida');
  for (const [name, color] of [['waves', (x, y) => [x, y, 200]], ['night', (x, y) => [20, x, y]]]) writeFileSync(join(files, `${name}.png`), png(64, 64, color));
  execFileSync(binary, ['style-train', join(files, 'waves.png'), join(files, 'night.png'), '-o', network, '--steps', '2', '--crop', '64', '--quiet']);
  const shown = await opened('pass');
  let last = await result(shown);
  await shown.setInputFiles('#network-file', { name: 'photo.onnx', mimeType: 'application/octet-stream', buffer: png(8, 8, () => [1, 2, 3]) });
  await shown.waitForSelector('#status:has-text("photo.onnx: is an image, not a model")');
  await shown.setInputFiles('#network-file', network);
  last = await result(shown, last);
  assert.equal(await shown.$eval('#network', (select) => select.selectedOptions[0].textContent), 'two.lucida');
  assert.deepEqual(await shown.$$eval('#mix label span', (all) => all.map((one) => one.textContent)), ['waves', 'night']);
  const asked = shown.waitForRequest((request) => request.url().includes('mix=1%2C0.5'));
  await shown.fill('#mix input >> nth=1', '0.5');
  await asked;
  last = await result(shown, last);
  await shown.fill('#mix input >> nth=0', '0');
  await shown.fill('#mix input >> nth=1', '0');
  await shown.waitForSelector('#pass-note:has-text("Raise the weight of a style.")');
  assert.ok(!(await isVisible(shown, '#pass-compare')) && !(await isVisible(shown, '#pass-download')));
  // The network is in the URL, and a reload restores it.
  await shown.reload();
  await result(shown);
  await shown.waitForSelector('#mix input');
  await shown.click('#network-remove');
  await shown.click('dialog button:has-text("Remove")');
  await shown.waitForFunction(() => document.querySelector('#network').value === 'brushwork' && document.querySelector('#network').options.length === 1);
  await shown.goto(`${served.url}/style?mode=pass&network=net-gone`);
  await shown.waitForSelector('#not-found:has-text("no style network “net-gone”; Brush strokes is used")');
  await shown.goto(`${served.url}/style?mode=oil`);
  await shown.waitForSelector('#not-found:has-text("no mode “oil”")');
  assert.deepEqual(shown.wrong.filter((text) => !text.includes('422')), []);
  await shown.context().close();
});

test('the camera is stylized live', async () => {
  const shown = await opened('pass');
  await result(shown);
  await shown.click('#camera-toggle');
  await shown.waitForSelector('#live:visible');
  await shown.waitForSelector('#pass-note:has-text("frames per second")');
  const pixels = () => shown.evaluate(() => document.querySelector('#live').toDataURL());
  const one = await pixels();
  await shown.waitForFunction((old) => document.querySelector('#live').toDataURL() !== old, one);
  assert.ok(!(await isVisible(shown, '#pass-compare')) && !(await isVisible(shown, '#content-image')) && !(await isVisible(shown, '#pass-size')));
  await shown.fill('#strength', '0.5');
  await shown.waitForRequest((request) => request.method() === 'POST' && request.url().includes('strength=0.5'));
  const [download] = await Promise.all([shown.waitForEvent('download'), shown.click('#pass-download')]);
  assert.equal(download.suggestedFilename(), 'camera.png');
  await shown.click('#camera-toggle');
  await shown.waitForSelector('#pass-compare:visible');
  assert.equal(await shown.textContent('#camera-toggle'), 'Start camera');
  // Switching to another mode stops the camera, too.
  await shown.click('#camera-toggle');
  await shown.waitForSelector('#live:visible');
  await shown.check('[value="train"]', { force: true });
  assert.equal(await shown.evaluate(() => document.querySelector('#camera').srcObject), null);
  assert.deepEqual(shown.wrong, []);
  await shown.context().close();
});

test('why there is no camera', async () => {
  const say = async (shown, words) => {
    await shown.click('#camera-toggle');
    await shown.waitForSelector(`#status:has-text("${words}")`);
    assert.ok(await isVisible(shown, '#content-image'));
    await shown.context().close();
  };
  const refuse = (name) => `navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '${name}'));`;
  for (const [script, words] of [
    [refuse('NotAllowedError'), 'The camera is blocked.'],
    [refuse('NotFoundError'), 'No camera was found.'],
    [refuse('NotReadableError'), 'in use by another program'],
    ["Object.defineProperty(window, 'isSecureContext', { value: false });", 'secure pages only'],
  ]) {
    const shown = await page(chrome, served.url);
    await shown.addInitScript(script);
    await shown.goto(`${served.url}/style?mode=pass`);
    await result(shown);
    await say(shown, words);
  }
});

test('a style is trained with previews, stopped, resumed, and then used', async () => {
  const shown = await opened('train');
  assert.match(await shown.textContent('#teach-photos'), /6 photos/);
  await shown.selectOption('#teach-photos', 'builtin');
  await shown.setInputFiles('#teach-file', style('waves', (x, y) => [2 * x, 3 * y, 120]));
  await shown.waitForSelector('#teach-styles img[src*="up-"]');
  await shown.setInputFiles('#teach-file', style('night', (x, y) => [10, x, 2 * y]));
  await shown.waitForSelector('#teach-styles figure:nth-child(2)');
  assert.deepEqual(await shown.$$eval('#teach-styles input', (all) => all.map((one) => one.value)), ['waves', 'night']);
  assert.match(await shown.textContent('#teach-time'), /^about \d/);
  // A short training: the minimum of the slider is larger.
  await shown.$eval('#teach-steps', (slider) => { slider.min = '20'; slider.step = '20'; });
  await shown.fill('#teach-steps', '60');
  await shown.fill('#teach-name', 'Two');
  await shown.click('#teach-start');
  await shown.waitForSelector('#preview[src*="preview-"]', { timeout: 60_000 });
  const early = await shown.getAttribute('#preview', 'src');
  await shown.waitForFunction((old) => document.querySelector('#preview').getAttribute('src') !== old, early, { timeout: 60_000 });
  await shown.waitForSelector('#training-note:has-text("left")', { timeout: 60_000 });
  await shown.click('#training-actions button:has-text("Stop")');
  await shown.waitForSelector('#training-note:has-text("Stopped")', { timeout: 60_000 });
  await shown.waitForSelector('#training-chart path.line');
  // The network of a stopped training can be used.
  await shown.click('#training-actions button:has-text("Stylize in one pass")');
  await result(shown);
  assert.equal(await shown.$eval('#network', (select) => select.selectedOptions[0].textContent), 'Two');
  await shown.goBack();
  await shown.click('#training-actions button:has-text("Resume")');
  await shown.waitForSelector('#training-note:has-text("60 of 60 steps")', { timeout: 120_000 });
  await shown.waitForSelector('#status:has-text("Two is ready")');
  // An earlier preview.
  await shown.focus('#preview-at');
  await shown.keyboard.press('Home');
  await shown.waitForSelector('#preview-out:has-text("after 1 step")');
  await shown.check('[value="pass"]', { force: true });
  await result(shown);
  assert.match(await shown.inputValue('#network'), /^job-/);
  assert.equal(await shown.locator('#mix input').count(), 2);
  const job = (await shown.inputValue('#network')).slice(4);
  // The jobs page opens it, and removing a training removes its network.
  await shown.goto(`${served.url}/jobs`);
  await shown.click(`[data-job="${job}"] a:has-text("Open")`);
  await shown.waitForSelector('#training-title:has-text("Two")');
  await shown.click('#training-actions button:has-text("Remove")');
  await shown.click('dialog button:has-text("Remove")');
  await shown.waitForSelector('#trainings-none:visible');
  assert.equal(await shown.locator('#network option').count(), 1);
  assert.deepEqual(shown.wrong, []);
  await shown.context().close();
});

test('a style is added once, at most four, and none that is too small; a tall result fits into the window', async () => {
  const shown = await opened('train');
  const list = '#teach-styles figure';
  const add = (name, color, size = [96, 72]) => shown.setInputFiles('#teach-file', { ...style(name, color), buffer: png(...size, color) });
  for (let at = 0; at < 5; at += 1) {
    await add(`s${at}`, (x) => [x, 50 * at, 9]);
    if (at < 4) await shown.waitForFunction(([selector, many]) => document.querySelectorAll(selector).length === many && document.querySelectorAll(`${selector} img[src*="up-"]`).length === many, [list, at + 1]);
  }
  await shown.waitForSelector('#status:has-text("At most 4 styles: remove one first.")');
  const names = () => shown.$$eval(`${list} input[type="text"]`, (all) => all.map(({ value }) => value));
  assert.deepEqual(await names(), ['s0', 's1', 's2', 's3']);
  await add('again', (x) => [x, 50, 9]);
  await shown.waitForSelector('#status:has-text("already in the list")');
  assert.deepEqual(await names(), ['s0', 's1', 's2', 's3']);
  await shown.click(`${list} button:has-text("Remove") >> nth=0`);
  await add('dot', () => [1, 2, 3], [4, 4]);
  await shown.waitForFunction(() => document.querySelectorAll('#teach-styles figure').length === 4 && [...document.querySelectorAll('#teach-styles input[type="text"]')].some(({ value }) => value === 'dot'));
  await shown.click('#teach-start');
  await shown.waitForSelector('#status:has-text("style dot has 4x4 pixels; at least 32x32 are needed")');
  await shown.click('#modes label:has-text("One pass")');
  const first = await result(shown);
  await shown.setInputFiles('#content-file', { name: 'tall.png', mimeType: 'image/png', buffer: png(40, 800, (x, y) => [x, y % 256, 9]) });
  await result(shown, first);
  await shown.waitForFunction(() => document.querySelector('#pass-compare').clientHeight <= innerHeight);
  assert.deepEqual(shown.wrong.filter((text) => !text.includes('422')), []);
  await shown.context().close();
});

test('narrow, dark, by keyboard and by ear', async () => {
  const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
  for (const [width, colorScheme] of [[390, 'light'], [1280, 'dark']]) {
    const shown = await opened('optimize', { viewport: { width, height: 860 }, colorScheme, bypassCSP: true });
    await shown.focus('#modes input:checked');
    for (const mode of ['pass', 'train']) {
      await shown.keyboard.press('ArrowRight');
      assert.equal(await shown.evaluate(() => document.querySelector('#modes input:checked').value), mode);
      if (mode === 'pass') await result(shown);
      const sliders = await shown.$$eval('.slide input', (all) => all.filter((one) => one.checkVisibility() && one.closest('.slide').querySelector('output')).map((one) => [one.labels[0]?.querySelector('span').textContent, one.getAttribute('aria-valuetext'), one.labels[0]?.querySelector('output').textContent]));
      assert.ok(sliders.length >= 2);
      for (const [name, spoken, written] of sliders) assert.ok(name && spoken && spoken === written, `slider ${name}: “${spoken}”, “${written}”`);
      const over = await shown.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${mode} is ${over} pixels too wide at ${width}`);
      await shown.evaluate(axe);
      const { violations } = await shown.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      assert.deepEqual(violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => [mode, width, id, nodes.map(({ html }) => html)]), []);
    }
    await shown.context().close();
  }
});
