// One filter: its feature map, what it responds to in this image, what maximizes it, and its top activations.

import { $, ask, attempt, count, el, fillBar, look, notFound, number, partDone, path, percent, post, turns, view } from './core.js';
import { ended, ending, follow, queuedNote } from './events.js';
import { drawFloats, floats } from './pixels.js';
import { pageUrl } from './transport.js';

let following = [];
const turn = turns();

export async function showFilter({ model, layer, channel, inputs, begin }) {
  const last = turn();
  following.forEach((stop) => stop());
  following = [];
  const base = path`/api/models/${model.id}/layers/${layer.name}/channels/${channel}`;
  const image = `image=${encodeURIComponent(view.image)}`;
  const found = await ask(`${base}?${image}`);
  const current = () => last() && view.layer === layer.name;
  if (!current()) return;
  const isMap = found.height * found.width > 1;
  inputs.mark(found.field);
  const isClass = layer.shape.length === 1 && model.classes.length === layer.shape[0] && layer.name === model.layers[model.layers.length - 1].name;
  const body = $('#filter-body');
  const what = isClass ? `Class ${model.classes[channel]}` : isMap ? `Filter ${channel}` : `Unit ${channel}`;
  const head = el('header', { class: 'figure' }, el('p', { class: 'eyebrow' }, layer.name), el('h2', { class: 'display', id: 'filter-name' }, what),
    el('p', { class: 'fine' }, isMap ? `Range ${number(found.least)} to ${number(found.most)}; ${percent(found.active, 0)} of the pixels are active` : `Activation ${number(found.most)}`));
  const parts = [head];
  if (isMap) parts.push(mapFigure(layer, found, inputs));
  const projected = el('div', { class: 'figure' }, el('h3', {}, 'Deconvnet projection'));
  const dreamed = el('div', { class: 'figure' }, el('h3', {}, 'Activation maximization'));
  const examples = el('div', { class: 'figure' }, el('h3', {}, 'Top activations'));
  parts.push(projected, dreamed, examples);
  if (layer.kind === 'Conv2D') {
    const address = () => pageUrl('/mechanics', { model: model.id, image: view.image, layer: layer.name, channel, at: view.at ?? found.strongest.join(',') });
    parts.push(el('p', {}, el('a', { href: address(), onclick: (event) => { event.currentTarget.href = address(); } }, 'Show the convolution step by step')));
  }
  body.replaceChildren(...parts);
  body.hidden = false;
  $('#filter-empty').hidden = true;

  if (layer.kind === 'Input') {
    [projected, dreamed, examples].forEach((part) => part.remove());
    return;
  }
  attempt(async () => {
    const answer = await ask(`${base}/deconv?${image}`);
    if (!current()) return;
    projected.append(el('div', { class: 'pair' }, figure(answer.patch, 'The receptive field in the image'), figure(answer.projection, 'The activation projected back to the pixels')),
      el('p', { class: 'fine' }, answer.activation > 0 ? 'The strongest activation: its receptive field, and its projection back to the pixels.' : 'Not active for this image.'));
  });
  if (!model.trained) {
    dreamed.append(el('p', { class: 'fine' }, 'This model is not trained: its filters have random weights.'));
    examples.remove();
    return;
  }
  // Jobs start on request only, except for the small networks of digits, where they are fast.
  const start = begin && model.digits ? (place, title, ...job) => work(place, ...job) : offer;
  start(dreamed, 'Maximize the activation', { kind: 'maximize', model: model.id, layer: layer.name, channel }, current, (done) =>
    [el('img', { class: 'pixels', src: path`/api/jobs/${done.id}/files/picture.png`, alt: `The input that maximizes ${what} of ${layer.name}` }),
      el('p', { class: 'fine' }, 'The image with the highest activation found by gradient ascent on the input.')]);
  start(examples, 'Find top activations', { kind: 'examples', model: model.id, layer: layer.name, channel }, current, (done) => {
    const { examples: list, images, skipped = 0, title } = done.result;
    const broken = skipped ? ` ${count(skipped)} ${skipped === 1 ? 'image' : 'images'} could not be read.` : '';
    if (list.length === 0) return [el('p', { class: 'fine' }, `None of ${count(images)} images activates it: a dead filter.${broken}`)];
    return [el('div', { class: 'examples' }, ...list.map((example) => {
      const name = `${example.title ?? example.image}, activation ${number(example.activation)}`;
      return el('button', { 'aria-label': `Open ${name}`, title: name, onclick: () => inputs.choose(example.image) },
        el('img', { class: 'pixels', src: path`/api/jobs/${done.id}/files/${example.patch}`, alt: '' }),
        el('img', { class: 'pixels', src: path`/api/jobs/${done.id}/files/${example.projection}`, alt: '' }));
    })), el('p', { class: 'fine' }, `The strongest activations in ${count(images)} of ${title}, each above its projection.${broken}`)];
  });
}

