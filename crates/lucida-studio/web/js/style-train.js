// Training of networks that stylize in one forward pass: settings, previews, and curves.

import { $, ask, attempt, count, el, fillBar, look, notFound, number, partDone, path, post, rememberForm, say, showValue, stored, sure, view } from './core.js';
import { chart } from './chart.js';
import { ended, ending, follow, listen, queuedNote } from './events.js';
import { BRUSHWORK, styleList, takes, tray } from './style-images.js';

/** Name of the network's file in a job. */
const NETWORK = 'style.lucida';
/** The note when no training is selected. */
const NONE = 'Previews of the same photos appear here while a network learns.';
const STATES = { queued: 'queued', done: 'done', failed: 'failed', cancelled: 'stopped', interrupted: 'interrupted' };

/** The name of a style: that of its file, without the extension. */
const nameOf = (file) => (file?.name ?? '').replace(/\.[^.]*$/, '').slice(0, 60);

const styleNames = ({ styles }) => styles.map(({ name }, at) => name || `style ${at + 1}`).join(', ');

/** Formats an approximate time. */
function about(seconds) {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds / 10)) * 10} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${number(seconds / 3600, 2)} h`;
}

/** Sets up the form; `trained(network)` is called when a training is done, `stylize(network)` to use its network. */
export function styleTraining({ trained, stylize }) {
  const remembered = stored('lucida-style-train-images');
  const builtin = () => [{ image: BRUSHWORK.id, name: BRUSHWORK.id }];
  let known = { style_photos: null, style_seconds: { small: 0, base: 0 } };
  const trainings = new Map();
  let open = null;
  let stop = () => {};
  let news = [];
  let actions = { id: null };
  let waiting = false;

  // The styles.

  const chosen = styleList({
    place: $('#teach-styles'),
    styles: remembered.get() ?? builtin(),
    builtin,
    control: (style, at) => el('input', { type: 'text', maxlength: 60, required: true, value: style.name, 'aria-label': `Name of style ${at + 1}`, oninput: (event) => { style.name = event.target.value; remembered.set(chosen.styles); } }),
    changed: (styles) => remembered.set(styles),
  });
  /** A name that is not in use: that of the file, or else a number. */
  function freeName(file) {
    const isFree = (name) => name !== '' && chosen.styles.every((style) => style.name !== name);
    let number = 1;
    while (!isFree(`style ${number}`)) number += 1;
    return isFree(nameOf(file)) ? nameOf(file) : `style ${number}`;
  }
  const add = (id, file) => chosen.add({ image: id, name: id === BRUSHWORK.id ? id : freeName(file) });
  takes($('#teach-styles').parentElement, $('#teach-file'), add);
  tray($('#teach-tray'), BRUSHWORK, add);

  // The settings.

  const steps = () => Number($('#teach-steps').value);
  const factor = (id, base) => base ** Number($(id).value);
  const words = {
    steps: () => count(steps()),
    keep: () => `× ${number(factor('#teach-keep', 10), 2)}`,
    strokes: () => `× ${number(factor('#teach-strokes', 2), 2)}`,
  };
  for (const [name, text] of Object.entries(words)) {
    const show = () => showValue($(`#teach-${name}`), text());
    $(`#teach-${name}`).addEventListener('input', show);
    show();
  }
  function showTime() {
    const seconds = steps() * known.style_seconds[$('#teach-size').value];
    $('#teach-time').textContent = seconds > 0 ? about(seconds) : '';
  }
  for (const id of ['#teach-steps', '#teach-size']) for (const kind of ['input', 'change']) $(id).addEventListener(kind, showTime);

  $('#teach-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const job = await attempt(() => post('/api/jobs', {
      kind: 'style-train', name: $('#teach-name').value.trim(), styles: chosen.styles, photos: $('#teach-photos').value, size: $('#teach-size').value, steps: steps(), content_weight: factor('#teach-keep', 10), style_scale: factor('#teach-strokes', 2),
    }));
    if (!job) return;
    trainings.set(job.id, job);
    choose(job.id);
  });

  const saved = stored('lucida-style-train');
  rememberForm($('#teach-form'), 'lucida-style-train');
  async function learnWhatThereIs() {
    known = (await attempt(() => ask('/api/data'))) ?? known;
    const folder = known.style_photos;
    $('#teach-photos-note').hidden = folder !== null;
    if (folder) $('#teach-photos').prepend(el('option', { value: 'folder' }, folder));
    $('#teach-photos').value = (folder && saved.get()?.['teach-photos']) ?? $('#teach-photos').options[0].value;
    showTime();
  }

  // The trainings.

  function choose(id, how = {}) {
    stop();
    [open, news] = [id, []];
    look({ training: id }, how);
    $('#preview-at').value = $('#preview-at').max = '0';
    stop = follow(id, {
      news: (one) => { news.push(one); later(); },
      change: (job) => { trainings.set(id, job); later(); },
    });
    later();
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); showTrainings(); });
  }

  function showTrainings() {
    const list = [...trainings.values()].sort((a, b) => b.created - a.created);
    $('#trainings-none').hidden = list.length > 0;
    $('#trainings').replaceChildren(...list.map((job) => el('li', { class: `run-item${open === job.id ? ' open' : ''}`, 'data-training': job.id },
      el('button', { type: 'button', class: 'run-name', id: `training-${job.id}`, 'aria-pressed': String(open === job.id), onclick: () => choose(job.id) }, el('b', {}, job.title), el('span', { class: 'fine' }, STATES[job.state] ?? job.progress.doing)))));
  }

  function draw() {
    const job = trainings.get(open);
    if (!job) return;
    const { result } = job;
    $('#training-title').textContent = job.title;
    const unsaved = news.findLast(({ type }) => type === 'unsaved');
    const skipped = result?.skipped ? `${count(result.skipped)} ${result.skipped === 1 ? 'photo' : 'photos'} could not be read` : null;
    const made = result?.steps ? `${count(result.steps)} of ${count(result.of)} steps, loss ${number(result.loss)}` : null;
    const now = job.state === 'queued' ? queuedNote(job) : job.progress.doing || 'Starting';
    $('#training-note').textContent = [ended(job) ? ending(job) : now, ended(job) ? made : unsaved?.problem, skipped].filter(Boolean).join('; ');
    $('#training-track').hidden = ended(job);
    fillBar($('#training-track span'), partDone(job));
    showActions(job);
    showPreviews(job);
    showFacts(job.request);
    const points = [...new Map(news.filter(({ type }) => type === 'loss').map((one) => [one.step, one])).values()].sort((a, b) => a.step - b.step);
    const line = (key, name, color) => ({ name, color, points: points.map((one) => [one.step, Math.log10(one[key])]) });
    $('#training-chart').replaceChildren(...(points.length > 1 ? [chart({ title: 'Losses', across: 'optimizer steps', unit: 'Step', lines: [line('style', 'Style', 'run-1'), line('content', 'Content', 'run-2')], free: true })] : []));
  }

  /** Creates the buttons of a training, once: a button that is replaced under the pointer would miss a click. */
  function makeActions({ id, title }) {
    const current = () => trainings.get(id);
    const buttons = {
      stop: el('button', { onclick: () => attempt(() => post(path`/api/jobs/${id}/cancel`, {})) }, 'Stop'),
      resume: el('button', { class: 'primary', onclick: () => resume(current()) }, 'Resume'),
      use: el('button', { onclick: () => stylize(`job-${id}`) }, 'Stylize in one pass'),
      download: el('a', { class: 'button', download: `${title}.lucida`, href: path`/api/jobs/${id}/files/${NETWORK}` }, 'Download'),
      remove: el('button', { onclick: () => removeTraining(current()) }, 'Remove'),
    };
    $('#training-actions').replaceChildren(...Object.values(buttons));
    return buttons;
  }

  function showActions(job) {
    if (actions.id !== job.id) actions = { id: job.id, buttons: makeActions(job) };
    const { buttons } = actions;
    const has = job.files.includes(NETWORK);
    buttons.stop.hidden = ended(job);
    buttons.resume.hidden = !['cancelled', 'interrupted', 'failed'].includes(job.state);
    for (const name of ['use', 'download']) buttons[name].hidden = !has;
    buttons.use.classList.toggle('primary', job.state === 'done');
    buttons.remove.hidden = !ended(job);
  }

  async function resume(job) {
    if (await attempt(() => post(path`/api/jobs/${job.id}/resume`, {}))) choose(job.id, { quietly: true });
  }
  async function removeTraining(job) {
    if (await sure(`Remove the training ${job.title} (${job.id}) and its network?`, 'Remove')) await attempt(() => ask(path`/api/jobs/${job.id}`, { method: 'DELETE' }));
  }

  /** Shows the newest preview, unless the user has selected an earlier one. */
  function showPreviews(job) {
    // A training that was killed and resumed has published some previews twice.
    const all = [...new Map(news.filter(({ type }) => type === 'preview').map((one) => [one.step, one])).values()].sort((a, b) => a.step - b.step);
    $('#previews').hidden = all.length === 0;
    if (all.length === 0) return;
    const slider = $('#preview-at');
    const isNewest = slider.value === slider.max;
    slider.max = String(all.length - 1);
    if (isNewest) slider.value = slider.max;
    const { step, file } = all[Number(slider.value)];
    const when = `after ${count(step)} ${step === 1 ? 'step' : 'steps'}`;
    showValue(slider, when);
    const start = news.find(({ type }) => type === 'start');
    for (const [id, name] of [['#preview', file], ['#preview-photos', start?.file]]) {
      const address = name ? path`/api/jobs/${job.id}/files/${name}` : null;
      if (address && $(id).getAttribute('src') !== address) $(id).src = address;
    }
    $('#preview').alt = `The photos in ${job.request.styles.length === 1 ? 'the style' : `the styles ${styleNames(job.request)}, one row each`}, ${when}`;
  }
  $('#preview-at').addEventListener('input', later);

  function showFacts({ styles, photos, size, content_weight: keep = 1, style_scale: strokes = 1, seed }) {
    const start = news.find(({ type }) => type === 'start');
    const facts = [['Styles', styleNames({ styles })], ['Photos', start ? count(start.photos) : photos === 'folder' ? 'of the folder' : '1'], ['Network', size], ['Content weight', `× ${number(keep, 2)}`], ['Stroke size', `× ${number(strokes, 2)}`], ['Seed', seed]];
    $('#training-facts').replaceChildren(...facts.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, String(value)))));
  }

  listen(async (event) => {
    if (event.type === 'again') {
      const list = (await attempt(() => ask('/api/jobs'))) ?? [];
      trainings.clear();
      list.filter(({ kind }) => kind === 'style-train').forEach((job) => trainings.set(job.id, job));
      if (open === null && view.training !== undefined && !trainings.has(view.training)) notFound('training', `There is no training “${view.training}”; ${trainings.size > 0 ? 'the newest one' : 'none'} is shown.`);
      if (open === null && trainings.size > 0) choose(trainings.has(view.training) ? view.training : trainings.keys().next().value, { quietly: true });
      later();
    } else if (event.type === 'job' && event.job.kind === 'style-train') {
      const { job } = event;
      const before = trainings.get(job.id);
      trainings.set(job.id, job);
      if (before && !ended(before) && job.state === 'done') {
        say(`${job.title} is ready: One pass uses it now.`);
        trained(`job-${job.id}`);
      }
      // Follow a training again that was resumed in another page.
      if (before && ended(before) && !ended(job) && open === job.id) choose(job.id, { quietly: true });
      later();
    } else if (event.type === 'removed' && trainings.delete(event.id)) {
      if (open === event.id) {
        open = null;
        stop();
        $('#previews').hidden = true;
        for (const id of ['#training-actions', '#training-facts', '#training-chart']) $(id).replaceChildren();
        actions = { id: null };
        [$('#training-title').textContent, $('#training-note').textContent] = ['Training', NONE];
        look({ training: undefined }, { quietly: true });
      }
      showTrainings();
    }
  });

  chosen.show();
  $('#training-note').textContent = NONE;
  learnWhatThereIs();
  return { back() { if (trainings.has(view.training)) choose(view.training, { quietly: true }); } };
}
