// The mechanics page: a convolution and its backward pass, step by step.

import { $, ask, attempt, count, el, isNumberBelow, look, notFound, number, numberField, parsed, path, percent, post, stored, turns, view } from './core.js';
import { frame } from './frame.js';
import { colorCell, mark } from './grids.js';
import { picker } from './picker.js';
import { drawFloats, drawSigned } from './pixels.js';
import { steps } from './steps.js';

let model = null;
let answer = null;
let step = 0;
/** The step that the URL names, until it is shown. */
let named = null;
let playing = null;
let changes = new Map();
let question = { filter: 0, channel: 0, position: null, place: null };
/** The input channel, the chosen weight and the changed ones, restored when this page is opened again. */
const kept = stored('lucida-mechanics', sessionStorage);
const [turn, layerTurn] = [turns(), turns()];
const inputs = picker($('#picker'), () => compute());

frame(async (next) => {
  model = next;
  const layers = model.layers.filter(({ kind }) => kind === 'Conv2D');
  $('#mech-none').hidden = layers.length > 0;
  $('#stage').hidden = layers.length === 0;
  await attempt(() => inputs.use(model));
  if (layers.length === 0) return;
  $('#layer').replaceChildren(...layers.map(({ name }) => el('option', {}, name)));
  const known = layers.some(({ name }) => name === view.layer);
  const shown = known ? view.layer : layers[0].name;
  $('#layer').value = shown;
  if (!known) notFound('layer', `${model.name} has no convolution “${view.layer}”; ${shown} is shown.`);
  const [, , filters] = layers.find(({ name }) => name === shown).shape;
  const isFilter = known && view.channel !== undefined && isNumberBelow(view.channel, filters);
  if (known && !isFilter) notFound('channel', `${shown} has no filter “${view.channel}”: they are 0 to ${filters - 1}; the most active one is shown.`);
  const filter = isFilter ? Number(view.channel) : null;
  const at = isFilter ? view.at?.split(',').map(Number) : null;
  named = view.step ?? null;
  await attempt(() => useLayer(filter, at, { quietly: true }));
});

$('#layer').addEventListener('change', () => attempt(() => useLayer(null, null)));
$('#filter-select').addEventListener('change', () => attempt(() => useLayer(Number($('#filter-select').value), null)));
$('#channel').addEventListener('change', () => { question.channel = Number($('#channel').value); compute(); });

/** The filter and layer that the stored values belong to. */
const key = () => JSON.stringify([model.id, $('#layer').value, question.filter]);
function keep() {
  kept.set({ key: key(), channel: question.channel, place: question.place, changes: [...changes] });
}

/** Shows a filter, by default the most active one, at a position, by default that of its highest activation. */
async function useLayer(wanted, position, how = {}) {
  const last = layerTurn();
  const base = path`/api/models/${model.id}/layers/${$('#layer').value}`;
  const image = `image=${encodeURIComponent(view.image)}`;
  let filter = wanted;
  if (filter === null) {
    const { high } = await ask(`${base}/maps?${image}&first=0&count=64`);
    filter = high.indexOf(Math.max(...high));
  }
  const layer = model.layers.find(({ name }) => name === $('#layer').value);
  const [height, width, filters] = layer.shape;
  const isPlace = (at) => at?.length === 2 && at.every((value, axis) => Number.isInteger(value) && value >= 0 && value < [height, width][axis]);
  if (position && !isPlace(position)) notFound('at', `This map has no pixel “${view.at}”: rows are 0 to ${height - 1}, columns 0 to ${width - 1}; the strongest pixel is shown.`);
  const { strongest } = isPlace(position) ? { strongest: position } : await ask(`${base}/channels/${filter}?${image}`).catch(() => ({ strongest: null }));
  if (!last()) return;
  changes = new Map();
  const ok = isPlace(strongest);
  question = { filter: Math.min(filter, filters - 1), channel: 0, position: ok ? strongest : [Math.floor(height / 2), Math.floor(width / 2)], place: [0, 0] };
  $('#filter-select').replaceChildren(...Array.from({ length: filters }, (_, at) => el('option', { value: at }, String(at))));
  $('#filter-select').value = String(question.filter);
  $('#channel').replaceChildren();
  const before = kept.get();
  if (before?.key === key()) {
    [question.channel, question.place] = [before.channel, before.place];
    changes = new Map(before.changes);
  }
  await compute(how);
}

async function compute(how = {}) {
  const layer = $('#layer').value;
  look({ layer, channel: question.filter, at: question.position.join(',') }, how);
  keep();
  const last = turn();
  const found = await attempt(() => post(path`/api/models/${model.id}/mechanics`, { image: view.image, layer, ...question, changes: [...changes.values()] }));
  if (!found || !last()) return;
  answer = { ...found, ...question };
  const channels = answer.kernel_shape[2];
  const select = $('#channel');
  if (select.children.length !== channels) select.replaceChildren(...Array.from({ length: channels }, (_, at) => el('option', { value: at }, String(at))));
  select.value = String(question.channel);
  select.disabled = channels === 1;
  drawMaps();
  showVerdict();
  show();
}

