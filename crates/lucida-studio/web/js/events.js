// What the server tells of its jobs. One stream for a page, shared by all who listen.

import { $, ask, offline, path } from './core.js';

const listeners = new Set();
/** The time until a stream that the browser has given up is opened again, in milliseconds. */
const RETRY = 2000;
let source = null;
let greeted = false;

let leaving = false;
addEventListener('pagehide', () => { leaving = true; source?.close(); });
addEventListener('pageshow', ({ persisted }) => { leaving = false; if (persisted && source !== null) connect(); });

function connect() {
  source = new EventSource('/api/events');
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    for (const listener of [...listeners]) listener(event);
  };
  // After a break the server's state may be another: whoever listens asks again.
  const again = () => { for (const listener of [...listeners]) listener({ type: 'again' }); };
  source.addEventListener('hello', () => { greeted = true; offline(false); again(); });
  source.addEventListener('lagged', again);
  // The browser tries again by itself, unless what it got was an answer of another kind.
  source.addEventListener('error', () => {
    if (leaving) return;
    offline(true);
    if (source.readyState !== EventSource.CLOSED) return;
    // A studio that was started again for other machines asks for its new token.
    fetch('/api/models').then(({ status }) => { if (status === 401) $('#offline').textContent = 'The studio was restarted with a new token. Open the URL that it printed.'; }, () => {});
    setTimeout(connect, RETRY);
  });
}

/**
 * Calls `listener` with each event, first with `again`: time to ask for what there is, unless that is
 * `asked` already. Returns what ends that.
 */
export function listen(listener, asked = false) {
  listeners.add(listener);
  if (source === null) connect();
  else if (greeted && !asked) queueMicrotask(() => listener({ type: 'again' }));
  return () => listeners.delete(listener);
}

/** Why a job that ended has no result, or only a part of one; null for one that is done. */
export function ending(job) {
  if (job.state === 'interrupted') return `Interrupted: ${job.error}`;
  return job.error ?? (job.state === 'cancelled' ? 'Stopped' : null);
}

/** What a queued job waits for. */
export const queuedNote = ({ waits_for: ahead }) => (ahead ? `Queued: waiting for job ${ahead.id} (${ahead.title})` : 'Queued: starts next');

export const ended = (job) => !['queued', 'running'].includes(job.state);

/**
 * Follows one job until it has ended: `change(job)` for each state and progress, `news(value, at)` for what it tells,
 * from the first on and each once. Returns what stops the following.
 */
export function follow(id, { change = () => {}, news = () => {} }) {
  let told = 0;
  let stopped = false;
  const tell = (value, at) => {
    if (at !== told) return at < told;
    told += 1;
    news(value, at);
    return true;
  };
  const catchUp = async () => {
    const job = await ask(path`/api/jobs/${id}`).catch(() => null);
    if (job === null || stopped) return;
    job.news.forEach(tell);
    change(job);
    if (ended(job)) stop();
  };
  const stop = listen((event) => {
    if (stopped) return;
    if (event.type === 'again') catchUp();
    else if (event.type === 'news' && event.id === id && !tell(event.news, event.at)) catchUp();
    else if (event.type === 'job' && event.job.id === id) {
      // What it told last may not have come yet: the record at its end is asked for with all of it.
      if (ended(event.job)) catchUp();
      else change(event.job);
    }
  }, true);
  catchUp();
  return () => { stopped = true; stop(); };
}
