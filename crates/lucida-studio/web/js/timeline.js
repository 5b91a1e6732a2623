// The inside of the network of a run, as of one of its epochs: kernels, feature maps, and the embedding of validation images.

import { $, ask, attempt, count, el, look, notFound, path, percent, showValue, view } from './core.js';
import { aligned, normalized } from './alignment.js';
import { embeddingPlot } from './embedding.js';
import { ended } from './events.js';
import { areDeep, drawKernel } from './kernels.js';
import { thumb } from './picker.js';
import { bytes, drawMap, floats } from './pixels.js';
import { pageUrl } from './transport.js';

/** Time for which an epoch is shown while the timeline plays, in milliseconds. */
const PAUSE = 1000;
/** Minimum time between two epochs that are shown while the network trains, in milliseconds: to show them takes time from the training. */
const REST = 1500;
/** Number of images to choose from, of kernels, and of feature maps. */
const IMAGES = 16;
const KERNELS = 32;
const MAPS = 32;
/** Number of images of the embedding. Photos are large, and read from files. */
const EMBEDDED = { digits: 300, photos: 100 };

/** Connects the elements of the section; returns what shows a run in it. */
export function inside() {
  const slider = $('#epoch');
  const plot = embeddingPlot($('#embedding'), ({ id }) => choose(id));
  let run = null;
  /** The epochs whose weights are kept, the one that is wanted, and whether that is the newest, whichever it is. */
  let [kept, epoch, follows] = [[], null, true];
  /** The model's description, what was fetched, the points of the embedding, and what is drawn. */
  let [model, fetched, placed, drawn] = [null, new Map(), [], ''];
  let [layer, image] = [null, null];
  let [isBusy, timer] = [false, null];
  /** When the next epoch of a training may be shown, and what waits for that. */
  let [due, waiting] = [0, null];

  const idOf = (of) => `job-${run.job.id}@${of}`;
  const wanted = () => `${idOf(epoch)} ${layer} ${image}`;

  /** The response to a request; of each there is one. */
  function get(url) {
    if (!fetched.has(url)) {
      fetched.set(url, ask(url));
      fetched.get(url).catch(() => fetched.delete(url));
    }
    return fetched.get(url);
  }

  slider.addEventListener('input', () => { pause(); go(kept[Number(slider.value)]); });
  $('#epoch-play').addEventListener('click', () => (timer === null ? play() : pause()));
  $('#epoch-follow').addEventListener('click', () => { pause(); go(kept.at(-1)); });
  $('#inside-layer').addEventListener('change', () => { layer = $('#inside-layer').value; update(); });

  function choose(id) {
    image = id;
    for (const one of $('#inside-images').children) one.setAttribute('aria-pressed', String(one.dataset.image === id));
    update();
  }

  /** Shows an epoch. At the newest one, the timeline follows the training. */
  function go(next) {
    [epoch, follows] = [next, next === kept.at(-1)];
    look({ epoch: follows ? undefined : epoch }, { quietly: true });
    showTimeline();
    update();
  }

  function play() {
    if (epoch === kept.at(-1)) go(kept[0]);
    const step = async () => {
      const next = kept[kept.indexOf(epoch) + 1];
      if (next === undefined) return pause();
      // The animation starts when the epoch is there.
      const loaded = await attempt(() => load(next));
      if (timer === null) return undefined;
      if (!loaded) return pause();
      go(next);
      timer = setTimeout(step, PAUSE);
      return undefined;
    };
    timer = setTimeout(step, PAUSE);
    showPlaying();
  }
  function pause() {
    clearTimeout(timer);
    timer = null;
    showPlaying();
  }
  function showPlaying() {
    $('#epoch-play').textContent = timer === null ? 'Play' : 'Pause';
    // While it plays, a screen reader could not keep up.
    $('output', slider.labels[0]).setAttribute('aria-live', timer === null ? 'polite' : 'off');
  }

  function showTimeline() {
    slider.max = String(kept.length - 1);
    slider.value = String(kept.indexOf(epoch));
    slider.disabled = kept.length < 2;
    $('#epoch-play').disabled = kept.length < 2;
    showValue(slider, `${count(epoch)} of ${count(run.job.request.epochs)}`);
    const record = run.news.findLast((news) => news.type === 'epoch' && news.epoch === epoch);
    const best = run.news.findLast((news) => news.type === 'epoch' && news.best)?.epoch;
    const newest = kept.at(-1);
    const words = [epoch === 0 ? 'The initial weights, before training' : record ? `Validation accuracy ${percent(record.val_accuracy, 2)}` : null, epoch === best ? 'the best epoch' : null, follows && !ended(run.job) ? 'following the training' : null];
    if (kept.length <= newest) words.push(`${count(kept.length)} of ${count(newest + 1)} epochs are kept: the first, the best and the newest ones, and others at regular intervals`);
    $('#epoch-note').textContent = words.filter(Boolean).join('; ');
    $('#epoch-follow').hidden = follows || ended(run.job);
    $('#epoch-inspect').href = pageUrl('/', { model: idOf(epoch) });
  }

  /** Fetches all that is shown of an epoch. */
  async function load(of) {
    model ??= await get(path`/api/models/${idOf(of)}`);
    const convolutions = model.layers.filter(({ kind }) => kind === 'Conv2D');
    const id = path`/api/models/${idOf(of)}`;
    const [kernels, embedding, images] = await Promise.all([
      convolutions.length ? get(`${id}${path`/layers/${convolutions[0].name}/kernels`}?count=${KERNELS}`) : null,
      get(`${id}/embedding?count=${model.digits ? EMBEDDED.digits : EMBEDDED.photos}`),
      get(`${path`/api/models/${idOf(kept[0])}`}/images?count=${IMAGES}`),
    ]);
    if (layer === null) fillChoices(images.images);
    const maps = layer && image ? await get(`${id}${path`/layers/${layer}/maps`}?image=${encodeURIComponent(image)}&count=${MAPS}`) : null;
    return { kernels, embedding, maps };
  }

  /** The layers with feature maps, and the images to choose from. */
  function fillChoices(images) {
    const layers = model.layers.filter(({ kind, shape }) => shape.length === 3 && shape[0] * shape[1] > 1 && !kind.startsWith('Input'));
    $('#inside-layer').replaceChildren(...layers.map(({ name }) => el('option', { value: name }, name)));
    layer = layers[0]?.name ?? null;
    image ??= images[0]?.id ?? null;
    $('#inside-images').replaceChildren(...images.map(({ id, title }) => thumb(id, title, id === image, choose, (broken) => { broken.disabled = true; })));
  }

  /** Draws what is wanted, one after the other: epochs that come faster than they can be drawn are left out. */
  async function update() {
    if (isBusy) return;
    isBusy = true;
    while (run !== null && epoch !== null && drawn !== wanted()) {
      const [id, of] = [run.job.id, epoch];
      const parts = await attempt(() => load(of));
      if (id !== run?.job.id) continue;
      drawn = `${idOf(of)} ${layer} ${image}`;
      if (parts) draw(of, parts);
      due = performance.now() + REST;
      if (follows && !ended(run.job)) break;
    }
    isBusy = false;
    if (run !== null && epoch !== null && drawn !== wanted()) updateLater();
  }

  /** Draws the newest epoch of a training when the last one has been shown for a while. */
  function updateLater() {
    waiting ??= setTimeout(() => { waiting = null; update(); }, Math.max(0, due - performance.now()));
  }

  function draw(of, { kernels, embedding, maps }) {
    const words = `after epoch ${of}`;
    if (kernels) {
      const values = floats(kernels.data);
      const { rows, columns, channels, filters, of_filters: total } = kernels;
      $('#inside-kernels').classList.toggle('deep', areDeep(kernels));
      canvases($('#inside-kernels'), filters, `${filters} kernels ${words}`, (canvas, at) => drawKernel(canvas, kernels, values, at));
      $('#inside-kernels-note').textContent = `${filters < total ? `${filters} of ${total}` : total} kernels of ${rows} × ${columns}${channels === 3 ? ', in color' : '; blue is negative, red positive'}`;
    }
    if (maps) {
      const data = bytes(maps.data);
      canvases($('#inside-maps'), maps.channels, `${maps.channels} feature maps of ${maps.layer} ${words}`, (canvas, at) => drawMap(canvas, maps, data, at));
    }
    const { layer: name, features, title, explained, images } = embedding;
    plot.show(embedding, points(embedding), `The embedding of ${count(images.length)} images ${words}.`);
    $('#embedding-note').textContent = `${count(images.length)} of ${title}, by the ${count(features)} features of ${name}, projected to the two principal components (${percent(explained.reduce((sum, part) => sum + part, 0), 0)} of the variance) and rotated to match the epoch shown before`;
  }

  /** The points of an embedding, aligned to those that are shown: a PCA may turn and mirror from epoch to epoch. */
  function points({ images }) {
    const mine = normalized(images.map(({ point }) => point));
    placed = placed.length === mine.length ? aligned(mine, placed) : mine;
    return placed;
  }

  /** Draws on `total` canvases of a group, which stay the same from epoch to epoch. */
  function canvases(place, total, label, drawOne) {
    if (place.children.length !== total) place.replaceChildren(...Array.from({ length: total }, () => el('canvas', { 'aria-hidden': 'true' })));
    place.setAttribute('aria-label', label);
    [...place.children].forEach(drawOne);
  }

  /** Removes what is drawn of another run. */
  function clear() {
    for (const place of [$('#inside-kernels'), $('#inside-maps')]) {
      place.replaceChildren();
      place.setAttribute('aria-label', 'Loading');
    }
    plot.clear();
  }

  /** Why there is no timeline. */
  function reason() {
    const start = run.news.find(({ type }) => type === 'start');
    if (start === undefined) return ended(run.job) ? 'The run ended before its first epoch.' : 'Starts with the training.';
    return start.not_kept ?? 'This run is from a version that did not keep the weights of each epoch.';
  }

  return {
    /** Shows a run, now and after each of its events. */
    show(next) {
      if (run?.job.id !== next.job.id) {
        pause();
        [run, kept, epoch, model, drawn, layer, image] = [next, [], null, null, '', null, null];
        [fetched, placed] = [new Map(), []];
        follows = view.epoch === undefined;
        clear();
      }
      const found = run.news.findLast((news) => news.kept)?.kept ?? [];
      $('#inside-body').hidden = found.length === 0;
      $('#inside-note').textContent = found.length === 0 ? reason() : '';
      if (found.length === 0) return;
      const before = epoch;
      kept = found;
      if (epoch === null && !follows) {
        epoch = kept.find((one) => String(one) === view.epoch) ?? null;
        // The events of a run that is not complete arrive one by one.
        if (epoch === null && !run.complete) return;
        if (epoch === null) notFound('epoch', `The weights after epoch “${view.epoch}” are not kept; the newest ones are shown.`);
        follows = epoch === null;
      }
      if (follows) epoch = kept.at(-1);
      else if (!kept.includes(epoch)) epoch = kept.reduce((best, one) => (Math.abs(one - epoch) < Math.abs(best - epoch) ? one : best));
      showTimeline();
      if (epoch === before) return;
      if (before === null) update();
      else updateLater();
    },
  };
}