function drawMaps() {
  const [inputHeight, inputWidth] = answer.input_size;
  const [height, width] = answer.output_size;
  drawFloats($('#input-map'), answer.input, inputWidth, inputHeight);
  drawFloats($('#output-map'), answer.map, width, height);
  const [rows, columns] = answer.kernel_shape;
  mark($('#input-mark'), answer.corner, [rows, columns], answer.input_size);
  mark($('#output-mark'), answer.position, [1, 1], answer.output_size);
  $('#input-caption').textContent = `Input channel ${question.channel}: the patch`;
  $('#output-caption').textContent = `Output, row ${answer.position[0]}, column ${answer.position[1]}: choose a pixel`;
}

function showVerdict() {
  const { back } = answer;
  if (!back) {
    $('#mech-verdict').textContent = '';
    return;
  }
  const [now, before] = [back.probabilities[back.class], back.probabilities_before[back.class]];
  const best = back.probabilities.indexOf(Math.max(...back.probabilities));
  $('#mech-verdict').textContent = changes.size === 0
    ? `Prediction: ${model.classes[best]}, ${percent(back.probabilities[best])}.`
    : `Prediction with ${changes.size === 1 ? 'the changed weight' : `${changes.size} changed weights`}: ${model.classes[best]}, ${percent(back.probabilities[best])}; ${model.classes[back.class]} went from ${percent(before)} to ${percent(now)}.`;
}

/** Time in milliseconds within which moves with the arrow keys belong together. */
const PAUSE = 1000;
let moved = -PAUSE;
const output = $('#output-map');
output.addEventListener('click', (event) => {
  const box = output.getBoundingClientRect();
  const [height, width] = answer.output_size;
  const part = (value, length, of) => Math.max(0, Math.min(of - 1, Math.floor((value / length) * of)));
  question.position = [part(event.clientY - box.top, box.height, height), part(event.clientX - box.left, box.width, width)];
  compute();
});
output.addEventListener('keydown', (event) => {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!move || !answer) return;
  event.preventDefault();
  question.position = question.position.map((value, axis) => Math.max(0, Math.min(answer.output_size[axis] - 1, value + move[axis])));
  // Moves that belong together are one history entry.
  compute({ quietly: performance.now() - moved < PAUSE });
  moved = performance.now();
});

// The steps.

/** The name of a step in URLs. */
const inUrl = ({ name }) => name.toLowerCase().replace(' ', '-');

function show() {
  const list = steps(answer);
  step = Math.min(step, list.length - 1);
  if (named !== null) {
    const at = list.findIndex((one) => inUrl(one) === named);
    if (at === -1) notFound('step', `There is no step “${named}”; ${list[step].name} is shown.`);
    else step = at;
    named = null;
  }
  const now = list[step];
  look({ step: inUrl(now) }, { quietly: true });
  $('#steps').replaceChildren(...list.map(({ name }, at) => el('li', {}, el('button', { 'aria-current': at === step ? 'step' : null, onclick: () => go(at) }, name))));
  $('#step-number').textContent = `Step ${step + 1} of ${list.length}`;
  $('#step-title').textContent = now.title;
  $('#step-text').textContent = now.text;
  $('#grids').replaceChildren(...now.grids.map(grid));
  // Cells of all grids have the same size, so that positions can be compared.
  $('#grids').style.setProperty('--digits', Math.max(...[...$('#grids').querySelectorAll('.numbers')].map(({ dataset }) => dataset.digits)));
  $('#equation').replaceChildren(...(now.equation ?? []).map((line) => el('p', {}, line)));
  $('#equation').hidden = !now.equation;
  $('#terms').replaceChildren(...(now.sums ? [channelSums()] : []), ...(now.terms?.rows.length ? [termTable(now.terms)] : []));
  $('#back-step').disabled = step === 0;
  $('#next-step').disabled = step === list.length - 1;
}

function go(to) {
  step = to;
  show();
}
$('#back-step').addEventListener('click', () => { pause(); go(step - 1); });
$('#next-step').addEventListener('click', () => { pause(); go(step + 1); });
$('#play').addEventListener('click', () => {
  if (playing !== null) {
    pause();
    return;
  }
  const last = steps(answer).length - 1;
  if (step === last) go(0);
  $('#play').textContent = 'Pause';
  playing = setInterval(() => { if (step < last) go(step + 1); if (step === last) pause(); }, 2200);
});

function pause() {
  clearInterval(playing);
  playing = null;
  $('#play').textContent = 'Play';
}

