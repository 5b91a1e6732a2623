// The overview as elements: a button for each card, and for each map of the active card. They lie over the canvas, get the
// focus, and give screen readers what the canvas shows.

import { count, el, number, shape } from './core.js';
import { channelAt } from './overview-canvas.js';
import { cellOf, shownOn } from './overview-layout.js';

/**
 * Puts the elements into `place`. `reveal(card, at)` scrolls a card or map into view, `point(card, at)` is called when it gets
 * the focus, `enter(card, at)` for Enter or a click, `turn(card, pages)` to show other maps of a card, and `tileOf(card)`
 * gives what is known of its maps, and `fold(name)` folds a module.
 */
export function nodes(place, { reveal, point, enter, turn, tileOf, fold }) {
  let scene = null;
  let active = null;
  const heads = new Map();

  const describe = (one) => (one.module
    ? `${one.module.name}: a folded module with ${one.blocks.length} boxes, ${shape(one.shape)}. Enter unfolds it.`
    : `${one.main.name}: ${one.layers.map(({ kind }) => kind).join(', ')}, ${shape(one.shape)}, ${count(one.layers.reduce((sum, { parameters }) => sum + parameters, 0))} parameters`);

  function labelOf(one, at) {
    const tile = tileOf(one);
    const channel = channelAt(tile, one, at);
    if (!one.isMap) return `${one.main.name}, ${tile?.name(channel) ?? `unit ${channel}`}${tile ? `: ${number(tile.values[channel])}` : ''}`;
    return `${one.main.name}, map ${channel} of ${one.channels}${tile?.maps ? `, from ${number(tile.maps.low[at])} to ${number(tile.maps.high[at])}` : ''}`;
  }

  function button(one, at, box) {
    const node = el('button', { class: 'ov-node', tabindex: '-1', 'aria-label': at < 0 ? describe(one) : labelOf(one, at), 'data-key': `${one.output}:${at}`, onfocus: () => focused(one, at), onclick: () => enter(one, at) });
    Object.assign(node.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px` });
    node.at = at;
    return node;
  }

  /** Adds the maps of a card, and removes those of the one before. */
  function activate(one) {
    if (active === one && heads.get(one).maps.length === shownOn(one)) return;
    if (active && heads.has(active)) {
      heads.get(active).maps.forEach((map) => map.remove());
      heads.get(active).maps = [];
    }
    active = one;
    const head = heads.get(one);
    head.maps.forEach((map) => map.remove());
    head.maps = Array.from({ length: shownOn(one) }, (_, at) => button(one, at, { ...cellOf(one, at), x: cellOf(one, at).x - one.x, y: cellOf(one, at).y - one.y }));
    head.group.append(...head.maps);
  }

  function focused(one, at) {
    activate(one);
    const head = heads.get(one);
    for (const node of place.querySelectorAll('[tabindex="0"]')) node.tabIndex = -1;
    (head.maps[at] ?? head.button).tabIndex = 0;
    reveal(one, at);
    point(one, at);
  }

  function focus(one, at) {
    if (!one) return;
    activate(one);
    const head = heads.get(one);
    (at < 0 ? head.button : head.maps[Math.min(at, head.maps.length - 1)] ?? head.button).focus({ preventScroll: true });
  }

  /** The card in the nearest column to the left or right that is closest in height. */
  function neighbor(one, step) {
    const columns = scene.cards.filter((other) => Math.sign(other.column - one.column) === step);
    if (columns.length === 0) return null;
    const nearest = Math.min(...columns.map((other) => Math.abs(other.column - one.column)));
    const middle = (box) => box.y + box.height / 2;
    return columns.filter((other) => Math.abs(other.column - one.column) === nearest).sort((a, b) => Math.abs(middle(a) - middle(one)) - Math.abs(middle(b) - middle(one)))[0];
  }

  /** The card above or below in the same column. */
  const stacked = (one, step) => scene.cards.filter((other) => other.column === one.column && Math.sign(other.y - one.y) === step).sort((a, b) => step * (a.y - b.y))[0];

  const moves = {
    ArrowLeft: (one, at) => (at > 0 && at % one.across > 0 ? focus(one, at - 1) : sideways(one, at, -1)),
    ArrowRight: (one, at) => (at >= 0 && at % one.across < one.across - 1 && at + 1 < shownOn(one) ? focus(one, at + 1) : sideways(one, at, 1)),
    ArrowUp: (one, at) => (at < 0 ? focus(stacked(one, -1), -1) : focus(one, at - one.across < 0 ? -1 : at - one.across)),
    ArrowDown: (one, at) => {
      if (at < 0) focus(one, 0);
      else if (at + one.across < shownOn(one)) focus(one, at + one.across);
      else focus(stacked(one, 1), -1);
    },
    Home: () => focus(scene.cards[0], -1),
    End: () => focus(scene.cards[scene.cards.length - 1], -1),
    PageDown: (one, at) => turned(one, at, 1),
    PageUp: (one, at) => turned(one, at, -1),
  };
  function sideways(one, at, step) {
    const next = neighbor(one, step);
    if (next) focus(next, at < 0 ? -1 : Math.min(shownOn(next) - 1, Math.floor(at / one.across) * next.across + (step > 0 ? 0 : next.across - 1)));
  }
  function turned(one, at, pages) {
    turn(one, pages);
    activate(one);
    focus(one, Math.max(0, at));
  }
  place.addEventListener('keydown', (event) => {
    const node = event.target.closest('.ov-node');
    const move = moves[event.key];
    if (!node || !move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    move(node.card ?? node.parentElement.card, node.at);
  });

  return {
    focus,
    describe,
    labelOf,
    /** Creates the elements of another layout; keeps the focus if its card or map is still there. */
    show(next) {
      const held = place.contains(document.activeElement) ? document.activeElement.dataset.key ?? null : null;
      scene = next;
      active = null;
      heads.clear();
      place.replaceChildren(...scene.cards.map((one, at) => {
        const head = button(one, -1, { x: 0, y: -30, width: one.width, height: 30 });
        if (at === 0) head.tabIndex = 0;
        const group = el('div', { class: 'ov-group', role: 'group', 'aria-label': one.module?.name ?? one.main.name }, head);
        Object.assign(group.style, { left: `${one.x}px`, top: `${one.y}px`, width: `${one.width}px`, height: `${one.height}px` });
        [group.card, head.card] = [one, one];
        heads.set(one, { button: head, group, maps: [] });
        return group;
      }), ...scene.opened.map(({ name, x, y, height }) => {
        const close = el('button', { class: 'ov-close', 'aria-label': `Fold the module ${name}`, title: `Fold the module ${name}`, onclick: () => fold(name) }, name);
        [close.style.left, close.style.top] = [`${x}px`, `${y + height}px`];
        return close;
      }));
      if (held === null) return;
      const [, layer, at] = held.match(/^(.*):(-?\d+)$/s);
      focus(scene.cards.find(({ output, layers }) => output === layer || layers.some(({ name }) => name === layer)) ?? scene.cards[0], Number(at));
    },
    /** Updates the names of the maps of the active card, after they were loaded. */
    rename() {
      if (active) heads.get(active)?.maps.forEach((map, at) => map.setAttribute('aria-label', labelOf(active, at)));
    },
    /** Moves the elements with the canvas. */
    move({ x, y, zoom }) {
      place.style.transform = `scale(${zoom}) translate(${-x}px, ${-y}px)`;
      place.style.setProperty('--zoom', zoom);
    },
  };
}
