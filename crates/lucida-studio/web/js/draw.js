// The draw page: strokes, a photo or a camera on one side, the network on the other.

import { $, ask, attempt, el, path, percent, post, say, shape } from './core.js';
import { ended, follow } from './events.js';
import { frame, knownModels } from './frame.js';
import { bytes, drawMap, extent, filmColour, signedColour } from './pixels.js';

/** The side of what is sent: small enough to be quick, large enough to be made 28 x 28 well. */
const SENT = 140;
const CAMERA = 224;
/** The most characters of a class name that fit beside its bar. */
const LONG = 14;

const pad = $('#pad');
const pen = pad.getContext('2d', { willReadFrequently: true });
let model = null;
let [busy, again] = [false, false];
let source = 'pad';
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

pad.addEventListener('pointerdown', (event) => {
  if (source === 'picture') clear();
  pad.setPointerCapture(event.pointerId);
  stroke = place(event);
  line(stroke, stroke);
  event.preventDefault();
});
pad.addEventListener('pointermove', (event) => {
  if (stroke === null) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) {
    const to = place(part);
    line(stroke, to);
    stroke = to;
  }
});
for (const end of ['pointerup', 'pointercancel']) pad.addEventListener(end, () => { stroke = null; tell(); });

let cursor = [140, 60];
pad.addEventListener('keydown', (event) => {
  const step = { ArrowUp: [0, -10], ArrowDown: [0, 10], ArrowLeft: [-10, 0], ArrowRight: [10, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  const to = [Math.max(0, Math.min(280, cursor[0] + step[0])), Math.max(0, Math.min(280, cursor[1] + step[1]))];
  if (event.shiftKey) line(cursor, to);
  cursor = to;
});

function clear() {
  stopCamera();
  source = 'pad';
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, pad.width, pad.height);
  $('#pad-hint').hidden = false;
}

function isEmpty() {
  return pen.getImageData(0, 0, pad.width, pad.height).data.every((value, at) => at % 4 === 3 || value === 0);
}

$('#clear').addEventListener('click', () => { clear(); send(); });

// A picture, a camera.

async function showPicture(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  stopCamera();
  source = 'picture';
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, pad.width, pad.height);
  const scale = Math.max(pad.width / image.width, pad.height / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  pen.drawImage(image, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
  $('#pad-hint').hidden = true;
}

async function open(file) {
  if (!file) return;
  const form = new FormData();
  form.append('picture', file);
  const kept = await attempt(() => ask('/api/images', { method: 'POST', body: form }));
  if (!kept) return;
  await attempt(() => showPicture(path`/api/images/${kept.id}`));
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
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch {
    say('The camera cannot be used here.');
    return;
  }
  source = 'camera';
  const camera = $('#camera');
  camera.srcObject = stream;
  camera.hidden = false;
  pad.hidden = true;
  $('#pad-hint').hidden = true;
  $('#camera-toggle').textContent = 'Stop the camera';
  await camera.play();
  const tick = async () => {
    if (source !== 'camera') return;
    await send();
    requestAnimationFrame(tick);
  };
  tick();
});

// To the server and back. While an answer is on its way, only the newest picture waits.

const small = document.createElement('canvas');
const shrink = small.getContext('2d', { willReadFrequently: true });

function pixels() {
  const [from, side] = source === 'camera' ? [$('#camera'), CAMERA] : [pad, model.digits ? SENT : 280];
  small.width = side;
  small.height = side;
  if (source === 'camera') {
    const { videoWidth: width, videoHeight: height } = from;
    const least = Math.min(width, height);
    shrink.drawImage(from, (width - least) / 2, (height - least) / 2, least, least, 0, 0, side, side);
  } else shrink.drawImage(from, 0, 0, side, side);
  const { data } = shrink.getImageData(0, 0, side, side);
  const channels = model.digits && source === 'pad' ? 1 : 3;
  const raw = new Uint8Array(side * side * channels);
  for (let at = 0; at < side * side; at += 1) {
    for (let channel = 0; channel < channels; channel += 1) raw[at * channels + channel] = data[4 * at + channel];
  }
  return { raw, side, channels };
}

async function send() {
  if (model === null || model.input === null) return;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  const started = performance.now();
  const { raw, side, channels } = pixels();
  const asked = model.id;
  const answer = await attempt(() => ask(`${path`/api/models/${asked}/look`}?width=${side}&height=${side}&channels=${channels}`, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: raw }));
  if (answer && asked === model.id) {
    show(answer);
    const time = performance.now() - started;
    pad.dataset.milliseconds = time.toFixed(1);
    $('#speed').textContent = `${Math.round(time)} ms from the pen to here, ${answer.milliseconds.toFixed(1)} of them in the network`;
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
    const data = bytes(maps.data);
    let row = rows.get(maps.layer);
    if (!row) {
      row = makeRow(maps);
      rows.set(maps.layer, row);
      $('#layers').append(row.section);
    }
    if (maps.shape.length === 1 || maps.height * maps.width === 1) drawUnits(row, maps, data);
    else {
      const range = extent(maps);
      row.canvases.forEach((canvas, at) => drawMap(canvas, maps, data, at, range));
    }
  }
}

