// Style transfer by optimization: styles, sliders, and intermediate images.

import { $, ask, attempt, el, fillBar, look, notFound, number, partDone, path, post, rememberForm, showValue, view } from './core.js';
import { chart } from './chart.js';
import { comparison } from './compare.js';
import { ended, ending, follow, listen, queuedNote } from './events.js';
import { BRUSHWORK, styleList, takes, tray } from './style-images.js';

/** Range of the weights of styles, which are set by sliders. */
const WEIGHTS = { min: 0.1, max: 2, step: 0.1 };
/** Limits the weights of stored styles to the range of the sliders, so that the weights sent are those shown. */
const withinSlider = (list) => list.map(({ image, weight }) => ({ image, weight: Math.max(WEIGHTS.min, Math.min(WEIGHTS.max, Number(weight) || 1)) }));
const builtin = () => [{ image: BRUSHWORK.id, weight: 1 }];

/** Sets up the form; `content` is the content image, and `images` stores the styles. */
export function optimizing(content, images) {
  let current = null;
  let stop = () => {};
  let news = [];
  let last = null;
  let waiting = false;

  const remember = (styles) => images.set({ ...images.get(), styles });
  const chosen = styleList({
    place: $('#styles'),
    styles: withinSlider(images.get()?.styles ?? builtin()),
    builtin,
    control: (style, at) => el('input', { type: 'range', ...WEIGHTS, value: style.weight, 'aria-label': `Weight of style ${at + 1}`, oninput: (event) => { style.weight = Number(event.target.value); remember(chosen.styles); } }),
    changed: remember,
  });
  const addStyle = (id) => chosen.add({ image: id, weight: 1 });
  takes($('#styles-part'), $('#style-file'), addStyle);
  tray($('#style-tray'), BRUSHWORK, addStyle);

  const power = (id) => 2 ** Number($(id).value);
  const words = {
    keep: () => `× ${number(10 ** Number($('#keep').value), 2)}`,
    strokes: () => `× ${number(power('#strokes'), 2)}`,
    size: () => `${$('#size').value} pixels`,
    effort: () => `× ${number(Number($('#effort').value), 2)}`,
  };
  for (const [name, say] of Object.entries(words)) {
    const show = () => showValue($(`#${name}`), say());
    $(`#${name}`).addEventListener('input', show);
    show();
  }
  const form = rememberForm($('#style-form'), 'lucida-style');

  $('#style-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const job = await attempt(() => post('/api/jobs', {
      kind: 'style', content: content.id, styles: chosen.styles, size: Number($('#size').value), keep: 10 ** Number($('#keep').value), strokes: power('#strokes'), effort: Number($('#effort').value), own_colours: $('#own-colours').checked,
    }));
    if (job) show(job.id);
  });
  /** Starts a new job with the same request: a style transfer has no checkpoint to resume from. */
  async function startAgain({ request }) {
    const job = await attempt(() => post('/api/jobs', request));
    if (job) show(job.id);
  }
  $('#stop').addEventListener('click', () => attempt(() => post(path`/api/jobs/${current}/cancel`, {})));

  /** Shows a job: its newest image, its settings, and its state. */
  function show(id, how = {}) {
    look({ result: id }, how);
    stop();
    [current, news] = [id, []];
    $('#compare').hidden = true;
    $('#compare-label').hidden = true;
    $('#painting-actions').replaceChildren();
    stop = follow(id, {
      news: (one) => { news.push(one); later(); },
      change: (job) => { last = job; later(); },
    });
  }

  /** Puts the settings of a job into the form. */
  function use({ request }) {
    content.use(request.content);
    chosen.set(withinSlider(request.styles));
    form.fill({ keep: String(Math.log10(request.keep)), strokes: String(Math.log2(request.strokes)), size: String(request.size), effort: String(request.effort), 'own-colours': request.own_colours });
  }

  function showFacts({ keep, strokes, size, effort, own_colours: own, styles, seed }) {
    const facts = [['Content weight', `× ${number(keep, 2)}`], ['Stroke size', `× ${number(strokes, 2)}`], ['Longer side', `${size} pixels`], ['Steps', `× ${number(effort, 2)}`], ['Colors', own ? 'of the content' : 'of the style'], ['Styles', styles.length === 1 ? '1' : styles.map(({ weight }) => number(weight, 2)).join(' : ')], ['Seed', seed]];
    $('#style-facts').replaceChildren(...facts.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, String(value)))));
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function draw() {
    const job = last;
    if (job === null || job.id !== current) return;
    const track = $('#style-track');
    track.hidden = ended(job);
    fillBar($('span', track), partDone(job));
    $('#stop').hidden = ended(job);
    const newest = news[news.length - 1];
    const file = job.result?.picture ?? newest?.file;
    const { result } = job;
    const made = result?.picture ? `${result.width} × ${result.height} pixels after ${result.steps} steps of ${result.network.replaceAll('_', '-')}` : null;
    $('#painting-note').textContent = ended(job) ? [ending(job), made ?? (file ? 'the last intermediate image is shown' : null)].filter(Boolean).join('; ') : job.state === 'queued' ? queuedNote(job) : job.progress.doing;
    if (file) {
      $('#compare').hidden = false;
      $('#compare-label').hidden = false;
      const address = path`/api/jobs/${job.id}/files/${file}`;
      if ($('#after').getAttribute('src') !== address) $('#after').src = address;
      const before = path`/api/jobs/${job.id}/files/content.png`;
      if ($('#before').getAttribute('src') !== before) $('#before').src = before;
    }
    showFacts(job.request);
    if (ended(job) && $('#painting-actions').children.length === 0) {
      $('#painting-actions').replaceChildren(...[result?.picture ? el('a', { class: 'button', download: 'style-transfer.png', href: path`/api/jobs/${job.id}/files/${result.picture}` }, 'Download') : null,
        job.state === 'done' ? null : el('button', { class: 'primary', onclick: () => startAgain(job) }, 'Start again'),
        el('button', { onclick: () => use(job) }, 'Use these settings')].filter(Boolean));
    }
    const line = (key, name, color) => ({ name, color, points: news.map((one) => [100 * one.done, Math.log10(one[key])]).filter(([, value]) => Number.isFinite(value)) });
    const lines = [line('style', 'Style', 'run-1'), line('content', 'Content', 'run-2')];
    $('#style-chart').replaceChildren(...(news.length > 1 ? [chart({ title: 'Losses', across: 'percent of the steps; each jump is a larger image', unit: 'Percent', lines, free: true })] : []));
  }

  comparison($('#compare'), $('#before'), $('#divide'), $('#part'));

  // Earlier results.

  const transfers = new Map();
  listen(async (event) => {
    if (event.type === 'again') {
      transfers.clear();
      ((await attempt(() => ask('/api/jobs'))) ?? []).filter(({ kind }) => kind === 'style').forEach((job) => transfers.set(job.id, job));
      if (current === null && view.result !== undefined && !transfers.has(view.result)) notFound('result', `There is no result “${view.result}”; ${transfers.size > 0 ? 'the newest one' : 'none'} is shown.`);
      const running = [...transfers.values()].find((job) => !ended(job));
      if (current === null && transfers.has(view.result)) show(view.result, { quietly: true });
      else if (current === null && running) show(running.id, { quietly: true });
      else if (current === null && transfers.size > 0) show(transfers.keys().next().value, { quietly: true });
    } else if (event.type === 'job' && event.job.kind === 'style') transfers.set(event.job.id, event.job);
    else if (event.type === 'removed') transfers.delete(event.id);
    const done = [...transfers.values()].filter((job) => job.files.includes('painting.png')).sort((a, b) => b.created - a.created);
    const state = done.map(({ id }) => id).join();
    if ($('#gallery').dataset.state === state) return;
    $('#gallery').dataset.state = state;
    $('#gallery').replaceChildren(...(done.length ? done.map((job) => el('button', { 'aria-label': `Result ${job.id}`, onclick: () => show(job.id) }, el('img', { src: path`/api/jobs/${job.id}/files/painting.png`, alt: '', loading: 'lazy' }))) : [el('p', { class: 'fine' }, 'No earlier results.')]));
  });

  chosen.show();
  return { back() { if (transfers.has(view.result)) show(view.result, { quietly: true }); } };
}
