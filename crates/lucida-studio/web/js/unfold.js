// The panel that unfolds an operation of the overview: its window slides over the input, with the numbers of each position.

import { $, ask, attempt, el, look, number, path, shape, turns, view } from './core.js';
import { mark, numberGrid } from './grids.js';
import { SAYS } from './kinds.js';
import { decoded, stagesOf, where } from './operations.js';
import { drawFloats } from './pixels.js';
import { pageUrl } from './transport.js';
import { curve, termTable } from './unfold-parts.js';

/** Steps per second at each position of the slider. */
const SPEEDS = [1, 2, 4, 8, 16, 32, 60];
const still = matchMedia('(prefers-reduced-motion: reduce)');

/** Creates the panel; `closed(card, channel)` is called when it is folded again. */
export function unfolding({ closed }) {
  const panel = $('#unfold');
  const turn = turns();
  let [model, card, channel, stages, index, step, timer] = [null, null, 0, [], 0, 0, null];
  const stage = () => stages[index];
  const isMap = () => stage().output !== null && stage().first === undefined;
  const operation = (layer, more = '') => ask(`${path`/api/models/${model.id}/layers/${layer}/channels/${channel}/operation`}?image=${encodeURIComponent(view.image)}${more}`);

  /** Shows or hides the panel: while it is open, the elements below it cannot get the focus. */
  function shown(isOpen) {
    panel.hidden = !isOpen;
    $('#ov-nodes').inert = isOpen;
  }

  /** Opens the operations of a channel: those of all layers of its box. */
  async function open(next, one, unit, wanted = 0, at = null) {
    const current = turn();
    pause();
    [model, card, channel] = [next, one, unit];
    const { layers } = next.blocks[one.blocks[one.blocks.length - 1]];
    const names = layers.map((layer) => next.layers[layer]).filter(({ kind }) => kind !== 'Dropout' || layers.length === 1);
    if (names[0].kind === 'Input') return;
    const found = await attempt(() => Promise.all(names.map(({ name }) => operation(name))));
    if (!found || !current()) return;
    useOperations(found.map(decoded));
    index = Math.min(wanted, stages.length - 1);
    const isFirst = panel.hidden;
    shown(true);
    $('#un-title').textContent = one.isMap ? `${one.main.name}, map ${channel}` : `${one.main.name}, ${nameOf(channel)}`;
    begin(at);
    if (isFirst) $('#un-title').focus({ preventScroll: true });
  }

  /** The class of a unit of the last layer. */
  const nameOf = (unit) => (card.output === model.layers[model.layers.length - 1].name && model.classes.length === card.channels ? model.classes[unit] : `unit ${unit}`);

  function useOperations(operations) {
    operations.forEach((op) => { op.nameOf = (unit) => nameOf(unit); });
    stages = operations.flatMap((op) => stagesOf(op).map((one) => ({ ...one, op })));
  }

  /** Starts a stage: at a position, at the strongest value of a map, or at the first term of a sum. */
  function begin(at) {
    const { output, op, first, steps } = stage();
    const asked = isMap() && at?.length === 2 && at[0] < op.size[0] && at[1] < op.size[1] ? at[0] * op.size[1] + at[1] : null;
    const plays = asked === null && !still.matches && steps > 1;
    if (asked !== null) step = asked;
    else if (isMap()) step = output.reduce((best, value, here) => (value > output[best] ? here : best), 0);
    else step = plays && first === steps - 1 ? 0 : first ?? 0;
    build();
    show();
    if (plays) play();
    else settled();
  }

  // The player.

  const isPlaying = () => timer !== null;
  function play() {
    const { steps } = stage();
    if (!isMap() && step >= steps - 1) step = 0;
    const speed = SPEEDS[Number($('#un-speed').value)];
    timer = setInterval(() => {
      if (!isMap() && step >= steps - 1) pause();
      else go(1);
    }, 1000 / speed);
    label();
  }
  function pause() {
    if (!isPlaying()) return;
    clearInterval(timer);
    timer = null;
    label();
    settled();
  }
  function label() {
    $('#un-play').textContent = isPlaying() ? 'Pause' : 'Play';
    // A screen reader should not hear every step of an animation.
    $('#un-formula').setAttribute('aria-live', isPlaying() ? 'off' : 'polite');
  }
  function go(by) {
    const { steps } = stage();
    step = isMap() ? (step + by + steps) % steps : Math.max(0, Math.min(steps - 1, step + by));
    show();
  }
  function byHand(by) {
    pause();
    go(by);
    settled();
  }

  /** After a step by hand: the URL names the position, and the sums of all input maps are shown. */
  async function settled() {
    const { op, steps } = stage();
    $('#un-back').disabled = !isMap() && step === 0;
    $('#un-next').disabled = !isMap() && step >= steps - 1;
    const at = isMap() ? [Math.floor(step / op.size[1]), step % op.size[1]].join(',') : undefined;
    look({ unfold: index, at }, { quietly: true });
    if (stage().name !== op.kind || op.relation !== 'kernel' || op.inputs[0].channels === 1 || op.kind === 'DepthwiseConv2D') return;
    const mine = [stage(), step];
    const found = await attempt(() => operation(op.layer, `&at=${at}`));
    if (found && !isPlaying() && stage() === mine[0] && step === mine[1]) showSums(found.channel_sums);
  }

  // Drawing.

  function mapFigure(values, [height, width], title, label) {
    const canvas = el('canvas', { role: 'img', 'aria-label': title });
    if (height > 1) drawFloats(canvas, values, width, height);
    else drawFloats(canvas, values, Math.min(width, 512), 1);
    const field = el('div', { class: 'field', hidden: true });
    const figure = el('figure', { class: height > 1 ? 'un-map' : 'un-map un-row' }, el('figcaption', { class: 'fine' }, label), el('div', { class: 'mark-frame' }, canvas, field));
    figure.parts = { canvas, field, size: [height, width] };
    return figure;
  }

  /** Creates the maps of a stage. */
  function build() {
    const { op, input, output, text } = stage();
    $('#un-stages').replaceChildren(...stages.map((one, at) => el('button', { 'aria-pressed': String(at === index), onclick: () => { pause(); index = at; look({ unfold: at, at: undefined }, { quietly: true }); begin(null); } }, one.name)));
    $('#un-text').textContent = text || SAYS[op.kind] || '';
    const sources = input ? [input] : op.inputs;
    $('#un-inputs').replaceChildren(...sources.map((one) => mapFigure(one.values, one.size, 'Input', input ? input.title : `${one.layer}${one.size[0] > 1 ? `, map ${one.channel}` : ''}`)));
    const hasMap = output !== null && op.size[0] > 1;
    const result = $('#un-output');
    result.replaceChildren(...(hasMap ? [mapFigure(output, op.size, 'Output: choose a position with a click or the arrow keys', `${output === op.sums && op.activation !== 'linear' ? 'Before the activation' : 'Output'}, ${shape(op.size)}`)] : []));
    if (hasMap) listen(result.firstChild.parts.canvas, op.size);
    const choices = stage().name === op.kind && op.relation === 'kernel' && op.kind !== 'DepthwiseConv2D' ? op.inputs[0].channels : 1;
    $('#un-channel-label').hidden = choices <= 1;
    if ($('#un-channel').children.length !== choices) $('#un-channel').replaceChildren(...Array.from({ length: choices }, (_, at) => el('option', { value: at }, String(at))));
    $('#un-channel').value = String(op.inputs[0]?.channel ?? 0);
    $('#un-mechanics').hidden = op.kind !== 'Conv2D';
    for (const id of ['#un-back', '#un-next', '#un-play', '#un-speed']) $(id).disabled = stage().steps === 1;
  }

  function listen(canvas, [height, width]) {
    canvas.tabIndex = 0;
    canvas.addEventListener('click', (event) => {
      const box = canvas.getBoundingClientRect();
      const part = (value, length, of) => Math.max(0, Math.min(of - 1, Math.floor((value / length) * of)));
      pause();
      step = part(event.clientY - box.top, box.height, height) * width + part(event.clientX - box.left, box.width, width);
      show();
      settled();
    });
    canvas.addEventListener('keydown', (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
      if (!by) return;
      event.preventDefault();
      byHand(by);
    });
  }

  /** Shows the current step. */
  function show() {
    const { op, steps } = stage();
    const now = stage().at(step);
    [...$('#un-inputs').children].forEach(({ parts }, at) => {
      const field = now.windows[at];
      parts.field.hidden = !field;
      if (field) mark(parts.field, field.corner, field.size, parts.size);
    });
    const result = $('#un-output').firstChild?.parts;
    if (result) {
      result.field.hidden = false;
      mark(result.field, now.position, [1, 1], result.size);
    }
    $('#un-step').textContent = isMap() ? `Output at ${where(now.position)}` : steps > 1 ? `Step ${step + 1} of ${steps}` : '';
    const signs = now.grids.flatMap((grid) => [grid.sign ? el('span', { class: 'un-sign', 'aria-hidden': 'true' }, grid.sign) : null, numberGrid(grid)]).filter(Boolean);
    const facts = now.facts ? el('dl', { class: 'facts' }, ...now.facts.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, number(value))))) : null;
    const middle = $('#un-middle');
    middle.replaceChildren(...[...signs, facts, now.curve ? curve(now.curve) : null, now.terms ? termTable(now.terms) : null].filter(Boolean));
    const digits = [...middle.querySelectorAll('.numbers')].map(({ dataset }) => dataset.digits);
    if (digits.length) middle.style.setProperty('--digits', Math.max(...digits));
    $('#un-formula').replaceChildren(...now.formula);
    $('#un-sums').replaceChildren();
    $('#un-mechanics').href = pageUrl('/mechanics', { model: model.id, image: view.image, layer: op.layer, channel, at: isMap() ? now.position.join(',') : undefined });
  }

  function showSums(sums) {
    const most = Math.max(...sums.map(Math.abs)) || 1;
    const shown = stage().op.inputs[0].channel;
    $('#un-sums').replaceChildren(el('figure', { class: 'sums' }, el('figcaption', { class: 'fine' }, 'Sum of each input map'), el('div', { class: 'sum-bars' }, ...sums.map((sum, at) => {
      const bar = el('button', { class: 'sum-bar', 'aria-label': `Input map ${at}: ${number(sum)}`, title: `Input map ${at}: ${number(sum)}`, 'aria-pressed': String(at === shown), onclick: () => choose(at) }, el('span', { class: sum < 0 ? 'down' : 'up' }));
      bar.firstChild.style.transform = `scaleY(${Math.abs(sum) / most})`;
      return bar;
    }))));
  }

  /** Shows the window on another input map. */
  async function choose(input) {
    pause();
    const { op } = stage();
    const current = turn();
    const found = await attempt(() => operation(op.layer, `&input=${input}`));
    if (!found || !current()) return;
    const next = decoded(found);
    stages = stages.flatMap((one) => (one.op === op ? [] : [one]));
    stages.unshift(...stagesOf(next).map((one) => ({ ...one, op: next })));
    build();
    show();
    settled();
  }

  function close() {
    if (panel.hidden) return;
    pause();
    turn();
    shown(false);
    look({ unfold: undefined, at: undefined });
    closed(card, channel);
  }

  $('#un-back').addEventListener('click', () => byHand(-1));
  $('#un-next').addEventListener('click', () => byHand(1));
  $('#un-play').addEventListener('click', () => (isPlaying() ? pause() : play()));
  $('#un-speed').addEventListener('input', () => { if (isPlaying()) { clearInterval(timer); play(); } });
  $('#un-channel').addEventListener('change', () => choose(Number($('#un-channel').value)));
  $('#un-close').addEventListener('click', close);
  panel.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    close();
  });

  return {
    open,
    isOpen: () => !panel.hidden,
    /** Shows the same position for another image. */
    again() {
      if (!panel.hidden) open(model, card, channel, index, isMap() ? stage().at(step).position : null);
    },
    /** Hides the panel without a change of the URL: it has changed. */
    hide() { pause(); turn(); shown(false); },
  };
}
