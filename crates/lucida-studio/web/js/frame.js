// The frame of every page: the list of models, and the jobs in the background.

import { $, ask, attempt, el, isOffline, look, notFound, partDone, path, say, view, whenBack } from './core.js';
import { ended, listen } from './events.js';
import { keepFocus } from './focus.js';
import { MINE, digits, showLesson } from './lesson.js';
import { openModels, showRemoval } from './open-model.js';
import { settings } from './settings.js';
import { isInBrowser, problems } from './transport.js';

let models = [];
/** The model of the URL, if the list leaves it out: a run after one of its epochs, such as `job-0003@2`. */
let unlisted = null;

/** Fills the list of models, if the page has one; calls `changed(description)` for the chosen model, now and on each change. */
export async function frame(changed = () => {}) {
  $('.bar nav [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
  keepFocus();
  waitWhileOffline();
  const select = $('#model');
  if (!select) {
    watchJobs(() => {});
    showLesson();
    return {};
  }
  const card = settings(() => show(view.model));
  select.addEventListener('change', () => choose(select.value));
  openModels(async (id) => {
    await fill(select);
    await choose(id);
  });
  async function choose(id) {
    look({ model: id, layer: undefined, channel: undefined });
    select.value = id;
    await show(id);
  }
  async function removed() {
    await fill(select);
    await choose(models[0].id);
  }
  async function show(id) {
    const model = await attempt(() => ask(path`/api/models/${id}`));
    if (!model || view.model !== id) return;
    showUntrained(model);
    showRemoval(model, models.find((one) => one.id === id)?.group, removed);
    card.use(model);
    await changed(model);
  }
  if (view.model?.includes('@')) unlisted = await ask(path`/api/models/${view.model}`).then(({ id, name }) => ({ id, name, group: 'Runs' }), () => null);
  if (view.model === MINE) view.model = await digits();
  showLesson();
  await fill(select);
  watchJobs(() => fill(select));
  const known = models.some((model) => model.id === view.model);
  // The layer, channel and job of the view belong to its model: if that is unknown, they are dropped.
  const { layer, channel, at, job } = known || view.model === undefined ? view : {};
  const id = known ? view.model : models[0].id;
  if (!known) notFound('model', `There is no model “${view.model}”; ${models[0].name} is shown.`);
  look({ model: id, layer, channel, at, job }, { quietly: true });
  select.value = id;
  whenBack(() => {
    if (!models.some((model) => model.id === view.model)) return;
    select.value = view.model;
    show(view.model);
  });
  await show(id);
  return { choose };
}

/** Shows whether a model is not trained, and how to download its weights if they are published. */
function showUntrained({ trained, fetch: weights }) {
  $('#untrained').hidden = trained;
  $('#untrained').replaceChildren('This model is not trained: its weights are random, and so are its predictions.',
    ...(weights && isInBrowser ? [' Open a file with its weights to see what a trained network sees.'] : weights ? [' To use its ImageNet weights, run ', el('code', {}, weights.command), ` in a terminal (${weights.size} download), then reload this page.`] : []));
}

/** Blocks the controls of the page while the server is offline; reading and the navigation still work. */
function waitWhileOffline() {
  const stop = (event) => {
    if (!isOffline() || event.key === 'Tab' || !event.target.closest('main') || !event.target.closest('button, input, select, textarea, label, form, canvas')) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  for (const kind of ['click', 'submit', 'input', 'change', 'pointerdown', 'mousedown', 'keydown']) document.addEventListener(kind, stop, { capture: true });
}

async function fill(select) {
  models = [...((await attempt(() => ask('/api/models'))) ?? []), unlisted].filter(Boolean);
  const groups = new Map();
  for (const model of models) {
    if (!groups.has(model.group)) groups.set(model.group, el('optgroup', { label: model.group }));
    groups.get(model.group).append(el('option', { value: model.id }, model.name));
  }
  const chosen = select.value;
  select.replaceChildren(...groups.values());
  if (models.some((model) => model.id === chosen)) select.value = chosen;
}

export const knownModels = () => models;

/** Shows the number of active jobs, and updates the list of models when a run ends. */
function watchJobs(refill) {
  const jobs = new Map();
  const badge = $('#busy');
  const show = () => {
    const busy = [...jobs.values()].filter((job) => !ended(job));
    badge.hidden = busy.length === 0;
    const running = busy.find((job) => job.state === 'running');
    const part = running ? Math.floor(100 * partDone(running)) : 0;
    $('#busy-text').textContent = busy.length === 1 && running ? `${part} %` : `${busy.length} jobs`;
    badge.setAttribute('aria-label', `${busy.length} active ${busy.length === 1 ? 'job' : 'jobs'}: show all`);
  };
  listen(async (event) => {
    problems().forEach((problem) => say(problem));
    if (event.type === 'again') {
      const list = await ask('/api/jobs').catch(() => []);
      list.forEach((job) => jobs.set(job.id, job));
    } else if (event.type === 'job') {
      const before = jobs.get(event.job.id);
      jobs.set(event.job.id, event.job);
      const isEnd = ended(event.job) && before && !ended(before);
      if (isEnd && event.job.kind === 'train') refill();
      if (isEnd && event.job.state === 'failed') say(`${event.job.title}: ${event.job.error}`);
    } else if (event.type === 'removed') jobs.delete(event.id);
    show();
  });
}