/** A grid of numbers, colored by value. Weights can be edited, and positions of the gradients can be selected. */
function grid(kind) {
  const [rows, columns] = answer.kernel_shape;
  const { back } = answer;
  const of = {
    patch: ['X', 'Input patch', answer.patch],
    kernel: ['K', 'Kernel', answer.kernel],
    products: ['X · K', 'Products', answer.products],
    kernelGradient: ['dL/dK', 'Gradient of the kernel', back?.kernel],
    patchGradient: ['dL/dX', 'Gradient of the patch', back?.patch],
  };
  if (kind === 'gradient') {
    const canvas = el('canvas', { role: 'img', 'aria-label': 'The gradient of the whole map: red raises the loss, blue lowers it' });
    drawSigned(canvas, back.map, answer.output_size[1], answer.output_size[0]);
    return el('figure', { class: 'grid-figure wide' }, el('figcaption', {}, el('b', {}, 'dL/dO'), 'Gradient of the whole map: red raises the loss, blue lowers it'), canvas);
  }
  const [symbol, title, values] = of[kind];
  const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
  const gray = kind === 'patch' && values.every((value) => value >= 0);
  const follows = kind.endsWith('Gradient');
  const table = el('div', { class: 'numbers', role: 'group', 'aria-label': `${title}, ${rows} by ${columns}` });
  const texts = values.map((value) => (kind === 'kernel' ? String(Number(value.toPrecision(3))) : number(value, 2)));
  table.style.setProperty('--columns', columns);
  table.dataset.digits = Math.max(...texts.map((text) => text.length));
  values.forEach((value, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const name = `${title}, row ${row}, column ${column}`;
    const chosen = follows && row === question.place[0] && column === question.place[1];
    const key = `${row},${column},${question.channel}`;
    let cell;
    if (kind === 'kernel') {
      cell = numberField(texts[at], { class: `cell${changes.has(key) ? ' changed' : ''}`, 'aria-label': name, 'aria-describedby': 'weight-problem', onchange: ({ target }) => change(row, column, target) });
    } else if (follows) {
      cell = el('button', { class: 'cell', 'aria-label': `${name}: ${texts[at]}`, 'aria-pressed': String(chosen), 'data-key': name, onclick: () => { question.place = [row, column]; compute(); } }, texts[at]);
    } else cell = el('span', { class: 'cell' }, texts[at]);
    colorCell(cell, value / most, gray);
    table.append(cell);
  });
  const problem = kind === 'kernel' ? el('p', { class: 'problem', role: 'alert', id: 'weight-problem' }) : null;
  const tools = kind === 'kernel' && changes.size > 0 ? el('button', { class: 'quiet', onclick: () => { changes = new Map(); compute(); } }, 'Reset weights') : null;
  return el('figure', { class: 'grid-figure' }, el('figcaption', {}, el('b', {}, symbol), title), el('div', { class: 'scroll-x' }, table), problem, tools);
}

/** Maximum of a weight: the largest 32-bit float. */
const GREATEST = 3.4028234e38;

function change(row, column, field) {
  const value = parsed(field.value);
  // False for NaN, which is text that is not a number.
  const isWeight = Math.abs(value) <= GREATEST;
  field.setAttribute('aria-invalid', String(!isWeight));
  $('#weight-problem').textContent = isWeight ? '' : `Row ${row}, column ${column}: a weight is a number from −3.4e38 to 3.4e38.`;
  if (!isWeight) return;
  changes.set(`${row},${column},${question.channel}`, { row, column, channel: question.channel, value });
  compute();
}

/** Sum of each input channel, as bars. */
function channelSums() {
  const most = Math.max(...answer.channel_sums.map(Math.abs)) || 1;
  return el('figure', { class: 'sums' }, el('figcaption', { class: 'fine' }, 'Sum of each input channel'), el('div', { class: 'sum-bars' }, ...answer.channel_sums.map((sum, channel) => {
    const bar = el('button', { class: 'sum-bar', 'aria-label': `Input channel ${channel}: ${number(sum)}`, title: `Input channel ${channel}: ${number(sum)}`, 'aria-pressed': String(channel === question.channel), onclick: () => { question.channel = channel; compute(); } }, el('span', { class: sum < 0 ? 'down' : 'up' }));
    bar.firstChild.style.transform = `scaleY(${Math.abs(sum) / most})`;
    return bar;
  })));
}

function termTable({ head, rows, of }) {
  return el('div', { class: 'scroll-x', tabindex: '0', role: 'group', 'aria-label': 'Terms of the sum' },
    el('table', {}, el('caption', { class: 'fine' }, of > rows.length ? `The ${rows.length} largest of ${count(of)} terms` : `All ${count(of)} terms`),
      el('thead', {}, el('tr', {}, ...head.map((title) => el('th', { scope: 'col' }, title)))),
      el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell) => el('td', { class: 'number' }, cell)))))));
}
