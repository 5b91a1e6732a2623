// Marks on maps, and grids of numbers.

import { el, number } from './core.js';
import { grayColor, grayInk, signedColor, signedInk } from './pixels.js';

/** Places the mark `frame` on a rectangle of a map of `rows` x `columns` pixels; what lies outside is cut off. */
export function mark(frame, [top, left], [height, width], [rows, columns]) {
  const [first, last] = [[Math.max(0, top), Math.max(0, left)], [Math.min(rows, top + height), Math.min(columns, left + width)]];
  Object.assign(frame.style, { top: `${(100 * first[0]) / rows}%`, left: `${(100 * first[1]) / columns}%`, height: `${(100 * (last[0] - first[0])) / rows}%`, width: `${(100 * (last[1] - first[1])) / columns}%` });
}

/** Colors a cell by its part of the largest value. */
export function colorCell(cell, part, gray) {
  cell.style.background = gray ? grayColor(part) : signedColor(part);
  cell.style.color = gray ? grayInk(part) : signedInk(part);
}

/** A grid of numbers, colored by value; `null` is a position outside of the image. */
export function numberGrid({ symbol, title, values, rows, columns, gray = false, chosen = null }) {
  const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
  const table = el('div', { class: 'numbers', role: 'group', 'aria-label': `${title}, ${rows} by ${columns}` });
  const texts = values.map((value) => (value === null ? '' : number(value, 2)));
  table.style.setProperty('--columns', columns);
  table.dataset.digits = Math.max(...texts.map((text) => text.length));
  table.append(...values.map((value, at) => {
    const cell = el('span', { class: `cell${at === chosen ? ' chosen' : ''}` }, texts[at]);
    colorCell(cell, value / most, gray);
    return cell;
  }));
  return el('figure', { class: 'grid-figure' }, el('figcaption', {}, el('b', {}, symbol), title), el('div', { class: 'scroll-x' }, table));
}
