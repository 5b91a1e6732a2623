// What all scripts share: asking the server, building elements, and remembering what is looked at.

export const $ = (selector, within = document) => within.querySelector(selector);

/** An element: `el('p', { class: 'fine', onclick: f }, 'text', other)`. */
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

/** Says something to the person, for some seconds; with `undo`, a button next to it takes back what was done. */
let quiet;
export function say(text, undo = null) {
  const status = $('#status');
  const button = undo && el('button', { onclick: () => { status.textContent = ''; undo(); } }, 'Undo');
  status.replaceChildren(...[text, button].filter(Boolean));
  clearTimeout(quiet);
  quiet = setTimeout(() => { status.textContent = ''; }, undo ? 15_000 : 8000);
}

/** Asks before something is removed for good; the answer is whether to continue. */
export function sure(question, verb) {
  return new Promise((answer) => {
    const dialog = el('dialog', { class: 'sure', 'aria-labelledby': 'sure-question', onclose: () => { dialog.remove(); answer(dialog.returnValue === 'yes'); } },
      el('form', { method: 'dialog' }, el('p', { id: 'sure-question' }, question),
        el('div', { class: 'picker-actions' }, el('button', { class: 'primary', value: 'yes' }, verb), el('button', { value: 'no' }, 'Cancel'))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Whether the server responds. While it does not, what is asked for waits; events.js notices when it is back.

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

/** Asks the server for what is not JSON. An error is thrown with the server's own sentence. Reading waits for a server that is gone. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
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
/** Asks the server for JSON. */
export async function ask(path, options = {}) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json().catch(() => null);
}
let leaving = false;
addEventListener('pagehide', () => { leaving = true; });
addEventListener('pageshow', () => { leaving = false; });

const send = (method) => (path, value) =>
  ask(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });
export const post = send('POST');
export const put = send('PUT');

/** Uploads a file as the field `name` of a form: an image, unless `address` takes something else. */
export function upload(file, name = 'image', address = '/api/images') {
  const form = new FormData();
  form.append(name, file);
  return ask(address, { method: 'POST', body: form });
}

/** Whether a text of an address is a whole number from 0 to below `end`. */
export const isNumberBelow = (text, end) => /^\d+$/.test(text) && Number(text) < end;

/** A path whose parts may hold any character. */
export const path = (parts, ...values) =>
  parts.reduce((whole, part, at) => whole + encodeURIComponent(values[at - 1]) + part);

/** Runs something that may fail, and says so if it does. A request superseded by a newer one does not count as a failure. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'AbortError' && !leaving) say(error.message);
    return undefined;
  }
}

/** Turns: each call begins one, and answers whether it is still the last. An answer that was overtaken is dropped. */
export function turns() {
  let last = 0;
  return () => {
    last += 1;
    const mine = last;
    return () => mine === last;
  };
}

/** A value that a later visit finds again: in this browser, or with `sessionStorage` in this tab. */
export function stored(name, storage = localStorage) {
  return {
    get: () => { try { return JSON.parse(storage.getItem(name)); } catch { return null; } },
    // A value that there is no room for is not remembered.
    set: (value) => { try { storage.setItem(name, JSON.stringify(value)); } catch { storage.removeItem(name); } },
  };
}

/** Fills the controls of a form, those with an identifier, with what was chosen before, and remembers each change. */
export function rememberForm(form, name) {
  const kept = stored(name);
  const controls = [...form.elements].filter((control) => control.id && control.type !== 'file' && control.type !== 'submit' && control.type !== 'button');
  const part = (control) => (control.type === 'checkbox' ? 'checked' : 'value');
  const fill = (values) => {
    for (const control of controls) if (values?.[control.id] !== undefined && !(control.tagName === 'SELECT' && ![...control.options].some(({ value }) => value === values[control.id]))) control[part(control)] = values[control.id];
    for (const control of controls) for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind));
  };
  const keep = () => kept.set(Object.fromEntries(controls.map((control) => [control.id, control[part(control)]])));
  // Twice: what follows from one control, such as a suggestion for another, comes before what was chosen there.
  const before = kept.get();
  fill(before);
  fill(before);
  form.addEventListener('input', keep);
  form.addEventListener('change', keep);
  return { fill: (values) => { fill(values); keep(); } };
}

/** What each page shows, in its address; `view` remembers that of all pages for the next page of this tab. */
const KEYS = {
  '/': ['model', 'image', 'layer', 'channel', 'at'],
  '/draw': ['model', 'image'],
  '/mechanics': ['model', 'image', 'layer', 'channel', 'at'],
  '/explain': ['model', 'image', 'job'],
  '/train': ['run'],
  '/style': ['mode', 'result', 'network', 'training'],
}[location.pathname] ?? [];
const remembered = stored('lucida', sessionStorage);
const query = () => Object.fromEntries([...new URLSearchParams(location.search)].filter(([key]) => KEYS.includes(key)));
export const view = remembered.get() ?? {};
let shown = location.search;
/** What the address of this visit names, until something else is chosen: only of that it is worth saying that it is missing. */
let named = {};
readAddress();

/**
 * Says that what the address names as `key` was not found, and what is shown instead; nothing when the address did not
 * name it. It stays until something else is chosen.
 */
export function notFound(key, text) {
  if (key in named && view[key] !== undefined) notice(text);
}
function notice(text) {
  const place = $('#not-found');
  place.textContent = [place.textContent, text].filter(Boolean).join(' ');
  place.hidden = false;
}

/** An address that says anything says all that its page shows; another one takes what was looked at last. */
function readAddress() {
  const addressed = query();
  named = { ...addressed };
  [$('#not-found').textContent, $('#not-found').hidden] = ['', true];
  const unknown = [...new URLSearchParams(location.search).keys()].filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) notice(`Unknown parameters in the URL, ignored: ${unknown.map((key) => `“${key}”`).join(', ')}.`);
  if (Object.keys(addressed).length === 0) return;
  if (addressed.model !== undefined && addressed.model !== view.model) for (const key of ['layer', 'channel', 'at', 'job']) delete view[key];
  for (const key of KEYS) delete view[key];
  Object.assign(view, addressed);
}

