// The train page: start a run, follow its curves, compare runs.

import { $, ask, attempt, count, el, greatest, look, notFound, number, partDone, path, percent, post, rememberForm, stored, sure, view, whenBack } from './core.js';
import { chart } from './chart.js';
import { ended, ending, follow, listen, queuedNote } from './events.js';
import { frame } from './frame.js';
import { inside } from './timeline.js';
import { pageUrl } from './transport.js';

const COLORS = ['run-1', 'run-2', 'run-3', 'run-4', 'run-5', 'run-6'];
/** Maximum classes of a confusion matrix: with more, it is unreadable, and the most frequent confusions are listed. */
const MATRIX = 40;
const CONFUSIONS = 30;
/** Maximum length of a short class name; longer ones are vertical in the confusion matrix, and widen the columns of samples. */
const LONG = 3;
const runs = new Map();
const network = inside();
let open = null;
/** The runs whose curves are shown. */
const shownRuns = stored('lucida-runs', sessionStorage);
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
    for (const id of shownRuns.get() ?? []) if (runs.has(id)) showCurves(runs.get(id), true);
    if (open === null && view.run !== undefined && !runs.has(view.run)) notFound('run', `There is no run “${view.run}”; ${runs.size > 0 ? 'the newest one' : 'none'} is shown.`);
    if (open === null && runs.size > 0) choose(runs.has(view.run) ? view.run : [...runs.keys()].pop(), { quietly: true });
    showRuns();
  } else if (event.type === 'job' && event.job.kind === 'train') {
    add(event.job);
    showRuns();
  } else if (event.type === 'removed' && runs.delete(event.id)) {
    if (open === event.id) {
      [open, $('#run').hidden] = [null, true];
      look({ run: undefined }, { quietly: true });
    }
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
  const used = [...runs.values()].map(({ color }) => color);
  const color = COLORS.find((one) => !used.includes(one)) ?? COLORS[runs.size % COLORS.length];
  runs.set(job.id, { job, color, shown: false, news: [], complete: false, stop: null });
}

/** Follows the past and future events of a run. */
function load(run) {
  run.stop?.();
  [run.news, run.complete] = [[], false];
  run.stop = follow(run.job.id, {
    news: (news) => { run.news.push(news); later(); },
    change: (job) => { run.job = { ...run.job, ...job, news: undefined }; run.complete = ended(job); later(); },
  });
}

/** Draws once per frame, however many events arrive. */
let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); showRuns(); showOpen(); });
}

function choose(id, how = {}) {
  open = id;
  // An epoch of the URL belongs to its run.
  look({ run: id, epoch: view.run === id ? view.epoch : undefined }, how);
  showCurves(runs.get(id), true);
}
whenBack(() => { if (runs.has(view.run)) choose(view.run, { quietly: true }); });

function showCurves(run, shown) {
  run.shown = shown;
  if (shown && run.stop === null) load(run);
  shownRuns.set([...runs.values()].filter((one) => one.shown).map(({ job }) => job.id));
  later();
}

/** The suggested learning rate, until the user chooses another one: lower for a head on a frozen base. */
let suggested = $('#rate').value;
function suggestRate() {
  if ($('#rate').value !== suggested) return;
  suggested = $('#data').value === 'photos' && $('#network').value !== 'basic-cnn' ? '0.0003' : '0.001';
  $('#rate').value = suggested;
}
$('#network').addEventListener('change', suggestRate);
$('#data').addEventListener('change', suggestRate);

rememberForm($('#train-form'), 'lucida-train');

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
  $('#runs').replaceChildren(...list.map((run) => {
    const { job } = run;
    const box = el('input', { type: 'checkbox', id: `show-${job.id}`, 'aria-label': `Show the curves of ${job.title}`, onchange: () => showCurves(run, box.checked) });
    box.checked = run.shown;
    const words = { running: `${job.progress.doing}, ${percent(partDone(job), 0)}`, queued: 'queued', done: job.result?.accuracy ? percent(job.result.accuracy, 2) : 'done', failed: 'failed', cancelled: 'stopped', interrupted: 'interrupted' };
    return el('li', { class: `run-item${open === job.id ? ' open' : ''}`, 'data-run': job.id }, box, el('span', { class: `swatch ${run.color}`, 'aria-hidden': 'true' }),
      el('button', { class: 'run-name', id: `open-${job.id}`, 'aria-pressed': String(open === job.id), onclick: () => choose(job.id) }, el('b', {}, job.title), el('span', { class: 'fine' }, words[job.state])));
  }));
}

