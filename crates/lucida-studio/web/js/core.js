// Functions that all scripts share: requests, elements, storage, and the view that the URL describes.

import { here, moved, send } from './transport.js';

export const $ = (selector, within = document) => within.querySelector(selector);

/** Creates an element: `el('p', { class: 'fine', onclick: f }, 'text', other)`. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Shows a message for some seconds; with `undo`, next to an Undo button. */
let quiet;
export function say(text, undo = null) {
  const status = $('#status');
  const button = undo && el('button', { onclick: () => { status.textContent = ''; undo(); } }, 'Undo');
  status.replaceChildren(...[text, button].filter(Boolean));
  clearTimeout(quiet);
  quiet = setTimeout(() => { status.textContent = ''; }, undo ? 15_000 : 8000);
}

/** Asks for confirmation before something is removed; resolves to whether to continue. */
export function sure(question, verb) {
  return new Promise((answer) => {
    const dialog = el('dialog', { class: 'sure', 'aria-labelledby': 'sure-question', onclose: () => { dialog.remove(); answer(dialog.returnValue === 'yes'); } },
      el('form', { method: 'dialog' }, el('p', { id: 'sure-question' }, question),
        el('div', { class: 'picker-actions' }, el('button', { class: 'primary', value: 'yes' }, verb), el('button', { value: 'no' }, 'Cancel'))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Whether the server responds. While it does not, GET requests wait; events.js detects when it is back.

let back = null;
let open = () => {};
export const isOffline = () => back !== null;
export function offline(gone) {
  if (gone === isOffline()) return;
  if (gone) back = new Promise((ready) => { open = ready; });
  else { back = null; open(); }
  $('#offline').hidden = !gone;
  $('#main').setAttribute('aria-busy', String(gone));
  document.body.classList.toggle('offline', gone);
}

/** Sends a request; throws an error with the server's message if it fails. GET requests wait while the server is offline. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await send(path, options);
  } catch (error) {
    if (error.name === 'AbortError' || leaving) throw error;
    offline(true);
    if ((options.method ?? 'GET') !== 'GET') throw new Error('The studio is not responding; nothing was changed.');
    await back;
    return request(path, options);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const error = new Error(answer?.error ?? `The server responded with status ${response.status}.`);
  error.status = response.status;
  throw error;
}
/** Sends a request; returns the JSON of the response. */
export async function ask(path, options = {}) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json().catch(() => null);
}
let leaving = false;
addEventListener('pagehide', () => { leaving = true; });
addEventListener('pageshow', () => { leaving = false; });

const sender = (method) => (path, value) =>
  ask(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });
export const post = sender('POST');
export const put = sender('PUT');

/** Uploads files as form fields `name`. */
export function uploadAll(files, name, address) {
  const form = new FormData();
  for (const file of files) form.append(name, file);
  return ask(address, { method: 'POST', body: form });
}
/** Uploads a file as the form field `name`, by default as an image. */
export const upload = (file, name = 'image', address = '/api/images') => uploadAll([file], name, address);

/** Whether a text of the URL is an integer from 0 to `end` - 1. */
export const isNumberBelow = (text, end) => /^\d+$/.test(text) && Number(text) < end;

/** Template tag for paths: encodes the values, which may contain any character. */
export const path = (parts, ...values) =>
  parts.reduce((whole, part, at) => whole + encodeURIComponent(values[at - 1]) + part);

/** Runs something that may fail, and shows the error message if it does. An aborted request is not an error. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'AbortError' && !leaving) say(error.message);
    return undefined;
  }
}

/** Starts a turn with each call; returns whether it is still the latest one, to drop responses to outdated requests. */
export function turns() {
  let last = 0;
  return () => {
    last += 1;
    const mine = last;
    return () => mine === last;
  };
}

/** A value that is stored for later visits: in this browser, or with `sessionStorage` in this tab. */
export function stored(name, storage = localStorage) {
  return {
    get: () => { try { return JSON.parse(storage.getItem(name)); } catch { return null; } },
    // A value that exceeds the quota is not stored.
    set: (value) => { try { storage.setItem(name, JSON.stringify(value)); } catch { storage.removeItem(name); } },
  };
}

/** Restores the values of a form's controls that have an `id`, and stores each change. */
export function rememberForm(form, name) {
  const kept = stored(name);
  const controls = [...form.elements].filter((control) => control.id && control.type !== 'file' && control.type !== 'submit' && control.type !== 'button');
  const part = (control) => (control.type === 'checkbox' ? 'checked' : 'value');
  const fill = (values) => {
    for (const control of controls) if (values?.[control.id] !== undefined && !(control.tagName === 'SELECT' && ![...control.options].some(({ value }) => value === values[control.id]))) control[part(control)] = values[control.id];
    for (const control of controls) for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind));
  };
  const keep = () => kept.set(Object.fromEntries(controls.map((control) => [control.id, control[part(control)]])));
  // Twice, because a change of one control may overwrite another, such as with a suggestion.
  const before = kept.get();
  fill(before);
  fill(before);
  form.addEventListener('input', keep);
  form.addEventListener('change', keep);
  return { fill: (values) => { fill(values); keep(); } };
}

/** The URL parameters of each page; `view` stores those of all pages for the next page of this tab. */
const KEYS = {
  '/': ['view', 'model', 'image', 'layer', 'channel', 'at', 'open', 'unfold', 'lesson'],
  '/draw': ['model', 'image', 'lesson'],
  '/mechanics': ['model', 'image', 'layer', 'channel', 'at', 'step', 'lesson'],
  '/explain': ['model', 'image', 'job', 'lesson'],
  '/train': ['run', 'epoch', 'lesson'],
  '/style': ['mode', 'result', 'network', 'training'],
}[here] ?? [];
const remembered = stored('lucida', sessionStorage);
const query = () => Object.fromEntries([...new URLSearchParams(location.search)].filter(([key]) => KEYS.includes(key)));
export const view = remembered.get() ?? {};
let shown = location.search;
/** The URL parameters of this visit, until something else is chosen: only for these is a notice shown if they are not found. */
let named = {};
readAddress();
moved();

/**
 * Shows a notice that the value of the URL parameter `key` was not found, and what is shown instead; does nothing if the
 * URL has no such parameter. The notice stays until something else is chosen.
 */
export function notFound(key, text) {
  if (key in named && view[key] !== undefined) notice(text);
}
function notice(text) {
  const place = $('#not-found');
  place.textContent = [place.textContent, text].filter(Boolean).join(' ');
  place.hidden = false;
}

/** Updates the view from the URL. If it has any parameters, they replace the page's whole view; if not, the last view stays. */
function readAddress() {
  const addressed = query();
  named = { ...addressed };
  [$('#not-found').textContent, $('#not-found').hidden] = ['', true];
  const unknown = [...new URLSearchParams(location.search).keys()].filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) notice(`Unknown parameters in the URL, ignored: ${unknown.map((key) => `“${key}”`).join(', ')}.`);
  if (Object.keys(addressed).length === 0) return;
  if (addressed.model !== undefined && addressed.model !== view.model) for (const key of ['layer', 'channel', 'at', 'open', 'unfold', 'job']) delete view[key];
  for (const key of KEYS) delete view[key];
  Object.assign(view, addressed);
}

