// A line chart in SVG that shows the values under the pointer. Colors come from the style sheet.

import { el, number } from './core.js';

const SVG = 'http://www.w3.org/2000/svg';
/** Width of a chart before its layout, and minimum and maximum height, in pixels. */
const WIDTH = 560;
const HEIGHTS = [200, 360];
/** Minimum distance between two tick labels of the x axis, in pixels. */
const APART = 70;
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 12, 14, 30];
/** The x at which each chart is read, by its title: it is kept when the chart is replaced. */
const readAt = new Map();

function svg(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Ticks at round values that divide a range into about `wanted` parts. */
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const list = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) list.push(Number(at.toPrecision(12)));
  return list;
}

/** The range of the y axis. It includes all values: a clipped line would look like a plateau. */
function range(ys, percent, free) {
  const [least, most] = ys.length ? [Math.min(...ys), Math.max(...ys)] : [0, 1];
  if (percent) return [Math.min(0.99, Math.floor(20 * least) / 20), 1];
  const [low, high] = free ? [Math.floor(least), Math.ceil(most)] : [0, most];
  return [low, high - low < 1e-9 ? low + 1 : high];
}

/**
 * A chart with a title. Each of `lines` has `name`, `color` (a class), `thin`, and `points` as [x, y]; `unit` is the unit of
 * x. With `free`, the values are decimal logarithms.
 */
export function chart({ title, lines, across, unit = 'Epoch', percent = false, free = false }) {
  const filled = lines.map((line) => ({ ...line, points: line.points.filter(([, value]) => Number.isFinite(value)) })).filter((line) => line.points.length > 0);
  const most = Math.max(1, ...filled.flatMap((line) => line.points.map(([x]) => x)));
  const [low, high] = range(filled.flatMap((line) => line.points.map(([, value]) => value)), percent, free);
  // Drawn at the size of its container in pixels: scaling the drawing would scale its labels.
  let [width, height] = [0, 0];
  const x = (value) => LEFT + (value / most) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (height - TOP - BOTTOM);
  const show = (value) => (percent ? `${number(100 * value)} %` : number(free ? 10 ** value : value));

  const drawing = svg('svg', { role: 'img', tabindex: 0, class: 'chart', 'data-key': title });
  const last = filled.filter((line) => !line.thin).map((line) => `${line.name}: ${show(line.points[line.points.length - 1][1])}`);
  drawing.setAttribute('aria-label', `${title}. ${last.join('; ')}. Arrow keys read the values.`);
  const rule = svg('g', { class: 'reading' });
  const draw = (wide) => {
    if (wide === width) return;
    [width, height] = [wide, Math.min(Math.max(HEIGHTS[0], Math.round(0.54 * wide)), HEIGHTS[1])];
    drawing.setAttribute('viewBox', `0 0 ${width} ${height}`);
    drawing.replaceChildren();
    for (const value of ticks(low, high, 4)) {
      drawing.append(svg('line', { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: 'grid' }),
        svg('text', { x: LEFT - 8, y: y(value) + 4, class: 'tick end' }, percent ? `${Math.round(1000 * value) / 10} %` : free ? String(Number((10 ** value).toPrecision(2))) : String(value)));
    }
    const steps = ticks(0, most, Math.max(1, Math.min(6, Math.floor((width - LEFT) / APART)))).filter((value) => Number.isInteger(value));
    for (const value of steps) drawing.append(svg('text', { x: x(value), y: height - 10, class: 'tick middle' }, String(value)));
    for (const line of filled) {
      const path = line.points.map(([at, value], index) => `${index ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('');
      drawing.append(svg('path', { d: path, class: `line ${line.color}${line.thin ? ' thin' : ''}`, 'data-line': line.name }));
      if (!line.thin) {
        const [at, value] = line.points[line.points.length - 1];
        drawing.append(svg('circle', { cx: x(at), cy: y(value), r: 3.5, class: `point ${line.color}` }));
      }
    }
    if (filled.length === 0) drawing.append(svg('text', { x: width / 2, y: height / 2 - 10, class: 'tick middle' }, 'No run is selected'));
    drawing.append(rule);
    if (readAt.has(title)) read(readAt.get(title));
  };

  const values = el('p', { class: 'fine chart-values', 'aria-live': 'polite' });
  const read = (wanted) => {
    if (wanted === null || filled.length === 0) {
      readAt.delete(title);
      rule.replaceChildren();
      values.textContent = '';
      return;
    }
    readAt.set(title, wanted);
    const nearest = filled.map((line) => [line, line.points.reduce((best, point) => (Math.abs(point[0] - wanted) < Math.abs(best[0] - wanted) ? point : best))]);
    rule.replaceChildren(svg('line', { x1: x(wanted), x2: x(wanted), y1: TOP, y2: height - BOTTOM, class: 'rule' }),
      ...nearest.map(([line, [at, value]]) => svg('circle', { cx: x(at), cy: y(value), r: 3, class: `point ${line.color}` })));
    values.textContent = `${unit} ${number(wanted)}. ${nearest.map(([line, [, value]]) => `${line.name}: ${show(value)}`).join('; ')}`;
  };
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    const at = (((event.clientX - box.left) / box.width) * width - LEFT) / (width - LEFT - RIGHT);
    read(Math.max(0, Math.min(1, at)) * most);
  });
  drawing.addEventListener('pointerleave', () => read(null));
  drawing.addEventListener('blur', () => { if (drawing.isConnected) read(null); });
  drawing.addEventListener('keydown', (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const thick = filled.some((line) => !line.thin) ? filled.filter((line) => !line.thin) : filled;
    const stops = [...new Set(thick.flatMap((line) => line.points.map(([at]) => at)))].sort((a, b) => a - b);
    const now = readAt.get(title) ?? (move > 0 ? -Infinity : Infinity);
    const next = move > 0 ? stops.find((at) => at > now + 1e-9) : stops.findLast((at) => at < now - 1e-9);
    if (next !== undefined) read(next);
  });
  draw(WIDTH);
  new ResizeObserver(([{ contentRect }]) => { if (contentRect.width > LEFT + RIGHT) draw(Math.round(contentRect.width)); }).observe(drawing);
  const legend = el('ul', { class: 'chart-legend fine' }, ...filled.map((line) => el('li', {}, el('span', { class: `swatch ${line.color}${line.thin ? ' thin' : ''}`, 'aria-hidden': 'true' }), line.name)));
  return el('figure', { class: 'chart-figure' }, el('figcaption', {}, el('b', {}, title), el('span', { class: 'fine' }, across)), drawing, filled.length ? legend : null, values);
}
