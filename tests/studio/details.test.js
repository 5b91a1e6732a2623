// Misleading details: captions, dead links, scales, labels that are too small.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { classifier, photos, png } from './made.js';
import { browser, folder, page, studio } from './studio.js';

const WIDTHS = [390, 768, 900, 1100, 1280, 1920];
const files = folder();
const model = join(files, 'given.onnx');
writeFileSync(model, classifier(3));
writeFileSync(join(files, 'names.txt'), ['cat', 'dog', 'fox'].join('\n'));
const mine = { name: 'mine.png', mimeType: 'image/png', buffer: png(60, 60, (x, y) => [x * 4, y * 4, 90]) };
let [served, chrome, shown] = [];

before(async () => {
  served = await studio(folder(), model, '--preprocessing', 'tf', '--classes', join(files, 'names.txt'), '--data', photos(folder(), ['bright', 'dark'], 12));
  chrome = await browser();
  shown = await page(chrome, served.url);
  await shown.goto(served.url);
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const job = (request) => shown.evaluate(async (body) => (await (await fetch('/api/jobs', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json()), request);

test('a caption under an uploaded image does not say that it is from the images of the server', async () => {
  const caption = () => shown.textContent('#picker .picker-actions p');
  for (const path of ['/', '/mechanics', '/explain']) {
    await shown.goto(`${served.url}${path}?model=given&image=photo-0`);
    await shown.waitForFunction(() => document.querySelector('#picker .picker-actions p')?.textContent.startsWith('Photo no. 0 of '));
    await shown.setInputFiles('#image-file', mine);
    await shown.waitForFunction(() => document.querySelector('#picker .picker-actions p').textContent.startsWith('Your image; the others are from the images of'));
    // Also after a reload, but not once another image is chosen.
    await shown.reload();
    await shown.waitForFunction(() => document.querySelector('#picker .picker-actions p')?.textContent.startsWith('Your image'));
    await shown.click('.thumb:not([data-image^="up-"])');
    await shown.waitForFunction(() => document.querySelector('#picker .picker-actions p').textContent.startsWith('Photo no. '));
    assert.match(await caption(), /^Photo no\. \d+ of \S+ \((bright|dark)\)$/);
  }
});

test('each attribution map has a color scale with values', async () => {
  await shown.goto(`${served.url}/explain?model=given`);
  await shown.waitForSelector('.class');
  await shown.click('#go');
  await shown.waitForFunction(() => document.querySelectorAll('.card').length >= 9 && document.querySelector('#stop').hidden, null, { timeout: 120_000 });
  const cards = await shown.$$eval('.card', (all) => all.map((card) => ({ text: card.textContent, labels: [...card.querySelectorAll('.scale-labels span')].map((span) => span.textContent), bar: card.querySelector('.scale-bar')?.style.background })));
  assert.ok(cards.some(({ labels }) => labels.length === 3) && cards.some(({ labels }) => labels.length === 2));
  for (const { text, labels, bar } of cards) {
    if (/zero everywhere/.test(text)) assert.equal(labels.length, 0, text);
    else {
      assert.ok(labels.length >= 2 && labels.every((label) => /^−?[\d.]+(e−?\d+)?$/.test(label)), `${text}: ${labels}`);
      assert.match(bar, /^linear-gradient\(to right, rgb/);
    }
    if (labels.length === 3) assert.equal(labels[0], `−${labels[2]}`);
  }
});

test('an address that names what there is not says so, and what is shown instead', async () => {
  const { id: other } = await job({ kind: 'explain', model: 'given', image: 'cat', methods: ['gradient'] });
  const layer = await shown.evaluate(async () => (await (await fetch('/api/models/given')).json()).layers.find(({ kind }) => kind === 'Conv2D').name);
  const wrong = {
    '/?model=nothing': /no model “nothing”; .+ is shown/,
    '/?model=given&layer=nothing': /has no layer “nothing”; \S+ is shown/,
    [`/?model=given&layer=${layer}&channel=99`]: /has no filter “99”: they are 0 to 7; the most active one is shown/,
    [`/?model=given&layer=${layer}&channel=x`]: /has no filter “x”/,
    [`/?model=given&layer=${layer}&channel=1&at=99,1`]: /no pixel “99,1”: rows are 0 to 31/,
    '/?model=given&image=up-000000000000000000000000': /no image “up-0+” for this model; .+ is shown/,
    '/?model=given&image=digit-3': /no image “digit-3”/,
    '/draw?model=given&image=photo-99999': /no image “photo-99999”/,
    '/mechanics?model=given&layer=nothing': /no convolution “nothing”; \S+ is shown/,
    [`/mechanics?model=given&layer=${layer}&channel=8`]: /has no filter “8”: they are 0 to 7; the most active one is shown/,
    [`/mechanics?model=given&layer=${layer}&channel=1&at=1`]: /no pixel “1”/,
    '/explain?model=given&job=9999': /no explanation “9999”; no maps are shown/,
    [`/explain?model=given&image=photo-1&job=${other}`]: /explains another image/,
    '/explain?model=given&method=nothing': /ignored: “method”/,
    '/train?run=9999': /no run “9999”; none is shown/,
    '/style?result=9999': /no result “9999”; none is shown/,
  };
  for (const [path, text] of Object.entries(wrong)) {
    await shown.goto('about:blank');
    await shown.goto(served.url + path);
    await shown.waitForSelector('#not-found:not([hidden])', { timeout: 8000 }).catch(() => assert.fail(`${path} says nothing`));
    assert.match(await shown.textContent('#not-found'), text, path);
  }
  // The notice disappears with the next choice.
  await shown.goto(`${served.url}/?model=given&layer=${layer}&channel=99`);
  await shown.waitForSelector('#not-found:not([hidden])');
  await shown.click('.map >> nth=1');
  await shown.waitForSelector('#not-found', { state: 'hidden' });
  for (const path of ['/', `/?model=given&image=cat&layer=${layer}&channel=1&at=3,4`, `/mechanics?model=given&image=photo-1&layer=${layer}&channel=1&at=3,4`, '/explain?model=given&image=photo-1', '/train', '/style', '/jobs']) {
    await shown.goto(served.url + path);
    await shown.waitForTimeout(500);
    assert.ok(await shown.isHidden('#not-found'), `${path}: ${await shown.textContent('#not-found')}`);
  }
});

test('long work on a photo network starts when it is asked for', async () => {
  const jobs = async () => (await shown.evaluate(async () => (await (await fetch('/api/jobs')).json()).filter(({ kind }) => ['maximize', 'examples'].includes(kind)).length));
  const before = await jobs();
  await shown.goto(`${served.url}/?model=given&channel=1`);
  await shown.waitForSelector('#filter-body button:has-text("Maximize")');
  await shown.click('.map >> nth=2');
  await shown.waitForSelector('#filter-name:has-text("2")');
  await shown.waitForSelector('#filter-body button:has-text("Find top activations")');
  assert.equal(await jobs(), before);
  await shown.click('#filter-body button:has-text("Maximize")');
  await shown.waitForSelector('img[src*="/files/picture.png"]', { timeout: 60_000 });
  assert.equal(await jobs(), before + 1);
});

test('a weight that is not a 32-bit float is refused next to its field, and not sent', async () => {
  await shown.goto(`${served.url}/mechanics?model=given`);
  await shown.waitForSelector('.cell');
  await shown.click('.steps li:nth-child(2) button');
  const sent = [];
  shown.on('request', (request) => { if (request.url().endsWith('/mechanics') && request.method() === 'POST') sent.push(request.postData()); });
  for (const text of ['1e99', '']) {
    await shown.fill('input.cell >> nth=4', text);
    await shown.keyboard.press('Tab');
    await shown.waitForSelector('#weight-problem:has-text("a weight is a number from")');
    assert.equal(await shown.getAttribute('input.cell >> nth=4', 'aria-invalid'), 'true');
  }
  assert.deepEqual(sent, []);
  await shown.fill('input.cell >> nth=4', '2');
  await shown.keyboard.press('Tab');
  await shown.waitForSelector('input.changed');
  assert.equal(await shown.textContent('#weight-problem'), '');
  // The weight of a stored style is limited to the range of its slider.
  await shown.goto(`${served.url}/style`);
  await shown.evaluate(() => localStorage.setItem('lucida-style-images', JSON.stringify({ content: 'cat', styles: [{ image: 'brushwork', weight: 1e99 }] })));
  await shown.reload();
  const [request] = await Promise.all([shown.waitForRequest((one) => one.url().endsWith('/api/jobs') && one.method() === 'POST'), shown.click('#paint')]);
  assert.equal(request.postDataJSON().styles[0].weight, 2);
  await shown.click('#stop');
});

test('Escape closes the card Preprocessing, wherever the focus is', async () => {
  await shown.goto(`${served.url}/?model=given`);
  await shown.click('#settings-toggle');
  await shown.waitForSelector('#settings:not([hidden])');
  await shown.evaluate(() => document.activeElement.blur());
  await shown.keyboard.press('Escape');
  await shown.waitForSelector('#settings', { state: 'hidden' });
});

test('counts are grouped as on the command line, and one place has no stride', async () => {
  await shown.goto(`${served.url}/?model=vgg16-builtin`);
  await shown.waitForSelector('#graph-facts:has-text("vgg16")');
  assert.match(await shown.textContent('#graph-facts'), / \d{1,3}(,\d{3})+ parameters/);
  await shown.goto(`${served.url}/?model=given`);
  await shown.click('.node >> nth=-1');
  await shown.waitForSelector('.units');
  assert.match(await shown.textContent('#layer-facts'), /Receptive field/);
  assert.doesNotMatch(await shown.textContent('#layer-facts'), /stride/);
});

test('the maps of Mechanics stand in line, and the labels of charts can be read at any width', async () => {
  await shown.goto(`${served.url}/mechanics?model=given`);
  await shown.waitForSelector('.cell');
  await shown.click('.steps li:nth-child(3) button');
  for (const width of WIDTHS) {
    await shown.setViewportSize({ width, height: 860 });
    await shown.waitForTimeout(80);
    const tops = await shown.$$eval('.mark-frame', (all) => all.map((frame) => frame.getBoundingClientRect().top));
    assert.equal(tops[0], tops[1], `at ${width}`);
    // The cells of the kernel are as large as those of the patch next to it.
    const cells = await shown.$$eval('.numbers', (all) => all.map((one) => one.firstElementChild.getBoundingClientRect().width));
    assert.ok(cells.length === 3 && Math.max(...cells) < Math.min(...cells) + 0.5, `at ${width}: cells of ${cells}`);
  }
  await shown.goto(`${served.url}/train`);
  await shown.selectOption('#data', 'photos');
  await shown.fill('#epochs', '3');
  await shown.fill('#batch', '8');
  await shown.click('#start');
  await shown.waitForSelector('#confusion button', { timeout: 120_000 });
  for (const width of WIDTHS) {
    await shown.setViewportSize({ width, height: 860 });
    await shown.waitForTimeout(120);
    const sizes = await shown.$$eval('.chart', (all) => all.flatMap((chart) => { const scale = chart.getBoundingClientRect().width / chart.viewBox.baseVal.width; return [...chart.querySelectorAll('text')].map((text) => parseFloat(getComputedStyle(text).fontSize) * scale); }));
    assert.ok(sizes.length > 6 && Math.min(...sizes) >= 11 && Math.max(...sizes) < 14, `at ${width}: ${Math.min(...sizes)} to ${Math.max(...sizes)}`);
  }
  await shown.setViewportSize({ width: 1280, height: 860 });
});

test('samples and confusion matrix of a run are of one epoch, the best', async () => {
  await shown.waitForSelector('#confusion button');
  const [samples, confusion] = [await shown.textContent('#samples-note'), await shown.textContent('#confusion-note')];
  const { result, news } = await shown.evaluate(async () => (await fetch(`/api/jobs/${new URLSearchParams(location.search).get('run')}`)).json());
  assert.equal(samples, `After epoch ${result.best_epoch}, the best epoch, whose weights are kept.`);
  assert.ok(confusion.startsWith(samples), confusion);
  const best = news.filter(({ type, epoch }) => type === 'epoch' && epoch === result.best_epoch).pop();
  const said = await shown.$$eval('#samples figure figcaption span:first-child', (all) => all.map(({ textContent }) => textContent));
  assert.deepEqual(said, best.samples.map((sample) => result.classes[sample.class]));
});

test('the card Preprocessing that is opened while another model loads is about that model', async () => {
  await shown.goto(`${served.url}/?model=given`);
  await shown.waitForSelector('.map');
  // The settings of the previous model arrive late.
  const wait = (milliseconds) => async (route) => { await new Promise((end) => { setTimeout(end, milliseconds); }); await route.continue(); };
  await shown.route('**/api/models/vgg16-builtin', wait(500));
  await shown.route('**/api/models/given/settings', wait(1500));
  await shown.selectOption('#model', 'vgg16-builtin');
  await shown.click('#settings-toggle');
  await shown.waitForSelector('#settings-note:has-text("is fixed")', { timeout: 8000 });
  assert.equal(await shown.inputValue('#settings-format'), 'caffe');
  await shown.unrouteAll({ behavior: 'wait' });
});
