// Notices about something that is missing, waiting or unclear: each says what it is, and what the user can do.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { photos, png } from './made.js';
import { browser, folder, page, studio } from './studio.js';

const runs = folder();
let [served, chrome, shown] = [];

before(async () => {
  // A cache with the weights of two networks, one of them without classifier, as far as the list of models can tell.
  process.env.LUCIDA_CACHE = folder();
  for (const [network, file] of [['vgg19', 'vgg19_weights_tf_dim_ordering_tf_kernels.h5'], ['inception-v3', 'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5']]) {
    const place = join(process.env.LUCIDA_CACHE, 'weights');
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, file), network);
  }
  served = await studio(runs);
  chrome = await browser();
  shown = await page(chrome, served.url);
});
after(async () => {
  await chrome?.close();
  await served?.stop();
});

const post = (address, body) => shown.evaluate(async ([to, value]) => (await fetch(to, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) })).json(), [address, body]);
const job = (id) => shown.evaluate(async (one) => (await fetch(`/api/jobs/${one}`)).json(), id);
/** Waits until a job is as `wanted`, and returns it; fails after a minute, for example if an earlier test's job runs on. */
async function until(id, wanted) {
  const late = Date.now() + 60_000;
  for (;;) {
    const now = await job(id);
    if (wanted(now)) return now;
    assert.ok(Date.now() < late, `job ${id} is still ${now.state}`);
    await shown.waitForTimeout(20);
  }
}
const train = (name, epochs, more = {}) => post('/api/jobs', { kind: 'train', name, epochs, batch_size: 256, learning_rate: 0.002, ...more });

test('all known networks are listed, and one without its weights says how to get them', async () => {
  await shown.goto(served.url);
  await shown.waitForSelector('#model option', { state: 'attached' });
  const groups = await shown.$$eval('#model optgroup', (all) => Object.fromEntries(all.map((one) => [one.label, [...one.children].map((option) => option.textContent)])));
  assert.deepEqual(groups.Downloaded, ['vgg19', 'inception-v3, without classifier']);
  for (const name of ['vgg16', 'alexnet', 'resnet152', 'vgg19-bn', 'mobilenet-v2']) assert.ok(groups['Not downloaded'].includes(name), name);
  assert.ok(!groups['Not downloaded'].includes('vgg19'));
  for (const name of ['lenet5', 'basic-cnn', 'unet']) assert.ok(groups['Random weights'].includes(name), name);
  await shown.goto(`${served.url}/?model=vgg16`);
  await shown.waitForSelector('#untrained:not([hidden])');
  assert.match(await shown.textContent('#untrained'), /not trained.*run lucida weights fetch vgg16 --with-top in a terminal \(553\.5 MB download\), then reload/);
  assert.equal(await shown.textContent('#untrained code'), 'lucida weights fetch vgg16 --with-top');
  await shown.waitForSelector('.map', { timeout: 60_000 });
  // No weights are published for this network.
  await shown.goto(`${served.url}/?model=lenet5`);
  await shown.waitForSelector('#untrained:has-text("not trained")');
  assert.doesNotMatch(await shown.textContent('#untrained'), /fetch/);
});

test('a queued job says what it waits for, on every page that shows it', async () => {
  const { id: first } = await train('First', 900);
  const request = { kind: 'style', content: 'cat', styles: [{ image: 'brushwork', weight: 1 }], size: 128, effort: 0.2 };
  const { id: second } = await post('/api/jobs', request);
  const { id: third } = await train('Third', 1);
  const text = (id, title) => `Queued: waiting for job ${id} (${title})`;
  await shown.goto(`${served.url}/style?result=${second}`);
  await shown.waitForSelector(`#painting-note:has-text("${text(first, 'First')}")`);
  await shown.goto(`${served.url}/train?run=${third}`);
  await shown.waitForSelector(`#run-note:has-text("${text(second, 'Style transfer')}")`);
  await shown.goto(`${served.url}/jobs`);
  await shown.waitForSelector(`[data-job="${second}"] .job-note:has-text("${text(first, 'First')}")`);
  // The job in between leaves the queue.
  await post(`/api/jobs/${second}/cancel`, {});
  await shown.waitForSelector(`[data-job="${third}"] .job-note:has-text("${text(first, 'First')}")`);
  await post(`/api/jobs/${first}/cancel`, {});
  const done = await until(third, ({ state }) => !['queued', 'running'].includes(state));
  assert.deepEqual([done.state, done.waits_for], ['done', null]);
  assert.equal((await job(first)).waits_for, null);
});

/** Kills the studio, and restarts it at the same address. */
async function kill() {
  const { port } = new URL(served.url);
  const ended = new Promise((finish) => served.child.on('exit', finish));
  served.child.kill('SIGKILL');
  await ended;
  served = await studio(runs, '--port', port);
}

