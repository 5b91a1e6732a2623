// The inputs of the map that is pointed at: which maps feed it and how strongly, and a small card with the strongest kernels.

import { ask, el, number, path, view } from './core.js';
import { bytes, drawMap, drawSigned, floats } from './pixels.js';

const known = new Map();

/** The inputs of a channel, with the maps of the current image; from the server or from before. */
export function inputsOf(model, layer, channel) {
  const key = JSON.stringify([model.id, view.image, layer, channel]);
  if (!known.has(key)) {
    if (known.size > 400) known.clear();
    known.set(key, ask(`${path`/api/models/${model.id}/layers/${layer}/channels/${channel}/inputs`}?image=${encodeURIComponent(view.image)}`).catch((error) => { known.delete(key); throw error; }));
  }
  return known.get(key);
}
/** Forgets the inputs of all models: one of them has changed. */
export const forgetInputs = () => known.clear();

/** The strengths of the inputs by card: relative to the strongest, with the signs of the kernels. */
export function feedsOf(found, scene, tileOf) {
  const decoded = found.inputs.map(({ layer, strengths, sums }) => ({ layer, strengths: floats(strengths), sums: floats(sums) }));
  const most = decoded.reduce((largest, { strengths }) => strengths.reduce((a, b) => Math.max(a, b), largest), 0) || 1;
  const isSigned = ['kernel', 'weight'].includes(found.relation);
  const feeds = new Map();
  for (const { layer, strengths, sums } of decoded) {
    const one = scene.cards.find(({ output }) => output === layer);
    if (one) feeds.set(one, { strengths: strengths.map((value) => value / most), sums: isSigned ? sums : sums.map(() => 0), isSigned, tile: tileOf(one) });
  }
  return feeds;
}

/** A sentence on the inputs of a map. */
export function sentence(found) {
  const strongest = found.kernels.map(({ channel }) => channel).join(', ');
  const { length } = floats(found.inputs[0]?.strengths ?? '');
  const layers = found.inputs.map(({ layer }) => layer).join(', ');
  if (found.inputs.length === 0) return 'The image after preprocessing.';
  if (found.relation === 'kernel') return length === 1 || found.kernels.length === 1 ? `A convolution of map ${strongest} of ${layers}.` : `A convolution of ${length} maps of ${layers}; strongest kernels: ${strongest}.`;
  if (found.relation === 'weight') return `A weighted sum of ${length} inputs from ${layers}; strongest weights: ${strongest}.`;
  if (found.relation === 'all') return `Computed from all channels of ${layers}.`;
  const places = found.inputs.map(({ layer, strengths }) => [layer, floats(strengths).findIndex((value) => value > 0)]).filter(([, at]) => at >= 0);
  return `Computed from ${places.map(([layer, at]) => `channel ${at} of ${layer}`).join(' and ')}.`;
}

/** The small card: name, range, and the strongest kernels or weights. */
export function inputCard({ title, range, found, hint }) {
  const most = found.kernels.reduce((largest, { kernel }) => kernel.reduce((a, b) => Math.max(a, Math.abs(b)), largest), 0);
  const kernels = found.kernels.map(({ channel, rows, columns, kernel, strength, sum, map }) => {
    const canvas = el('canvas', {});
    drawSigned(canvas, kernel, columns, rows, most);
    const input = map && el('canvas', {});
    if (map) drawMap(input, map, bytes(map.data), 0);
    return el('figure', {}, input, canvas, el('figcaption', {}, el('b', {}, String(channel)), ` ${number(found.relation === 'weight' ? sum : strength, 2)}`));
  });
  return [el('p', { class: 'ov-card-title' }, title), range ? el('p', { class: 'fine' }, range) : null, el('p', {}, sentence(found)),
    kernels.length > 0 ? el('div', { class: 'ov-kernels' }, ...kernels) : null, el('p', { class: 'fine' }, hint)].filter(Boolean);
}
