// The explain page: an image, a class, and all methods side by side.

import { $, ask, attempt, el, fillBar, greatest, look, notFound, number, partDone, path, percent, post, stored, turns, view } from './core.js';
import { ended, ending, follow, queuedNote } from './events.js';
import { frame } from './frame.js';
import { picker } from './picker.js';

let model = null;
let chosen = null;
let answers = [];
let current = null;
let stop = () => {};
const turn = turns();
const inputs = picker($('#picker'), () => predict());
/** The methods that were chosen last, separately for digits and for photos, which take longer. */
const chosenMethods = () => stored(`lucida-methods${model.digits ? '-digits' : ''}`);

frame(async (next) => {
  model = next;
  const none = model.classes.length === 0;
  $('#explain-none').hidden = !none;
  $('#explain-form').hidden = none;
  $('.explain-maps').hidden = none;
  reset();
  await attempt(() => inputs.use(model));
  if (none) return;
  const methods = (await attempt(() => ask(path`/api/models/${model.id}/methods`))) ?? [];
  const before = chosenMethods().get();
  $('#methods').replaceChildren(...methods.map((method) => el('label', { class: 'check', title: method.description },
    el('input', { type: 'checkbox', name: 'method', value: method.name, checked: before ? before.includes(method.name) : model.digits || !method.slow }), method.title,
    method.slow && !model.digits ? el('span', { class: 'fine' }, 'slow') : null)));
  $('#class').replaceChildren(...model.classes.map((name, at) => el('option', { value: at }, name)));
  $('#class-label').hidden = model.classes.length <= 5;
  await predict();
});

$('#methods').addEventListener('change', () => chosenMethods().set(checked()));
const checked = () => [...document.querySelectorAll('input[name="method"]:checked')].map((box) => box.value);

/** Shows the most probable classes to choose from, and the maps of the job in the URL. */
async function predict() {
  if (model.classes.length === 0) return;
  const last = turn();
  const found = await attempt(() => ask(`${path`/api/models/${model.id}/prediction`}?image=${encodeURIComponent(view.image)}`));
  if (!found || !last()) return;
  const order = greatest(found.probabilities, 5);
  choose(order[0]);
  $('#classes').replaceChildren(...order.map((which) => {
    const fill = el('span', { class: 'fill' });
    fill.style.transform = `scaleX(${found.probabilities[which]})`;
    const input = el('input', { type: 'radio', name: 'class', value: which, checked: which === chosen, onchange: () => explainAnother(which) });
    return el('label', { class: 'class' }, input, el('span', {}, model.classes[which]), el('span', { class: 'track' }, fill), el('span', { class: 'fine' }, percent(found.probabilities[which])));
  }));
  showTruth(model.classes[order[0]]);
  reset();
  if (view.job === undefined) return;
  const job = await ask(path`/api/jobs/${view.job}`).catch(() => null);
  if (!last()) return;
  const { request } = job ?? {};
  if (job?.kind !== 'explain' || request.model !== model.id || request.image !== view.image) {
    notFound('job', job?.kind === 'explain' ? `Job ${view.job} explains another image or model; no maps are shown.` : `There is no explanation “${view.job}”; no maps are shown.`);
    look({ job: undefined }, { quietly: true });
    return;
  }
  choose(request.class ?? order[0]);
  for (const box of document.querySelectorAll('input[name="method"]')) box.checked = request.methods.includes(box.value);
  watch(job.id);
}

/** Shows the true class of an image of a data set, next to the prediction. */
function showTruth(predicted) {
  const truth = inputs.truth();
  $('#truth').hidden = truth === null;
  const note = !model.classes.includes(truth) ? 'the network has no class of this name' : predicted === truth ? 'predicted correctly' : `predicted as ${predicted}`;
  $('#truth').textContent = `True class: ${truth} (${note})`;
}

function choose(which) {
  chosen = Number(which);
  $('#class').value = String(chosen);
  for (const radio of document.querySelectorAll('input[name="class"]')) radio.checked = Number(radio.value) === chosen;
}
$('#class').addEventListener('change', () => explainAnother($('#class').value));

