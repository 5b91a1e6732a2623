// Times Lucida's studio in the browser and TensorFlow.js in the same browser, in turn:
//   SITE=target/site TFJS=FOLDER/node_modules/@tensorflow node bench/browser/run.mjs [ROUNDS]
// FOLDER is one where `npm install @tensorflow/tfjs @tensorflow/tfjs-backend-wasm` was run.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { cpus } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { browser, page, studio } from '../../tests/studio/studio.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const rounds = Number(process.argv[2] ?? 3);
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** Serves the page of the peer, and its scripts. */
async function peerServer() {
  const server = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url, 'http://localhost');
    const file = pathname.startsWith('/tfjs/') ? join(process.env.TFJS, pathname.slice(6)) : join(here, pathname);
    const bytes = await readFile(file).catch(() => null);
    // As the site of Lucida is: with shared memory.
    response.writeHead(bytes ? 200 : 404, { 'content-type': TYPES[extname(file)] ?? 'text/plain', 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }).end(bytes);
  });
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Milliseconds of a training step of the digit network at batch 256, and of a forward pass of MobileNet: of Lucida. */
async function lucida(chrome) {
  const served = await studio();
  const shown = await page(chrome, served.url, { view: null });
  await shown.goto(`${served.url}/jobs`);
  const times = await shown.evaluate(async () => {
    const { send } = await import(new URL('./js/transport.js', location.href).href);
    const json = async (address, options) => (await send(address, options)).json();
    const request = { kind: 'train', epochs: 3, batch_size: 256, learning_rate: 0.001 };
    const { id } = await json('/api/jobs', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) });
    let job;
    do {
      await new Promise((done) => { setTimeout(done, 300); });
      job = await json(`/api/jobs/${id}`);
    } while (['queued', 'running'].includes(job.state));
    // An epoch is 8,000 digits.
    const steps = job.news.filter(({ type }) => type === 'epoch').map(({ seconds }) => (1000 * seconds * 256) / 8000);
    const passes = [];
    for (let at = 0; at < 12; at += 1) {
      const { milliseconds } = await json('/api/models/mobilenet/look?image=cat');
      if (at > 1) passes.push(milliseconds);
    }
    return { steps, passes };
  });
  await shown.context().close();
  return { step: median(times.steps), pass: median(times.passes) };
}

/** The same of TensorFlow.js: the step with the backend `cpu`, since `wasm` has no gradients of convolutions; the pass with `wasm`. */
async function tensorflow(chrome, url) {
  const context = await chrome.newContext();
  const shown = await context.newPage();
  await shown.goto(`${url}/peer.html`);
  const times = await shown.evaluate(async () => {
    const { tf } = window;
    const time = async (work, count, warm) => {
      const times = [];
      for (let at = 0; at < count + warm; at += 1) {
        const began = performance.now();
        await work();
        if (at >= warm) times.push(performance.now() - began);
      }
      return times;
    };
    await tf.setBackend('cpu');
    const digits = tf.sequential();
    [24, 48, 64].forEach((filters, at) => {
      digits.add(tf.layers.conv2d({ filters, kernelSize: 3, padding: 'same', activation: 'relu', ...(at === 0 && { inputShape: [28, 28, 1] }) }));
      digits.add(tf.layers.maxPooling2d({ poolSize: 2 }));
    });
    for (const layer of [tf.layers.flatten(), tf.layers.dense({ units: 128, activation: 'relu' }), tf.layers.dropout({ rate: 0.5 }), tf.layers.dense({ units: 10, activation: 'softmax' })]) digits.add(layer);
    digits.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
    const [images, labels] = [tf.randomUniform([256, 28, 28, 1]), tf.oneHot(tf.range(0, 256, 1, 'int32').mod(tf.scalar(10, 'int32')), 10)];
    const steps = await time(() => digits.trainOnBatch(images, labels), 3, 1);

    tf.wasm.setWasmPaths(new URL('tfjs/tfjs-backend-wasm/dist/', location.href).href);
    tf.wasm.setThreadsCount(1);
    await tf.setBackend('wasm');
    await tf.ready();
    const mobilenet = tf.sequential();
    const block = (layer) => [layer, tf.layers.batchNormalization(), tf.layers.reLU({ maxValue: 6 })].forEach((one) => mobilenet.add(one));
    block(tf.layers.conv2d({ filters: 32, kernelSize: 3, strides: 2, padding: 'same', useBias: false, inputShape: [224, 224, 3] }));
    for (const [filters, strides] of [[64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2], [512, 1], [512, 1], [512, 1], [512, 1], [512, 1], [1024, 2], [1024, 1]]) {
      block(tf.layers.depthwiseConv2d({ kernelSize: 3, strides, padding: 'same', useBias: false }));
      block(tf.layers.conv2d({ filters, kernelSize: 1, useBias: false }));
    }
    for (const layer of [tf.layers.globalAveragePooling2d({}), tf.layers.dense({ units: 1000, activation: 'softmax' })]) mobilenet.add(layer);
    const photo = tf.randomUniform([1, 224, 224, 3]);
    const passes = await time(async () => { const out = mobilenet.predict(photo); await out.data(); out.dispose(); }, 10, 3);
    return { steps, passes, parameters: [digits.countParams(), mobilenet.countParams()], version: tf.version.tfjs };
  });
  await context.close();
  return { step: median(times.steps), pass: median(times.passes), ...times };
}

const url = await peerServer();
const chrome = await browser();
console.log(`${cpus()[0].model}, Chromium ${chrome.version()}, one thread each`);
const all = { lucida: [], tensorflow: [] };
for (let round = 1; round <= rounds; round += 1) {
  const [ours, theirs] = [await lucida(chrome), await tensorflow(chrome, url)];
  all.lucida.push(ours);
  all.tensorflow.push(theirs);
  console.log(`round ${round}: step ${ours.step.toFixed(1)} ms, TensorFlow.js ${theirs.version} ${theirs.step.toFixed(0)} ms; pass ${ours.pass.toFixed(1)} ms, ${theirs.pass.toFixed(1)} ms (${theirs.parameters.join(' and ')} parameters)`);
}
for (const what of ['step', 'pass']) {
  const [ours, theirs] = [all.lucida, all.tensorflow].map((times) => median(times.map((time) => time[what])));
  console.log(`${what}: ${ours.toFixed(1)} ms, TensorFlow.js ${theirs.toFixed(1)} ms, speedup ${(theirs / ours).toFixed(1)}`);
}
await chrome.close();
process.exit();