/**
 * Changes the view and the URL, and dispatches the event `look` on the document. Each choice of the user is a history entry
 * that Back undoes; `quietly` changes the URL without one, for consequences of a choice.
 */
export function look(changes, { quietly = false } = {}) {
  const before = { ...view };
  Object.assign(view, changes);
  const differs = (...keys) => keys.some((key) => String(view[key]) !== String(before[key]));
  // A position and an unfolded operation belong to their map, unfolded modules to their model, and a job to its image: they
  // are dropped when these change.
  for (const key of ['at', 'unfold']) if (!(key in changes) && differs('model', 'layer', 'channel')) view[key] = undefined;
  if (!('open' in changes) && before.model !== undefined && differs('model')) view.open = undefined;
  // A first choice of model or image is not a change.
  if (!('job' in changes) && ['model', 'image'].some((key) => before[key] !== undefined && differs(key))) view.job = undefined;
  const next = new URLSearchParams();
  for (const key of Object.keys(view)) if (view[key] === undefined || view[key] === null) delete view[key];
  for (const key of KEYS) if (key in view) next.set(key, view[key]);
  remembered.set(view);
  const address = `${location.pathname}?${next}`;
  if (address === location.pathname + location.search) return;
  shown = `?${next}`;
  if (!quietly) [named, $('#not-found').textContent, $('#not-found').hidden] = [{}, '', true];
  if (quietly) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  moved();
  document.dispatchEvent(new Event('look'));
}

/** What to call when Back or Forward leads to another URL of this page, in the order of registration. */
const listeners = [];
addEventListener('popstate', () => {
  // A link to a part of the page, such as its main content, does not change the view.
  if (location.search === shown) return;
  shown = location.search;
  readAddress();
  remembered.set(view);
  moved();
  for (const changed of listeners) changed();
  document.dispatchEvent(new Event('look'));
});
/** Calls `changed()` when Back or Forward leads to another URL of this page, after updating `view`. */
export const whenBack = (changed) => listeners.push(changed);

/** Formats a number for display, with `digits` decimals if it is below 1, and with an exponent if it is very small or large. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 10 ** -digits) return withMinus(value.toExponential(1)).replace('e+', 'e');
  const places = size >= 100 ? 0 : size >= 10 ? Math.max(0, digits - 2) : size >= 1 ? digits - 1 : digits;
  return withMinus(value.toFixed(places));
}

/** Replaces hyphens by minus signs, for display. */
export const withMinus = (text) => String(text).replaceAll('-', '−');
/** Parses the text of a field, with a hyphen or a minus sign; NaN if it is not a number. */
export const parsed = (text) => (text.trim() === '' ? NaN : Number(withHyphen(text.trim())));
/** Replaces minus signs by hyphens, for programs. */
export const withHyphen = (text) => text.replaceAll('−', '-');
/** A number field that displays a minus sign, and copies a hyphen to the clipboard. */
export function numberField(value, attributes) {
  const copy = (event) => {
    const field = event.currentTarget;
    event.clipboardData.setData('text/plain', withHyphen(field.value.slice(field.selectionStart, field.selectionEnd)));
    event.preventDefault();
    if (event.type === 'cut') field.setRangeText('');
  };
  return el('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...attributes, value: withMinus(value), oncopy: copy, oncut: copy });
}

/** A count in groups of three digits, as the command line prints it: `113,514`. */
export const count = (value) => value.toLocaleString('en-US');
export const percent = (value, places = 1) => `${(100 * value).toFixed(places)} %`;
/** Progress of a job, from 0 to 1. */
export const partDone = (job) => (job.progress.total ? job.progress.done / job.progress.total : 0);
/** Fills a progress bar. `percent` does not work here: CSS allows no space before the percent sign. */
/** Shows the value of a slider: in the `output` of its label, and to screen readers. */
export function showValue(slider, text) {
  $('output', slider.labels[0]).textContent = text;
  slider.setAttribute('aria-valuetext', text);
}

export const fillBar = (fill, part) => { fill.style.width = `${100 * part}%`; };
export const shape = (sizes) => sizes.join(' × ');
/** Indices of the `most` largest values, in descending order. */
export const greatest = (values, most) => [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, most);
