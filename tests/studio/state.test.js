// Choices and results survive Back, other pages, a reload and a restart of the studio. And the prediction for an image is
// the same on all pages.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { classifier, names, png } from './made.js';
import { browser, folder, page, stroke, studio } from './studio.js';

const runs = folder();
const model = join(folder(), 'photos.onnx');
writeFileSync(model, classifier(3));
writeFileSync(join(model, '..', 'names.txt'), ['cat', 'dog', 'fox'].join('\n'));
const options = [model, '--preprocessing', 'tf', '--classes', join(model, '..', 'names.txt')];
/** A photo that is far from square, so that cropping and stretching give different results. */
const wide = { name: 'wide.png', mimeType: 'image/png', buffer: png(300, 100, (x, y) => [x < 60 ? 250 : 20, y * 2, (x * 7) % 256]) };
let [served, chrome, shown] = [];

before(async () => {
  served = await studio(runs, ...options);
  chrome = await browser();
  shown = await page(chrome, served.url);
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const clean = () => assert.deepEqual(shown.wrong.splice(0).filter((text) => !/ 422 /.test(text)), []);
const parameter = (name) => new URL(shown.url()).searchParams.get(name);
const waitForParameter = (name, value) => shown.waitForFunction(([key, wanted]) => new URLSearchParams(location.search).get(key) === wanted, [name, value]);
const image = () => shown.getAttribute('.picker-now img', 'src');
/** The prediction as displayed on the Explain and on the Draw page. */
const onExplain = () => shown.$$eval('.class', (rows) => rows.map((row) => row.textContent).sort());
const onDraw = () => shown.$$eval('#bars li', (rows) => rows.map((row) => row.querySelector('.name').textContent + row.querySelector('.value').textContent).sort());

test('an image has the same prediction on Draw, Explain and Mechanics', async () => {
  await shown.goto(`${served.url}/draw`);
  await shown.waitForSelector('#bars li.best');
  await shown.setInputFiles('#draw-file', wide);
  await waitForParameter('image', await shown.waitForFunction(() => new URLSearchParams(location.search).get('image')?.startsWith('up-') && new URLSearchParams(location.search).get('image')).then((found) => found.jsonValue()));
  await shown.waitForTimeout(400);
  const drawn = await onDraw();
  const upload = parameter('image');
  await shown.click('#take a:has-text("Explain")');
  await shown.waitForSelector('.class');
  assert.equal(parameter('image'), upload);
  assert.deepEqual(await onExplain(), drawn);
  await shown.goto(`${served.url}/mechanics`);
  await shown.waitForSelector('#mech-verdict:has-text("Prediction")');
  const best = drawn.map((text) => text.match(/^(\D+)([\d.]+ %)$/)).sort((a, b) => parseFloat(b[2]) - parseFloat(a[2]))[0];
  assert.equal(await shown.textContent('#mech-verdict'), `Prediction: ${best[1]}, ${best[2]}.`);
  await shown.goto(`${served.url}/`);
  await shown.waitForSelector('.node');
  await shown.click('.node >> nth=-1');
  await shown.waitForSelector('.strongest-units li');
  const strongest = await shown.$$eval('.strongest-units li', (rows) => rows.map((row) => [row.querySelector('.name').textContent, Number(row.querySelector('.value').textContent)]));
  assert.equal(strongest[0][0], best[1]);
  for (const [name, value] of strongest) {
    const [, , share] = drawn.map((text) => text.match(/^(\D+)([\d.]+) %$/)).find(([, other]) => other === name);
    assert.ok(Math.abs(100 * value - Number(share)) < 0.11, `${name}: ${value}, ${share} %`);
  }
  // The upload is among the images to choose from, everywhere.
  assert.equal(await shown.locator(`.thumb[data-image="${upload}"]`).count(), 1);
  clean();
});

test('a drawing is taken to the other pages, and is still there on the way back', async () => {
  await shown.goto(`${served.url}/draw`);
  await shown.waitForSelector('#bars li.best');
  await shown.click('#clear');
  await stroke(shown, [0.3, 0.2], [0.7, 0.3], [0.4, 0.8]);
  await shown.waitForTimeout(500);
  const drawn = await onDraw();
  const pad = () => shown.evaluate(() => document.querySelector('#pad').toDataURL());
  const pixels = await pad();
  await shown.click('#take a:has-text("Explain")');
  await shown.waitForSelector('.class');
  assert.match(parameter('image'), /^up-/);
  assert.deepEqual(await onExplain(), drawn);
  await shown.goto(`${served.url}/draw`);
  await shown.waitForSelector('#bars li.best');
  assert.equal(await pad(), pixels);
  // Undo restores what was cleared.
  await shown.click('#clear');
  await shown.click('#status button');
  await shown.waitForFunction((before) => document.querySelector('#pad').toDataURL() === before, pixels);
  clean();
});

test('a second finger draws no line', async () => {
  await shown.goto(`${served.url}/draw`);
  await shown.waitForSelector('#bars li.best');
  await shown.click('#clear');
  const ink = await shown.evaluate(() => {
    const pad = document.querySelector('#pad');
    const box = pad.getBoundingClientRect();
    pad.setPointerCapture = () => {};
    const send = (kind, id, x, y) => pad.dispatchEvent(new PointerEvent(kind, { pointerId: id, clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true, cancelable: true }));
    send('pointerdown', 1, 0.1, 0.1);
    send('pointerdown', 2, 0.9, 0.9);
    send('pointermove', 1, 0.15, 0.1);
    send('pointermove', 2, 0.85, 0.9);
    send('pointerup', 2, 0.85, 0.9);
    send('pointermove', 1, 0.2, 0.1);
    send('pointerup', 1, 0.2, 0.1);
    const { data } = pad.getContext('2d').getImageData(0, 60, pad.width, pad.height - 60);
    return data.filter((value, at) => at % 4 === 0 && value > 0).length;
  });
  assert.equal(ink, 0);
  clean();
});

test('an untrained model is called so on every page about it', async () => {
  for (const path of ['/', '/draw', '/mechanics', '/explain']) {
    await shown.goto(`${served.url}${path}?model=lenet5`);
    await shown.waitForSelector('#untrained:not([hidden])');
    await shown.goto(`${served.url}${path}?model=given`);
    await shown.waitForFunction(() => document.querySelector('#model').value === 'given' && document.querySelector('#untrained').hidden);
  }
  clean();
});

test('Back undoes a step, and a link keeps the place', async () => {
  await shown.goto(`${served.url}/?model=given&image=cat`);
  await shown.waitForSelector('.map');
  await shown.click('.map[data-channel="2"]');
  await waitForParameter('channel', '2');
  await shown.click('.map[data-channel="1"]');
  await waitForParameter('channel', '1');
  await shown.click('.node >> nth=-1');
  await shown.waitForSelector('.units');
  await shown.goBack();
  await shown.waitForSelector('.map[data-channel="1"][aria-pressed="true"]');
  await shown.goBack();
  await shown.waitForSelector('.map[data-channel="2"][aria-pressed="true"]');
  await shown.goForward();
  await shown.waitForSelector('.map[data-channel="1"][aria-pressed="true"]');
  // Another image, and back.
  const before = await image();
  await shown.setInputFiles('#image-file', wide);
  await shown.waitForFunction((old) => document.querySelector('.picker-now img').getAttribute('src') !== old, before);
  await shown.goBack();
  await shown.waitForFunction((old) => document.querySelector('.picker-now img').getAttribute('src') === old, before);
  await shown.waitForSelector('#filter-body a');
  // To a position of the filter, then to another one, and back.
  await shown.click('#filter-body a');
  await shown.waitForSelector('.cell');
  const first = parameter('at');
  assert.match(first, /^\d+,\d+$/);
  await shown.click('#output-map', { position: { x: 12, y: 15 } });
  await shown.waitForFunction((old) => new URLSearchParams(location.search).get('at') !== old, first);
  const second = parameter('at');
  const link = shown.url();
  await shown.goBack();
  await waitForParameter('at', first);
  await shown.waitForFunction(([row, column]) => document.querySelector('#output-caption').textContent.includes(`row ${row}, column ${column}`), first.split(','));
  await shown.goto('about:blank');
  await shown.goto(link);
  await shown.waitForFunction(([row, column]) => document.querySelector('#output-caption').textContent.includes(`row ${row}, column ${column}`), second.split(','));
  assert.equal(shown.url(), link);
  // The filter that opens by default is an active one, on both pages.
  await shown.goto(`${served.url}/mechanics?model=given&image=cat`);
  await shown.waitForSelector('.cell');
  const high = await shown.evaluate(async () => {
    const layer = document.querySelector('#layer').value;
    const maps = await (await fetch(`/api/models/given/layers/${layer}/maps?image=cat&first=0&count=64`)).json();
    return maps.high.indexOf(Math.max(...maps.high));
  });
  assert.equal(await shown.inputValue('#filter-select'), String(high));
  clean();
});

test('changed weights, methods and maps survive other pages and a reload', async () => {
  await shown.goto(`${served.url}/mechanics?model=given&image=cat`);
  await shown.waitForSelector('.cell');
  await shown.click('.steps li:nth-child(2) button');
  await shown.fill('input.cell >> nth=4', '2.5');
  await shown.keyboard.press('Tab');
  await shown.waitForSelector('input.changed');
  await shown.goto(`${served.url}/explain`);
  await shown.waitForSelector('.class');
  for (const method of await shown.$$eval('#methods input', (all) => all.map(({ value }) => value))) await shown.setChecked(`#methods input[value="${method}"]`, ['gradient', 'grad-cam'].includes(method));
  await shown.check('.class >> nth=1 >> input');
  const chosen = await shown.inputValue('#class');
  await shown.click('#go');
  await shown.waitForFunction(() => document.querySelectorAll('.card img').length === 2);
  const sources = await shown.$$eval('.card img', (all) => all.map(({ src }) => src));
  for (const again of [() => shown.reload(), async () => { await shown.goto(`${served.url}/jobs`); await shown.click('nav a:has-text("Explain")'); }]) {
    await again();
    await shown.waitForFunction(() => document.querySelectorAll('.card img').length === 2);
    assert.deepEqual(await shown.$$eval('.card img', (all) => all.map(({ src }) => src)), sources);
    assert.equal(await shown.inputValue('#class'), chosen);
    assert.equal(await shown.locator('#methods input:checked').count(), 2);
  }
  await shown.click('nav a:has-text("Mechanics")');
  await shown.waitForSelector('input.changed');
  assert.equal(await shown.inputValue('input.changed'), '2.5');
  clean();
});

test('the forms, a result and its settings survive a restart, and numbers of jobs are not used again', async () => {
  await shown.goto(`${served.url}/style`);
  await shown.setInputFiles('#style-file', wide);
  await shown.waitForSelector('#styles img[src*="up-"]');
  // The upload is among the images to choose from, for the content too.
  const upload = (await shown.getAttribute('#styles img', 'src')).match(/up-[0-9a-f]+/)[0];
  await shown.click(`#content-tray .thumb[data-image="${upload}"]`);
  await shown.waitForSelector(`#content-image[src*="${upload}"]`);
  await shown.click('#content-tray .thumb[data-image="cat"]');
  await shown.waitForSelector('#content-image[src*="/cat"]');
  await shown.fill('#size', '128');
  await shown.fill('#effort', '0.2');
  await shown.fill('#keep', '1');
  await shown.click('#paint');
  await shown.waitForSelector('#after[src$="painting.png"]', { timeout: 120_000 });
  const result = parameter('result');
  assert.match(await shown.textContent('#style-facts'), /Content weight× 10.*Longer side128 pixels/s);
  await shown.goto(`${served.url}/train`);
  await shown.fill('#epochs', '3');
  await shown.fill('#name', 'Kept');
  // Its result comes first among the files of the job.
  await shown.goto(`${served.url}/jobs`);
  assert.match(await shown.getAttribute(`[data-job="${result}"] .job-files img`, 'src'), /painting\.png$/);
  // Removing requires confirmation.
  await shown.click(`[data-job="${result}"] button:has-text("Remove")`);
  await shown.click('dialog button:has-text("Cancel")');
  assert.equal(await shown.locator(`[data-job="${result}"]`).count(), 1);

  // The server goes offline: a banner is shown, and controls are blocked.
  const { port } = new URL(served.url);
  await served.stop();
  await shown.waitForSelector('#offline:not([hidden])');
  await shown.click(`[data-job="${result}"] button:has-text("Remove")`, { force: true });
  await shown.waitForTimeout(200);
  assert.equal(await shown.locator('dialog').count(), 0);
  served = await studio(runs, ...options, '--port', port);
  await shown.waitForSelector('#offline', { state: 'hidden', timeout: 20_000 });
  shown.wrong.splice(0);

  await shown.goto(`${served.url}/style`);
  await shown.waitForSelector('#after[src$="painting.png"]');
  assert.equal(await shown.inputValue('#size'), '128');
  assert.ok(await shown.evaluate(async () => { const img = document.querySelector('#styles img'); await img.decode(); return img.src.includes('up-') && img.naturalWidth > 0; }));
  await shown.fill('#size', '256');
  await shown.click('#painting-actions button:has-text("Use these settings")');
  assert.deepEqual([await shown.inputValue('#size'), await shown.inputValue('#keep')], ['128', '1']);
  await shown.goto(`${served.url}/train`);
  await shown.waitForFunction(() => document.querySelector('#name').value !== '');
  assert.deepEqual([await shown.inputValue('#epochs'), await shown.inputValue('#name')], ['3', 'Kept']);

  await shown.goto(`${served.url}/jobs`);
  await shown.click(`[data-job="${result}"] button:has-text("Remove")`);
  await shown.click('dialog button:has-text("Remove")');
  await shown.waitForSelector(`[data-job="${result}"]`, { state: 'detached' });
  // The focus has moved to a successor.
  await shown.waitForFunction(() => document.activeElement !== document.body);
  const post = () => shown.evaluate(async () => (await (await fetch('/api/jobs', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ kind: 'train', epochs: 1, batch_size: 512, learning_rate: 0.001 }) })).json()).id);
  assert.equal(Number(await post()), Number(result) + 1);
  clean();
});

