// The lessons: their list, their steps on the pages of the studio, and links to share.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { browser, folder, page, stroke, studio } from './studio.js';

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
  await shown.waitForSelector('#runs-none:visible');
  await shown.fill('#epochs', '3');
  await shown.click('#start');
  await ticked();
  await next('2.2');
  await shown.waitForSelector('#run-note:has-text("best epoch")', { timeout: 120_000 });
  // The end of the run replaces the charts once more.
  await shown.waitForTimeout(600);
  await shown.focus('#charts svg >> nth=0');
  await shown.keyboard.press('ArrowRight');
  await ticked();
  await next('2.3');
  await shown.waitForFunction(() => document.querySelector('#epoch').max === '3' && !document.querySelector('#inside-body').hidden);
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
  await stroke(shown, [0.28, 0.25], [0.72, 0.25], [0.46, 0.82]);
  await ticked();
  await next('3.2');
  await shown.waitForSelector('#layers section:nth-child(8)');
  await shown.click('#clear');
  await stroke(shown, [0.5, 0.15], [0.5, 0.85]);
  await shown.waitForFunction(() => document.querySelector('#bars').dataset.best === '1');
  await shown.waitForTimeout(900);
  await stroke(shown, [0.3, 0.2], [0.3, 0.8], [0.7, 0.8], [0.7, 0.2], [0.3, 0.2]);
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
  await shown.click('#maps [data-channel] >> nth=5');
  await ticked();
  await next('4.3');
  await shown.click('[data-channel="3"]');
  await ticked();
  await next('5.1');
  await shown.waitForSelector('.class');
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
    if (name === 'Kernel gradient') await shown.click('#grids button.cell >> nth=4');
    await ticked();
    if (at < 2) await next(`6.${at + 2}`);
  }
  clean();
});

test('a link restores the step and its view, for others with their own network', async () => {
  await shown.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await shown.goto(`${served.url}/mechanics?model=my-digits&image=digit-4&layer=conv2d_1&channel=5&at=3,4&step=kernel-gradient&lesson=6.2`);
  await shown.waitForSelector('#mech-verdict:has-text("Prediction")');
  await shown.click('#lesson button:has-text("Copy link")');
  await shown.waitForSelector('#status:has-text("copied")');
  const link = await shown.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /model=my-digits/);
  const query = new URL(link).searchParams;
  // In a browser of its own, with no network of its own.
  const other = await page(chrome, served.url, { view: null });
  await other.goto(link);
  await other.waitForSelector('#mech-verdict:has-text("Prediction")');
  assert.match(await other.textContent('#lesson .eyebrow'), /Lesson 6.*Step 2/);
  assert.match(await other.textContent('#output-caption'), /row 3, column 4/);
  assert.equal(await other.textContent('#steps [aria-current]'), 'Kernel gradient');
  await other.context().close();
  for (const [name, value] of [['image', 'digit-4'], ['layer', 'conv2d_1'], ['channel', '5'], ['at', '3,4'], ['lesson', '6.2']]) assert.equal(query.get(name), value);
  await shown.click('#lesson button:has-text("Close")');
  assert.equal(parameter('lesson'), null);
  assert.equal(await shown.locator('#lesson').count(), 0);
  clean();
});

test('a step that is opened and left alone has no tick', async () => {
  // Tasks that were done before stay marked: this page knows of none.
  await shown.evaluate(() => localStorage.removeItem('lucida-lessons'));
  await shown.goto(`${served.url}/lessons`);
  for (const [lesson, steps] of [3, 3, 3, 3, 3, 3].entries()) {
    for (let step = 1; step <= steps; step += 1) {
      if (step === 1) {
        await shown.goto(`${served.url}/lessons`);
        await shown.click(`.lessons a >> nth=${lesson}`);
      } else await shown.click(`.lesson-moves .primary`);
      await shown.waitForFunction((wanted) => new URLSearchParams(location.search).get('lesson') === wanted && document.querySelector('#lesson'), `${lesson + 1}.${step}`);
      await shown.waitForTimeout(1500);
      assert.equal(await shown.locator('.lesson-task.done').count(), 0, `${lesson + 1}.${step}`);
    }
  }
  clean();
});

test('Close and Back', async () => {
  await shown.goto(`${served.url}/mechanics?model=my-digits&image=digit-7&layer=conv2d&channel=3&lesson=1.1`);
  await shown.waitForSelector('#mech-verdict:has-text("Prediction")');
  await shown.selectOption('#filter-select', '4');
  await shown.click('#lesson button:has-text("Close")');
  await shown.goBack();
  await shown.waitForSelector('#lesson');
  assert.equal(await shown.locator('#lesson').count(), 1);
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
