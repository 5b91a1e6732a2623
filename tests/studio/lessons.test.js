// The lessons: their list, their steps on the pages of the studio, and links to share.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { browser, folder, page, studio } from './studio.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let [served, chrome, shown] = [];

before(async () => {
  served = await studio(folder());
  chrome = await browser();
  shown = await page(chrome, served.url, { view: null, bypassCSP: true });
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const clean = () => assert.deepEqual(shown.wrong.splice(0), []);
const parameter = (name) => new URL(shown.url()).searchParams.get(name);
/** Waits until the task of the current step has ticked itself. */
const ticked = () => shown.waitForSelector('.lesson-task.done', { timeout: 120_000 });
/** Opens the answer, and goes to the next step by its link. */
async function next(step) {
  assert.ok(await shown.isHidden('#lesson details p'));
  await shown.click('#lesson summary');
  assert.ok(await shown.isVisible('#lesson details p'));
  await shown.click('.lesson-moves .primary');
  await shown.waitForFunction((wanted) => new URLSearchParams(location.search).get('lesson') === wanted && document.querySelector('#lesson'), step);
  assert.equal(await shown.evaluate(() => document.activeElement.id), 'lesson-title');
}
async function stroke(...points) {
  const box = await shown.locator('#pad').boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await shown.mouse.move(...at(points[0]));
  await shown.mouse.down();
  for (const point of points.slice(1)) await shown.mouse.move(...at(point), { steps: 8 });
  await shown.mouse.up();
}
/** Clicks through the steps of a computation until one is current. */
const goTo = async (name) => shown.click(`#steps button:text-is("${name}")`);

test('without a run, the lessons use the built-in digit classifier', async () => {
  await shown.goto(`${served.url}/lessons`);
  assert.equal(await shown.locator('.lessons li').count(), 6);
  await shown.click('.lessons a >> nth=0');
  await shown.waitForSelector('#mech-verdict:has-text("Prediction: 3")');
  assert.equal(parameter('model'), 'digits');
  clean();
});

test('lesson 2: a network is trained, and its past is visited', async () => {
  await shown.goto(`${served.url}/lessons`);
  await shown.click('.lessons a >> nth=1');
  await shown.fill('#epochs', '3');
  await shown.click('#start');
  await ticked();
  await next('2.2');
  await ticked();
  await shown.waitForSelector('#run-note:has-text("best epoch")', { timeout: 120_000 });
  await next('2.3');
  await shown.focus('#epoch');
  await shown.keyboard.press('Home');
  await ticked();
  clean();
});

test('lesson 1: a window, a sum, a kernel', async () => {
  await shown.goto(`${served.url}/lessons`);
  await shown.click('.lessons a >> nth=0');
  await shown.waitForSelector('#mech-verdict:has-text("Prediction")');
  assert.match(parameter('model'), /^job-/);
  await shown.waitForTimeout(600);
  await shown.focus('#output-map');
  await shown.keyboard.press('ArrowUp');
  await ticked();
  await next('1.2');
  await goTo('Sum');
  await ticked();
  await next('1.3');
  await goTo('Kernel');
  await shown.fill('input.cell >> nth=4', '2');
  await shown.keyboard.press('Enter');
  await ticked();
  clean();
});

test('lesson 3: a digit is drawn, and becomes another', async () => {
  await shown.goto(`${served.url}/lessons`);
  await shown.click('.lessons a >> nth=2');
  await shown.waitForSelector('#layers section:nth-child(8)');
  await stroke([0.28, 0.25], [0.72, 0.25], [0.46, 0.82]);
  await ticked();
  await next('3.2');
  await shown.waitForSelector('#layers section:nth-child(8)');
  await shown.click('#clear');
  await stroke([0.5, 0.15], [0.5, 0.85]);
  await shown.waitForFunction(() => document.querySelector('#bars').dataset.best === '1');
  await shown.waitForTimeout(900);
  await stroke([0.3, 0.2], [0.3, 0.8], [0.7, 0.8], [0.7, 0.2], [0.3, 0.2]);
  await ticked();
  await next('3.3');
  clean();
});

test('lessons 4 to 6: filters, evidence, and the gradient', async () => {
  await shown.goto(`${served.url}/lessons`);
  await shown.click('.lessons a >> nth=3');
  await shown.waitForSelector('#maps [data-channel]');
  await shown.click('#maps [data-channel] >> nth=2');
  await ticked();
  await next('4.2');
  await ticked();
  await next('4.3');
  await ticked();
  await next('5.1');
  await shown.click('#go');
  await ticked();
  await next('5.2');
  await shown.waitForSelector('.class');
  await shown.click('input[name="class"] >> nth=1');
  await shown.click('#go');
  await ticked();
  await next('5.3');
  await shown.waitForSelector('.class');
  await shown.click('#go');
  await shown.waitForSelector('#order-label:visible');
  await shown.selectOption('#order', 'deletion');
  await ticked();
  await next('6.1');
  for (const [at, name] of ['Loss', 'Kernel gradient', 'Input gradient'].entries()) {
    await shown.waitForSelector('#steps button');
    await goTo(name);
    await ticked();
    if (at < 2) await next(`6.${at + 2}`);
  }
  clean();
});

test('a link restores the step and its view, for others with their own network', async () => {
  await shown.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await shown.goto(`${served.url}/mechanics?model=my-digits&image=digit-4&layer=conv2d_1&channel=5&at=3,4&lesson=6.2`);
  await shown.waitForSelector('#mech-verdict:has-text("Prediction")');
  await shown.click('#lesson button:has-text("Copy link")');
  await shown.waitForSelector('#status:has-text("copied")');
  const link = await shown.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /model=my-digits/);
  const query = new URL(link).searchParams;
  for (const [name, value] of [['image', 'digit-4'], ['layer', 'conv2d_1'], ['channel', '5'], ['at', '3,4'], ['lesson', '6.2']]) assert.equal(query.get(name), value);
  await shown.click('#lesson button:has-text("Close")');
  assert.equal(parameter('lesson'), null);
  assert.equal(await shown.locator('#lesson').count(), 0);
  clean();
});

test('the card covers nothing, folds, and shuts no one out', async () => {
  for (const [width, colorScheme] of [[390, 'light'], [1280, 'dark'], [1920, 'light']]) {
    await shown.setViewportSize({ width, height: 860 });
    await shown.emulateMedia({ colorScheme });
    for (const path of ['/lessons', '/mechanics?model=my-digits&image=digit-7&layer=conv2d&channel=3&lesson=1.1', '/?view=overview&model=my-digits&image=digit-7&lesson=3.3']) {
      await shown.goto(`${served.url}${path}`);
      await shown.waitForTimeout(700);
      assert.ok(await shown.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} is too wide at ${width}`);
      if (path !== '/lessons') {
        // Next to the page, or below all of it once one has scrolled.
        const [main, card, bottom] = await shown.evaluate(() => [...['#main', '#lesson'].map((selector) => document.querySelector(selector).getBoundingClientRect().toJSON()), parseFloat(getComputedStyle(document.body).paddingBottom)]);
        if (width === 1920) assert.ok(main.right <= card.left + 1, `${path}: the page ends at ${main.right}, the card begins at ${card.left}`);
        else assert.ok(card.height <= bottom + 1 && card.height < 0.46 * 860, `${path}: the card is ${card.height} pixels high, with room for ${bottom}`);
      }
      if (width === 1920) continue;
      await shown.evaluate(axe);
      const found = await shown.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      assert.deepEqual(found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => [path, width, id, nodes.map(({ html }) => html).slice(0, 3)]), []);
    }
  }
  await shown.click('#lesson button:has-text("Fold")');
  assert.ok(await shown.isHidden('#lesson-body'));
  await shown.click('#lesson button:has-text("Unfold")');
  assert.ok(await shown.isVisible('#lesson-body'));
  shown.wrong.splice(0);
});