/** Chooses another class, and removes the maps of the previous one. */
function explainAnother(which) {
  choose(which);
  if (current === null) return;
  reset();
  look({ job: undefined });
}

function reset() {
  stop();
  [answers, current] = [[], null];
  $('#cards').replaceChildren();
  $('#answers-note').textContent = 'Not computed yet.';
  $('#explain-track').hidden = true;
  $('#stop').hidden = true;
  $('#go').disabled = false;
}

$('#explain-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  reset();
  const job = await attempt(() => post('/api/jobs', { kind: 'explain', model: model.id, image: view.image, class: chosen, methods: checked() }));
  if (!job) return;
  look({ job: job.id });
  watch(job.id);
});

/** Follows a job, and shows its maps as they arrive. */
function watch(id) {
  current = id;
  $('#go').disabled = true;
  $('#stop').hidden = false;
  const track = $('#explain-track');
  track.hidden = false;
  const name = model.classes[chosen];
  stop = follow(id, {
    news: (answer) => {
      answers.push(answer);
      show();
    },
    change: (now) => {
      fillBar($('span', track), partDone(now));
      $('#answers-note').textContent = now.state === 'queued' ? queuedNote(now) : `Evidence for ${name}${ended(now) ? '' : `: ${now.progress.doing}`}`;
      if (!ended(now)) return;
      track.hidden = true;
      $('#stop').hidden = true;
      $('#go').disabled = false;
      if (now.state !== 'done') $('#answers-note').textContent = ending(now);
    },
  });
}

$('#stop').addEventListener('click', () => attempt(() => post(path`/api/jobs/${current}/cancel`, {})));
$('#order').addEventListener('change', show);

/** The color scale of a map, with its values; null for a map that is zero everywhere, whose remark says so. */
function colorScale(scale) {
  if (!scale) return null;
  const [low, high] = scale.values;
  const bar = el('div', { class: 'scale-bar', 'aria-hidden': 'true' });
  bar.style.background = `linear-gradient(to right, ${scale.colors.map((color) => `rgb(${color.join(' ')})`).join(', ')})`;
  const labels = low < 0 && low === -high ? [low, 0, high] : [low, high];
  return el('div', { class: 'scale', role: 'img', 'aria-label': `Color scale from ${number(low)} to ${number(high)}` }, bar, el('p', { class: 'scale-labels', 'aria-hidden': 'true' }, ...labels.map((value) => el('span', {}, number(value)))));
}

function show() {
  const by = $('#order').value;
  const list = [...answers];
  if (by === 'insertion') list.sort((a, b) => (b.insertion ?? -1) - (a.insertion ?? -1));
  if (by === 'deletion') list.sort((a, b) => (a.deletion ?? 2) - (b.deletion ?? 2));
  const good = answers.filter((answer) => !answer.error);
  const best = { insertion: Math.max(...good.map((answer) => answer.insertion)), deletion: Math.min(...good.map((answer) => answer.deletion)) };
  $('#cards').replaceChildren(...list.map((answer) => {
    if (answer.error) return el('figure', { class: 'card' }, el('figcaption', {}, el('h3', {}, answer.title), el('p', { class: 'fine' }, answer.error)));
    const measure = (title, key) => el('div', { class: number(answer[key]) === number(best[key]) ? 'best' : '' }, el('dt', {}, title), el('dd', {}, number(answer[key])));
    return el('figure', { class: 'card' },
      el('img', { class: 'pixels', src: path`/api/jobs/${current}/files/${answer.picture}`, alt: `Attribution map: ${answer.title}` }),
      colorScale(answer.scale),
      el('figcaption', {}, el('h3', {}, answer.title), el('dl', { class: 'measures' }, measure('Deletion', 'deletion'), measure('Insertion', 'insertion')),
        answer.remark ? el('p', { class: 'fine' }, answer.remark) : null));
  }));
}