test('a run that was killed before its first model says why there is none, and can be resumed', async () => {
  const { id } = await train('Killed', 2, { batch_size: 16 });
  const { news } = await until(id, ({ state, news: told }) => state === 'running' && told.length > 1);
  assert.ok(news.every(({ type }) => type !== 'epoch'), 'the run is too fast for this test');
  await kill();
  await shown.goto(`${served.url}/train?run=${id}`);
  // Once its past events are here.
  await shown.waitForSelector('#run-note:has-text("Interrupted"):has-text("none to inspect")');
  assert.match(await shown.textContent('#run-note'), /The run ended before its first model was saved, so there is none to inspect\. Resume trains it from the start; Remove deletes it\./);
  assert.deepEqual(await shown.$$eval('#run-actions > *', (all) => all.map(({ textContent }) => textContent)), ['Resume', 'Remove']);
  await shown.click('#run-actions button:has-text("Resume")');
  await shown.waitForSelector('#run-actions a:has-text("Inspect")', { timeout: 120_000 });
  assert.doesNotMatch(await shown.textContent('#run-note'), /no model/);
  // A run with a checkpoint, but no model yet.
  const { id: later } = await train('Killed later', 900);
  await until(later, ({ news: told }) => told.some(({ type, epoch }) => type === 'epoch' && epoch > 1));
  await kill();
  await shown.goto(`${served.url}/train?run=${later}`);
  await shown.waitForSelector('#run-note:has-text("The run ended before its model was saved; the weights of its epochs are below.")');
  assert.match(await shown.textContent('#run-note'), /Resume continues it from its checkpoint after epoch \d+; Remove deletes it\./);
  shown.wrong.splice(0);
});

test('each line of a chart is named next to the way it is drawn, and samples use the room that there is', async () => {
  await shown.goto(`${served.url}/train`);
  await shown.waitForSelector('#samples figure');
  for (const figure of await shown.$$('#charts .chart-figure')) {
    const lines = await figure.$$eval('path.line', (all) => all.map((line) => [line.classList.contains('thin'), getComputedStyle(line).color]));
    const keys = await figure.$$eval('.chart-legend li', (all) => all.map((key) => [key.querySelector('.swatch').classList.contains('thin'), getComputedStyle(key.querySelector('.swatch')).color]));
    assert.ok(lines.length >= 2);
    assert.deepEqual(keys, lines);
    const names = await figure.$$eval('.chart-legend li', (all) => all.map(({ textContent }) => textContent));
    assert.match(names[0], /, training$/);
    assert.match(names[1], /, validation$/);
  }
  const columns = () => shown.$$eval('#samples figure', (all) => new Set(all.map((one) => one.getBoundingClientRect().left)).size);
  for (const [width, least] of [[390, 5], [768, 8], [1280, 4], [1920, 5]]) {
    await shown.setViewportSize({ width, height: 860 });
    assert.ok(await columns() >= least, `${await columns()} columns at ${width}`);
  }
  await shown.setViewportSize({ width: 1280, height: 860 });
});

test('the layers that share a box are named or counted in it', async () => {
  const model = await shown.evaluate(async () => (await (await fetch('/api/models')).json()).find(({ group }) => group === 'Runs').id);
  for (const [id, layers] of [[model, 11], ['inception-v3-torch', null]]) {
    await shown.goto(`${served.url}/?model=${id}`);
    await shown.waitForSelector('.map');
    const facts = (await shown.textContent('#graph-facts')).match(/: (\d+) layers in (\d+) boxes, /);
    const boxes = await shown.$$eval('.node', (all) => all.map((node) => [JSON.parse(node.dataset.layers).length, node.querySelector('b').textContent]));
    if (layers) assert.equal(Number(facts[1]), layers);
    assert.equal(Number(facts[2]), boxes.length);
    assert.equal(Number(facts[1]), boxes.reduce((sum, [count]) => sum + count, 0));
    for (const [count, text] of boxes) assert.match(text, count === 1 ? /^[^+]+$/ : count === 2 ? /\+ ?(1|[A-Z]\w+)$/ : new RegExp(`\\+ ?${count - 1}( layers)?$`));
  }
});

test('an image of a data set says which one it is and its true class; all maps of an explanation are shown', async () => {
  const model = await shown.evaluate(async () => (await (await fetch('/api/models')).json()).find(({ group }) => group === 'Runs').id);
  await shown.goto(`${served.url}/explain?model=${model}&image=digit-7`);
  await shown.waitForSelector('.class');
  assert.equal(await shown.textContent('#picker .picker-actions p'), 'Built-in digit no. 7 (a 3)');
  const best = (await shown.$$eval('.class', (all) => all.map((one) => one.children[1].textContent)))[0];
  assert.equal(await shown.textContent('#truth'), `True class: 3 (${best === '3' ? 'predicted correctly' : `predicted as ${best}`})`);
  assert.equal(await shown.getAttribute('.thumb:nth-child(8)', 'aria-label'), 'Built-in digit no. 7 (a 3)');
  await shown.setInputFiles('#image-file', { name: 'mine.png', mimeType: 'image/png', buffer: png(28, 28, (x) => [x, x, x]) });
  await shown.waitForSelector('#truth', { state: 'hidden' });
  await shown.click('.thumb[aria-label="Built-in digit no. 7 (a 3)"]');
  await shown.waitForSelector('#truth:has-text("True class: 3")');
  await shown.click('#go');
  await shown.waitForFunction(() => document.querySelectorAll('.card').length === 12 && document.querySelector('#stop').hidden, null, { timeout: 120_000 });
  const id = new URL(shown.url()).searchParams.get('job');
  const explained = await job(id);
  assert.match(explained.title, /: built-in digit no\. 7 \(a 3\)$/);
  await shown.goto(`${served.url}/jobs`);
  await shown.waitForSelector(`[data-job="${id}"] img`);
  assert.equal(await shown.locator(`[data-job="${id}"] .job-files img`).count(), explained.files.filter((file) => file.endsWith('.png')).length);
  // And on the page that shows them all.
  await shown.click(`[data-job="${id}"] a:has-text("Open")`);
  await shown.waitForFunction(() => document.querySelectorAll('.card').length === 12);
});

