// The explain page: a picture, a class, and all methods side by side.

import { $, ask, attempt, el, number, path, percent, post, turns, view } from './core.js';
import { ended, follow } from './events.js';
import { frame } from './frame.js';
import { picker } from './picker.js';

let model = null;
let chosen = null;
let answers = [];
let current = null;
let stop = () => {};
const turn = turns();
const pictures = picker($('#picker'), () => predict());

frame(async (next) => {
  model = next;
  const none = model.classes.length === 0;
  $('#explain-none').hidden = !none;
  $('#explain-form').hidden = none;
  reset();
  await attempt(() => pictures.use(model));
  if (none) return;
  const methods = (await attempt(() => ask(path`/api/models/${model.id}/methods`))) ?? [];
  $('#methods').replaceChildren(...methods.map((method) => el('label', { class: 'check', title: method.description },
    el('input', { type: 'checkbox', name: 'method', value: method.name, checked: model.digits || !method.slow }), method.title,
    method.slow && !model.digits ? el('span', { class: 'fine' }, 'takes long') : null)));
  $('#class').replaceChildren(...model.classes.map((name, at) => el('option', { value: at }, name)));
  $('#class-label').hidden = model.classes.length <= 5;
  await predict();
});

/** The classes that the picture may be of, the likely ones to choose from at once. */
async function predict() {
  if (model.classes.length === 0) return;
  const last = turn();
  const found = await attempt(() => ask(`${path`/api/models/${model.id}/prediction`}?image=${encodeURIComponent(view.image)}`));
  if (!found || !last()) return;
  const order = [...found.probabilities.keys()].sort((a, b) => found.probabilities[b] - found.probabilities[a]).slice(0, 5);
  choose(order[0]);
  $('#classes').replaceChildren(...order.map((which) => {
    const fill = el('span', { class: 'fill' });
    fill.style.transform = `scaleX(${found.probabilities[which]})`;
    const input = el('input', { type: 'radio', name: 'class', value: which, checked: which === chosen, onchange: () => choose(which) });
    return el('label', { class: 'class' }, input, el('span', {}, model.classes[which]), el('span', { class: 'track' }, fill), el('span', { class: 'fine' }, percent(found.probabilities[which])));
  }));
  $('#class').value = order[0];
  reset();
}

function choose(which) {
  chosen = Number(which);
  $('#class').value = String(chosen);
}
$('#class').addEventListener('change', () => {
  chosen = Number($('#class').value);
  for (const radio of document.querySelectorAll('input[name="class"]')) radio.checked = Number(radio.value) === chosen;
});

function reset() {
  stop();
  [answers, current] = [[], null];
  $('#cards').replaceChildren();
  $('#answers-note').textContent = 'Nothing asked yet.';
  $('#explain-track').hidden = true;
  $('#stop').hidden = true;
  $('#go').disabled = false;
}

$('#explain-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const methods = [...document.querySelectorAll('input[name="method"]:checked')].map((box) => box.value);
  reset();
  const job = await attempt(() => post('/api/jobs', { kind: 'explain', model: model.id, image: view.image, class: chosen, methods }));
  if (!job) return;
  current = job.id;
  $('#go').disabled = true;
  $('#stop').hidden = false;
  const track = $('#explain-track');
  track.hidden = false;
  const name = model.classes[chosen];
  stop = follow(job.id, {
    news: (answer) => {
      answers.push(answer);
      show();
    },
    change: (now) => {
      $('span', track).style.width = percent(now.progress.total ? now.progress.done / now.progress.total : 0);
      $('#answers-note').textContent = now.state === 'queued' ? 'Waiting for its turn' : `What speaks for ${name}${ended(now) ? '' : `: ${now.progress.doing}`}`;
      if (!ended(now)) return;
      track.hidden = true;
      $('#stop').hidden = true;
      $('#go').disabled = false;
      if (now.state !== 'done') $('#answers-note').textContent = now.error ?? 'Stopped.';
    },
  });
});

$('#stop').addEventListener('click', () => attempt(() => post(path`/api/jobs/${current}/cancel`, {})));
$('#order').addEventListener('change', show);

function show() {
  const by = $('#order').value;
  const list = [...answers];
  if (by === 'insertion') list.sort((a, b) => (b.insertion ?? -1) - (a.insertion ?? -1));
  if (by === 'deletion') list.sort((a, b) => (a.deletion ?? 2) - (b.deletion ?? 2));
  const good = answers.filter((answer) => !answer.error);
  const best = { insertion: Math.max(...good.map((answer) => answer.insertion)), deletion: Math.min(...good.map((answer) => answer.deletion)) };
  $('#cards').replaceChildren(...list.map((answer) => {
    if (answer.error) return el('figure', { class: 'card' }, el('figcaption', {}, el('h3', {}, answer.title), el('p', { class: 'fine' }, answer.error)));
    const measure = (title, key) => el('div', { class: answer[key] === best[key] ? 'best' : '' }, el('dt', {}, title), el('dd', {}, number(answer[key])));
    return el('figure', { class: 'card' },
      el('img', { class: 'pixels', src: path`/api/jobs/${current}/files/${answer.picture}`, alt: `What speaks for the class by ${answer.title}` }),
      el('figcaption', {}, el('h3', {}, answer.title), el('dl', { class: 'measures' }, measure('Deletion', 'deletion'), measure('Insertion', 'insertion')),
        answer.remark ? el('p', { class: 'fine' }, answer.remark) : null));
  }));
}
