// Draws the overview: cards with their maps, wires, and the inputs of the map that is pointed at.

import { BETWEEN, cellOf, MAP, PAD, shownOn } from './overview-layout.js';
import { number, shape } from './core.js';
import { SHORT } from './kinds.js';
import { signedColor } from './pixels.js';

/** Opacity of what does not feed the map that is pointed at. */
const DIM = 0.22;
/** Maximum number of lines to a map: the strongest ones. */
const LINES = 24;
/** Width in pixels from which the titles of a chain are level. */
const LEVEL = 92;

/** The colors of the page, for the canvas. */
export function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { paper: of('--paper'), card: of('--card'), sunken: of('--sunken'), ink: of('--ink'), soft: of('--ink-3'), line: of('--line'), edge: of('--line-2'), accent: of('--accent'), ground: of('--image-ground'), track: of('--track'), font: of('--sans') };
}

/** The largest part of an image of `width` x `height` that fits into a cell. */
function inside(cell, width, height) {
  const scale = Math.min(cell.width / width, cell.height / height);
  const size = [width * scale, height * scale];
  return [cell.x + (cell.width - size[0]) / 2, cell.y + (cell.height - size[1]) / 2, ...size];
}

const isSeen = (box, { left, top, right, bottom }) => box.x < right && box.x + box.width > left && box.y < bottom && box.y + box.height > top;

/** The part of the overview that is on the screen. */
export function window({ view, size }, margin = 0) {
  const [left, top] = [view.x - margin, view.y - margin];
  return { left, top, right: view.x + size.width / view.zoom + margin, bottom: view.y + size.height / view.zoom + margin };
}

/** The cards on the screen. */
export const seenCards = (board, margin = 0) => board.scene.cards.filter((one) => isSeen(one, window(board, margin)));

/**
 * Draws a board on `context`, a canvas or a recorder of SVG. The board has the `scene` of the layout, the `view` (left, top
 * and zoom), the `size` of the screen in CSS pixels, `tiles(card)` with what is known of the card's maps, `lit` with the inputs
 * of the map that is pointed at, and the `colors` of the page.
 */
export function draw(context, board) {
  const { view, size, colors, scene } = board;
  context.fillStyle = colors.paper;
  context.fillRect(0, 0, size.width, size.height);
  context.save();
  context.scale(view.zoom, view.zoom);
  context.translate(-view.x, -view.y);
  const seen = window(board);
  context.globalAlpha = board.lit ? 0.45 : 1;
  scene.opened.filter((one) => isSeen(one, seen)).forEach((one) => frame(context, one, board));
  wires(context, board);
  const cards = scene.cards.filter((one) => isSeen({ ...one, y: one.y - 90 / view.zoom, height: one.height + 90 / view.zoom }, seen));
  cards.forEach((one) => cardOn(context, one, board));
  if (board.lit) feeds(context, board);
  context.restore();
  titles(context, cards, board);
}

function frame(context, one, { colors, view }) {
  context.strokeStyle = colors.edge;
  context.lineWidth = 1 / view.zoom;
  context.setLineDash([4 / view.zoom, 3 / view.zoom]);
  context.strokeRect(one.x, one.y, one.width, one.height);
  context.setLineDash([]);
}

function wires(context, { scene, colors, view }) {
  context.strokeStyle = colors.edge;
  context.lineWidth = Math.max(1, 1.2 / view.zoom);
  // In a chain, all wires lie at the height of the first maps.
  const middle = (one) => one.y + (scene.isChain ? PAD + MAP / 2 : one.height / 2);
  for (const { from, to, through } of scene.wires) {
    const stops = [{ x: from.x + from.width, y: middle(from), width: 0 }, ...through, { x: to.x, y: middle(to), width: 0 }];
    context.beginPath();
    context.moveTo(stops[0].x, stops[0].y);
    for (let at = 1; at < stops.length; at += 1) {
      const [before, next] = [stops[at - 1], stops[at]];
      const start = before.x + before.width;
      const between = (start + next.x) / 2;
      context.bezierCurveTo(between, before.y, between, next.y, next.x, next.y);
      if (next.width) context.lineTo(next.x + next.width, next.y);
    }
    context.stroke();
  }
}

