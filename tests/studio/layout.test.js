// No overlapping boxes and no overflow: on every page, in every size, light and dark, with names of 40 characters,
// 7 x 7 kernels and 1,000 classes.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { classifier, names, photos, png } from './made.js';
import { browser, folder, page, studio } from './studio.js';

const WIDTHS = [320, 390, 768, 900, 1000, 1100, 1280, 1920];
const runs = folder();
let [chrome] = [];

before(async () => { chrome = await browser(); });
after(async () => { await chrome?.close(); });

/** Describes the faults in the layout of a page. Runs in the page. */
function faults() {
  // Elements that overlap others on purpose: the comparison slider, the hint on the pad, the marks on maps, the overview
  // below an unfolded operation.
  const OVERLAID = '.compare, .pad-frame, .mark-frame, .field, .toast, .skip, .ov-stage, svg';
  // Elements that scroll sideways on purpose.
  const SCROLLING = '.scroll-x, .picker-strip, .bar nav, .graph-scroll, .equation, .sum-bars, select, textarea, input';
  const found = [];
  const name = (element) => `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ''}.${[...element.classList].join('.')} "${element.textContent.trim().slice(0, 30)}"`;
  // The bar sticks to the top: at scroll position 0, nothing is below it.
  scrollTo(0, 0);
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) found.push(`the page is ${over} pixels too wide`);

  /** The visible part of a box, which ancestors that clip or scroll cut off. */
  const seen = (box, element) => {
    let { left, right, top, bottom } = box;
    for (let parent = element; parent && parent !== document.body; parent = parent.parentElement) {
      const style = getComputedStyle(parent);
      if (style.overflowX === 'visible' && style.overflowY === 'visible') continue;
      const edge = parent.getBoundingClientRect();
      if (style.overflowX !== 'visible') [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
      if (style.overflowY !== 'visible') [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
    }
    return { left, right, top, bottom };
  };
  const isSkipped = (element) => element.closest('.hidden-text, [hidden], script, style, option, dialog:not([open])') || element.closest(OVERLAID);
  const boxes = [];
  const add = (box, element, shrink) => {
    const part = seen(box, element);
    const trim = (part.bottom - part.top) * shrink;
    if (part.right - part.left > 2 && part.bottom - part.top > 2) boxes.push({ ...part, top: part.top + trim, bottom: part.bottom - trim, element });
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { currentNode: node } = walker;
    if (!node.data.trim() || isSkipped(node.parentElement)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    // The box of a line is higher than its letters: adjacent lines of a paragraph overlap a little.
    for (const box of range.getClientRects()) add(box, node.parentElement, 0.2);
  }
  for (const element of document.querySelectorAll('img, canvas, video, button, .button, input, select, textarea')) {
    if (!isSkipped(element) && getComputedStyle(element).visibility !== 'hidden') add(element.getBoundingClientRect(), element, 0);
  }
  boxes.sort((a, b) => a.top - b.top);
  boxes.forEach((a, at) => {
    for (let next = at + 1; next < boxes.length && boxes[next].top < a.bottom - 1; next += 1) {
      const b = boxes[next];
      if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
      const [across, down] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (across > 1.5 && down > 1.5) found.push(`${name(a.element)} and ${name(b.element)} overlap by ${across.toFixed(0)} x ${down.toFixed(0)}`);
    }
  });
  for (const element of document.querySelectorAll('body *')) {
    if (isSkipped(element) || element.closest(SCROLLING) && !element.matches('.cell')) continue;
    const style = getComputedStyle(element);
    if (style.clipPath !== 'none') continue;
    const clips = style.overflowX !== 'visible' && style.textOverflow !== 'ellipsis';
    if (clips && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) found.push(`${name(element)} cuts or scrolls ${element.scrollWidth - element.clientWidth} pixels`);
  }
  // The links to all pages are visible, even while jobs run.
  const [nav, busy] = [document.querySelector('.bar nav'), document.querySelector('#busy')];
  const before = [busy?.hidden, busy?.textContent];
  if (busy) [busy.hidden, busy.lastElementChild.textContent] = [false, '12 jobs'];
  if (nav && nav.scrollWidth > nav.clientWidth + 1) found.push(`the list of pages cuts ${nav.scrollWidth - nav.clientWidth} pixels`);
  if (busy) [busy.hidden, busy.lastElementChild.textContent] = before;
  // A number that is cut off reads as another number.
  for (const element of document.querySelectorAll('.cell')) if (element.scrollWidth > element.clientWidth + 1) found.push(`${name(element)} is cut`);
  // The bars of a list are comparable: their tracks are aligned at both ends.
  for (const list of document.querySelectorAll('.bars, .classes')) {
    const ends = [...list.querySelectorAll('.track')].map((track) => track.getBoundingClientRect()).filter(({ width }) => width > 0);
    for (const end of ['left', 'right']) {
      const all = ends.map((box) => box[end]);
      if (Math.max(...all) - Math.min(...all) > 1) found.push(`the tracks of ${name(list)} do not share their ${end} ends`);
    }
    if (ends.some(({ width }) => width < 24)) found.push(`a track of ${name(list)} is too short`);
    if (list.querySelectorAll('li, label').length !== ends.length && list.getClientRects().length) found.push(`a row of ${name(list)} has no bar`);
  }
  // The cells of a table row are aligned.
  for (const row of document.querySelectorAll('.confusion tr')) {
    const tops = [...row.querySelectorAll('button')].map((button) => button.getBoundingClientRect().top);
    if (tops.length && Math.max(...tops) - Math.min(...tops) > 1) found.push(`the cells of ${name(row)} do not stand in line`);
  }
  return [...new Set(found)].slice(0, 12);
}

/** Starts a studio that stops after the test, even if the test fails. */
async function started(t, ...options) {
  const served = await studio(runs, ...options);
  t.after(() => served.stop());
  return served;
}

/** The faults of a page in its current state, in all sizes and color schemes. */
async function check(shown, what) {
  const found = [];
  for (const width of WIDTHS) {
    await shown.setViewportSize({ width, height: width < 500 ? 844 : 860 });
    // A color scheme should only change colors: one narrow and one wide page are enough to check that.
    for (const colorScheme of width === 390 || width === 1280 ? ['light', 'dark'] : ['light']) {
      await shown.emulateMedia({ colorScheme });
      await shown.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      found.push(...(await shown.evaluate(faults)).map((fault) => `${what} at ${width}, ${colorScheme}: ${fault}`));
    }
  }
  return found;
}

const settle = (shown) => shown.waitForTimeout(700);

/** Unfolds an operation of the first map of a card of the overview. */
async function unfolded(shown, card, stage) {
  await shown.keyboard.press('Escape');
  await shown.focus(`.ov-group >> nth=${card} >> .ov-node >> nth=0`);
  await shown.keyboard.press('ArrowDown');
  await shown.keyboard.press('Enter');
  await shown.waitForSelector('#unfold:not([hidden])');
  await shown.click(`#un-stages button >> nth=${stage}`);
  if (await shown.textContent('#un-play') === 'Pause') await shown.click('#un-play');
}

/** The pages, each in the states with the most content. */
const STATES = {
  '/': [
    async (shown) => { await shown.waitForSelector('.map'); await shown.click('.map >> nth=0'); await shown.waitForSelector('.pair img'); },
    async (shown) => { await shown.click('.node >> nth=-1'); await shown.waitForSelector('.units'); await shown.click('.unit >> nth=0'); },
  ],
  // Operations unfold over the overview.
  '/?view=overview': [
    (shown) => shown.waitForFunction(() => document.querySelector('#ov-stage').dataset.waiting === '0'),
    async (shown) => { await unfolded(shown, 1, 0); },
    async (shown) => { await unfolded(shown, -1, 1); },
  ],
  '/draw': [
    (shown) => shown.waitForSelector('#bars li.best'),
    async (shown) => { await shown.click('#settings-toggle'); await shown.waitForSelector('#settings-bars li'); },
  ],
  '/mechanics': [
    (shown) => shown.waitForSelector('.cell'),
    ...[3, 4, 6, 7, 8].map((step) => (shown) => shown.click(`.steps li:nth-child(${step}) button`)),
  ],
  '/explain': [async (shown) => {
    await shown.waitForSelector('.class');
    await shown.click('#go');
    await shown.waitForFunction(() => document.querySelectorAll('.card').length >= 9 && document.querySelector('#stop').hidden, null, { timeout: 120_000 });
  }],
  '/train': [(shown) => shown.waitForSelector('#charts svg')],
  '/style': [
    (shown) => shown.waitForSelector('#styles img'),
    // Four styles, and a result with its settings.
    async (shown) => {
      for (const at of [1, 2, 3, 4]) {
        await shown.setInputFiles('#style-file', { name: `${at}.png`, mimeType: 'image/png', buffer: png(64, 40 * at, (x, y) => [x * 4, (y * at) % 256, 60 * at]) });
        await shown.waitForFunction((count) => document.querySelectorAll('#styles img').length === count, at);
      }
      await shown.fill('#size', '128');
      await shown.fill('#effort', '0.2');
      await shown.click('#paint');
      await shown.waitForSelector('#after[src$="painting.png"]', { timeout: 60_000 });
    },
  ],
  '/style?mode=pass': [(shown) => shown.waitForSelector('#pass-compare img[src^="blob:"]')],
  // Four styles with long names, and a training with its preview and curves.
  '/style?mode=train': [async (shown) => {
    for (const at of [1, 2, 3, 4]) {
      await shown.setInputFiles('#teach-file', { name: `${names(1)[0]}-${at}.png`, mimeType: 'image/png', buffer: png(64, 48, (x, y) => [x * 4, (y * at) % 256, 50 * at]) });
      await shown.waitForFunction((count) => document.querySelectorAll('#teach-styles img[src*="up-"]').length === count, at);
    }
    await shown.click('#teach-start');
    await shown.waitForSelector('#training-chart svg', { timeout: 120_000 });
    await shown.click('#training-actions button:has-text("Stop")');
    await shown.waitForSelector('#training-actions button:has-text("Remove")', { timeout: 60_000 });
    await shown.waitForFunction(() => document.querySelector('#preview').naturalWidth > 0);
  }],
  '/lessons': [(shown) => shown.waitForSelector('.lessons li')],
  '/jobs': [(shown) => shown.waitForSelector('.job')],
  // Last: the pages after it would be about the same model.
  '/?model=inception-v3': [(shown) => shown.waitForSelector('.map')],
  '/no-such-page': [(shown) => shown.waitForSelector('h1')],
};

for (const classes of [3, 1000]) {
  test(`a model with ${classes} classes, long names and 7 x 7 kernels`, async (t) => {
    const found = [];
    const files = folder();
    const model = join(files, 'a_model_file_with_a_name_of_forty_letters.onnx');
    writeFileSync(model, classifier(classes));
    writeFileSync(join(files, 'names.txt'), names(classes).join('\n'));
    const served = await started(t, model, '--preprocessing', 'tf', '--classes', join(files, 'names.txt'));
    const shown = await page(chrome, served.url);
    for (const [path, states] of Object.entries(STATES)) {
      await shown.goto(served.url + path);
      for (const [at, enter] of states.entries()) {
        await shown.setViewportSize({ width: 1280, height: 860 });
        await enter(shown);
        await settle(shown);
        found.push(...await check(shown, `${path}, state ${at + 1}`));
      }
    }
    assert.deepEqual(found, []);
    assert.deepEqual(shown.wrong.filter((text) => !/404|422/.test(text)), []);
    await shown.context().close();
  });
}

test('runs on classes with long names, and the settings of a run', async (t) => {
  const served = await started(t, '--data', photos(folder(), names(4), 10, 2));
  const shown = await page(chrome, served.url);
  await shown.goto(`${served.url}/train`);
  await shown.selectOption('#data', 'photos');
  await shown.fill('#name', names(1)[0]);
  await shown.fill('#epochs', '1');
  await shown.fill('#batch', '8');
  await shown.click('#start');
  await shown.waitForSelector('#confusion button', { timeout: 120_000 });
  await shown.locator('#confusion button:not(:disabled)').first().click();
  await settle(shown);
  assert.deepEqual(await check(shown, 'a run'), []);
  assert.match(await shown.textContent('#run-note'), /2 images could not be read/);
  assert.match(await shown.textContent('#run-facts'), /Epochs1.*Batch size8.*Learning rate0\.0003.*Seed42/s);
  const samples = await shown.$$eval('#samples .wrong', (all) => all.map((one) => one.textContent));
  for (const text of samples) assert.match(text, /true: /);
  await shown.context().close();
});

test('the timeline of a run', async (t) => {
  const served = await started(t);
  const shown = await page(chrome, served.url);
  await shown.goto(`${served.url}/train`);
  await shown.fill('#epochs', '2');
  await shown.click('#start');
  await shown.waitForSelector('#confusion button', { timeout: 120_000 });
  await shown.waitForSelector('circle.dot');
  await shown.focus('.embedding');
  await shown.keyboard.press('ArrowRight');
  await settle(shown);
  assert.deepEqual(await check(shown, 'a timeline'), []);
  assert.deepEqual(shown.wrong, []);
  await shown.context().close();
});

test('the main button of each page is on the first screen', async (t) => {
  const files = folder();
  writeFileSync(join(files, 'hard.onnx'), classifier(5));
  writeFileSync(join(files, 'names.txt'), names(5).join('\n'));
  const served = await started(t, join(files, 'hard.onnx'), '--preprocessing', 'tf', '--classes', join(files, 'names.txt'));
  for (const [width, height] of [[390, 844], [768, 1024], [1280, 720]]) {
    const shown = await page(chrome, served.url, { viewport: { width, height } });
    for (const [path, button] of [['/style?mode=optimize', '#paint'], ['/style?mode=train', '#teach-start'], ['/train', '#start'], ['/explain', '#go']]) {
      await shown.goto(served.url + path);
      await settle(shown);
      const box = await shown.locator(button).boundingBox();
      assert.ok(box.y + box.height <= height, `${button} at ${width} x ${height} ends at ${box.y + box.height}`);
    }
    // The prediction can be read while a finger draws.
    await shown.goto(`${served.url}/draw`);
    await shown.waitForSelector('#bars li.best');
    const verdict = await shown.locator(width <= 768 ? '#pad-verdict' : '#bars li.best').boundingBox();
    assert.ok(verdict.y + verdict.height <= height, `the prediction at ${width} ends at ${verdict.y + verdict.height}`);
    await shown.context().close();
  }
});
