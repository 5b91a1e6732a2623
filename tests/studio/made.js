// Files that the tests create: images, and a model that is hard to lay out.

import { Buffer } from 'node:buffer';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';

/** A PNG file of `width` x `height` pixels; `color(x, y)` gives red, green and blue. */
export function png(width, height, color) {
  const rows = Buffer.alloc(height * (1 + 3 * width));
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) rows.set(color(x, y), y * (1 + 3 * width) + 1 + 3 * x);
  const part = (name, data) => {
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    const body = Buffer.concat([Buffer.from(name), data]);
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), part('IHDR', head), part('IDAT', deflateSync(rows)), part('IEND', Buffer.alloc(0))]);
}

/** Creates a folder of photos: `each` per class, and `broken` unreadable files. */
export function photos(folder, classes, each, broken = 0) {
  classes.forEach((name, at) => {
    mkdirSync(join(folder, name), { recursive: true });
    for (let number = 0; number < each; number += 1) writeFileSync(join(folder, name, `${number}.png`), png(24, 20, (x, y) => [(x * 9 + 80 * at) % 256, (y * 11 + 7 * number) % 256, (40 * at + number) % 256]));
  });
  for (let number = 0; number < broken; number += 1) writeFileSync(join(folder, classes[0], `broken-${number}.png`), 'this is not an image');
  return folder;
}

// The hard model: 7 x 7 kernels, layers with long names, and any number of classes. ONNX is protobuf
// (https://onnx.ai/onnx/repo-docs/IR.html, onnx.proto), of which only integer and bytes fields are needed.

function varint(value) {
  const bytes = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

const int = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
function bytes(field, ...parts) {
  const whole = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  return Buffer.concat([varint(field * 8 + 2), varint(whole.length), whole]);
}

/** Reproducible values of both signs. */
const wave = (size, scale) => Float32Array.from({ length: size }, (_, at) => scale * Math.sin(1 + at * 12.9898 + (at % 7)));

function tensor(name, dims, values) {
  return bytes(5, ...dims.map((size) => int(1, size)), int(2, 1), bytes(8, name), bytes(9, Buffer.from(values.buffer)));
}

const ints = (name, ...values) => bytes(5, bytes(1, name), ...values.map((value) => int(8, value)), int(20, 7));
const value = (field, name, ...dims) => bytes(field, bytes(1, name), bytes(2, bytes(1, int(1, 1), bytes(2, ...dims.map((size) => bytes(1, int(1, size)))))));
const node = (type, name, inputs, output, ...attributes) =>
  bytes(1, ...inputs.map((input) => bytes(1, input)), bytes(2, output), bytes(3, name), bytes(4, type), ...attributes);

/** The bytes of a classifier for color images of 32 x 32 pixels. */
export function classifier(classes) {
  const layer = (what) => `feature_extractor_backbone_stage_one_block_${what}`;
  const graph = bytes(7,
    node('Conv', layer('convolution'), ['image', 'kernel', 'bias'], 'sums', ints('kernel_shape', 7, 7), ints('pads', 3, 3, 3, 3), ints('strides', 1, 1)),
    node('Relu', layer('activation'), ['sums'], 'maps'),
    node('GlobalAveragePool', layer('pooling'), ['maps'], 'means'),
    node('Flatten', layer('flatten'), ['means'], 'vector'),
    node('Gemm', layer('dense'), ['vector', 'weights', 'offsets'], 'logits'),
    node('Softmax', layer('softmax'), ['logits'], 'probabilities'),
    bytes(2, 'hard'),
    tensor('kernel', [8, 3, 7, 7], wave(8 * 3 * 49, 12)),
    tensor('bias', [8], wave(8, 0.1)),
    tensor('weights', [8, classes], wave(8 * classes, 0.3)),
    tensor('offsets', [classes], wave(classes, 0.2)),
    value(11, 'image', 1, 3, 32, 32),
    value(12, 'probabilities', 1, classes));
  return Buffer.concat([int(1, 8), graph, bytes(8, int(2, 13))]);
}

/** Names of 40 characters, alternately without and with spaces. */
export const names = (classes) => Array.from({ length: classes }, (_, at) => {
  const start = `class${String(at).padStart(4, '0')}`;
  return (at % 2 ? `${start} of long names that wrap, with words` : `${start}_unbreakablylongnamewithoutspaces`).padEnd(40, 'x').slice(0, 40);
});
