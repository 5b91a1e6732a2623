// The train page: start a run, see it learn, compare runs.

import { $, ask, attempt, count, el, number, path, percent, post } from './core.js';
import { chart } from './chart.js';
import { ended, follow, listen } from './events.js';
import { frame } from './frame.js';

const COLOURS = ['run-1', 'run-2', 'run-3', 'run-4', 'run-5', 'run-6'];
const runs = new Map();
let open = null;
let known = { digits: '', photos: null, networks: [] };

frame();
known = (await attempt(() => ask('/api/data'))) ?? known;
$('#data').replaceChildren(...[el('option', { value: 'digits' }, known.digits), known.photos ? el('option', { value: 'photos' }, known.photos) : null].filter(Boolean));
$('#data-row').hidden = !known.photos;
$('#network').replaceChildren(...known.networks.map(({ name, title }) => el('option', { value: name }, title)));
$('#data').addEventListener('change', () => { $('#network-row').hidden = $('#data').value !== 'photos'; });

listen(async (event) => {
  if (event.type === 'again') {
    const list = (await attempt(() => ask('/api/jobs'))) ?? [];
    list.filter(({ kind }) => kind === 'train').reverse().forEach(add);
    if (open === null && runs.size > 0) choose([...runs.keys()].pop());
    showRuns();
  } else if (event.type === 'job' && event.job.kind === 'train') {
    add(event.job);
    showRuns();
  } else if (event.type === 'removed' && runs.delete(event.id)) {
    if (open === event.id) [open, $('#run').hidden] = [null, true];
    showRuns();
    draw();
  }
});

function add(job) {
  const run = runs.get(job.id);
  if (run) {
    const resumed = ended(run.job) && !ended(job);
    run.job = { ...run.job, ...job };
    if (resumed) load(run);
    if (open === job.id) showOpen();
    return;
  }
  const used = [...runs.values()].map(({ colour }) => colour);
  const colour = COLOURS.find((one) => !used.includes(one)) ?? COLOURS[runs.size % COLOURS.length];
  runs.set(job.id, { job, colour, shown: false, news: [], stop: null });
}

/** Follows a run: what it has told and tells. */
function load(run) {
  run.stop?.();
  run.news = [];
  run.stop = follow(run.job.id, {
    news: (news) => { run.news.push(news); later(); },
    change: (job) => { run.job = { ...run.job, ...job, news: undefined }; later(); },
  });
}

/** Draws once for all that came together. */
let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); showRuns(); showOpen(); });
}

function choose(id) {
  open = id;
  const run = runs.get(id);
  run.shown = true;
  if (run.stop === null) load(run);
  later();
}

/** The learning rate that suits a network, until somebody has chosen another one: a head on a frozen base takes less. */
let suggested = $('#rate').value;
function suggestRate() {
  if ($('#rate').value !== suggested) return;
  suggested = $('#data').value === 'photos' && $('#network').value !== 'basic-cnn' ? '0.0003' : '0.001';
  $('#rate').value = suggested;
}
$('#network').addEventListener('change', suggestRate);
$('#data').addEventListener('change', suggestRate);

$('#train-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const request = { kind: 'train', name: $('#name').value.trim(), epochs: Number($('#epochs').value), batch_size: Number($('#batch').value), learning_rate: Number($('#rate').value) };
  if ($('#data').value === 'photos') Object.assign(request, { data: 'photos', network: $('#network').value });
  const job = await attempt(() => post('/api/jobs', request));
  if (!job) return;
  add(job);
  choose(job.id);
});

function showRuns() {
  const list = [...runs.values()].reverse();
  $('#runs-none').hidden = list.length > 0;
  const focused = document.activeElement?.id;
  $('#runs').replaceChildren(...list.map((run) => {
    const { job } = run;
    const box = el('input', { type: 'checkbox', id: `show-${job.id}`, 'aria-label': `Show the curves of ${job.title}`, onchange: () => { run.shown = box.checked; if (run.shown && run.stop === null) load(run); later(); } });
    box.checked = run.shown;
    const words = { running: `${job.progress.doing}, ${percent(job.progress.total ? job.progress.done / job.progress.total : 0, 0)}`, queued: 'waiting', done: job.result?.accuracy ? percent(job.result.accuracy, 2) : 'done', failed: 'failed', cancelled: 'stopped', interrupted: 'interrupted' };
    return el('li', { class: `run-item${open === job.id ? ' open' : ''}`, 'data-run': job.id }, box, el('span', { class: `swatch ${run.colour}`, 'aria-hidden': 'true' }),
      el('button', { class: 'run-name', id: `open-${job.id}`, 'aria-pressed': String(open === job.id), onclick: () => choose(job.id) }, el('b', {}, job.title), el('span', { class: 'fine' }, words[job.state])));
  }));
  if (focused) document.getElementById(focused)?.focus();
}

function draw() {
  const shown = [...runs.values()].filter((run) => run.shown);
  const lines = (own, tried) => shown.flatMap((run) => {
    const epochs = run.news.filter(({ type }) => type === 'epoch');
    // A run that was killed and went on has told some steps twice: the later ones count.
    const batches = [...new Map(run.news.filter(({ type }) => type === 'batch').map((batch) => [batch.at, batch])).values()].sort((a, b) => a.at - b.at);
    return [
      { name: `${run.job.title}, training`, colour: run.colour, thin: true, points: batches.map((batch) => [batch.at, batch[own]]) },
      { name: run.job.title, colour: run.colour, points: epochs.map((epoch) => [epoch.epoch, epoch[tried]]) },
    ];
  });
  $('#charts').replaceChildren(
    chart({ title: 'Accuracy', across: 'over epochs', percent: true, lines: lines('accuracy', 'val_accuracy') }),
    chart({ title: 'Loss', across: 'over epochs', lines: lines('loss', 'val_loss') }),
  );
}