function draw() {
  const shown = [...runs.values()].filter((run) => run.shown);
  const lines = (own, tried) => shown.flatMap((run) => {
    const epochs = run.news.filter(({ type }) => type === 'epoch');
    // A run that was killed and resumed has reported some steps twice: the later ones count.
    const batches = [...new Map(run.news.filter(({ type }) => type === 'batch').map((batch) => [batch.at, batch])).values()].sort((a, b) => a.at - b.at);
    return [
      { name: `${run.job.title}, training`, color: run.color, thin: true, points: batches.map((batch) => [batch.at, batch[own]]) },
      { name: `${run.job.title}, validation`, color: run.color, points: epochs.map((epoch) => [epoch.epoch, epoch[tried]]) },
    ];
  });
  $('#charts').replaceChildren(
    chart({ title: 'Accuracy', across: 'epoch', percent: true, lines: lines('accuracy', 'val_accuracy') }),
    chart({ title: 'Loss', across: 'epoch', lines: lines('loss', 'val_loss') }),
  );
}

function showOpen() {
  if (open === null) return;
  const run = runs.get(open);
  const { job } = run;
  $('#run').hidden = false;
  $('#run-title').textContent = job.title;
  const last = run.news.filter(({ type }) => type === 'epoch').pop();
  // A run that has been resumed still has the result of its first part.
  const result = ended(job) ? job.result : null;
  const skipped = run.news.find(({ type }) => type === 'start')?.skipped ?? 0;
  const broken = skipped ? `; ${count(skipped)} ${skipped === 1 ? 'image' : 'images'} could not be read (listed in the job's files)` : '';
  $('#run-note').textContent = [ended(job) ? ending(job) : null, result?.accuracy ? `Validation accuracy ${percent(result.accuracy, 2)}, loss ${number(result.loss)}; best epoch ${result.best_epoch} of ${result.epochs}` : last ? `Epoch ${last.epoch}: validation accuracy ${percent(last.val_accuracy, 2)}, ${number(last.seconds)} s` : ended(job) ? null : job.state === 'queued' ? queuedNote(job) : job.progress.doing].filter(Boolean).join('. ') + broken + (ended(job) && !result?.accuracy ? noModel(run) : '');
  showFacts(job.request);
  const actions = [];
  if (!ended(job)) actions.push(el('button', { onclick: () => attempt(() => post(path`/api/jobs/${job.id}/cancel`, {})) }, 'Stop'));
  if (['cancelled', 'interrupted', 'failed'].includes(job.state)) actions.push(el('button', { class: 'primary', onclick: () => attempt(async () => add(await post(path`/api/jobs/${job.id}/resume`, {}))) }, 'Resume'));
  if (result?.accuracy) {
    actions.push(el('a', { class: 'button', href: pageUrl('/', { model: `job-${job.id}` }) }, 'Inspect'));
    actions.push(el('a', { class: 'button', download: 'model.safetensors', href: path`/api/jobs/${job.id}/files/model.safetensors` }, 'Download'));
  }
  if (ended(job)) actions.push(el('button', { onclick: () => remove(job) }, 'Remove'));
  const state = `${job.id} ${job.state}`;
  if ($('#run-actions').dataset.state !== state) {
    $('#run-actions').dataset.state = state;
    $('#run-actions').replaceChildren(...actions);
    $('#cell').replaceChildren();
  }
  network.show(run);
  showSamples(run);
  showConfusion(run);
}

/** Why a run that has ended has no model, and what to do; empty until all of its events have arrived. */
function noModel({ news, complete }) {
  if (!complete) return '';
  const { epoch } = news.findLast(({ type }) => type === 'epoch') ?? {};
  const none = news.some(({ kept }) => kept?.length > 1) ? 'its model was saved; the weights of its epochs are below' : 'its first model was saved, so there is none to inspect';
  return `. The run ended before ${none}. Resume ${epoch ? `continues it from its checkpoint after epoch ${epoch}` : 'trains it from the start'}; Remove deletes it.`;
}

async function remove(job) {
  if (await sure(`Remove the run ${job.title} (${job.id}) and its model?`, 'Remove')) await attempt(() => ask(path`/api/jobs/${job.id}`, { method: 'DELETE' }));
}

/** The settings of a run. */
function showFacts({ data, network, epochs, batch_size: batch, learning_rate: rate, seed }) {
  const facts = [['Data', data === 'photos' ? known.photos ?? 'photos' : known.digits], ['Network', known.networks.find(({ name }) => name === network)?.title ?? network ?? (data === 'photos' ? 'basic-cnn' : 'mnist-cnn')],
    ['Epochs', epochs], ['Batch size', batch], ['Learning rate', rate], ['Optimizer', 'Adam'], ['Seed', seed]];
  $('#run-facts').replaceChildren(...facts.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, String(value)))));
}

