// Decodes numbers, and draws them as pixels.

/** Decodes bytes from Base64. */
export function bytes(text) {
  return Uint8Array.from(atob(text), (digit) => digit.charCodeAt(0));
}

/** Decodes 32-bit floats from Base64. */
export function floats(text) {
  return new Float32Array(bytes(text).buffer);
}

const mix = (a, b, part) => a.map((value, at) => Math.round(value + (b[at] - value) * part));

// From near black to near white, both slightly warm.
const GRAYS = Array.from({ length: 256 }, (_, at) => mix([18, 15, 12], [255, 250, 240], at / 255));

// Blue is negative, red positive.
const [BLUE, MIDDLE, RED] = [[31, 95, 158], [246, 243, 236], [186, 53, 25]];
const SIGNED = Array.from({ length: 256 }, (_, at) =>
  at < 128 ? mix(BLUE, MIDDLE, at / 127.5) : mix(MIDDLE, RED, (at - 127.5) / 127.5));

export const grayColor = (part) => `rgb(${GRAYS[level(part)].join(' ')})`;
export const signedColor = (part) => `rgb(${SIGNED[level((part + 1) / 2)].join(' ')})`;
/** Black or white, whichever has the higher contrast with a color: at least 4.5 (WCAG 2.2, relative luminance). */
function ink(color) {
  const [red, green, blue] = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? '#000' : '#fff';
}
/** The color of text on the colors above. */
export const grayInk = (part) => ink(GRAYS[level(part)]);
export const signedInk = (part) => ink(SIGNED[level((part + 1) / 2)]);

function level(part) {
  return Math.max(0, Math.min(255, Math.round(255 * (Number.isFinite(part) ? part : 0))));
}

/** Draws `width` x `height` pixels; `value(at)` is an index into the color `table`. */
function fill(canvas, width, height, table, value) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    const [red, green, blue] = table[value(at)];
    image.data.set([red, green, blue, 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
}

/** Draws feature map `at` of a response; with `range`, all maps share the same scale. */
export function drawMap(canvas, maps, data, at, range = null) {
  const size = maps.width * maps.height;
  const from = at * size;
  if (range === null) {
    fill(canvas, maps.width, maps.height, GRAYS, (pixel) => data[from + pixel]);
    return;
  }
  const [low, high] = range;
  const span = high > low ? high - low : 1;
  const step = (maps.high[at] - maps.low[at]) / 255;
  fill(canvas, maps.width, maps.height, GRAYS, (pixel) => level((maps.low[at] + step * data[from + pixel] - low) / span));
}

/** The range of values of all maps, extended to zero if it is positive. */
export function extent(maps) {
  return [Math.min(0, ...maps.low), Math.max(...maps.high)];
}

/** Draws values as grays, from the minimum to the maximum. */
export function drawFloats(canvas, values, width, height) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const span = high > low ? high - low : 1;
  fill(canvas, width, height, GRAYS, (at) => level((values[at] - low) / span));
}

/** Draws values from blue (negative) over white (zero) to red; the colors end at `most`. */
export function drawSigned(canvas, values, width, height, most = null) {
  const limit = most ?? (values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1);
  fill(canvas, width, height, SIGNED, (at) => level((values[at] / limit + 1) / 2));
}

/** Draws a kernel with three input channels in color. */
export function drawColor(canvas, values, width, height) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const span = high > low ? high - low : 1;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) image.data[4 * at + channel] = level((values[3 * at + channel] - low) / span);
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
