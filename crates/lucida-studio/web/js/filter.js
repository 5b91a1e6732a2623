// One filter: its map of the picture at hand, what it sees there, what it looks for, and where that is found.

import { $, ask, attempt, el, look, number, path, percent, post, turns, view } from './core.js';
import { ended, follow } from './events.js';
import { drawFloats, floats } from './pixels.js';

let following = [];
const turn = turns();

export async function showFilter({ model, layer, channel, pictures, begin }) {
  const last = turn();
  following.forEach((stop) => stop());
  following = [];
  const base = path`/api/models/${model.id}/layers/${layer.name}/channels/${channel}`;
  const image = `image=${encodeURIComponent(view.image)}`;
  const found = await ask(`${base}?${image}`);
  const current = () => last() && view.layer === layer.name;
  if (!current()) return;
  const isMap = found.height * found.width > 1;
  const isClass = layer.shape.length === 1 && model.classes.length === layer.shape[0] && layer.name === model.layers[model.layers.length - 1].name;
  const body = $('#filter-body');
  const what = isClass ? `Class ${model.classes[channel]}` : isMap ? `Filter ${channel}` : `Unit ${channel}`;
  const head = el('header', { class: 'figure' }, el('p', { class: 'eyebrow' }, layer.name), el('h2', { class: 'display', id: 'filter-name' }, what),
    el('p', { class: 'fine' }, isMap ? `From ${number(found.least)} to ${number(found.most)}; ${percent(found.active, 0)} of the places answer` : `Its value is ${number(found.most)}`));
  const parts = [head];
  if (isMap) parts.push(mapFigure(layer, found, pictures));
  const projected = el('div', { class: 'figure' }, el('h3', {}, 'What excites it here'));
  const dreamed = el('div', { class: 'figure' }, el('h3', {}, 'What would excite it most'));
  const examples = el('div', { class: 'figure' }, el('h3', {}, 'Where it is found'));
  parts.push(projected, dreamed, examples);
  if (layer.kind === 'Conv2D') {
    const place = found.strongest.join(',');
    parts.push(el('p', {}, el('a', { href: `/mechanics?model=${model.id}&image=${view.image}&layer=${layer.name}&channel=${channel}&at=${place}` }, 'Take one of its numbers apart')));
  }
  body.replaceChildren(...parts);
  body.hidden = false;
  $('#filter-empty').hidden = true;
  pictures.mark(found.field);

  if (layer.kind === 'Input') {
    [projected, dreamed, examples].forEach((part) => part.remove());
    return;
  }
  attempt(async () => {
    const answer = await ask(`${base}/deconv?${image}`);
    if (!current()) return;
    projected.append(el('div', { class: 'pair' }, picture(answer.patch, 'The part of the picture it sees'), picture(answer.projection, 'What of it excites the filter, projected back')),
      el('p', { class: 'fine' }, answer.activation > 0 ? 'Its strongest place: the picture there, and its answer projected back to the pixels.' : 'It has no answer to this picture.'));
  });
  if (!model.trained) {
    dreamed.append(el('p', { class: 'fine' }, 'This network is not trained: its filters look for nothing yet.'));
    examples.remove();
    return;
  }
  const start = begin ? (place, title, ...job) => work(place, ...job) : offer;
  start(dreamed, 'Make this picture', { kind: 'maximize', model: model.id, layer: layer.name, channel }, current, (done) =>
    [el('img', { class: 'pixels', src: path`/api/jobs/${done.id}/files/picture.png`, alt: `The picture that excites ${what} of ${layer.name} most` }),
      el('p', { class: 'fine' }, 'Made by climbing: this picture excites it more than any other found.')]);
  start(examples, 'Search the pictures', { kind: 'examples', model: model.id, layer: layer.name, channel }, current, (done) => {
    const { examples: list, images, title } = done.result;
    if (list.length === 0) return [el('p', { class: 'fine' }, `None of ${images} pictures excites it: a dead filter.`)];
    return [el('div', { class: 'examples' }, ...list.map((example) => {
      const name = `${example.label === null ? example.image : example.label}, ${number(example.activation)}`;
      return el('button', { 'aria-label': `Look at ${name}`, title: name, onclick: () => pictures.choose(example.image) },
        el('img', { class: 'pixels', src: path`/api/jobs/${done.id}/files/${example.patch}`, alt: '' }),
        el('img', { class: 'pixels', src: path`/api/jobs/${done.id}/files/${example.projection}`, alt: '' }));
    })), el('p', { class: 'fine' }, `Its strongest answers in ${images} of ${title}, each over its projection.`)];
  });
}

function picture(address, alt) {
  return el('img', { class: 'pixels', src: address, alt });
}

/** The map in full; under the pointer, what each number sees. */
function mapFigure(layer, found, pictures) {
  const values = floats(found.data);
  const canvas = el('canvas', { role: 'img', tabindex: '0', 'aria-label': `Map ${found.channel}: strongest at row ${found.strongest[0]}, column ${found.strongest[1]}. Arrow keys move over it.` });
  drawFloats(canvas, values, found.width, found.height);
  const strongest = `Strongest at row ${found.strongest[0]}, column ${found.strongest[1]}`;
  const note = el('p', { class: 'fine', 'aria-live': 'polite' }, strongest);
  let at = [...found.strongest];
  const { size, stride, start } = layer.field ?? {};
  const show = () => {
    note.textContent = `Row ${at[0]}, column ${at[1]}: ${number(values[at[0] * found.width + at[1]])}`;
    if (size && stride && start) pictures.mark(inside({ top: start[0] + at[0] * stride[0], left: start[1] + at[1] * stride[1], height: size[0], width: size[1] }));
  };
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const part = (value, length, of) => Math.max(0, Math.min(of - 1, Math.floor((value / length) * of)));
    at = [part(event.clientY - box.top, box.height, found.height), part(event.clientX - box.left, box.width, found.width)];
    show();
  });
  canvas.addEventListener('pointerleave', () => { note.textContent = strongest; pictures.mark(found.field); });
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    at = [Math.max(0, Math.min(found.height - 1, at[0] + step[0])), Math.max(0, Math.min(found.width - 1, at[1] + step[1]))];
    show();
  });
  return el('div', { class: 'figure' }, canvas, note);
}

/** A field without the padding before the picture. */
function inside({ top, left, height, width }) {
  return { top: Math.max(0, top), left: Math.max(0, left), height: height + Math.min(0, top), width: width + Math.min(0, left) };
}

/** A job that is begun by a button. */
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
        text.textContent = job.state === 'queued' ? 'Waiting for its turn' : 'Looking';
        fill.style.width = percent(job.progress.total ? job.progress.done / job.progress.total : 0);
      } else if (job.state === 'done') wait.replaceWith(...result(job));
      else text.textContent = job.error ?? `This was ${job.state}.`;
    } }));
  } catch (error) {
    wait.replaceWith(el('p', { class: 'fine' }, error.message));
  }
}