function figure(address, alt) {
  return el('img', { class: 'pixels', src: address, alt });
}

/** The full feature map; for the pixel under the pointer, its value and receptive field. */
function mapFigure(layer, found, inputs) {
  const values = floats(found.data);
  const canvas = el('canvas', { role: 'img', tabindex: '0', 'aria-label': `Map ${found.channel}: strongest at row ${found.strongest[0]}, column ${found.strongest[1]}. Arrow keys move over it.` });
  drawFloats(canvas, values, found.width, found.height);
  const strongest = `Strongest at row ${found.strongest[0]}, column ${found.strongest[1]}`;
  const note = el('p', { class: 'fine', 'aria-live': 'polite' }, strongest);
  const given = String(view.at ?? '').split(',').map(Number);
  const inMap = given.length === 2 && given[0] >= 0 && given[0] < found.height && given[1] >= 0 && given[1] < found.width;
  if (view.at !== undefined && !inMap) notFound('at', `This map has no pixel “${view.at}”: rows are 0 to ${found.height - 1}, columns 0 to ${found.width - 1}.`);
  let at = inMap ? given : [...found.strongest];
  const { size, stride, start } = layer.field ?? {};
  const show = () => {
    note.textContent = `Row ${at[0]}, column ${at[1]}: ${number(values[at[0] * found.width + at[1]])}`;
    if (size && stride && start) inputs.mark(inside({ top: start[0] + at[0] * stride[0], left: start[1] + at[1] * stride[1], height: size[0], width: size[1] }));
  };
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const part = (value, length, of) => Math.max(0, Math.min(of - 1, Math.floor((value / length) * of)));
    at = [part(event.clientY - box.top, box.height, found.height), part(event.clientX - box.left, box.width, found.width)];
    show();
  });
  canvas.addEventListener('pointerleave', () => { note.textContent = strongest; inputs.mark(found.field); });
  canvas.addEventListener('click', () => look({ at: at.join(',') }));
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    at = [Math.max(0, Math.min(found.height - 1, at[0] + step[0])), Math.max(0, Math.min(found.width - 1, at[1] + step[1]))];
    show();
  });
  if (inMap) show();
  return el('div', { class: 'figure' }, canvas, note);
}

/** Clips a field to the image at the top and left. */
function inside({ top, left, height, width }) {
  return { top: Math.max(0, top), left: Math.max(0, left), height: height + Math.min(0, top), width: width + Math.min(0, left) };
}

/** Adds a button that starts a job. */
function offer(place, title, ...job) {
  const button = el('button', { onclick: () => { button.remove(); work(place, ...job); } }, title);
  place.append(button);
}

/** Starts a job, and shows its progress and then its result in `place`. */
async function work(place, request, current, result) {
  const fill = el('span');
  const text = el('span', {}, 'Waiting');
  const wait = el('div', { class: 'wait' }, text, el('div', { class: 'bar-track' }, fill));
  place.append(wait);
  try {
    const started = await post('/api/jobs', request);
    if (!current()) return;
    following.push(follow(started.id, { change: (job) => {
      if (!current()) return;
      if (!ended(job)) {
        text.textContent = job.state === 'queued' ? queuedNote(job) : 'Computing';
        fillBar(fill, partDone(job));
      } else if (job.state === 'done') wait.replaceWith(...result(job));
      else wait.replaceChildren(ending(job), el('button', { onclick: () => { wait.remove(); work(place, request, current, result); } }, 'Start again'));
    } }));
  } catch (error) {
    wait.replaceWith(el('p', { class: 'fine' }, error.message));
  }
}
