// The network page: the overview, or a graph, a layer, a filter.

import { $, ask, attempt, count, el, greatest, isNumberBelow, look, notFound, number, path, shape, stored, turns, view } from './core.js';
import { showBars } from './bars.js';
import { frame } from './frame.js';
import { graph } from './graph.js';
import { colorCell } from './grids.js';
import { ACROSS, areDeep, drawKernel } from './kernels.js';
import { SAYS } from './kinds.js';
import { overview } from './overview.js';
import { sharedScale } from './overview-maps.js';
import { picker } from './picker.js';
import { bytes, drawMap, extent, floats } from './pixels.js';
import { showFilter } from './filter.js';
import { unfolding } from './unfold.js';

const STEP = 64;
/** Number of strongest units that are listed for a vector. */
const NAMED = 8;
let [model, drawing, layer] = [null, null, null];
let [maps, data, shown] = [null, null, 0];
const [layerTurn, kernelTurn, mapTurn] = [turns(), turns(), turns()];
const inputs = picker($('#picker'), () => (isOverview() ? showImage() : showMaps()));
const lastView = stored('lucida-network-view');
const panel = unfolding({ closed: (card, channel) => board.focus(card, channel) });
const board = overview({ isUnfolded: panel.isOpen, unfold: (card, channel) => { look({ view: 'overview', layer: card.output, channel, unfold: 0, at: undefined }); panel.open(model, card, channel); } });

/** Shows another image in the overview, and in the operation that is unfolded. */
function showImage() {
  board.image();
  panel.again();
}

frame(async (next) => {
  [model, layer] = [next, null];
  [layerTurn, kernelTurn, mapTurn].forEach((turn) => turn());
  const [depth, boxes] = [model.layers.length, model.blocks.length];
  const grouped = boxes < depth ? ` in ${boxes} boxes` : '';
  const facts = `${model.network}: ${depth} layers${grouped}, ${count(model.parameters)} parameters${model.trained ? '' : ', not trained'}`;
  $('#ov-facts').textContent = facts;
  $('#graph-facts').textContent = facts;
  drawing = graph($('#graph'), model, showLayer);
  if (view.view !== undefined && !VIEWS.includes(view.view)) notFound('view', `There is no view “${view.view}”; the views are overview and layer.`);
  showViews();
  await attempt(() => inputs.use(model));
  if (model !== next) return;
  await fillView({ quietly: true });
});

// The views: the overview, or one layer.

const VIEWS = ['overview', 'layer'];
/** Whether the overview is shown: by the URL, unless it names a layer only, or as in the last visit. */
function isOverview() {
  if (VIEWS.includes(view.view)) return view.view === 'overview';
  return view.layer === undefined && lastView.get() !== 'layer';
}

/** Shows the view, still without its content. */
function showViews() {
  const isWhole = isOverview();
  $('#overview').hidden = !isWhole;
  for (const id of ['#ov-tools', '#ov-facts']) $(id).hidden = !isWhole;
  $('#one-layer').hidden = isWhole;
  $('#show-overview').setAttribute('aria-pressed', String(isWhole));
  $('#show-layer').setAttribute('aria-pressed', String(!isWhole));
  // Both views choose from the same images.
  const place = isWhole ? $('#ov-picker') : $('.layer-panel');
  if ($('#picker').parentElement !== place) place.prepend($('#picker'));
}

async function fillView(how = {}) {
  if (isOverview()) {
    board.show(model);
    const card = view.unfold === undefined ? null : board.cardOf(view.layer);
    if (card && isNumberBelow(view.channel ?? '', card.channels)) await panel.open(model, card, Number(view.channel), isNumberBelow(view.unfold, 9) ? Number(view.unfold) : 0, view.at?.split(',').map(Number));
    else panel.hide();
    return;
  }
  panel.hide();
  board.hide();
  $('#scale-shared').checked = sharedScale.get() === true;
  const first = model.layers.find(({ kind }) => kind === 'Conv2D') ?? model.layers[0];
  // A layer may have been chosen in the meantime.
  const known = model.layers.some(({ name }) => name === view.layer);
  if (!known) notFound('layer', `${model.name} has no layer “${view.layer}”; ${first.name} is shown.`);
  await showLayer(known ? view.layer : first.name, known ? view.channel : undefined, how);
}

for (const name of VIEWS) {
  $(`#show-${name}`).addEventListener('click', () => {
    lastView.set(name);
    look({ view: name, unfold: undefined, at: undefined });
    if (!model) return;
    showViews();
    fillView({ quietly: true });
  });
}

$('#scale-shared').addEventListener('change', () => { sharedScale.set($('#scale-shared').checked); drawAll(); });
$('#maps-more').addEventListener('click', () => attempt(() => loadMaps(shown)));

