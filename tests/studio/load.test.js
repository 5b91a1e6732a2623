// Many viewers while a job runs, and many predictions.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { Agent, get, request } from 'node:http';
import { after, before, test } from 'node:test';
import { folder, studio } from './studio.js';

let served;
before(async () => { served = await studio(folder()); });
after(async () => { await served?.stop(); });

/** Resident memory of the server in MiB; null if the system does not report it. */
function memory() {
  const file = `/proc/${served.child.pid}/status`;
  if (!existsSync(file)) return null;
  return Number(readFileSync(file, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;
}

function ask(path, { method = 'GET', body, agent, headers = {} } = {}) {
  return new Promise((answered, failed) => {
    const started = performance.now();
    const asked = request(served.url + path, { method, agent, headers }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => answered({ status: response.statusCode, text: Buffer.concat(parts).toString(), time: performance.now() - started }));
    });
    asked.on('error', failed);
    asked.end(body);
  });
}

const post = (path, value) => ask(path, { method: 'POST', body: JSON.stringify(value), headers: { 'content-type': 'application/json' } });

test('fifty viewers while a job works', async () => {
  assert.equal((await post('/api/jobs', { kind: 'train', epochs: 500, batch_size: 128, learning_rate: 0.001 })).status, 202);
  const streams = await Promise.all(Array.from({ length: 50 }, () => new Promise((opened) => { get(`${served.url}/api/events`, { agent: new Agent() }, opened); })));
  streams.forEach((stream) => stream.resume());
  const pages = ['/', '/draw', '/mechanics', '/explain', '/train', '/jobs', '/api/jobs', '/api/models'];
  const times = [];
  await Promise.all(Array.from({ length: 50 }, async (_, viewer) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let turn = 0; turn < 12; turn += 1) {
      const { status, time } = await ask(pages[(viewer + turn) % pages.length], { agent });
      assert.equal(status, 200);
      times.push(time);
      await new Promise((wait) => { setTimeout(wait, 50 + Math.random() * 100); });
    }
    agent.destroy();
  }));
  times.sort((a, b) => a - b);
  console.log(`${times.length} pages: median ${times[times.length >> 1].toFixed(1)} ms, 95 of 100 within ${times[Math.floor(times.length * 0.95)].toFixed(1)} ms`);
  assert.ok(times[times.length >> 1] < 100);
  streams.forEach((stream) => stream.destroy());
  assert.equal((await post('/api/jobs/0001/cancel', {})).status, 200);
});

test('ten thousand predictions do not grow the memory', async () => {
  for (let at = 0; at < 600; at += 1) {
    if (JSON.parse((await ask('/api/jobs/0001')).text).state === 'cancelled') break;
    await new Promise((wait) => { setTimeout(wait, 50); });
  }
  const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  const model = JSON.parse((await ask('/api/models')).text)[0].id;
  const some = async (count) => {
    await Promise.all(agents.map(async (agent, at) => {
      for (let number = at; number < count; number += agents.length) {
        const body = Buffer.alloc(784, (number * 37) % 251);
        const { status } = await ask(`/api/models/${model}/look?width=28&height=28&channels=1`, { method: 'POST', agent, body, headers: { 'content-type': 'application/octet-stream' } });
        assert.equal(status, 200);
      }
    }));
  };
  await some(1000);
  const before = memory();
  const started = performance.now();
  await some(10_000);
  const grown = memory() - before;
  console.log(`10000 predictions in ${((performance.now() - started) / 1000).toFixed(1)} s; memory ${before?.toFixed(0)} MiB, ${grown.toFixed(1)} more after them`);
  agents.forEach((agent) => agent.destroy());
  if (before === null) console.log('this system does not tell how much memory is used');
  else assert.ok(grown < 16, `${grown} MiB more`);
});