test('the focus is never lost', async () => {
  const focused = () => shown.evaluate(() => { const { activeElement: one } = document; return one === document.body ? 'BODY' : one.id || one.dataset.channel || one.textContent; });
  await shown.goto(`${served.url}/mechanics?model=given&image=cat`);
  await shown.waitForSelector('.cell');
  for (const step of [2, 3, 6]) {
    await shown.focus(`.steps li:nth-child(${step}) button`);
    const name = await focused();
    await shown.keyboard.press('Enter');
    await shown.waitForTimeout(100);
    assert.equal(await focused(), name);
  }
  await shown.focus('#next-step');
  for (let at = 0; at < 8; at += 1) { await shown.keyboard.press('Enter'); await shown.waitForTimeout(40); }
  assert.notEqual(await focused(), 'BODY');
  await shown.goto(`${served.url}/explain?model=given&image=cat`);
  await shown.waitForSelector('.class');
  await shown.focus('#go');
  await shown.keyboard.press('Enter');
  await shown.waitForTimeout(150);
  assert.notEqual(await focused(), 'BODY');
  await shown.waitForFunction(() => document.querySelector('#stop').hidden, null, { timeout: 60_000 });
  assert.notEqual(await focused(), 'BODY');
  await shown.goto(`${served.url}/?model=given&image=cat`);
  await shown.waitForSelector('.map');
  await shown.waitForTimeout(300);
  // "Skip to content" moves the focus without rendering the page again.
  await shown.evaluate(() => { document.querySelector('.map').dataset.mine = 'yes'; });
  await shown.focus('.skip');
  await shown.keyboard.press('Enter');
  await shown.waitForTimeout(400);
  assert.equal(await focused(), 'main');
  assert.equal(await shown.locator('.map[data-mine]').count(), 1);
  await shown.focus('.node >> nth=-1');
  await shown.keyboard.press('Enter');
  await shown.waitForSelector('.units');
  await shown.focus('.node >> nth=1');
  await shown.keyboard.press('Enter');
  await shown.waitForSelector('.map');
  await shown.goBack();
  await shown.waitForSelector('.units');
  await shown.waitForTimeout(100);
  assert.notEqual(await focused(), 'BODY');
  clean();
});

test('the values of a chart are read under the pointer and with the arrow keys', async () => {
  await shown.goto(`${served.url}/train`);
  await shown.waitForSelector('#run-note:has-text("Validation accuracy")', { timeout: 120_000 });
  // Read in the page: while past events arrive, each frame replaces the chart.
  const box = await shown.evaluate(() => document.querySelector('#charts svg').getBoundingClientRect().toJSON());
  await shown.mouse.move(box.x + box.width - 20, box.y + box.height / 2);
  await shown.waitForSelector('.chart-values:has-text("Epoch")');
  await shown.mouse.move(5, 5);
  await shown.focus('#charts svg >> nth=1');
  await shown.keyboard.press('ArrowRight');
  assert.match(await shown.textContent('.chart-values >> nth=1'), /^Epoch 1\.00\. .*: \d/);
  // No value is cut off: the highest point of a line is inside the chart, and no two points lie on its upper edge.
  const loss = await shown.getAttribute('#charts figure:nth-child(2) path.line', 'd');
  const ys = [...loss.matchAll(/ ([\d.]+)/g)].map(([, y]) => Number(y));
  assert.ok(Math.min(...ys) >= 13.9);
  assert.equal(ys.filter((y) => y < 14.05).length, 1);
  clean();
});
