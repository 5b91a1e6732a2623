// Draws the kernels of a convolution.

import { drawColor, drawSigned } from './pixels.js';

/** Maximum number of channels of a kernel, side by side. */
export const ACROSS = 24;

/** Whether kernels have more channels than a color image: these are drawn side by side. */
export const areDeep = ({ of_channels: channels }) => channels !== 1 && channels !== 3;

/** Draws the kernel of filter `at` of a response, whose `data` are `values`. */
export function drawKernel(canvas, found, values, at) {
  const { rows, columns, channels } = found;
  const size = rows * columns * channels;
  const kernel = values.subarray(at * size, (at + 1) * size);
  if (found.of_channels === 3) drawColor(canvas, kernel, columns, rows);
  else if (!areDeep(found)) drawSigned(canvas, kernel, columns, rows);
  else {
    const across = Math.min(channels, ACROSS);
    const wide = across * (columns + 1) - 1;
    const row = new Float32Array(wide * rows);
    for (let channel = 0; channel < across; channel += 1) {
      for (let pixel = 0; pixel < rows * columns; pixel += 1) {
        row[Math.floor(pixel / columns) * wide + channel * (columns + 1) + (pixel % columns)] = kernel[pixel * channels + channel];
      }
    }
    drawSigned(canvas, row, wide, rows);
  }
}