async function showLayer(name, channel, how = {}) {
  const current = layerTurn();
  look({ layer: name, channel }, how);
  drawing.select(name);
  const described = await attempt(() => ask(path`/api/models/${model.id}/layers/${name}`));
  if (!described || !current()) return;
  layer = described;
  const others = drawing.together(name);
  $('#layer-kind').textContent = layer.kind;
  $('#layer-name').textContent = layer.name;
  const says = $('#layer-says');
  says.replaceChildren(SAYS[layer.kind] ?? '');
  if (others.length > 1) {
    says.append(el('span', { class: 'chain', role: 'group', 'aria-label': 'Layers of this block' },
      ...others.map((other) => el('button', { 'aria-pressed': String(other === name), onclick: () => showLayer(other) }, other))));
  }
  const facts = [['Output', shape(layer.shape)], ['Parameters', count(layer.parameters)]];
  const { kernel_size: kernel, strides, padding, activation, pool_size: pool } = layer.config ?? {};
  if (kernel) facts.push(['Kernel', `${shape(kernel)}${strides && strides.some((step) => step > 1) ? `, stride ${shape(strides)}` : ''}`]);
  if (pool) facts.push(['Window', shape([].concat(pool))]);
  if (typeof padding === 'string') facts.push(['Padding', padding]);
  if (typeof activation === 'string' && activation !== 'linear') facts.push(['Activation', activation]);
  if (layer.field) {
    const { size, stride, layout: [rows, columns] } = layer.field;
    // A single position has no stride.
    const steps = rows * columns > 1 && stride?.some((step) => step > 1);
    facts.push(['Receptive field', size ? `${shape(size)} pixels${steps ? `, stride ${shape(stride)}` : ''}` : 'varies']);
  }
  $('#layer-facts').replaceChildren(...facts.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));
  showWeights();
  showKernels();
  await showMaps();
}

function showWeights() {
  $('#weights-block').hidden = layer.weights.length === 0;
  const head = el('tr', {}, ...['Weight', 'Shape', 'Mean', 'Std', 'Min', 'Max'].map((title) => el('th', { scope: 'col' }, title)));
  const row = (weight) => el('tr', {}, el('td', {}, weight.name.split('/').pop()), el('td', {}, shape(weight.shape)),
    ...[weight.mean, weight.deviation, weight.least, weight.most].map((value) => el('td', { class: 'number' }, number(value))));
  $('#weights').replaceChildren(el('thead', {}, head), el('tbody', {}, ...layer.weights.map(row)));
}

async function showKernels() {
  const current = kernelTurn();
  $('#kernels-block').hidden = !layer.kernels;
  if (!layer.kernels) return;
  const found = await attempt(() => ask(`${path`/api/models/${model.id}/layers/${layer.name}/kernels`}?count=${layer.config.filters > 64 ? 24 : 64}`));
  if (!found || !current()) return;
  const { rows, columns, channels, of_channels: all, filters, of_filters: total } = found;
  const values = floats(found.data);
  const deep = areDeep(found);
  const across = Math.min(channels, ACROSS);
  const place = $('#kernels');
  place.classList.toggle('deep', deep);
  $('#kernels-note').textContent = deep
    ? `${rows} × ${columns} over ${all} channels${across < all ? `, the first ${across} of them` : ''}; ${filters < total ? `${filters} of ${total}` : total} filters, one per row`
    : `${total} of ${rows} × ${columns}${all === 3 ? ', in color' : '; blue is negative, red positive'}`;
  place.replaceChildren(...Array.from({ length: filters }, (_, filter) => {
    const canvas = el('canvas', { role: 'img', 'aria-label': `Kernel of filter ${filter}` });
    drawKernel(canvas, found, values, filter);
    return el('figure', {}, deep ? el('figcaption', {}, String(filter)) : canvas, deep ? canvas : el('figcaption', {}, String(filter)));
  }));
}

async function showMaps() {
  if (layer === null || !view.image) return;
  $('#maps').replaceChildren();
  shown = 0;
  if (!(await attempt(() => loadMaps(0)))) return;
  const total = maps.shape[maps.shape.length - 1];
  if (view.channel !== undefined && isNumberBelow(view.channel, total)) {
    await openFilter(Number(view.channel));
    return;
  }
  const opens = maps.channels > 1 && matchMedia('(min-width: 75rem)').matches;
  notFound('channel', `${layer.name} has no ${isFlat() ? 'unit' : 'filter'} “${view.channel}”: they are 0 to ${total - 1}; ${opens ? 'the most active one' : 'none'} is shown.`);
  if (opens) await openFilter(strongest(), false);
  else {
    look({ channel: undefined }, { quietly: true });
    closeFilter();
  }
}