/** Tile `at` of a sprite sheet. */
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

/** Text: the epoch of a result, and whether it is the best one, whose weights are kept. */
function after(epoch, best) {
  if (!epoch) return 'Stopped during the first epoch.';
  return `After epoch ${epoch}${epoch === best ? ', the best epoch, whose weights are kept' : ''}.`;
}

function showSamples(run) {
  const start = run.news.find(({ type }) => type === 'start');
  // After a run, the samples are those of the best epoch, like the confusion matrix.
  const best = run.job.result?.best_epoch;
  const epochs = run.news.filter(({ type, samples }) => type === 'epoch' && samples);
  const told = epochs.findLast(({ epoch }) => epoch === best) ?? epochs[epochs.length - 1];
  $('#samples-note').textContent = told ? after(told.epoch, best) : '';
  $('#samples').classList.toggle('long', start?.classes.some((name) => name.length > LONG) === true);
  $('#samples').replaceChildren(...(start && told ? told.samples.map((sample, at) => {
    const [is, says] = [start.classes[start.labels[at]], start.classes[sample.class]];
    const right = is === says;
    return el('figure', { class: right ? '' : 'wrong' }, tile(run.job, start.samples, at, `${is}, predicted ${says}`), el('figcaption', {}, el('span', {}, says), el('span', { class: 'fine' }, percent(sample.probability, 0)), right ? null : el('span', { class: 'fine' }, `true: ${is}`)));
  }) : [el('p', { class: 'fine' }, 'Predictions appear after the first epoch.')]));
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
  const isMatrix = size <= MATRIX;
  $('#confusion').classList.toggle('confusions', !isMatrix);
  $('#confusion').classList.toggle('long', classes.some((name) => name.length > LONG));
  $('#confusion-note').textContent = `${after(result.best_epoch, result.best_epoch)} ` + (isMatrix ? 'Rows: true class. Columns: predicted class. Choose a cell to see its images.' : `The most frequent confusions of ${count(size)} classes. Choose a count to see its images.`);
  if (!isMatrix) {
    showConfusions(job);
    return;
  }
  const head = el('tr', {}, el('th', { scope: 'col' }, el('span', { class: 'hidden-text' }, 'True class')), ...classes.map((name) => el('th', { scope: 'col', title: name }, el('span', {}, name))));
  const rows = classes.map((name, truth) => {
    const row = confusion.slice(truth * size, (truth + 1) * size);
    const total = row.reduce((sum, value) => sum + value, 0) || 1;
    return el('tr', {}, el('th', { scope: 'row' }, name), ...row.map((value, taken) => {
      const cell = el('button', { class: `${taken === truth ? 'right' : 'wrong'}${value === 0 ? ' none' : ''}`, disabled: value === 0, 'aria-label': `${name} predicted as ${classes[taken]}: ${value}`, onclick: () => showCell(job, truth, taken) }, value === 0 ? '' : count(value));
      cell.style.setProperty('--share', Math.min(1, taken === truth ? value / total : (6 * value) / total));
      return el('td', {}, cell);
    }));
  });
  $('#confusion').replaceChildren(el('thead', {}, head), el('tbody', {}, ...rows));
}

/** Lists the most frequent confusions, if there are many classes. */
function showConfusions(job) {
  const { classes, confusion } = job.result;
  const wrong = confusion.map((value, at) => (at % (classes.length + 1) === 0 ? 0 : value));
  const rows = greatest(wrong, CONFUSIONS).filter((at) => wrong[at] > 0).map((at) => {
    const [truth, taken] = [Math.floor(at / classes.length), at % classes.length];
    return el('tr', {}, el('td', {}, classes[truth]), el('td', {}, classes[taken]), el('td', {}, el('button', { 'aria-label': `${classes[truth]} predicted as ${classes[taken]}: ${wrong[at]}`, onclick: () => showCell(job, truth, taken) }, count(wrong[at]))));
  });
  $('#confusion').replaceChildren(el('thead', {}, el('tr', {}, ...['True class', 'Predicted class', 'Count'].map((title) => el('th', { scope: 'col' }, title)))), el('tbody', {}, ...rows));
}

function showCell(job, truth, taken) {
  const { classes, cells, sheet } = job.result;
  const found = cells.filter((cell) => cell.truth === truth && cell.predicted === taken);
  const title = truth === taken ? `${classes[truth]}, predicted correctly` : `${classes[truth]}, predicted as ${classes[taken]}`;
  $('#cell').replaceChildren(el('p', { class: 'fine' }, title), ...found.map((cell) => el('figure', {}, tile(job, sheet, cell.tile, title), el('figcaption', {}, el('span', { class: 'fine' }, percent(cell.probability, 0))))));
}

draw();
