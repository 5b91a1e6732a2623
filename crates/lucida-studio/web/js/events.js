// Events of jobs: one stream per page, shared by all listeners.

import { $, ask, offline, path } from './core.js';
import { openEvents, send } from './transport.js';

const listeners = new Set();
/** Delay before a stream that the browser has given up on is reopened, in milliseconds. */
const RETRY = 2000;
let source = null;
let greeted = false;

let leaving = false;
addEventListener('pagehide', () => { leaving = true; source?.close(); });
addEventListener('pageshow', ({ persisted }) => { leaving = false; if (persisted && source !== null) connect(); });

function connect() {
  source = openEvents();
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    for (const listener of [...listeners]) listener(event);
  };
  // After an interruption, the server's state may have changed: listeners fetch it again.
  const again = () => { for (const listener of [...listeners]) listener({ type: 'again' }); };
  source.addEventListener('hello', () => { greeted = true; offline(false); again(); });
  source.addEventListener('lagged', again);
  // The browser reconnects by itself, unless the response was not an event stream.
  source.addEventListener('error', () => {
    if (leaving) return;
    offline(true);
    if (source.readyState !== EventSource.CLOSED) return;
    // A restarted studio that listens on the network requires its new token.
    send('/api/models').then(({ status }) => { if (status === 401) $('#offline').textContent = 'The studio was restarted with a new token. Open the URL that it printed.'; }, () => {});
    setTimeout(connect, RETRY);
  });
}

/**
 * Calls `listener` with each event. The first one is `again`, which means to fetch the current state, unless the caller has
 * `asked` for it already. Returns a function that removes the listener.
 */
export function listen(listener, asked = false) {
  listeners.add(listener);
  if (source === null) connect();
  else if (greeted && !asked) queueMicrotask(() => listener({ type: 'again' }));
  return () => listeners.delete(listener);
}

/** Why a job that ended has no result, or only a partial one; null if it is done. */
export function ending(job) {
  if (job.state === 'interrupted') return `Interrupted: ${job.error}`;
  return job.error ?? (job.state === 'cancelled' ? 'Stopped' : null);
}

/** What a queued job waits for. */
export const queuedNote = ({ waits_for: ahead }) => (ahead ? `Queued: waiting for job ${ahead.id} (${ahead.title})` : 'Queued: starts next');

export const ended = (job) => !['queued', 'running'].includes(job.state);

/**
 * Follows a job until it ends: calls `change(job)` for each change of its state and progress, and `news(value, at)` once
 * for each of its events, from the first. Returns a function that stops following.
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
      // Its last events may not have arrived yet: fetch the record with all of them.
      if (ended(event.job)) catchUp();
      else change(event.job);
    }
  }, true);
  catchUp();
  return () => { stopped = true; stop(); };
}
