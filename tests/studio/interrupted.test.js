// A job that was interrupted by the end of the studio is shown as such on every page, and can be started again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, folder, page, studio } from './studio.js';

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

/** Ends the studio with a signal, and restarts it at the same address. */
async function restart(signal) {
  const { port } = new URL(served.url);
  const ended = new Promise((end) => served.child.on('exit', end));
  served.child.kill(signal);
  await ended;
  served = await studio(runs, '--port', port);
}

for (const signal of ['SIGKILL', 'SIGTERM']) {
  test(`a style transfer that ${signal} interrupted`, async () => {
    await shown.goto(`${served.url}/style`);
    await shown.fill('#size', '192');
    await shown.fill('#effort', '2');
    await shown.click('#paint');
    await shown.waitForSelector('#after[src*="step-"]', { timeout: 60_000 });
    const id = new URL(shown.url()).searchParams.get('result');
    await restart(signal);
    // In a page that was open, and in one that is opened later.
    for (const open of [() => {}, () => shown.reload()]) {
      await open();
      await shown.waitForSelector('#painting-note:has-text("Interrupted: the studio was closed while this job was running")');
      assert.ok(await shown.isHidden('#stop') && await shown.isHidden('#style-track'));
    }
    await shown.goto(`${served.url}/jobs`);
    await shown.waitForSelector(`[data-job="${id}"][data-state="interrupted"] button:has-text("Start again")`);
    await shown.goto(`${served.url}/style?result=${id}`);
    await shown.click('#painting-actions button:has-text("Start again")');
    await shown.waitForFunction((old) => new URLSearchParams(location.search).get('result') !== old, id);
    const again = new URL(shown.url()).searchParams.get('result');
    const request = (job) => shown.evaluate(async (one) => JSON.stringify((await (await fetch(`/api/jobs/${one}`)).json()).request), job);
    assert.equal(await request(again), await request(id));
    await shown.waitForSelector('#stop:not([hidden])');
    await shown.click('#stop');
    await shown.waitForSelector('#painting-note:has-text("Stopped")', { timeout: 60_000 });
    shown.wrong.splice(0);
  });
}
