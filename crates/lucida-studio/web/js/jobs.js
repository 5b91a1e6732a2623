// The jobs page: all jobs, newest first.

import { $, ask, attempt, el, fillBar, partDone, path, percent, post, sure } from './core.js';
import { ended, ending, listen, queuedNote } from './events.js';
import { frame } from './frame.js';
import { pageUrl } from './transport.js';

frame();
const jobs = new Map();
const rows = new Map();

const WORDS = { queued: 'Queued', running: 'Running', done: 'Done', failed: 'Failed', cancelled: 'Stopped', interrupted: 'Interrupted' };

listen(async (event) => {
  if (event.type === 'again') {
    const list = (await attempt(() => ask('/api/jobs'))) ?? [];
    jobs.clear();
    rows.clear();
    $('#jobs').replaceChildren();
    list.reverse().forEach(show);
  } else if (event.type === 'job') show(event.job);
  else if (event.type === 'removed') {
    rows.get(event.id)?.remove();
    rows.delete(event.id);
    jobs.delete(event.id);
  }
  $('#jobs-none').hidden = jobs.size > 0;
});

function show(job) {
  jobs.set(job.id, job);
  const row = make(job);
  const old = rows.get(job.id);
  // While a job runs, only update what changes, so that the focus stays.
  if (old && old.dataset.state === job.state) {
    $('.job-note', old).textContent = note(job);
    const fill = $('.bar-track span', old);
    if (fill) fillBar(fill, partDone(job));
    return;
  }
  if (old) old.replaceWith(row);
  else $('#jobs').prepend(row);
  rows.set(job.id, row);
}

/** The button for a job that did not finish: a training resumes, others start again with the same settings. */
function again(job) {
  if (!ended(job) || job.state === 'done') return [];
  const [word, address, body] = ['train', 'style-train'].includes(job.kind) ? ['Resume', path`/api/jobs/${job.id}/resume`, {}] : ['Start again', '/api/jobs', job.request];
  return [el('button', { 'aria-label': `${word}: ${job.title}`, onclick: () => attempt(() => post(address, body)) }, word)];
}

/** URL of the page that shows the whole job. */
function home({ id, kind, request }) {
  const [page, query] = {
    explain: ['/explain', { model: request.model, image: request.image, job: id }],
    train: ['/train', { run: id }],
    style: ['/style', { mode: 'optimize', result: id }],
    'style-train': ['/style', { mode: 'train', training: id }],
  }[kind] ?? ['/', { model: request.model, layer: request.layer, channel: request.channel }];
  return pageUrl(page, query);
}

async function remove(job) {
  if (await sure(`Remove ${job.title} (${job.kind} ${job.id}) and all its files?`, 'Remove')) await attempt(() => ask(path`/api/jobs/${job.id}`, { method: 'DELETE' }));
}


function note(job) {
  if (ended(job) && ending(job)) return ending(job);
  if (job.state === 'queued') return queuedNote(job);
  if (job.state === 'running') return `${job.progress.doing} (${percent(partDone(job))})`;
  if (job.finished && job.started) return `${(job.finished - job.started).toFixed(1)} s, ${new Date(1000 * job.finished).toLocaleString()}`;
  return '';
}

function make(job) {
  // Sprite sheets and intermediate images are left out; the result comes first.
  const isResult = (file) => file === job.result?.picture;
  const isImage = (file) => /\.(png|jpg)$/.test(file);
  const images = job.files.filter((file) => isResult(file) || (isImage(file) && !['samples.png', 'cells.png', 'photos.jpg'].includes(file) && !/^(step|preview)-\d+\./.test(file)))
    .sort((a, b) => isResult(b) - isResult(a));
  const others = job.files.filter((file) => !isImage(file));
  const track = el('div', { class: 'bar-track', role: 'progressbar', 'aria-label': job.title, 'aria-valuemin': 0, 'aria-valuemax': 100 }, el('span'));
  fillBar($('span', track), partDone(job));
  return el('li', { class: 'job', 'data-state': job.state, 'data-job': job.id },
    el('div', { class: 'job-head' }, el('span', { class: 'job-state' }, WORDS[job.state]), el('h2', { class: 'quiet-title' }, job.title), el('span', { class: 'fine' }, `${job.kind} ${job.id}`)),
    el('p', { class: 'fine job-note' }, note(job)),
    job.state === 'running' ? track : null,
    images.length && ended(job) ? el('div', { class: 'job-files' }, ...images.map((file) => el('a', { href: path`/api/jobs/${job.id}/files/${file}`, 'aria-label': `${isResult(file) ? 'Result' : file} of ${job.title}` }, el('img', { class: 'pixels', src: path`/api/jobs/${job.id}/files/${file}`, alt: '', loading: 'lazy' })))) : null,
    el('div', { class: 'picker-actions' },
      el('a', { class: 'button', 'aria-label': `Open ${job.title}`, href: home(job) }, 'Open'),
      ...again(job),
      ended(job) ? el('button', { 'aria-label': `Remove ${job.title}`, onclick: () => remove(job) }, 'Remove')
        : el('button', { 'aria-label': `Stop ${job.title}`, onclick: () => attempt(() => post(path`/api/jobs/${job.id}/cancel`, {})) }, 'Stop'),
      ...(ended(job) ? others.map((file) => el('a', { class: 'button', download: file, href: path`/api/jobs/${job.id}/files/${file}` }, file)) : [])));
}
