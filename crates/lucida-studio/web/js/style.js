// The style page: a content, styles, sliders, and the picture as it comes about.

import { $, ask, attempt, el, number, path, percent, post } from './core.js';
import { chart } from './chart.js';
import { ended, follow, listen } from './events.js';
import { frame } from './frame.js';

let content = 'cat';
let styles = [{ image: 'brushwork', weight: 1 }];
let current = null;
let stop = () => {};
let news = [];

frame();

async function upload(file) {
  if (!file) return null;
  const form = new FormData();
  form.append('picture', file);
  return attempt(() => ask('/api/images', { method: 'POST', body: form }));
}

function takes(place, input, use) {
  const taken = async (file) => {
    const kept = await upload(file);
    if (kept) use(kept.id);
  };
  input.addEventListener('change', () => { taken(input.files[0]); input.value = ''; });
  place.addEventListener('dragover', (event) => { event.preventDefault(); place.classList.add('drop'); });
  place.addEventListener('dragleave', () => place.classList.remove('drop'));
  place.addEventListener('drop', (event) => {
    event.preventDefault();
    place.classList.remove('drop');
    [...event.dataTransfer.files].forEach(taken);
  });
}
takes($('#content-slot'), $('#content-file'), (id) => { content = id; showContent(); });
takes($('#styles').parentElement, $('#style-file'), (id) => {
  styles = [...styles.filter(({ image }) => image !== 'brushwork'), { image: id, weight: 1 }].slice(-4);
  showStyles();
});

function showContent() {
  $('#content-image').src = `${path`/api/images/${content}`}?side=512`;
}

function showStyles() {
  $('#styles').replaceChildren(...styles.map((style, at) => {
    const weight = el('input', { type: 'range', min: 0.1, max: 2, step: 0.1, value: style.weight, 'aria-label': `How much of style ${at + 1}`, oninput: (event) => { style.weight = Number(event.target.value); } });
    return el('figure', {}, el('img', { src: `${path`/api/images/${style.image}`}?side=256`, alt: `Style ${at + 1}` }),
      styles.length > 1 ? weight : null,
      styles.length > 1 ? el('button', { type: 'button', class: 'quiet', 'aria-label': `Remove style ${at + 1}`, onclick: () => { styles.splice(at, 1); showStyles(); } }, 'Remove') : null);
  }));
}

const power = (id) => 2 ** Number($(id).value);
const words = {
  keep: () => `× ${number(10 ** Number($('#keep').value), 2)}`,
  strokes: () => `× ${number(power('#strokes'), 2)}`,
  size: () => `${$('#size').value} pixels`,
  effort: () => `× ${$('#effort').value}`,
};
for (const [name, say] of Object.entries(words)) {
  const show = () => { $(`#${name}-out`).textContent = say(); };
  $(`#${name}`).addEventListener('input', show);
  show();
}

$('#style-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const job = await attempt(() => post('/api/jobs', {
    kind: 'style', content, styles, size: Number($('#size').value), keep: 10 ** Number($('#keep').value), strokes: power('#strokes'), effort: Number($('#effort').value), own_colours: $('#own-colours').checked,
  }));
  if (job) show(job.id);
});
$('#stop').addEventListener('click', () => attempt(() => post(path`/api/jobs/${current}/cancel`, {})));

/** Shows a job: the picture as it is, and what became of it. */
function show(id) {
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

const key = (colour, name) => el('span', { class: 'key' }, el('span', { class: `swatch ${colour}` }), name);

let last = null;
let waiting = false;
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
  $('span', track).style.width = percent(job.progress.total ? job.progress.done / job.progress.total : 0);
  $('#stop').hidden = ended(job);
  const newest = news[news.length - 1];
  const file = job.result?.picture ?? newest?.file;
  const { result } = job;
  $('#painting-note').textContent = job.error ?? (result?.picture ? `${result.width} × ${result.height} pixels after ${result.steps} steps of ${result.network}${result.stopped ? ', stopped' : ''}` : job.state === 'queued' ? 'Waiting for its turn' : job.state === 'cancelled' ? 'Stopped' : job.progress.doing);
  if (file) {
    $('#compare').hidden = false;
    $('#compare-label').hidden = false;
    const address = path`/api/jobs/${job.id}/files/${file}`;
    if ($('#after').getAttribute('src') !== address) $('#after').src = address;
    const before = path`/api/jobs/${job.id}/files/content.png`;
    if ($('#before').getAttribute('src') !== before) $('#before').src = before;
  }
  if (result?.picture && $('#painting-actions').children.length === 0) {
    $('#painting-actions').replaceChildren(el('a', { class: 'button', download: 'painting.png', href: path`/api/jobs/${job.id}/files/painting.png` }, 'Download'));
  }
  const line = (key, name, colour) => ({ name, colour, points: news.map((one) => [100 * one.done, Math.log10(one[key])]).filter(([, value]) => Number.isFinite(value)) });
  const lines = [line('style', 'Style', 'run-1'), line('content', 'Content', 'run-2')];
  $('#style-chart').replaceChildren(...(news.length > 1 ? [chart({ title: 'Losses', across: [key('run-1', 'style'), key('run-2', 'content'), 'over per cent of the work; each jump is a larger picture'], lines, free: true })] : []));
}

$('#part').addEventListener('input', divide);
function divide() {
  const part = Number($('#part').value);
  $('#before').style.clipPath = `inset(0 ${100 - part}% 0 0)`;
  $('#divide').style.left = `${part}%`;
}
const compare = $('#compare');
for (const kind of ['pointerdown', 'pointermove']) {
  compare.addEventListener(kind, (event) => {
    if (kind === 'pointermove' && event.buttons === 0) return;
    const box = compare.getBoundingClientRect();
    $('#part').value = String(Math.round((100 * (event.clientX - box.left)) / box.width));
    divide();
    event.preventDefault();
  });
}

// Earlier paintings.

const paintings = new Map();
listen(async (event) => {
  if (event.type === 'again') {
    paintings.clear();
    ((await attempt(() => ask('/api/jobs'))) ?? []).filter(({ kind }) => kind === 'style').forEach((job) => paintings.set(job.id, job));
    const running = [...paintings.values()].find((job) => !ended(job));
    if (current === null && running) show(running.id);
    else if (current === null && paintings.size > 0) show(paintings.keys().next().value);
  } else if (event.type === 'job' && event.job.kind === 'style') paintings.set(event.job.id, event.job);
  else if (event.type === 'removed') paintings.delete(event.id);
  const done = [...paintings.values()].filter((job) => job.files.includes('painting.png')).sort((a, b) => b.created - a.created);
  const state = done.map(({ id }) => id).join();
  if ($('#gallery').dataset.state === state) return;
  $('#gallery').dataset.state = state;
  $('#gallery').replaceChildren(...(done.length ? done.map((job) => el('button', { 'aria-label': `Painting ${job.id}`, onclick: () => show(job.id) }, el('img', { src: path`/api/jobs/${job.id}/files/painting.png`, alt: '', loading: 'lazy' }))) : [el('p', { class: 'fine' }, 'None yet.')]));
});

showContent();
showStyles();
divide();
