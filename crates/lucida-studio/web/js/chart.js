// A chart of lines, drawn as SVG. Colours come from the style sheet.

import { el, number } from './core.js';

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT] = [560, 300];
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 12, 14, 30];

function svg(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Round steps that divide a span into about `wanted` parts. */
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const list = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) list.push(Number(at.toPrecision(12)));
  return list;
}

/**
 * A chart with a title. `lines`: each with `name`, `colour` (a class), `thin`, and `points` as [x, y].
 * With `free` the values are logarithms.
 */
export function chart({ title, lines, across, percent = false, free = false }) {
  const filled = lines.filter((line) => line.points.length > 0);
  const xs = filled.flatMap((line) => line.points.map(([x]) => x));
  const ys = filled.flatMap((line) => line.points.map(([, y]) => y)).filter(Number.isFinite).sort((a, b) => a - b);
  const most = Math.max(1, ...xs);
  // The first steps of a run would press everything else flat.
  let [low, high] = ys.length ? [ys[0], ys[Math.min(ys.length - 1, Math.ceil(0.97 * ys.length))]] : [0, 1];
  if (percent) [low, high] = [Math.max(0, ys.length ? ys[Math.floor(0.05 * ys.length)] : 0), 1];
  else if (free) [low, high] = [Math.floor(low), Math.ceil(ys[ys.length - 1] ?? 1)];
  else low = 0;
  if (high - low < 1e-9) high = low + 1;
  const x = (value) => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (Math.max(low, Math.min(high, value)) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const show = (value) => (percent ? `${number(100 * value)} %` : number(free ? 10 ** value : value));

  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'chart' });
  const last = filled.filter((line) => !line.thin).map((line) => `${line.name}: ${show(line.points[line.points.length - 1][1])}`);
  drawing.append(svg('title', {}, `${title}. ${last.join('; ')}`));
  for (const value of ticks(low, high, 4)) {
    drawing.append(svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: 'grid' }),
      svg('text', { x: LEFT - 8, y: y(value) + 4, class: 'tick end' }, percent ? `${Math.round(1000 * value) / 10} %` : free ? String(Number((10 ** value).toPrecision(2))) : String(value)));
  }
  const steps = ticks(0, most, 6).filter((value) => Number.isInteger(value));
  for (const value of steps) drawing.append(svg('text', { x: x(value), y: HEIGHT - 10, class: 'tick middle' }, String(value)));
  for (const line of filled) {
    const points = line.points.filter(([, value]) => Number.isFinite(value));
    const path = points.map(([at, value], index) => `${index ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('');
    drawing.append(svg('path', { d: path, class: `line ${line.colour}${line.thin ? ' thin' : ''}`, 'data-line': line.name }));
    if (!line.thin && points.length) {
      const [at, value] = points[points.length - 1];
      drawing.append(svg('circle', { cx: x(at), cy: y(value), r: 3.5, class: `point ${line.colour}` }));
    }
  }
  if (filled.length === 0) drawing.append(svg('text', { x: WIDTH / 2, y: HEIGHT / 2, class: 'tick middle' }, 'No run is chosen'));
  return el('figure', { class: 'chart-figure' }, el('figcaption', {}, el('b', {}, title), el('span', { class: 'fine' }, ...[].concat(across))), drawing);
}
