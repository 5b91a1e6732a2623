// Starts the studio and a browser, for the tests next to this file.

import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const binary = process.env.LUCIDA ?? join(root, 'target/release/lucida');
export const folder = () => mkdtempSync(join(tmpdir(), 'lucida-studio-'));

/** Starts a studio with a folder of runs. */
export async function studio(runs, ...more) {
  const child = spawn(binary, ['studio', '--runs', runs, ...(more.includes('--port') ? [] : ['--port', '0']), ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise((found, failed) => {
    let printed = '';
    child.stdout.on('data', (data) => {
      printed += data;
      const line = printed.match(/The studio is at (\S+)\//);
      if (line) found(line[1]);
    });
    child.on('exit', (code) => failed(new Error(`the studio ended with ${code}: ${printed}`)));
  });
  const ended = new Promise((end) => child.on('exit', end));
  return { url, child, stop: async () => { child.kill('SIGTERM'); return ended; } };
}

/** Launches Debian's Chromium, or the one in the environment variable CHROMIUM, with more arguments. */
export const browser = (...more) =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', ...more] });

/**
 * Opens a page that collects what must not happen: errors on the console, and requests to other hosts. It remembers a view of
 * the network page, by default that of one layer.
 */
export async function page(of, url, { view = 'layer', ...options } = {}) {
  const context = await of.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  // For development: with WEB, style sheets and scripts come from this folder, without a build.
  if (process.env.WEB) await context.route('**/assets/**', (route) => route.fulfill({ path: join(process.env.WEB, new URL(route.request().url()).pathname.split('/').slice(3).join('/')) }));
  if (view) await context.addInitScript((name) => { if (location.protocol !== 'about:' && localStorage.getItem('lucida-network-view') === null) localStorage.setItem('lucida-network-view', JSON.stringify(name)); }, view);
  const opened = await context.newPage();
  const wrong = [];
  opened.on('console', (message) => { if (['error', 'warning'].includes(message.type())) wrong.push(message.text()); });
  opened.on('pageerror', (error) => wrong.push(String(error)));
  opened.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(`${url}/`)) wrong.push(`a request to ${request.url()}`);
  });
  opened.on('requestfailed', (request) => { if (process.env.VERBOSE) console.log(request.method(), request.url(), request.failure().errorText); });
  opened.on('response', async (response) => {
    if (process.env.VERBOSE && response.status() >= 400) console.log(response.status(), response.request().method(), response.url(), await response.text());
  });
  opened.wrong = wrong;
  opened.setDefaultTimeout(30_000);
  return opened;
}