/**
 * Changes what is looked at; the event `look` of the document says so to others. Each choice of the person is a step that
 * Back undoes; with `quietly`, the address changes without one: for what follows from a choice.
 */
export function look(changes, { quietly = false } = {}) {
  const before = { ...view };
  Object.assign(view, changes);
  const differs = (...keys) => keys.some((key) => String(view[key]) !== String(before[key]));
  // A place is one of its map, a job one about its image: another map or image has others.
  if (!('at' in changes) && differs('model', 'layer', 'channel')) view.at = undefined;
  // What was not chosen before is not another one.
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
  document.dispatchEvent(new Event('look'));
}

/** Calls `changed()` when Back or Forward led to another address of this page; `view` is that of the address. */
export function whenBack(changed) {
  addEventListener('popstate', () => {
    // A link to a part of the page, such as its main content, does not change the view.
    if (location.search === shown) return;
    shown = location.search;
    readAddress();
    remembered.set(view);
    changed();
    document.dispatchEvent(new Event('look'));
  });
}

/** A number as people read it, with `digits` digits after the point where it is below 1; what would vanish there has an exponent. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 10 ** -digits) return withMinus(value.toExponential(1)).replace('e+', 'e');
  const places = size >= 100 ? 0 : size >= 10 ? Math.max(0, digits - 2) : size >= 1 ? digits - 1 : digits;
  return withMinus(value.toFixed(places));
}

/** A number for people: with the minus sign of the page. */
export const withMinus = (text) => String(text).replaceAll('-', '−');
/** The text of a field as a number, with either sign; NaN where it is none. */
export const parsed = (text) => (text.trim() === '' ? NaN : Number(withHyphen(text.trim())));
/** The same text as programs write it. */
export const withHyphen = (text) => text.replaceAll('−', '-');
/** A field that shows a number like the rest of the page, and gives what is copied to other programs as they write it. */
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
/** How far a job is, from 0 to 1. */
export const partDone = (job) => (job.progress.total ? job.progress.done / job.progress.total : 0);
/** Fills a progress bar: CSS has no space before a percent sign, as texts have. */
export const fillBar = (fill, part) => { fill.style.width = `${100 * part}%`; };
export const shape = (sizes) => sizes.join(' × ');
/** Of values and the place of each, the greatest ones. */
export const greatest = (values, most) => [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, most);