/** How strongly a position of a card is lit, from 0 to 1, and its sign; null if nothing is pointed at. */
export function lightOf(lit, one, at) {
  if (!lit) return null;
  if (lit.card === one && lit.channel === channelAt(lit.tile, one, at)) return { part: 1, sign: 0, isIt: true };
  const feed = lit.feeds.get(one);
  if (!feed) return { part: 0, sign: 0 };
  const channel = channelAt(feed.tile, one, at);
  return { part: feed.strengths[channel] ?? 0, sign: Math.sign(feed.sums[channel] ?? 0) };
}

/** The channel or unit at a position of a card. The units of a vector are in descending order of their values. */
export const channelAt = (tile, one, at) => (one.isMap ? one.first + at : tile?.order?.[one.first + at] ?? one.first + at);

function cardOn(context, one, board) {
  const { colors, lit, view } = board;
  const tile = board.tiles(one);
  context.globalAlpha = 1;
  if (one.module) {
    context.strokeStyle = colors.edge;
    context.fillStyle = colors.sunken;
    context.lineWidth = 1 / view.zoom;
    for (const back of [5, 2.5]) {
      context.fillRect(one.x + back, one.y - back, one.width, one.height);
      context.strokeRect(one.x + back, one.y - back, one.width, one.height);
    }
  }
  context.fillStyle = colors.card;
  context.fillRect(one.x, one.y, one.width, one.height);
  context.strokeStyle = board.active === one ? colors.accent : colors.line;
  context.lineWidth = (board.active === one ? 1.6 : 1) / view.zoom;
  context.strokeRect(one.x, one.y, one.width, one.height);
  for (let at = 0; at < shownOn(one); at += 1) {
    const cell = cellOf(one, at);
    const light = lightOf(lit, one, at);
    context.globalAlpha = light ? DIM + (1 - DIM) * light.part : 1;
    if (!tile) {
      context.fillStyle = colors.track;
      context.fillRect(cell.x, cell.y, cell.width, cell.height);
    } else if (one.isMap) mapOn(context, tile, at, cell, board);
    else unitOn(context, one, tile, at, cell, board);
    if (light?.part > 0) {
      context.strokeStyle = light.sign ? signedColor(light.sign * (0.35 + 0.65 * light.part)) : colors.accent;
      context.lineWidth = (light.isIt ? 2.5 : 0.8 + 2.2 * light.part) / Math.sqrt(view.zoom);
      context.strokeRect(cell.x, cell.y, cell.width, cell.height);
    }
  }
  context.globalAlpha = 1;
}

function mapOn(context, tile, at, cell, { colors, view }) {
  const map = tile.canvases[at];
  if (!map) return;
  context.fillStyle = colors.ground;
  context.fillRect(cell.x, cell.y, cell.width, cell.height);
  // Enlarged pixels stay sharp; reduced ones are averaged.
  context.imageSmoothingEnabled = map.width > cell.width * view.zoom;
  context.drawImage(map, ...inside(cell, map.width, map.height));
}

/** A unit of a vector: a bar, its name and its value. */
function unitOn(context, one, tile, at, cell, { colors, view }) {
  const unit = channelAt(tile, one, at);
  const value = tile.values[unit];
  if (value === undefined) return;
  const most = tile.most || 1;
  const high = Math.min(cell.height, 14);
  const top = cell.y + (cell.height - high) / 2;
  const isReadable = high * view.zoom >= 8;
  const bar = isReadable ? { x: cell.x, y: top + high - 3, height: 3 } : { x: cell.x, y: top, height: high };
  context.fillStyle = colors.track;
  context.fillRect(bar.x, bar.y, cell.width, bar.height);
  context.fillStyle = value < 0 ? signedColor(-0.9) : colors.accent;
  context.fillRect(bar.x, bar.y, (cell.width * Math.abs(value)) / most, bar.height);
  if (!isReadable) return;
  context.fillStyle = colors.ink;
  context.font = `${high * 0.66}px ${colors.font}`;
  context.textBaseline = 'alphabetic';
  const text = number(value);
  context.textAlign = 'right';
  context.fillText(text, cell.x + cell.width, bar.y - 2);
  context.textAlign = 'left';
  context.fillText(fitted(context, tile.name(unit), cell.width - context.measureText(text).width - 6), cell.x, bar.y - 2);
}

