// Redraws the pictures of the studio in docs/images/studio: `LUCIDA=target/release/lucida node docs_images.js`.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execFileSync } from 'node:child_process';
import { binary, browser, folder, page, studio } from './studio.js';

const out = fileURLToPath(new URL('../../docs/images/studio', import.meta.url));
const runs = folder();
execFileSync(binary, ['train', 'mnist', '--epochs', '8', '--seed', '1', '--out', join(runs, 'digits')], { stdio: ['ignore', 'ignore', 'inherit'] });
const served = await studio(runs);
const chrome = await browser();

async function picture(name, viewport, path, show, colorScheme = 'light') {
  const shown = await page(chrome, served.url, { viewport, colorScheme });
  await shown.goto(served.url + path);
  await show(shown);
  await shown.screenshot({ path: join(out, `${name}.jpg`), type: 'jpeg', quality: 85 });
  await shown.context().close();
}

await picture('overview', { width: 1280, height: 760 }, '/?view=overview&model=run-digits&image=digit-0&layer=conv2d_1&channel=3', async (shown) => {
  await shown.waitForSelector('#ov-card:not([hidden])');
  await shown.waitForTimeout(1000);
});
await picture('network', { width: 1280, height: 1060 }, '/?model=vgg16-builtin&layer=block3_conv1&channel=4', async (shown) => {
  await shown.click('button:has-text("Maximize the activation")');
  await shown.waitForSelector('.figure img[src$="picture.png"]', { timeout: 120_000 });
  await shown.waitForTimeout(1000);
  await shown.evaluate(() => window.scrollTo(0, 0));
});
await picture('draw', { width: 1280, height: 860 }, '/draw', async (shown) => {
  const box = await shown.locator('#pad').boundingBox();
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await shown.mouse.move(...at(0.3, 0.25));
  await shown.mouse.down();
  await shown.mouse.move(...at(0.7, 0.25), { steps: 8 });
  await shown.mouse.move(...at(0.45, 0.8), { steps: 8 });
  await shown.mouse.up();
  await shown.waitForTimeout(1500);
});
await picture('style', { width: 1200, height: 778 }, '/style?mode=optimize', async (shown) => {
  await shown.fill('#size', '448');
  await shown.click('#paint');
  await shown.waitForSelector('#painting-note:has-text(" pixels after ")', { timeout: 600_000 });
  await shown.waitForTimeout(1000);
}, 'dark');
await picture('one-pass', { width: 1200, height: 820 }, '/style?mode=pass', async (shown) => {
  await shown.waitForSelector('#pass-note:has-text("512 ×")');
  // A second pass, whose time does not include planning.
  await shown.uncheck('#keep-colors');
  await shown.fill('#strength', '0.9');
  await shown.waitForTimeout(1500);
  await shown.evaluate(() => document.activeElement.blur());
});
await chrome.close();
await served.stop();
