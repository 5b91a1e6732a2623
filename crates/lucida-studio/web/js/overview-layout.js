// The layout of the overview: the boxes of the graph as cards from left to right, and modules folded to one card.

/** Sizes in units of the overview; at zoom 1, a unit is a CSS pixel. */
export const [MAP, GAP, PAD] = [34, 4, 5];
/** Number of maps or units on a card. */
export const MAPS = 12;
/** Distance between the cards of a column, height of a place that only a wire passes, width of a card with numbers. */
export const BETWEEN = 58;
const [LANE, VALUES] = [14, 112];
/** Least and greatest distance between columns. */
const [NEAR, FAR] = [12, 110];
/** Number of levels of a name that may name a module: `conv2_block1_1_conv` has the levels `conv2`, `conv2_block1`, .... */
const LEVELS = 3;

const snake = (kind) => kind.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();

/** The first `level` parts of a layer's name; null if it has fewer parts, or is a default name such as `conv2d_1`. */
function prefix({ name, kind }, level) {
  if (new RegExp(`^${snake(kind)}(_?\\d+)?$`).test(name.toLowerCase())) return null;
  const parts = [...name.matchAll(/[_./]*[^_./]+/g)].map(([part]) => part);
  return parts.length >= level ? parts.slice(0, level).join('') : null;
}

/** Modules at a level: runs of rows whose boxes all share a prefix, at least two of them. */
function modulesAt(model, level) {
  const rows = [];
  for (const [at, block] of model.blocks.entries()) (rows[block.row] ??= []).push(at);
  const common = rows.map((blocks) => {
    const [first, ...others] = blocks.map((at) => prefix(model.layers[model.blocks[at].layers[0]], level));
    return others.every((other) => other === first) ? first : null;
  });
  const modules = [];
  common.forEach((name, row) => {
    const last = modules[modules.length - 1];
    if (name !== null && last?.name === name && last.end === row) { last.end = row + 1; last.blocks.push(...rows[row]); } else if (name !== null) modules.push({ name, start: row, end: row + 1, blocks: [...rows[row]] });
  });
  return modules.filter(({ blocks }) => blocks.length > 1);
}

/** The modules of a network that has more columns than `fit`: the finest that fit, or those that leave the fewest columns. */
export function modulesOf(model, fit) {
  const depth = Math.max(...model.blocks.map(({ row }) => row)) + 1;
  if (depth <= fit) return [];
  const columns = (modules) => depth - modules.reduce((sum, { start, end }) => sum + end - start - 1, 0);
  const levels = Array.from({ length: LEVELS }, (_, at) => modulesAt(model, at + 1));
  const fitting = levels.filter((modules) => modules.length > 1 && columns(modules) <= fit);
  return fitting.pop() ?? levels.sort((a, b) => columns(a) - columns(b))[0];
}

/** A card of a box, or of a folded module. */
function card(model, blocks, row, module) {
  const layers = blocks.flatMap((at) => model.blocks[at].layers).map((at) => model.layers[at]);
  // The maps of a card are the output of its last layer; a module's are those of its last box.
  const main = model.layers[model.blocks[blocks[blocks.length - 1]].layers[0]];
  const last = layers[layers.length - 1];
  const isMap = last.shape.length === 3 && last.shape[0] * last.shape[1] > 1;
  const channels = isMap ? last.shape[2] : last.shape.reduce((product, size) => product * size, 1);
  return { blocks, row, module, layers, main, output: last.name, title: module?.name ?? main.name, shape: last.shape, isMap, channels, first: 0 };
}

/** Columns of cards and of passing wires; the rows of a folded module are one column. */
function columnsOf(model, folded) {
  const depth = Math.max(...model.blocks.map(({ row }) => row)) + 1;
  const moduleAt = new Map(folded.flatMap((module) => Array.from({ length: module.end - module.start }, (_, at) => [module.start + at, module])));
  const columns = [];
  const column = [];
  for (let row = 0; row < depth; row += 1) {
    const module = moduleAt.get(row);
    if (!module || module.start === row) columns.push([]);
    column[row] = columns.length - 1;
    if (module) {
      if (module.start === row) columns[column[row]].push({ place: 0, card: card(model, module.blocks, row, module) });
    } else for (const [at, block] of model.blocks.entries()) if (block.row === row) columns[column[row]].push({ place: block.place, card: card(model, [at], row, null) });
  }
  return { columns, column, isFolded: (row) => moduleAt.has(row) };
}