/** Shortens a text with an ellipsis. */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 0 && context.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return end > 0 ? `${text.slice(0, end)}…` : '';
}

/** Lines from the strongest inputs to the map that is pointed at. */
function feeds(context, { lit, colors, view, time }) {
  const target = cellOf(lit.card, lit.at);
  const [x, y] = [target.x, target.y + target.height / 2];
  const lines = [...lit.feeds].flatMap(([one, feed]) => Array.from({ length: shownOn(one) }, (_, at) => ({ one, at, channel: channelAt(feed.tile, one, at), feed })))
    .map((line) => ({ ...line, part: line.feed.strengths[line.channel] ?? 0, sign: Math.sign(line.feed.sums[line.channel] ?? 0) }))
    .filter(({ part }) => part > 0.02).sort((a, b) => b.part - a.part).slice(0, LINES);
  for (const { one, at, part, sign, feed } of lines.reverse()) {
    const cell = cellOf(one, at);
    const [startX, startY] = [cell.x + cell.width, cell.y + cell.height / 2];
    context.globalAlpha = 0.25 + 0.75 * part;
    context.strokeStyle = feed.isSigned ? signedColor(sign * (0.35 + 0.65 * part)) : colors.accent;
    context.lineWidth = (0.6 + 2.4 * part) / Math.sqrt(view.zoom);
    context.setLineDash(time === null ? [] : [7, 5]);
    context.lineDashOffset = time === null ? 0 : -time / 40;
    const middle = (startX + x) / 2;
    context.beginPath();
    context.moveTo(startX, startY);
    context.bezierCurveTo(middle, startY, middle, y, x, y);
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

/** Names and shapes, in letters of the same size at any zoom: above wide cards, aslant above narrow ones. */
function titles(context, cards, board) {
  const { view, colors, scene, lit } = board;
  context.textBaseline = 'alphabetic';
  context.textAlign = 'left';
  const isAslant = scene.isChain && (MAP + 2 * PAD) * view.zoom < LEVEL;
  // Below another card, there may be room for one line only.
  const room = scene.isChain ? 99 : BETWEEN * view.zoom;
  for (const one of cards) {
    const [x, y] = [(one.x - view.x) * view.zoom, (one.y - view.y) * view.zoom - (one.module ? 5 * view.zoom : 0)];
    const width = one.width * view.zoom;
    const isQuiet = lit && lit.card !== one && !lit.feeds.has(one);
    context.globalAlpha = isQuiet ? 0.5 : 1;
    const kind = one.module ? `${one.blocks.length} boxes` : SHORT[one.main.kind] ?? one.main.kind;
    const note = one.module ? `${shape(one.shape)}, ${kind}` : `${kind} ${shape(one.shape)}`;
    if (!isAslant && width >= 30 && room >= 18) {
      context.font = `600 11.5px ${colors.font}`;
      context.fillStyle = colors.ink;
      context.fillText(fitted(context, one.title, width), x, y - (room >= 32 ? 19 : 5));
      if (room < 32) continue;
      context.font = `11px ${colors.font}`;
      context.fillStyle = colors.soft;
      context.fillText(fitted(context, note, width), x, y - 6);
    } else if (isAslant && width >= 14) {
      context.save();
      context.translate(x + Math.min(width / 2, 24) - 2, y - 6);
      context.rotate(-Math.PI / 4);
      context.font = `600 11px ${colors.font}`;
      context.fillStyle = colors.ink;
      context.fillText(fitted(context, one.title, 118), 0, 0);
      if (one.pitch[0] * view.zoom >= 30) {
        context.font = `10px ${colors.font}`;
        context.fillStyle = colors.soft;
        context.fillText(fitted(context, note.replaceAll(' × ', '×'), 108), 9, 12);
      }
      context.restore();
    }
  }
  context.globalAlpha = 1;
}
