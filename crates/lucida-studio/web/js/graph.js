// The network as a graph whose layers can be selected.

import { count, el, shape } from './core.js';
import { SHORT } from './kinds.js';

const SVG = 'http://www.w3.org/2000/svg';
const ROW = 58;
const HEIGHT = 42;

/** Short texts for a block: a layer, with the normalization, activation or dropout that only it feeds. */
function words(model, block, narrow) {
  const [layer, ...others] = block.layers.map((at) => model.layers[at]);
  const kind = SHORT[layer.kind] ?? layer.kind;
  const channels = layer.shape[layer.shape.length - 1];
  if (narrow) return [`${kind === 'Conv2D' ? 'Conv' : kind}${others.length ? ` +${others.length}` : ''}`, `${channels}`];
  const more = others.length === 1 ? ` + ${SHORT[others[0].kind] ?? others[0].kind}` : others.length ? ` + ${others.length} layers` : '';
  return [layer.name + more, `${kind} ${shape(layer.shape)}`];
}

/** Draws the graph of `model` into `place`; `choose(name)` is called for a click on a layer. */
export function graph(place, model, choose) {
  const widest = Math.max(...model.blocks.map((block) => Math.abs(block.place)), ...model.wires.flatMap((wire) => wire.points.map(([at]) => Math.abs(at))));
  const lanes = Math.round(2 * widest) + 1;
  const column = lanes === 1 ? 232 : 84;
  const width = lanes === 1 ? 224 : 76;
  const total = (lanes - 1) * column + Math.max(width, lanes > 1 ? 232 : 0);
  const rows = Math.max(...model.blocks.map((block) => block.row)) + 1;
  const alone = new Map();
  for (const block of model.blocks) alone.set(block.row, (alone.get(block.row) ?? 0) + 1);
  for (const wire of model.wires) for (const [, row] of wire.points.slice(1, -1)) alone.set(row, alone.get(row) + 1);
  const x = (at) => total / 2 + at * column;
  const y = (row) => row * ROW;
  place.style.width = `${total}px`;
  place.style.height = `${rows * ROW - (ROW - HEIGHT)}px`;

  const lines = document.createElementNS(SVG, 'svg');
  lines.setAttribute('width', total);
  lines.setAttribute('height', rows * ROW);
  lines.setAttribute('aria-hidden', 'true');
  for (const wire of model.wires) {
    let line = '';
    wire.points.forEach(([at, row], index) => {
      const last = index === wire.points.length - 1;
      const top = y(row);
      if (index === 0) line += `M${x(at)} ${top + HEIGHT}`;
      else {
        const [before, above] = wire.points[index - 1];
        const [from, gap] = [y(above) + HEIGHT, (top - y(above) - HEIGHT) / 2];
        line += `C${x(before)} ${from + gap} ${x(at)} ${top - gap} ${x(at)} ${top}`;
        if (!last) line += `L${x(at)} ${top + HEIGHT}`;
      }
    });
    const drawn = document.createElementNS(SVG, 'path');
    drawn.setAttribute('d', line);
    lines.append(drawn);
  }

  const nodes = model.blocks.map((block) => {
    const narrow = alone.get(block.row) > 1;
    const [title, note] = words(model, block, narrow);
    const names = block.layers.map((layer) => model.layers[layer].name);
    const main = model.layers[block.layers[0]];
    const parameters = `${count(block.layers.reduce((sum, at) => sum + model.layers[at].parameters, 0))} parameters`;
    const label = `${names.join(', ')}: ${main.kind}, ${shape(main.shape)}, ${parameters}`;
    // The accessible name starts with the visible text, and adds what there is no room for.
    const more = narrow ? label : parameters;
    const joins = ['Concatenate', 'Add'].includes(main.kind);
    const node = el('button', { class: `node${narrow ? ' small' : ''}${joins ? ' join' : ''}`, title: label, 'aria-pressed': 'false', onclick: () => choose(names[0]) }, el('b', {}, title), ' ', el('span', {}, note), el('span', { class: 'hidden-text' }, `, ${more}`));
    const breadth = narrow ? 76 : lanes === 1 ? 224 : 180;
    Object.assign(node.style, { left: `${x(block.place) - breadth / 2}px`, top: `${y(block.row)}px`, width: `${breadth}px`, height: `${HEIGHT}px` });
    node.dataset.layers = JSON.stringify(names);
    return node;
  });
  place.replaceChildren(lines, ...nodes);

  return {
    /** Marks the block of a layer, and scrolls it into view. */
    select(name) {
      for (const node of nodes) {
        const here = JSON.parse(node.dataset.layers).includes(name);
        node.setAttribute('aria-pressed', String(here));
        if (here) {
          const scroller = place.parentElement;
          const top = node.offsetTop - scroller.clientHeight / 2 + HEIGHT;
          if (node.offsetTop < scroller.scrollTop || node.offsetTop + HEIGHT > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top;
          const left = node.offsetLeft - scroller.clientWidth / 2 + node.offsetWidth / 2;
          if (scroller.scrollWidth > scroller.clientWidth) scroller.scrollLeft = left;
        }
      }
    },
    /** The names of the layers in the same block. */
    together(name) {
      const node = nodes.find((one) => JSON.parse(one.dataset.layers).includes(name));
      return node ? JSON.parse(node.dataset.layers) : [name];
    },
  };
}