/** The size of each card, for columns with `most` cards at most: a single column of maps, or a grid. */
function sizes(cards, most, model) {
  const across = most === 1 ? 1 : most === 2 ? 2 : 3;
  const output = cards[cards.length - 1];
  for (const one of cards) {
    const shown = Math.min(MAPS, one.channels);
    one.across = one.isMap ? Math.min(across, shown) : 1;
    one.down = Math.ceil(shown / one.across);
    one.cell = one.isMap ? [MAP, MAP] : [VALUES + (one === output && model.classes.length > 0 ? 56 : 0), most === 1 ? MAP : 14];
    one.pitch = [one.cell[0] + GAP, one.cell[1] + (one.isMap || most === 1 ? GAP : 2)];
    one.width = one.across * one.pitch[0] - GAP + 2 * PAD;
    one.height = one.down * one.pitch[1] + 2 * PAD - GAP;
  }
}

/** Lays out a network with these modules folded; `aspect` is the width of the screen over its height. */
export function arrange(model, modules, open, aspect) {
  const folded = modules.filter(({ name }) => !open.has(name));
  const { columns, column, isFolded } = columnsOf(model, folded);
  const cards = columns.flatMap((items) => items.map((item) => item.card));
  const most = Math.max(...columns.map((items) => items.length));
  sizes(cards, most, model);
  const cardOf = new Map(cards.flatMap((one) => one.blocks.map((block) => [block, one])));
  const wires = [];
  for (const wire of model.wires) {
    const [from, to] = [cardOf.get(wire.from), cardOf.get(wire.to)];
    if (from === to || wires.some((other) => other.from === from && other.to === to)) continue;
    const inner = wire.points.slice(1, -1).filter(([, row]) => column[row] > column[from.row] && column[row] < column[to.row]);
    // One point in each column between.
    const through = [...new Map(inner.map(([place, row]) => [column[row], { place: isFolded(row) ? 1e3 + place : place, at: column[row] }])).values()];
    through.forEach((point) => columns[point.at].push(point));
    wires.push({ from, to, through });
  }
  const heights = columns.map((items) => items.reduce((sum, item) => sum + (item.card ? item.card.height + (most > 1 ? BETWEEN : 0) : LANE), 0));
  const height = Math.max(...heights);
  const widths = columns.map((items) => Math.max(...items.map((item) => item.card?.width ?? 0)));
  const used = widths.reduce((sum, width) => sum + width, 0);
  const gap = Math.max(NEAR + 4 * most, Math.min(FAR, (height * aspect - used) / Math.max(1, columns.length - 1)));
  let left = 0;
  columns.forEach((items, at) => {
    // The titles of a chain stand in one line.
    let top = most === 1 ? -height / 2 : -heights[at] / 2;
    for (const item of items.sort((a, b) => a.place - b.place)) {
      const extent = item.card ? item.card.height + (most > 1 ? BETWEEN : 0) : LANE;
      if (item.card) Object.assign(item.card, { x: left + (widths[at] - item.card.width) / 2, y: top + (most > 1 ? BETWEEN : 0), column: at });
      else Object.assign(item, { x: left, width: widths[at], y: top + LANE / 2 });
      top += extent;
    }
    left += widths[at] + gap;
  });
  const opened = modules.filter(({ name }) => open.has(name)).map((module) => ({ ...module, cards: [...new Set(module.blocks.map((block) => cardOf.get(block)))] }));
  for (const one of opened) {
    Object.assign(one, bounds(one.cards, 6));
    // The frame names the module: its cards need not.
    for (const inner of one.cards) inner.title = inner.title.slice(one.name.length).replace(/^[_./]+/, '') || inner.title;
  }
  return { cards, wires, opened, cardOf, isChain: most === 1, box: bounds(cards, 0) };
}

/** The rectangle around some cards. */
function bounds(cards, margin) {
  const [x, y] = [Math.min(...cards.map((one) => one.x)) - margin, Math.min(...cards.map((one) => one.y)) - margin];
  const [right, bottom] = [Math.max(...cards.map((one) => one.x + one.width)) + margin, Math.max(...cards.map((one) => one.y + one.height)) + margin];
  return { x, y, width: right - x, height: bottom - y };
}

/** The rectangle of the map or unit at a position of a card. */
export function cellOf(one, at) {
  return { x: one.x + PAD + (at % one.across) * one.pitch[0], y: one.y + PAD + Math.floor(at / one.across) * one.pitch[1], width: one.cell[0], height: one.cell[1] };
}

/** The card at a point, and the position of the map under it, or -1. */
export function hit(scene, x, y) {
  const found = scene.cards.find((one) => x >= one.x && x < one.x + one.width && y >= one.y && y < one.y + one.height);
  if (!found) return null;
  const [column, row] = [Math.floor((x - found.x - PAD) / found.pitch[0]), Math.floor((y - found.y - PAD) / found.pitch[1])];
  const inside = column >= 0 && column < found.across && row >= 0 && row < found.down;
  const at = inside ? row * found.across + column : -1;
  return { card: found, at: at < shownOn(found) ? at : -1 };
}

/** The number of maps or units that a card shows now. */
export const shownOn = (one) => Math.max(0, Math.min(one.across * one.down, one.channels - one.first));
