// Takes screenshots of every page in all sizes and both color schemes: `node shots.js OUT [RUNS [ARGUMENTS...]]`.

import { mkdirSync } from 'node:fs';
import { browser, folder, page, studio } from './studio.js';

const [out, runs = folder(), ...more] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const only = process.env.ONLY?.split(',');
const served = await studio(runs, ...more);
const chrome = await browser();
const pages = JSON.parse(process.env.PAGES ?? '{"network":"/","draw":"/draw","mechanics":"/mechanics","explain":"/explain","train":"/train","style":"/style","jobs":"/jobs"}');
for (const colorScheme of ['light', 'dark']) {
  for (const width of [390, 1280, 1920]) {
    const shown = await page(chrome, served.url, { viewport: { width, height: width < 500 ? 844 : width < 1500 ? 860 : 1080 }, colorScheme });
    for (const [name, path] of Object.entries(pages)) {
      if (only && !only.includes(`${name}-${width}-${colorScheme}`)) continue;
      await shown.goto(served.url + path);
      await shown.waitForTimeout(Number(process.env.WAIT ?? 2500));
      if (name === 'draw') {
        const box = await shown.locator('#pad').boundingBox();
        if (box) {
          const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
          await shown.mouse.move(...at(0.3, 0.25));
          await shown.mouse.down();
          await shown.mouse.move(...at(0.7, 0.25), { steps: 8 });
          await shown.mouse.move(...at(0.45, 0.8), { steps: 8 });
          await shown.mouse.up();
          await shown.waitForTimeout(600);
        }
      }
      if (name === 'explain') {
        await shown.click('#go').catch(() => {});
        await shown.waitForTimeout(4000);
      }
      await shown.screenshot({ path: `${out}/${name}-${width}-${colorScheme}.png`, fullPage: name !== 'network' || width < 500 });
    }
    if (shown.wrong.length) console.log(width, colorScheme, shown.wrong);
    await shown.context().close();
  }
}
await chrome.close();
await served.stop();