function showOpen() {
  if (open === null) return;
  const run = runs.get(open);
  const { job } = run;
  $('#run').hidden = false;
  $('#run-title').textContent = job.title;
  const last = run.news.filter(({ type }) => type === 'epoch').pop();
  const { result } = job;
  $('#run-note').textContent = job.error ?? (result?.accuracy ? `${percent(result.accuracy, 2)} right, loss ${number(result.loss)}; the best of ${result.epochs} epochs is number ${result.best_epoch}` : last ? `Epoch ${last.epoch}: ${percent(last.val_accuracy, 2)} right, ${number(last.seconds)} s` : job.progress.doing);
  const actions = [];
  if (!ended(job)) actions.push(el('button', { onclick: () => attempt(() => post(path`/api/jobs/${job.id}/cancel`, {})) }, 'Stop'));
  if (['cancelled', 'interrupted', 'failed'].includes(job.state)) actions.push(el('button', { class: 'primary', onclick: () => attempt(async () => add(await post(path`/api/jobs/${job.id}/resume`, {}))) }, 'Go on'));
  if (result?.accuracy) {
    actions.push(el('a', { class: 'button', href: `/?model=job-${job.id}` }, 'Look inside'));
    actions.push(el('a', { class: 'button', download: 'model.safetensors', href: path`/api/jobs/${job.id}/files/model.safetensors` }, 'Download'));
  }
  if (ended(job)) actions.push(el('button', { onclick: () => attempt(() => ask(path`/api/jobs/${job.id}`, { method: 'DELETE' })) }, 'Remove'));
  const state = `${job.id} ${job.state}`;
  if ($('#run-actions').dataset.state !== state) {
    $('#run-actions').dataset.state = state;
    $('#run-actions').replaceChildren(...actions);
    $('#cell').replaceChildren();
  }
  showSamples(run);
  showConfusion(run);
}

/** Part `at` of a picture that holds many side by side. */
function tile(job, { file, side, columns }, at, label) {
  const part = el('span', { class: 'tile', role: 'img', 'aria-label': label });
  const zoom = 56 / side;
  Object.assign(part.style, {
    backgroundImage: `url("${path`/api/jobs/${job.id}/files/${file}`}")`,
    backgroundSize: `${columns * side * zoom}px auto`,
    backgroundPosition: `-${(at % columns) * side * zoom}px -${Math.floor(at / columns) * side * zoom}px`,
  });
  return part;
}

function showSamples(run) {
  const start = run.news.find(({ type }) => type === 'start');
  const told = run.news.filter(({ type, samples }) => type === 'epoch' && samples).pop();
  $('#samples').replaceChildren(...(start && told ? told.samples.map((sample, at) => {
    const [is, says] = [start.classes[start.labels[at]], start.classes[sample.class]];
    const right = is === says;
    return el('figure', { class: right ? '' : 'wrong' }, tile(run.job, start.samples, at, `${is}, taken for ${says}`), el('figcaption', {}, says, el('span', { class: 'fine' }, percent(sample.probability, 0))));
  }) : [el('p', { class: 'fine' }, 'They come after the first epoch.')]));
}

function showConfusion(run) {
  const { job } = run;
  const { result } = job;
  $('#confusion-part').hidden = !result?.confusion;
  if (!result?.confusion || $('#confusion').dataset.run === `${job.id} ${job.finished}`) return;
  $('#confusion').dataset.run = `${job.id} ${job.finished}`;
  $('#cell').replaceChildren();
  const { classes, confusion } = result;
  const size = classes.length;
  const head = el('tr', {}, el('th', { scope: 'col' }, el('span', { class: 'hidden-text' }, 'What it is')), ...classes.map((name) => el('th', { scope: 'col' }, name)));
  const rows = classes.map((name, truth) => {
    const row = confusion.slice(truth * size, (truth + 1) * size);
    const total = row.reduce((sum, value) => sum + value, 0) || 1;
    return el('tr', {}, el('th', { scope: 'row' }, name), ...row.map((value, taken) => {
      const cell = el('button', { class: `${taken === truth ? 'right' : 'wrong'}${value === 0 ? ' none' : ''}`, disabled: value === 0, 'aria-label': `${name} taken for ${classes[taken]}: ${value}`, onclick: () => showCell(job, truth, taken) }, value === 0 ? '' : count(value));
      cell.style.setProperty('--share', Math.min(1, taken === truth ? value / total : (6 * value) / total));
      return el('td', {}, cell);
    }));
  });
  $('#confusion').replaceChildren(el('thead', {}, head), el('tbody', {}, ...rows));
}

function showCell(job, truth, taken) {
  const { classes, cells, sheet } = job.result;
  const found = cells.filter((cell) => cell.truth === truth && cell.predicted === taken);
  const title = truth === taken ? `${classes[truth]}, rightly` : `${classes[truth]}, taken for ${classes[taken]}`;
  $('#cell').replaceChildren(el('p', { class: 'fine' }, title), ...found.map((cell) => el('figure', {}, tile(job, sheet, cell.tile, title), el('figcaption', {}, el('span', { class: 'fine' }, percent(cell.probability, 0))))));
}

draw();
