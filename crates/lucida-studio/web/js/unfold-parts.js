// Parts of the panel of an operation: the curve of an activation, and the terms of a sum.

import { el } from './core.js';
import { signedColor } from './pixels.js';

const SVG = 'http://www.w3.org/2000/svg';
/** Width and height of the curve, and number of its points. */
const [WIDTH, HEIGHT, POINTS] = [240, 150, 160];

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** The curve of an activation through the values of a map before and after it, with the current point. */
export function curve({ before, after, at }) {
  const pairs = [...before].map((x, index) => [x, after[index]]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)).sort((a, b) => a[0] - b[0]);
  const step = Math.max(1, Math.floor(pairs.length / POINTS));
  const points = pairs.filter((_, index) => index % step === 0 || index === pairs.length - 1);
  const [lowX, highX] = [Math.min(0, pairs[0]?.[0] ?? 0), Math.max(0, pairs[pairs.length - 1]?.[0] ?? 1)];
  const [lowY, highY] = [Math.min(0, ...points.map(([, y]) => y)), Math.max(0, ...points.map(([, y]) => y))];
  const x = (value) => 8 + ((value - lowX) / (highX - lowX || 1)) * (WIDTH - 16);
  const y = (value) => HEIGHT - 8 - ((value - lowY) / (highY - lowY || 1)) * (HEIGHT - 16);
  const drawn = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'un-curve', role: 'img', 'aria-label': 'The activation function through the values of this map, with the current value' });
  drawn.append(
    svg('path', { class: 'axis', d: `M8 ${y(0)}H${WIDTH - 8}M${x(0)} 8V${HEIGHT - 8}` }),
    svg('path', { class: 'line', d: `M${points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join('L')}` }),
    svg('path', { class: 'guide', d: `M${x(before[at])} ${y(0)}V${y(after[at])}H${x(0)}` }),
    svg('circle', { cx: x(before[at]), cy: y(after[at]), r: 4.5 }),
  );
  return drawn;
}

/** The terms of a sum: a table with a bar for each. */
export function termTable({ head, rows, bars, chosen, most }) {
  const bar = (value) => {
    const fill = el('span', {});
    fill.style.width = `${Math.min(100, (100 * Math.abs(value)) / most)}%`;
    fill.style.background = signedColor(value < 0 ? -0.9 : 0.9);
    return el('span', { class: 'un-bar', 'aria-hidden': 'true' }, fill);
  };
  return el('div', { class: 'scroll-x un-terms', tabindex: '0', role: 'group', 'aria-label': 'Terms' }, el('table', {},
    el('thead', {}, el('tr', {}, ...head.map((title) => el('th', { scope: 'col' }, title)), el('td', {}))),
    el('tbody', {}, ...rows.map((row, at) => el('tr', { class: at === chosen ? 'chosen' : null }, ...row.map((cell, column) => el('td', { class: column > 0 ? 'number' : 'un-name' }, cell)), el('td', {}, bar(bars[at])))))));
}
