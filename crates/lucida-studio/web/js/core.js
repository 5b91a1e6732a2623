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

/** Says something to the person, for some seconds. */
let quiet;
export function say(text) {
  const status = $('#status');
  status.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => { status.textContent = ''; }, 8000);
}

/** Asks the server. An error is thrown with the server's own sentence. */
export async function ask(path, options = {}) {
  const response = await fetch(path, options);
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    const error = new Error(answer?.error ?? `The server answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return answer;
}

const send = (method) => (path, value) =>
  ask(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });
export const post = send('POST');
export const put = send('PUT');

/** A path whose parts may hold any character. */
export const path = (parts, ...values) =>
  parts.reduce((whole, part, at) => whole + encodeURIComponent(values[at - 1]) + part);

/** Runs something that may fail, and says so if it does. What was overtaken by something newer is no failure. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'AbortError') say(error.message);
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

/** What is looked at: in the address, and remembered for the next page. */
const KEYS = ['model', 'image', 'layer', 'channel'];
const kept = () => JSON.parse(sessionStorage.getItem('lucida') ?? '{}');
export const view = { ...kept(), ...Object.fromEntries([...new URLSearchParams(location.search)].filter(([key]) => KEYS.includes(key))) };

/** Changes what is looked at; the event `look` of the document says so to others. */
export function look(changes) {
  Object.assign(view, changes);
  const query = new URLSearchParams();
  for (const key of KEYS) {
    if (view[key] !== undefined && view[key] !== null) query.set(key, view[key]);
    else delete view[key];
  }
  sessionStorage.setItem('lucida', JSON.stringify(view));
  history.replaceState(null, '', `${location.pathname}?${query}`);
  document.dispatchEvent(new Event('look'));
}

/** A number as people read it. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-4) return value.toExponential(1).replace('-', '−').replace('e−', 'e−').replace('e+', 'e');
  const places = size >= 100 ? 0 : size >= 10 ? Math.max(0, digits - 2) : size >= 1 ? digits - 1 : digits;
  return value.toFixed(places).replace('-', '−');
}

export const count = (value) => value.toLocaleString('en-US').replaceAll(',', '\u202f');
export const percent = (value, places = 1) => `${(100 * value).toFixed(places)} %`;
export const shape = (sizes) => sizes.join(' × ');
