// The draw page: strokes, an image or a camera on one side, the network on the other.

import { $, ask, attempt, el, greatest, look, notFound, number, path, percent, say, shape, stored, upload, view } from './core.js';
import { showBars } from './bars.js';
import { openCamera } from './camera.js';
import { frame, knownModels } from './frame.js';
import { bytes, drawMap, extent, grayColor, floats, signedColor } from './pixels.js';
import { pageUrl } from './transport.js';

/** Side of a drawing that is sent, in pixels: small enough to be fast, large enough to be resized to 28 x 28 well. */
const SENT = 140;
/** Longer side of a camera frame that is sent, in pixels. */
const CAMERA = 384;

const pad = $('#pad');
const pen = pad.getContext('2d', { willReadFrequently: true });
let model = null;
let [busy, again] = [false, false];
let source = 'pad';
/** Identifier of the image that is shown; null for a drawing or the camera. */
let shown = null;
/** The drawing or the image, restored when this page is opened again. */
const kept = stored('lucida-draw', sessionStorage);
let rows = new Map();
let stream = null;
let choose = null;

// The pen.

let stroke = null;
function place(event) {
  const box = pad.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * pad.width, ((event.clientY - box.top) / box.height) * pad.height];
}

function line(from, to) {
  pen.lineCap = 'round';
  pen.lineJoin = 'round';
  pen.lineWidth = Number($('#pen').value);
  pen.strokeStyle = '#fff';
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(to[0] + 0.01, to[1]);
  pen.stroke();
  $('#pad-hint').hidden = true;
  send();
}

// Only one pointer draws: a second finger does not continue its line.
let finger = null;
pad.addEventListener('pointerdown', (event) => {
  event.preventDefault();
  if (finger !== null) return;
  if (source === 'image') clear();
  finger = event.pointerId;
  pad.setPointerCapture(event.pointerId);
  stroke = place(event);
  line(stroke, stroke);
});
pad.addEventListener('pointermove', (event) => {
  if (stroke === null || event.pointerId !== finger) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) {
    const to = place(part);
    line(stroke, to);
    stroke = to;
  }
});
for (const end of ['pointerup', 'pointercancel']) {
  pad.addEventListener(end, (event) => {
    if (event.pointerId !== finger) return;
    [finger, stroke] = [null, null];
    keep();
    tell();
  });
}

let cursor = [140, 60];
pad.addEventListener('keydown', (event) => {
  const step = { ArrowUp: [0, -10], ArrowDown: [0, 10], ArrowLeft: [-10, 0], ArrowRight: [10, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  const to = [Math.max(0, Math.min(280, cursor[0] + step[0])), Math.max(0, Math.min(280, cursor[1] + step[1]))];
  if (event.shiftKey) {
    if (source === 'image') clear();
    line(cursor, to);
    keep();
  }
  cursor = to;
});

function clear() {
  stopCamera();
  [source, shown] = ['pad', null];
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, pad.width, pad.height);
  $('#pad-hint').hidden = false;
}

/** Stores the content of the pad. */
function keep() {
  if (source !== 'camera') kept.set(source === 'image' ? { image: shown } : isEmpty() ? {} : { drawing: pad.toDataURL() });
}

/** Restores the content of the pad; returns whether there was any. */
async function restore() {
  const { image, drawing } = kept.get() ?? {};
  // Images are for networks of photos.
  if (image && !model.digits) return Boolean(await attempt(() => showImage(image)));
  if (!drawing) return false;
  await paste(drawing);
  [source, shown] = ['pad', null];
  return true;
}

function isEmpty() {
  return pen.getImageData(0, 0, pad.width, pad.height).data.every((value, at) => at % 4 === 3 || value === 0);
}

$('#clear').addEventListener('click', () => {
  keep();
  const before = kept.get();
  clear();
  keep();
  send();
  if (before.image || before.drawing) say('Cleared.', async () => { kept.set(before); await restore(); keep(); send(); });
});

// An image, a camera.

/** Draws a whole image into the pad, whatever its aspect ratio. */
async function paste(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  stopCamera();
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, pad.width, pad.height);
  const scale = Math.min(pad.width / image.width, pad.height / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  pen.drawImage(image, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
  $('#pad-hint').hidden = true;
}

/** Shows one of the server's images. The network gets the original, for its own preprocessing. */
async function showImage(id) {
  await paste(`${path`/api/images/${id}`}?side=560`);
  [source, shown] = ['image', id];
  look({ image: id }, { quietly: true });
  keep();
  return true;
}

async function open(file) {
  if (!file) return;
  const uploaded = await attempt(() => upload(file));
  if (!uploaded) return;
  await attempt(() => showImage(uploaded.id));
  await send();
}
$('#draw-file').addEventListener('change', (event) => { open(event.target.files[0]); event.target.value = ''; });
const frameOfPad = $('.pad-frame');
frameOfPad.addEventListener('dragover', (event) => event.preventDefault());
frameOfPad.addEventListener('drop', (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); });

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $('#camera').hidden = true;
  pad.hidden = false;
  $('#camera-toggle').textContent = 'Camera';
}

