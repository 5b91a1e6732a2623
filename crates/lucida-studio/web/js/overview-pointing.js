// Pointing at a map of the overview: its inputs are lit, and a small card describes them.

import { $, attempt, count, look, number, shape, turns } from './core.js';
import { channelAt } from './overview-canvas.js';
import { feedsOf, inputCard, inputsOf, sentence } from './overview-inputs.js';
import { cellOf } from './overview-layout.js';

/** Width of the screen below which the small card lies at its edge. */
const NARROW = 560;

/**
 * Lights the inputs of the map of a board that is pointed at; `refresh()` draws the board again, `isUnfolded()` tells whether an
 * operation hides the small card, and `labelOf(card, at)` names a map.
 */
export function pointing(board, { refresh, isUnfolded, labelOf }) {
  const card = $('#ov-card');
  const pointTurn = turns();

  function unpoint() {
    pointTurn();
    if (!board.lit && !board.active) return;
    [board.lit, board.active, card.hidden] = [null, null, true];
    refresh();
  }

  /** Lights the inputs of a map; `said` if a screen reader should hear them. */
  async function point(one, at, { said = false } = {}) {
    const tile = board.tiles(one);
    if (board.lit?.card === one && board.lit.at === at && board.lit.tile === tile) {
      card.hidden = isUnfolded();
      refresh();
      return;
    }
    const current = pointTurn();
    board.active = one;
    if (at < 0) {
      [board.lit, card.hidden] = [null, true];
      refresh();
      if (said) look({ view: 'overview', layer: one.output, channel: undefined }, { quietly: true });
      return;
    }
    const channel = channelAt(tile, one, at);
    const inputs = await attempt(() => inputsOf(board.model, one.main.name, channel % one.main.shape[one.main.shape.length - 1]));
    if (!inputs || !current() || !board.scene.cards.includes(one)) return;
    board.lit = { card: one, at, channel, tile, inputs, said, feeds: feedsOf(inputs, board.scene, board.tiles) };
    fillCard();
    card.hidden = isUnfolded();
    if (said) {
      look({ view: 'overview', layer: one.output, channel }, { quietly: true });
      $('#ov-live').textContent = `${labelOf(one, at)}. ${sentence(inputs)}`;
    }
    refresh();
  }

  /** Describes the map that is pointed at, and its inputs, on the small card. */
  function fillCard() {
    const { card: one, at, channel, tile, inputs, said } = board.lit;
    const range = !tile?.maps ? '' : one.isMap ? `${shape(one.shape.slice(0, 2))}, from ${number(tile.maps.low[at])} to ${number(tile.maps.high[at])}` : number(tile.values[channel]);
    const title = one.isMap ? `${one.main.name}, map ${channel} of ${count(one.channels)}` : `${one.main.name}, ${tile?.name(channel) ?? channel}`;
    card.replaceChildren(...inputCard({ title, range, found: inputs, hint: said ? 'Enter shows the operation.' : 'Click to see the operation.' }));
  }

  /** Puts the small card at the right of the map, at the left of its inputs, or at the right edge below or above the map. */
  function placeCard() {
    if (isUnfolded()) card.hidden = true;
    if (card.hidden || !board.lit) return;
    const { view, size, lit } = board;
    const cell = cellOf(lit.card, lit.at);
    const [left, top] = [(cell.x - view.x) * view.zoom, (cell.y - view.y) * view.zoom];
    const [width, height] = [card.offsetWidth, card.offsetHeight];
    const right = left + cell.width * view.zoom + 14;
    const before = Math.min(left, ...[...lit.feeds.keys()].map((one) => (one.x - view.x) * view.zoom)) - width - 14;
    const bottom = size.height - height - 8;
    const isNarrow = size.width < 560;
    const isLevel = !isNarrow && (right + width < size.width || before >= 8);
    const x = isNarrow ? 8 : !isLevel ? size.width - width - 8 : right + width < size.width ? right : before;
    const isLow = top > size.height / 2;
    const apart = isNarrow ? (isLow ? 8 : bottom) : isLow ? Math.max(8, top - height - 14) : Math.min(bottom, top + cell.height * view.zoom + 14);
    const y = isLevel ? Math.max(8, Math.min(bottom, top - 20)) : apart;
    card.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }

  return {
    point,
    unpoint,
    placeCard,
    hide() { card.hidden = true; },
    /** Updates what is lit, after maps have arrived. */
    update() {
      if (!board.lit) return;
      board.lit.tile = board.tiles(board.lit.card);
      board.lit.feeds = feedsOf(board.lit.inputs, board.scene, board.tiles);
      fillCard();
    },
  };
}