function makeRow(maps) {
  const flat = maps.shape.length === 1 || maps.height * maps.width === 1;
  const canvases = flat ? [el('canvas', { 'aria-hidden': 'true' })] : Array.from({ length: maps.channels }, () => el('canvas', { 'aria-hidden': 'true' }));
  const all = maps.shape[maps.shape.length - 1];
  const note = `${shape(maps.shape)}${!flat && maps.channels < all ? `, the first ${maps.channels}` : ''}`;
  const title = maps.layer === 'input' ? 'What the network is given' : maps.layer;
  const section = el('section', { 'aria-label': `${title}, ${note}` }, el('h3', { class: 'row-title' }, title, el('span', { class: 'fine' }, note)), el('div', { class: `row-maps${flat ? ' flat' : ''}${maps.layer === 'input' ? ' input' : ''}` }, ...canvases));
  return { section, canvases };
}

/** A vector as squares in rows. */
function drawUnits({ canvases: [canvas] }, maps, data) {
  const across = Math.min(64, data.length);
  const down = Math.ceil(data.length / across);
  canvas.width = across * 10;
  canvas.height = down * 10;
  const context = canvas.getContext('2d');
  const value = (at) => maps.low[0] + ((maps.high[0] - maps.low[0]) * data[at]) / 255;
  const most = Math.max(Math.abs(maps.low[0]), Math.abs(maps.high[0])) || 1;
  for (let at = 0; at < data.length; at += 1) {
    context.fillStyle = maps.low[0] < 0 ? signedColour(value(at) / most) : filmColour(value(at) / most);
    context.fillRect((at % across) * 10, Math.floor(at / across) * 10, 9, 9);
  }
  canvas.style.maxWidth = `${across * 14}px`;
}

function bars(probabilities) {
  const list = $('#bars');
  const order = [...probabilities.keys()];
  if (probabilities.length > 12) order.sort((a, b) => probabilities[b] - probabilities[a]).splice(8);
  if (list.children.length !== order.length) {
    list.replaceChildren(...order.map(() => el('li', {}, el('span', { class: 'name' }), el('span', { class: 'track' }, el('span', { class: 'fill' })), el('span', { class: 'value' }))));
  }
  list.classList.toggle('long', model.classes.some((name) => name.length > LONG));
  const best = probabilities.indexOf(Math.max(...probabilities));
  const blank = source === 'pad' && isEmpty();
  const read = blank || best < 0 ? [] : model.multilabel ? [...probabilities.keys()].filter((which) => probabilities[which] >= 0.5) : [best];
  order.forEach((which, at) => {
    const row = list.children[at];
    row.classList.toggle('best', read.includes(which));
    $('.name', row).textContent = model.classes[which];
    $('.fill', row).style.transform = `scaleX(${blank ? 0 : probabilities[which]})`;
    $('.value', row).textContent = blank ? '' : percent(probabilities[which]);
  });
  list.dataset.best = read.map((which) => model.classes[which]).join(', ');
  tell();
}

/** Says what is read, for those who hear the page; not before the pen is lifted. */
function tell() {
  const verdict = $('#bars').dataset.best ?? '';
  const spoken = verdict === '' ? '' : `It reads ${verdict}`;
  if (stroke === null && $('#verdict').textContent !== spoken) $('#verdict').textContent = spoken;
}

// A network that reads digits, when there is none.

$('#learn').addEventListener('click', async () => {
  $('#learn').disabled = true;
  const job = await attempt(() => post('/api/jobs', { kind: 'train', name: 'First digits', epochs: 4, batch_size: 128, learning_rate: 0.001 }));
  if (!job) {
    $('#learn').disabled = false;
    return;
  }
  $('#learn-track').hidden = false;
  follow(job.id, { change: async (now) => {
    $('#learn-track span').style.width = percent(now.progress.total ? now.progress.done / now.progress.total : 0);
    $('#draw-none-text').textContent = now.state === 'running' ? `It learns: ${now.progress.doing}` : 'It waits for its turn';
    if (!ended(now)) return;
    $('#learn').disabled = false;
    $('#learn-track').hidden = true;
    if (now.state === 'done') {
      clear();
      await choose(`job-${now.id}`);
      $('#draw-none').hidden = true;
    } else $('#draw-none-text').textContent = now.error ?? 'It was stopped.';
  } });
});

clear();
({ choose } = await frame(async (next) => {
  model = next;
  const usable = model.input !== null;
  const reads = model.digits;
  $('#draw-title').textContent = reads ? 'Draw a digit' : 'Show it a picture';
  $('#draw-lead').textContent = reads
    ? 'Every stroke goes through the network at once: the bars are its verdict, the maps what each layer sees.'
    : 'A photo, the camera, or a drawing: the maps are what each layer sees in it.';
  $('#draw-none').hidden = (reads && model.trained) || knownModels().some((known) => known.group === 'Runs' || known.group === 'Given');
  $('#draw').hidden = !usable;
  rows = new Map();
  $('#layers').replaceChildren();
  $('#bars').replaceChildren();
  $('#says-title').hidden = model.classes.length === 0;
  $('#pad-hint').textContent = reads ? 'Draw a digit' : 'Draw, or open a picture';
  if (!reads && source === 'pad' && isEmpty()) await showPicture('/api/images/cat?side=280');
  else if (reads && source === 'picture') clear();
  await send();
}));