$('#camera-toggle').addEventListener('click', async () => {
  if (stream) {
    clear();
    return;
  }
  stream = (await attempt(openCamera)) ?? null;
  if (stream === null) return;
  source = 'camera';
  const camera = $('#camera');
  camera.srcObject = stream;
  camera.hidden = false;
  pad.hidden = true;
  $('#pad-hint').hidden = true;
  $('#camera-toggle').textContent = 'Stop camera';
  shown = null;
  await camera.play();
  const tick = async () => {
    if (source !== 'camera') return;
    await send();
    requestAnimationFrame(tick);
  };
  tick();
});

// Requests. While one is pending, only the newest image waits.

const small = document.createElement('canvas');
const shrink = small.getContext('2d', { willReadFrequently: true });

/** Draws the image to send into the small canvas. */
function scaleDown() {
  const from = source === 'camera' ? $('#camera') : pad;
  const [width, height] = source === 'camera' ? [from.videoWidth, from.videoHeight] : [pad.width, pad.height];
  const longest = source === 'camera' ? CAMERA : model.digits ? SENT : 280;
  const scale = Math.min(1, longest / Math.max(width, height));
  small.width = Math.max(1, Math.round(width * scale));
  small.height = Math.max(1, Math.round(height * scale));
  shrink.drawImage(from, 0, 0, small.width, small.height);
}

function pixels() {
  scaleDown();
  const { width, height } = small;
  const { data } = shrink.getImageData(0, 0, width, height);
  const channels = model.digits && source === 'pad' ? 1 : 3;
  const raw = new Uint8Array(width * height * channels);
  for (let at = 0; at < width * height; at += 1) {
    for (let channel = 0; channel < channels; channel += 1) raw[at * channels + channel] = data[4 * at + channel];
  }
  return { raw, width, height, channels };
}

/** Requests the activations for the content of the pad. */
function activations(of) {
  const address = path`/api/models/${of}/look`;
  if (source === 'image') return ask(`${address}?image=${encodeURIComponent(shown)}`);
  const { raw, width, height, channels } = pixels();
  return ask(`${address}?width=${width}&height=${height}&channels=${channels}`, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: raw });
}

// Opening the image in other pages: a drawing becomes an upload of the same pixels that were sent.

async function take(event) {
  event.preventDefault();
  const to = event.currentTarget.dataset.to;
  const id = source === 'image' ? shown : await attempt(async () => {
    scaleDown();
    const blob = await new Promise((made) => { small.toBlob(made, 'image/png'); });
    return (await upload(new File([blob], 'drawing.png', { type: 'image/png' }))).id;
  });
  if (!id) return;
  keep();
  look({ image: id }, { quietly: true });
  location.href = pageUrl(to, { model: model.id, image: id });
}
for (const link of document.querySelectorAll('#take a')) link.addEventListener('click', take);

async function send() {
  if (model === null || model.input === null) return;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  const started = performance.now();
  const asked = model.id;
  const answer = await attempt(() => activations(asked));
  if (answer && asked === model.id) {
    show(answer);
    const time = performance.now() - started;
    pad.dataset.milliseconds = time.toFixed(1);
    $('#speed').textContent = `${Math.round(time)} ms per update, ${answer.milliseconds.toFixed(1)} ms in the network`;
  }
  busy = false;
  if (again) {
    again = false;
    await send();
  }
}

function show({ probabilities, layers }) {
  bars(probabilities);
  for (const maps of layers) {
    let row = rows.get(maps.layer);
    if (!row) {
      row = makeRow(maps);
      rows.set(maps.layer, row);
      $('#layers').append(row.section);
    }
    if (maps.shape.length === 1 || maps.height * maps.width === 1) drawUnits(row, maps);
    else {
      const [range, data] = [extent(maps), bytes(maps.data)];
      row.canvases.forEach((canvas, at) => drawMap(canvas, maps, data, at, range));
    }
  }
}

