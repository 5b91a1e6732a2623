// Lists of bars, for probabilities. All rows share the same columns, so that the bars are aligned.

import { $, el, percent } from './core.js';

/** Maximum length of a name that fits next to its bar, in characters. */
const LONG = 14;

/**
 * Shows `rows`, each with `name`, `value` from 0 to 1, and whether it is `best`; `text` formats a value. Existing rows are
 * reused, so that nothing jumps while they change.
 */
export function showBars(list, rows, text = percent) {
  if (list.children.length !== rows.length) {
    list.replaceChildren(...rows.map(() => el('li', {}, el('span', { class: 'name' }), el('span', { class: 'track' }, el('span', { class: 'fill' })), el('span', { class: 'value' }))));
  }
  list.classList.toggle('long', rows.some(({ name }) => String(name).length > LONG));
  rows.forEach(({ name, value, best, blank = false }, at) => {
    const row = list.children[at];
    row.classList.toggle('best', Boolean(best));
    $('.name', row).textContent = name;
    $('.fill', row).style.transform = `scaleX(${blank ? 0 : Math.max(0, Math.min(1, value))})`;
    $('.value', row).textContent = blank ? '' : text(value);
  });
}
