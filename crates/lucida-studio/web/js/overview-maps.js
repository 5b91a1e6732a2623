// The maps of the cards of the overview: requested while they are on the screen, and drawn once.

import { ask, attempt, greatest, path, stored, view } from './core.js';
import { seenCards } from './overview-canvas.js';
import { MAPS } from './overview-layout.js';
import { bytes, drawMap, extent, floats } from './pixels.js';

/** Longest sides of maps in requests, the zoom from which they are larger, and the maximum number of layers per request. */
const [SIDE, LARGE, NEAR, LAYERS] = [32, 112, 1.8, 64];

/** Whether the maps of a layer share a scale: a choice that the views of the network page have in common. */
export const sharedScale = stored('lucida-shared-scale');

/** The maps of the cards of a board; `arrived()` is called when more of them are known, `lacking(count)` says how many are not. */
export function cardMaps(board, { arrived, lacking }) {
  let tiles = new Map();
  let [model, turn, isLoading] = [null, 0, false];
  const of = (one) => tiles.get(`${one.output}:${one.first}`);

  /** Requests the maps that are on the screen and not known yet, or in a larger size when they are drawn large. */
  async function load() {
    if (isLoading || !model || !view.image) return;
    const side = board.view.zoom > NEAR ? LARGE : SIDE;
    const lacks = (one) => {
      const tile = of(one);
      return !tile || (tile.maps && one.isMap && tile.side < side && Math.max(one.shape[0], one.shape[1]) > tile.side);
    };
    const wanted = seenCards(board, 60 / board.view.zoom).filter(lacks);
    lacking(wanted.length);
    if (wanted.length === 0) return;
    const { first } = wanted[0];
    const asked = wanted.filter((one) => one.first === first).slice(0, LAYERS);
    const mine = turn;
    isLoading = true;
    const layers = asked.map(({ output }) => output).join(',');
    const found = await attempt(() => ask(`${path`/api/models/${model.id}/overview`}?image=${encodeURIComponent(view.image)}&layers=${encodeURIComponent(layers)}&first=${first}&maps=${MAPS}&side=${side}`));
    isLoading = false;
    // Maps of another model or image are dropped, and those of this one requested.
    if (mine === turn) asked.forEach((one, at) => keep(one, first, found?.layers[at], side));
    arrived();
  }

  /** Keeps the maps of a card; those that cannot be computed are not asked for again. */
  function keep(one, first, maps, side) {
    const tile = { maps: maps ?? null, side, canvases: [], values: [], order: null, most: 1, name: (unit) => `Unit ${unit}` };
    tiles.set(`${one.output}:${first}`, tile);
    if (!maps) return;
    if (maps.values === null) {
      tile.data = bytes(maps.data);
      drawTile(tile);
      return;
    }
    tile.values = floats(maps.values);
    tile.order = greatest(tile.values, tile.values.length);
    tile.most = tile.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const isOutput = one === board.scene.cards[board.scene.cards.length - 1] && model.classes.length === tile.values.length;
    if (isOutput) tile.name = (unit) => model.classes[unit];
  }

  function drawTile(tile) {
    const range = sharedScale.get() === true ? extent(tile.maps) : null;
    tile.canvases = Array.from({ length: tile.maps.channels }, (_, at) => {
      const one = tile.canvases[at] ?? document.createElement('canvas');
      drawMap(one, tile.maps, tile.data, at, range);
      return one;
    });
  }

  return {
    of,
    load,
    /** Forgets the maps: they are of another model or image. */
    reset(next) {
      turn += 1;
      [model, tiles] = [next, new Map()];
    },
    /** Draws the maps with another scale. */
    redraw() { tiles.forEach((tile) => { if (tile.data) drawTile(tile); }); },
  };
}
