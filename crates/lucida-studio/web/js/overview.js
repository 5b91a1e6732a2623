// The overview of the network page: the whole network from left to right, with live feature maps.

import { $, el, look, notFound, view as chosen } from './core.js';
import { channelAt, draw, themeColors } from './overview-canvas.js';
import { forgetInputs } from './overview-inputs.js';
import { arrange, cellOf, hit, modulesOf, shownOn } from './overview-layout.js';
import { cardMaps, sharedScale } from './overview-maps.js';
import { minimap } from './overview-minimap.js';
import { nodes } from './overview-nodes.js';
import { pointing } from './overview-pointing.js';
import { savePng, saveSvg } from './overview-save.js';
import { panZoom } from './pan-zoom.js';

/** Width in pixels that a column needs at least, and number of columns that are not folded on the smallest screen. */
const [COLUMN, COLUMNS] = [52, 24];
const still = matchMedia('(prefers-reduced-motion: reduce)');

/** Creates the overview; `unfold(card, channel)` is called for a click on a map, `isUnfolded()` tells whether one is open. */
export function overview({ unfold, isUnfolded }) {
  const [stage, canvas] = [$('#ov-stage'), $('#ov-canvas')];
  const tileOf = (one) => maps.of(one);
  const board = { scene: null, view: { x: 0, y: 0, zoom: 1 }, size: { width: 1, height: 1 }, model: null, tiles: tileOf, lit: null, active: null, colors: themeColors(), time: null };
  const maps = cardMaps(board, { arrived, lacking: (cards) => { stage.dataset.waiting = cards; } });
  let [model, modules, open] = [null, [], new Set()];
  let [isWaiting, isShown, isRestored] = [false, false, true];
  const map = minimap($('#ov-map'), board, refresh);
  const elements = nodes($('#ov-nodes'), { reveal, point: (one, at) => pointer.point(one, at, { said: true }), enter, turn: page, tileOf, fold: (name) => fold(name, false) });
  const pointer = pointing(board, { refresh, isUnfolded, labelOf: elements.labelOf });
  const { zoomBy } = panZoom(stage, board.view, { moved: refresh, tapped, hovered });

  /** Shows maps that have arrived. */
  function arrived() {
    elements.rename();
    pointer.update();
    if (!isRestored) restore();
    refresh();
  }

  /** Shows other maps of a card. */
  function page(one, pages) {
    const step = one.across * one.down;
    const first = one.first + pages * step;
    if (first < 0 || first >= one.channels) return;
    one.first = first;
    refresh();
  }

  // Drawing.

  function refresh() {
    if (isWaiting || !isShown) return;
    isWaiting = true;
    requestAnimationFrame((time) => {
      isWaiting = false;
      if (!board.scene) return;
      board.time = board.lit && !still.matches ? time : null;
      const ratio = devicePixelRatio;
      const context = canvas.getContext('2d');
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      const start = performance.now();
      draw(context, board);
      performance.measure('overview', { start });
      performance.clearMeasures('overview');
      elements.move(board.view);
      map.show();
      pointer.placeCard();
      maps.load();
      if (board.time !== null) refresh();
    });
  }

  /** Shows the whole network; at first, one that is too long begins at the left, at a readable size. */
  function fit({ isFirst = false } = {}) {
    const { box, isChain } = board.scene;
    const { width, height } = board.size;
    // Room for the titles above, and for their slant at the right.
    const [top, right] = isChain ? [94, 56] : [20, 16];
    const whole = Math.min((width - 16 - right) / box.width, (height - 24 - top) / box.height, 3);
    board.view.zoom = isFirst ? Math.max(whole, Math.min(0.58, (height - 24 - top) / box.height)) : whole;
    const isWhole = board.view.zoom === whole;
    board.view.x = isWhole ? box.x - (width - right + 16 - box.width * whole) / 2 / whole : box.x - 16 / board.view.zoom;
    board.view.y = box.y - (height + top - 8 - box.height * board.view.zoom) / 2 / board.view.zoom;
    refresh();
  }

  function resize() {
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (!isShown || width === 0 || (width === board.size.width && height === board.size.height && board.scene)) return;
    board.size = { width, height };
    [canvas.width, canvas.height] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
    if (!model) return;
    lay();
    restore();
  }
  new ResizeObserver(resize).observe(stage);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { board.colors = themeColors(); refresh(); });

  /** Computes the layout, for another network, size of the screen, or choice of folded modules. */
  function lay() {
    modules = modulesOf(model, Math.max(COLUMNS, Math.floor(board.size.width / COLUMN)));
    const names = new Set(modules.map(({ name }) => name));
    open = new Set((chosen.open ?? '').split(',').filter((name) => names.has(name)));
    board.scene = arrange(model, modules, open, board.size.width / Math.max(1, board.size.height - 120));
    [board.lit, board.active] = [null, null];
    pointer.hide();
    elements.show(board.scene);
    $('#ov-fold').hidden = open.size === 0;
    fit({ isFirst: true });
  }

  // Pointing.

  const toWorld = (x, y) => [board.view.x + x / board.view.zoom, board.view.y + y / board.view.zoom];
  const found = (x, y) => board.scene && (hit(board.scene, ...toWorld(x, y)) ?? titleAt(x, y));
  /** The card whose title is at a point of the screen. */
  function titleAt(x, y) {
    const one = board.scene.cards.find((other) => {
      const [left, top] = [(other.x - board.view.x) * board.view.zoom, (other.y - board.view.y) * board.view.zoom];
      return x >= left && x < left + Math.max(20, other.width * board.view.zoom) && y < top && y > top - 32;
    });
    return one ? { card: one, at: -1 } : null;
  }

  function hovered(x, y) {
    const under = x === null ? null : found(x, y);
    stage.classList.toggle('pointing', Boolean(under));
    if (under && under.at >= 0) pointer.point(under.card, under.at);
    else if (!$('#ov-nodes').contains(document.activeElement)) pointer.unpoint();
  }
  function tapped(x, y, event) {
    const under = found(x, y);
    if (!under) { pointer.unpoint(); return; }
    // With a finger, the first tap points and the second one unfolds.
    const isFirst = event.pointerType !== 'mouse' && under.at >= 0 && !(board.lit?.card === under.card && board.lit.at === under.at);
    if (isFirst) elements.focus(under.card, under.at);
    else enter(under.card, under.at);
  }

  /** A click or Enter: unfolds a module or the operation of a map; a card without one is shown large. */
  function enter(one, at) {
    if (at >= 0) {
      // The image is not computed from anything.
      if (one.main.kind === 'Input') return;
      pointer.hide();
      unfold(one, channelAt(tileOf(one), one, at));
    } else if (one.module) fold(one.module.name, true);
    else {
      board.active = one;
      board.view.zoom = Math.min(3, Math.max(board.view.zoom, (0.8 * board.size.height) / (one.height + 60)));
      center(one);
    }
  }

  function fold(name, isOpen) {
    if (isOpen) open.add(name);
    else open.delete(name);
    look({ view: 'overview', open: [...open].join(',') || undefined, layer: undefined, channel: undefined });
    const module = modules.find((one) => one.name === name);
    lay();
    const [first, last] = [module.blocks[0], module.blocks[module.blocks.length - 1]];
    elements.focus(board.scene.cardOf.get(isOpen ? first : last), -1);
    $('#ov-live').textContent = isOpen ? `${name} is unfolded.` : `${name} is folded.`;
  }

  function center(box) {
    board.view.x = box.x + box.width / 2 - board.size.width / board.view.zoom / 2;
    board.view.y = box.y + box.height / 2 - board.size.height / board.view.zoom / 2;
    refresh();
  }

  /** Pans as little as needed to show a card or map. */
  function reveal(one, at) {
    const box = at < 0 ? one : cellOf(one, at);
    const [margin, top] = [24, at < 0 ? 60 : 24].map((value) => value / board.view.zoom);
    const { x, y, zoom } = board.view;
    const [width, height] = [board.size.width / zoom, board.size.height / zoom];
    board.view.x = Math.max(Math.min(x, box.x - margin), box.x + Math.min(box.width, width - 2 * margin) + margin - width);
    board.view.y = Math.max(Math.min(y, box.y - top), box.y + Math.min(box.height, height - 2 * top) + margin - height);
    refresh();
  }

  // Controls.

  $('#ov-in').addEventListener('click', () => zoomBy(1.4));
  $('#ov-out').addEventListener('click', () => zoomBy(1 / 1.4));
  $('#ov-fit').addEventListener('click', () => fit());
  $('#ov-fold').addEventListener('click', () => { look({ open: undefined, layer: undefined, channel: undefined }); lay(); });
  $('#ov-png').addEventListener('click', () => savePng(canvas, model));
  $('#ov-svg').addEventListener('click', () => saveSvg(board, model));
  $('#ov-shared').addEventListener('change', () => {
    sharedScale.set($('#ov-shared').checked);
    maps.redraw();
    refresh();
  });
  $('#ov-search').addEventListener('change', () => find($('#ov-search').value.trim().toLowerCase()));
  stage.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest('#unfold')) return;
    if (event.key === '+' || event.key === '=') zoomBy(1.25);
    else if (event.key === '-') zoomBy(0.8);
    else if (event.key === '0') fit();
    else if (event.key === 'Escape') pointer.unpoint();
  });

  /** Shows the first layer whose name contains a text; unfolds its module if necessary. */
  function find(text) {
    if (text === '') return;
    const at = model.layers.findIndex(({ name }) => name.toLowerCase() === text);
    const layer = at >= 0 ? at : model.layers.findIndex(({ name, kind }) => name.toLowerCase().includes(text) || kind.toLowerCase().includes(text));
    $('#ov-live').textContent = layer < 0 ? `No layer is called “${text}”.` : '';
    $('#ov-missing').textContent = $('#ov-live').textContent;
    if (layer < 0) return;
    const block = model.blocks.findIndex(({ layers }) => layers.includes(layer));
    const folded = modules.find(({ name, blocks }) => !open.has(name) && blocks.includes(block));
    if (folded) fold(folded.name, true);
    const one = board.scene.cardOf.get(block);
    board.view.zoom = Math.max(board.view.zoom, 0.8);
    center(one);
    elements.focus(one, -1);
  }

  /** Points at the layer and channel of the URL. */
  function restore() {
    isRestored = true;
    const at = model.layers.findIndex(({ name }) => name === chosen.layer);
    if (at < 0) notFound('layer', `${model.name} has no layer “${chosen.layer}”.`);
    if (at < 0) return;
    const block = model.blocks.findIndex(({ layers }) => layers.includes(at));
    // The output of a folded module is shown; for its other layers, it is unfolded.
    const folded = board.scene.cardOf.get(block);
    if (folded.module && block !== folded.blocks[folded.blocks.length - 1]) {
      look({ open: [...open, folded.module.name].join(',') }, { quietly: true });
      lay();
    }
    const one = board.scene.cardOf.get(block);
    board.active = one;
    reveal(one, -1);
    const channel = Number(chosen.channel);
    if (!/^\d+$/.test(chosen.channel ?? '') || channel >= one.channels) {
      notFound('channel', `${chosen.layer} has no channel “${chosen.channel}”: they are 0 to ${one.channels - 1}.`);
      return;
    }
    if (one.isMap) one.first = Math.floor(channel / (one.across * one.down)) * one.across * one.down;
    // The order of the units of a vector is not known yet.
    if (!one.isMap && !tileOf(one)) { isRestored = false; return; }
    const place = one.isMap ? channel - one.first : tileOf(one)?.order?.indexOf(channel) ?? -1;
    if (place >= 0 && place < shownOn(one)) pointer.point(one, place);
  }

  return {
    /** The card of a layer; null if it is folded. */
    cardOf: (layer) => board.scene?.cards.find(({ layers }) => layers.some(({ name }) => name === layer)) ?? null,
    /** Gives the focus to a map of a card, which may be of an earlier layout. */
    focus(old, channel) {
      const one = board.scene.cards.find(({ output }) => output === old.output);
      if (one) elements.focus(one, one.isMap ? channel - one.first : tileOf(one)?.order?.indexOf(channel) ?? 0);
    },
    /** Shows a network; its maps are requested again. */
    show(next) {
      const isOther = model?.id !== next.id;
      isShown = true;
      forgetInputs();
      [model, board.model] = [next, next];
      maps.reset(next);
      $('#ov-names').replaceChildren(...next.layers.map(({ name }) => el('option', { value: name })));
      $('#ov-shared').checked = sharedScale.get() === true;
      const opened = [...open].join(',');
      board.size = { width: stage.clientWidth, height: stage.clientHeight };
      [canvas.width, canvas.height] = [Math.round(board.size.width * devicePixelRatio), Math.round(board.size.height * devicePixelRatio)];
      if (isOther || !board.scene || opened !== (chosen.open ?? '')) lay();
      else refresh();
      restore();
    },
    /** Shows the maps of another image. */
    image() {
      maps.reset(model);
      pointer.unpoint();
      restore();
      refresh();
    },
    hide() { isShown = false; },
  };
}