test('the class of a photo is not known to a network without a class of that name', async () => {
  const other = await studio(folder(), '--data', photos(folder(), ['bright', 'dark'], 3));
  const there = await page(chrome, other.url);
  await there.goto(`${other.url}/explain?model=squeezenet1-1&image=photo-4`);
  await there.waitForSelector('#truth:not([hidden])');
  assert.equal(await there.textContent('#truth'), 'True class: dark (the network has no class of this name)');
  await there.context().close();
  await other.stop();
});

test('a weight has the minus sign of the page, takes either when typed, and is copied with a hyphen', async () => {
  const model = await shown.evaluate(async () => (await (await fetch('/api/models')).json()).find(({ group }) => group === 'Runs').id);
  await shown.goto(`${served.url}/mechanics?model=${model}&image=digit-7&layer=conv2d_1&channel=2`);
  await shown.waitForSelector('.cell');
  await shown.click('.steps li:nth-child(2) button');
  const field = (at) => `input.cell >> nth=${at}`;
  const values = await shown.$$eval('input.cell', (all) => all.map(({ value }) => value));
  assert.ok(values.some((value) => value.startsWith('−')) && values.every((value) => !value.includes('-')), values.join());
  for (const [at, typed] of ['-0.5', '−0.25', '-1e-3'].entries()) {
    const [request] = await Promise.all([
      shown.waitForRequest((one) => one.url().endsWith('/mechanics') && one.method() === 'POST'),
      (async () => {
        await shown.click(field(at));
        await shown.keyboard.press('ControlOrMeta+a');
        await shown.keyboard.type(typed);
        await shown.keyboard.press('Tab');
      })(),
    ]);
    assert.equal(request.postDataJSON().changes.find(({ row, column }) => 3 * row + column === at).value, Number(typed.replace('−', '-')));
    await shown.waitForFunction(([place, text]) => document.querySelectorAll('input.cell')[place].value === text, [at, String(Number(typed.replace('−', '-'))).replaceAll('-', '−')]);
  }
  const copied = await shown.evaluate(() => {
    const first = document.querySelector('input.cell');
    first.select();
    const event = new ClipboardEvent('copy', { clipboardData: new DataTransfer(), cancelable: true, bubbles: true });
    first.dispatchEvent(event);
    return event.clipboardData.getData('text/plain');
  });
  assert.equal(copied, '-0.5');
  assert.deepEqual(shown.wrong, []);
});

test('the pages speak the language of the field', async () => {
  const banned = /\b(picture|painting|film|taken for|takes it for|told apart|tells apart|so many|goes on|the way back|pass forward|(?<!there )is no (?!longer)|cannot be had|already there|excites?)\b/i;
  const found = [];
  for (const path of ['/', '/draw', '/mechanics', '/explain', '/train', '/style', '/jobs', '/lessons', '/no-such-page']) {
    await shown.goto(served.url + path);
    await shown.waitForTimeout(600);
    // Hidden texts are checked in other states; names of jobs and layers are not texts of the page.
    const texts = await shown.evaluate(() => {
      const words = [...document.querySelectorAll('[aria-label], [title], [alt]')].flatMap((one) => ['aria-label', 'title', 'alt'].map((name) => one.getAttribute(name)));
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) if (!walker.currentNode.parentElement.closest('script, style')) words.push(walker.currentNode.data);
      return words.filter(Boolean);
    });
    found.push(...texts.filter((text) => banned.test(text)).map((text) => `${path}: ${text}`));
  }
  for (const file of ['frame', 'network', 'steps', 'explain', 'filter', 'train', 'style', 'style-images', 'style-optimize', 'style-pass', 'style-train', 'camera', 'compare', 'draw', 'settings', 'jobs', 'picker', 'open-model', 'timeline', 'embedding', 'lesson', 'lessons', 'lesson-texts']) {
    const source = await shown.evaluate(async (name) => (await fetch(document.querySelector('link[rel="stylesheet"]').href.replace(/css\/\w+\.css/, `js/${name}.js`))).text(), file);
    // String literals that contain a space and start with a capital letter are texts.
    found.push(...[...source.matchAll(/['`]([A-Z][^'`\n]* [^'`\n]*)['`]/g)].map(([, text]) => text).filter((text) => banned.test(text)).map((text) => `${file}.js: ${text}`));
  }
  assert.deepEqual(found, []);
  shown.wrong.splice(0);
});