/** Whether the output of the layer is a vector. */
const isFlat = () => maps.height === 1 && maps.shape.length === 1;

async function loadMaps(first) {
  const current = mapTurn();
  const part = await ask(`${path`/api/models/${model.id}/layers/${layer.name}/maps`}?image=${encodeURIComponent(view.image)}&first=${first}&count=${STEP}`);
  if (!current()) return false;
  [maps, data] = [part, bytes(part.data)];
  const total = maps.shape[maps.shape.length - 1];
  const place = $('#maps');
  if (isFlat()) {
    const values = Array.from(floats(maps.values));
    const order = greatest(values, NAMED);
    const list = el('ol', { class: 'bars strongest-units', 'aria-label': 'Strongest units' });
    const [low, high] = [Math.min(0, ...values), Math.max(...values)];
    showBars(list, order.map((unit) => ({ name: nameOf(unit), value: high > low ? (values[unit] - low) / (high - low) : 0 })), (value) => number(low + value * (high - low)));
    place.replaceChildren(el('div', { class: 'vector' }, units(values), el('h4', {}, 'Strongest units'), list));
    $('#maps-note').textContent = `${count(total)} numbers from ${number(maps.low[0])} to ${number(maps.high[0])}`;
    $('#maps-more').hidden = true;
    return true;
  }
  const quiet = maps.high.filter((high, at) => high === maps.low[at]).length;
  $('#maps-note').textContent = `${count(total)} maps of ${layer.field ? `${layer.field.layout[0]} × ${layer.field.layout[1]}` : ''}${quiet ? `; ${quiet} constant` : ''}`;
  for (let at = 0; at < maps.channels; at += 1) {
    const channel = first + at;
    const canvas = el('canvas', { 'aria-hidden': 'true' });
    const dead = maps.high[at] === maps.low[at];
    const label = `Map ${channel}, from ${number(maps.low[at])} to ${number(maps.high[at])}`;
    const button = el('button', { class: `map${dead ? ' dead' : ''}`, 'data-channel': channel, 'aria-pressed': String(String(channel) === String(view.channel)), 'aria-label': label, title: label, onclick: () => openFilter(channel) }, canvas, el('span', {}, String(channel)));
    button.maps = { part: maps, data, at };
    place.append(button);
  }
  shown = first + maps.channels;
  $('#maps-more').hidden = shown >= total;
  drawAll();
  return true;
}

function drawAll() {
  const shared = $('#scale-shared').checked;
  const buttons = [...$('#maps').querySelectorAll('.map')];
  const extents = buttons.map((button) => extent(button.maps.part));
  const range = shared && buttons.length ? [Math.min(...extents.map(([low]) => low)), Math.max(...extents.map(([, high]) => high))] : null;
  for (const button of buttons) drawMap($('canvas', button), button.maps.part, button.maps.data, button.maps.at, range);
}

/** The values of a vector, as squares that can be selected. */
function units(values) {
  const most = Math.max(...values.map(Math.abs), 1e-9);
  const signed = values.some((value) => value < 0);
  return el('div', { class: 'units', role: 'group', 'aria-label': 'Units' }, ...values.map((value, unit) => {
    const square = el('button', { class: 'unit', 'data-channel': unit, 'aria-pressed': String(String(unit) === String(view.channel)), 'aria-label': `${nameOf(unit)}: ${number(value)}`, title: `${nameOf(unit)}: ${number(value)}`, onclick: () => openFilter(unit) }, String(unit));
    colorCell(square, value / most, !signed);
    return square;
  }));
}

/** The name of a unit: in the last layer of a classifier, its class. */
function nameOf(unit) {
  const isOutput = layer.name === model.layers[model.layers.length - 1].name && layer.shape[0] === model.classes.length;
  return isOutput ? model.classes[unit] : `Unit ${unit}`;
}

function closeFilter() {
  $('#filter-body').hidden = true;
  $('#filter-empty').hidden = false;
  inputs.mark(null);
}

/** The channel with the highest activation among the maps that were loaded last. */
const strongest = () => maps.first + maps.high.indexOf(Math.max(...maps.high));

/** Shows a filter; `begin` if the user chose it. */
async function openFilter(channel, begin = true) {
  look({ channel: begin ? channel : undefined }, { quietly: !begin });
  for (const map of document.querySelectorAll('#maps [data-channel]')) map.setAttribute('aria-pressed', String(begin && map.dataset.channel === String(channel)));
  await attempt(() => showFilter({ model, layer, channel, inputs, begin }));
}