function makeRow(maps) {
  const flat = maps.shape.length === 1 || maps.height * maps.width === 1;
  const names = maps.layer === model.layers[model.layers.length - 1].name && maps.shape[0] === model.classes.length ? model.classes : null;
  const strongest = flat ? el('p', { class: 'fine units-note' }) : null;
  const canvases = flat ? [el('canvas', { 'aria-hidden': 'true' })] : Array.from({ length: maps.channels }, () => el('canvas', { 'aria-hidden': 'true' }));
  const all = maps.shape[maps.shape.length - 1];
  const note = `${shape(maps.shape)}${!flat && maps.channels < all ? `, the first ${maps.channels}` : ''}`;
  const title = maps.layer === 'input' ? 'Input' : maps.layer;
  const section = el('section', { 'aria-label': `${title}, ${note}` }, el('h3', { class: 'row-title' }, title, el('span', { class: 'fine' }, note)), el('div', { class: `row-maps${flat ? ' flat' : ''}${maps.layer === 'input' ? ' input' : ''}` }, ...canvases), strongest);
  return { section, canvases, strongest, names };
}

/** Draws a vector as rows of squares. */
function drawUnits({ canvases: [canvas], strongest, names }, maps) {
  const values = Array.from(floats(maps.values));
  const across = Math.min(64, values.length);
  const down = Math.ceil(values.length / across);
  canvas.width = across * 10;
  canvas.height = down * 10;
  const context = canvas.getContext('2d');
  const most = Math.max(Math.abs(maps.low[0]), Math.abs(maps.high[0])) || 1;
  for (let at = 0; at < values.length; at += 1) {
    context.fillStyle = maps.low[0] < 0 ? signedColor(values[at] / most) : grayColor(values[at] / most);
    context.fillRect((at % across) * 10, Math.floor(at / across) * 10, 9, 9);
  }
  canvas.style.maxWidth = `${across * 14}px`;
  strongest.textContent = `Strongest: ${greatest(values, 3).map((at) => `${names ? names[at] : `unit ${at}`} (${number(values[at])})`).join(', ')}`;
}

function bars(probabilities) {
  const list = $('#bars');
  const order = probabilities.length > 12 ? greatest(probabilities, 8) : [...probabilities.keys()];
  const best = probabilities.indexOf(Math.max(...probabilities));
  const blank = source === 'pad' && isEmpty();
  const read = blank || best < 0 ? [] : model.multilabel ? [...probabilities.keys()].filter((which) => probabilities[which] >= 0.5) : [best];
  showBars(list, order.map((which) => ({ name: model.classes[which], value: probabilities[which], best: read.includes(which), blank })));
  $('#pad-verdict').textContent = read.map((which) => `${model.classes[which]}: ${percent(probabilities[which])}`).join(', ');
  $('#take').hidden = blank;
  list.dataset.best = read.map((which) => model.classes[which]).join(', ');
  tell();
}

/** Announces the prediction to screen readers, once the pen is lifted. */
function tell() {
  const verdict = $('#bars').dataset.best ?? '';
  const spoken = verdict === '' ? '' : `Prediction: ${verdict}`;
  if (stroke === null && $('#verdict').textContent !== spoken) $('#verdict').textContent = spoken;
}

$('#use-digits').addEventListener('click', async () => {
  clear();
  await choose('digits');
});

clear();
({ choose } = await frame(async (next) => {
  model = next;
  const usable = model.input !== null;
  const reads = model.digits;
  $('#draw-title').textContent = reads ? 'Draw a digit' : 'Classify an image';
  $('#draw-lead').textContent = reads
    ? 'The prediction and the feature maps of every layer update with each stroke.'
    : 'The prediction and the feature maps of every layer, for an image, the camera or a drawing.';
  $('#draw-none').hidden = (reads && model.trained) || knownModels().some((known) => known.group === 'Runs' || known.group === 'Command line');
  $('#draw').hidden = !usable;
  rows = new Map();
  $('#layers').replaceChildren();
  $('#bars').replaceChildren();
  $('#says-title').hidden = model.classes.length === 0;
  $('#pad-hint').textContent = reads ? 'Draw a digit' : 'Draw, or open an image';
  $('#take').hidden = reads;
  if (source === 'pad' && isEmpty()) await restore();
  if (reads && source === 'image') clear();
  if (!reads && source === 'pad' && isEmpty()) {
    const suits = view.image !== undefined && !view.image.startsWith('digit-');
    if (!suits || !(await showImage(view.image).catch(() => false))) {
      notFound('image', `There is no image “${view.image}” for this model; Chelsea, a cat, is shown.`);
      await attempt(() => showImage('cat'));
    }
  }
  await send();
}));
