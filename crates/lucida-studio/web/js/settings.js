// The preprocessing card: settings that a model file does not store, with a preview, on every page about a model.

import { $, ask, count, el, number, path, post, put, say, turns, view, withHyphen, withMinus } from './core.js';
import { showBars } from './bars.js';

/** Delay of the preview after the last change, in milliseconds. */
const PAUSE = 250;
/** Maximum size of a file of class names, in bytes. */
const FILE = 512 * 1024;
const TASKS = {
  classify: 'One class per image',
  multilabel: 'Several labels per image',
  regress: 'Numbers',
  features: 'Features',
};

const part = (name) => $(`#settings-${name}`);
const numbers = (text) => text.trim().split(/[\s,;]+/).filter(Boolean).join(',');

/** Models whose card the user has closed: it opens by itself only once. */
const asked = () => JSON.parse(sessionStorage.getItem('lucida-asked') ?? '[]');
const key = (model) => `${model.id} ${model.network}`;

/** Sets up the card; `reload()` is called after the settings of the model change. */
export function settings(reload) {
  const [card, toggle] = [$('#settings'), part('toggle')];
  let [model, current, byHand] = [null, null, false];
  const [loadTurn, previewTurn] = [turns(), turns()];
  let later;
  let tried = null;
  let sending = false;

  /** Fetches and shows the settings. */
  async function open() {
    const last = loadTurn();
    try {
      const found = await ask(path`/api/models/${model.id}/settings`);
      if (!last()) return;
      current = found;
      fill();
      card.hidden = false;
      toggle.setAttribute('aria-expanded', 'true');
      await preview();
    } catch (error) {
      byHand = false;
      say(error.message);
    }
  }

  function hide() {
    loadTurn();
    previewTurn();
    clearTimeout(later);
    [byHand, tried] = [false, null];
    if (card.contains(document.activeElement)) toggle.focus({ preventScroll: true });
    card.hidden = true;
    toggle.setAttribute('aria-expanded', 'false');
  }

  function close() {
    if (model.assumed) sessionStorage.setItem('lucida-asked', JSON.stringify([...asked().filter((one) => one !== key(model)), key(model)]));
    hide();
  }

  function fill() {
    const { preprocessing, channels, class_names: names, classes, task, tasks, fixed, unsaved, notes, description } = current;
    const told = notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`).join(' ');
    part('note').textContent = fixed === null ? told || `${description}.` : `${fixed[0].toUpperCase()}${fixed.slice(1)}.${description ? ` ${description}.` : ''}`;
    part('fields').disabled = fixed !== null;
    part('fields').hidden = preprocessing === null;
    $('.settings-preview', card).hidden = preprocessing === null;
    if (preprocessing !== null) choosePreprocessing(preprocessing, channels);
    part('task-row').hidden = tasks.length === 0;
    part('task').replaceChildren(el('option', { value: '' }, 'Detect'), ...tasks.map((name) => el('option', { value: name }, TASKS[name])));
    part('task').value = task ?? '';
    part('classes').hidden = classes === null || (fixed !== null && names.length === 0);
    part('names').value = names.join('\n');
    part('names-note').textContent = `${classes === null ? '' : count(classes)} expected: one per line, a JSON list, or Keras's class_indices.`;
    clear();
    part('use').disabled = fixed !== null;
    part('save').disabled = unsaved !== null;
    part('unsaved').textContent = fixed === null && unsaved !== null ? `Cannot be saved: ${unsaved}.` : '';
  }

  /** Removes what was shown for another model. */
  function clear() {
    part('problem').textContent = '';
    part('image').removeAttribute('src');
    for (const place of [part('size'), $('tbody', part('channels')), part('bars'), part('outputs')]) place.replaceChildren();
  }

  function choosePreprocessing(text, channels) {
    const words = text.split(',');
    const list = (name) => text.match(new RegExp(`${name}=([^a-z]*)`))?.[1].split(',').filter(Boolean).join(', ');
    const custom = text.includes('mean=');
    part('format').value = custom ? 'custom' : words[0];
    if (custom) [part('mean').value, part('std').value, part('scale').value] = [withMinus(list('mean')), withMinus(list('std')), words[0]];
    part('custom').hidden = !custom;
    for (const option of part('format').options) option.disabled = channels === 1 && ['caffe', 'torch'].includes(option.value);
    part('order').disabled = channels === 1;
    part('order').value = channels === 1 ? 'gray' : words.find((word) => word === 'rgb' || word === 'bgr') ?? usualOrder();
    part('fit').value = words.find((word) => word === 'crop' || word === 'pad') ?? 'stretch';
  }

  const usualOrder = () => (part('format').value === 'caffe' ? 'bgr' : 'rgb');

  /** The chosen settings, in the format of requests. */
  function chosen() {
    const format = part('format').value;
    const [mean, std] = ['mean', 'std'].map((name) => numbers(withHyphen(part(name).value)));
    const constants = [mean && `mean=${mean}`, std && `std=${std}`].filter(Boolean);
    const values = format === 'custom' ? [part('scale').value, ...constants] : [format];
    return {
      preprocessing: [...values, part('order').value, part('fit').value].join(','),
      classes: current.classes === null ? '' : part('names').value,
      task: part('task').value || null,
    };
  }

  /** The current image, or else the first image for the model. */
  async function sample() {
    if (view.image !== undefined) return view.image;
    const { images: [first] } = await ask(`${path`/api/models/${model.id}/images`}?count=1`);
    return first.id;
  }

  async function preview() {
    clearTimeout(later);
    if (current.preprocessing === null) return;
    const last = previewTurn();
    try {
      tried = await sample();
      const found = await post(path`/api/models/${model.id}/settings/preview`, { image: tried, settings: chosen() });
      if (!last()) return;
      show(found);
      part('problem').textContent = '';
      $('.settings-preview', card).classList.remove('stale');
    } catch (error) {
      if (!last()) return;
      part('problem').textContent = error.message;
      $('.settings-preview', card).classList.add('stale');
    }
  }

  function show({ image, width, height, channels, predictions, outputs, description }) {
    part('image').src = image;
    part('image').classList.toggle('pixels', width < 128);
    part('size').textContent = description;
    part('size').title = `${height} × ${width} pixels`;
    $('tbody', part('channels')).replaceChildren(...channels.map(({ name, low, mean, high }) =>
      el('tr', {}, el('th', { scope: 'row' }, name), ...[low, mean, high].map((value) => el('td', { class: 'number' }, number(value))))));
    showBars(part('bars'), predictions.map(({ name, probability }, at) => ({ name, value: probability, best: at === 0 })));
    part('outputs').hidden = predictions.length > 0;
    part('outputs').textContent = outputs.length > 0 ? `Not a classifier; first outputs: ${outputs.map((value) => number(value)).join(', ')}` : 'The network is not a classifier.';
  }

  async function apply(save) {
    if (sending) return;
    sending = true;
    const target = model;
    try {
      const now = await put(path`/api/models/${target.id}/settings`, { settings: chosen(), save });
      if (model !== target) return;
      say(save ? `Saved in ${now.file}` : 'Applied until the studio stops');
      hide();
      await reload();
    } catch (error) {
      part('problem').textContent = error.message;
    } finally {
      sending = false;
    }
  }

  const soon = () => {
    clearTimeout(later);
    later = setTimeout(preview, PAUSE);
  };
  part('form').addEventListener('input', (event) => {
    if (event.target === part('file')) return;
    if (event.target === part('format')) {
      part('custom').hidden = part('format').value !== 'custom';
      if (current.channels !== 1) part('order').value = usualOrder();
    }
    soon();
  });
  part('file').addEventListener('change', async () => {
    const [file] = part('file').files;
    if (!file) return;
    part('file').value = '';
    if (file.size > FILE) {
      part('problem').textContent = `${file.name} has more than ${FILE / 1024} KiB`;
      return;
    }
    part('names').value = await file.text();
    await preview();
  });
  part('form').addEventListener('submit', (event) => {
    event.preventDefault();
    apply(false);
  });
  part('save').addEventListener('click', () => apply(true));
  part('close').addEventListener('click', close);
  // On the document, because the card may open by itself, without the focus. An open dialog or list handles the key first.
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape' && !event.defaultPrevented && !card.hidden && $('dialog[open]') === null) close(); });
  toggle.addEventListener('click', () => {
    if (!card.hidden) return close();
    byHand = true;
    return open();
  });
  document.addEventListener('look', () => { if (!card.hidden && view.image !== undefined && view.image !== tried) soon(); });

  return {
    /** Switches to another model, or to the same one with other settings. */
    use(next) {
      model = next;
      if (byHand || (next.assumed && !asked().includes(key(next)))) open();
      else if (!card.hidden) hide();
    },
  };
}
