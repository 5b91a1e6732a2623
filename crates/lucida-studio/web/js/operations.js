// The operations that the overview unfolds: for each kind of layer, what is shown at each step.
//
// A stage of an operation has a number of steps. `at(step)` gives what is shown: windows on the inputs, grids of numbers,
// the formula with these numbers, and the position of the output.

import { count, el, greatest, number } from './core.js';
import { floats } from './pixels.js';

/** Number of terms that are listed. */
const TERMS = 8;

const line = (...parts) => el('p', {}, ...parts);
const strong = (value) => el('b', {}, number(value, 4));
const plus = (value, digits = 3) => ` ${value < 0 ? '−' : '+'} ${number(Math.abs(value), digits)}`;
const place = (at, width) => [Math.floor(at / width), at % width];
/** Formats a position: `row 3, column 4`. */
export const where = ([row, column]) => `row ${row}, column ${column}`;

/** Decodes the values of an operation from the server. */
export function decoded(found) {
  const inputs = found.inputs.map((input) => ({ ...input, values: floats(input.values) }));
  return { ...found, inputs, output: floats(found.output), kernel: floats(found.kernel), sums: found.sums === null ? null : floats(found.sums) };
}

/** The stages of a layer: its operation, then the activation at its end. */
export function stagesOf(op) {
  const stage = [convolution, pooling, globalPooling, normalization, softmax, activation, dense, joined, copied].map((of) => of(op)).find(Boolean) ?? unknown(op);
  if (op.sums === null || op.activation === 'linear') return [stage];
  if (op.activation === 'softmax') return [stage, softmaxOf(op, op.sums)];
  const sums = op.sums.length === 1 ? Float32Array.from(op.output, (_, at) => (at === op.channel ? op.sums[0] : NaN)) : op.sums;
  return [stage, activationOf(op, op.activation, sums, op.output)];
}

/** The values of a window, row by row; `null` outside of the image. */
function patch({ values, size: [height, width] }, { size: [rows, columns], strides, dilation, padding }, [y, x]) {
  return Array.from({ length: rows * columns }, (_, at) => {
    const row = y * strides[0] + Math.floor(at / columns) * dilation[0] - padding[0];
    const column = x * strides[1] + (at % columns) * dilation[1] - padding[1];
    return row < 0 || column < 0 || row >= height || column >= width ? null : values[row * width + column];
  });
}

/** The rectangle of a window on its input. */
function frame({ size, strides, dilation, padding }, [y, x]) {
  return { corner: [y * strides[0] - padding[0], x * strides[1] - padding[1]], size: size.map((length, axis) => (length - 1) * dilation[axis] + 1) };
}

const maximum = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

function convolution(op) {
  if (op.relation !== 'kernel' || !op.window || op.sums === null) return null;
  const [input] = op.inputs;
  const [rows, columns] = op.window.size;
  const one = op.kind === 'DepthwiseConv2D' || input.channels === 1;
  return {
    name: op.kind,
    text: one ? 'The kernel slides over the map: at each position, the products of the window and the kernel are added up.' : `The kernel slides over ${input.channels} input maps at once; this is map ${input.channel}. The products of all maps are added up.`,
    steps: op.sums.length,
    output: op.sums,
    at(step) {
      const at = place(step, op.size[1]);
      const values = patch(input, op.window, at).map((value) => value ?? 0);
      const products = values.map((value, tap) => value * op.kernel[tap]);
      const sum = total(products);
      const rest = op.sums[step] - op.bias - sum;
      return {
        position: at,
        windows: [frame(op.window, at)],
        grids: [
          { symbol: 'X', title: 'Window', values, rows, columns, gray: values.every((value) => value >= 0) },
          { sign: '×', symbol: 'K', title: 'Kernel', values: [...op.kernel], rows, columns },
          { sign: '=', symbol: 'X · K', title: 'Products', values: products, rows, columns },
        ],
        formula: [
          line('O = b + ', el('span', { class: 'big' }, 'Σ'), el('sub', {}, 'i,j,c'), ' X', el('sub', {}, 'i,j,c'), ' K', el('sub', {}, 'i,j,c')),
          line(`${number(op.bias)}${plus(sum)}${one ? '' : `${plus(rest)} from the other ${count(input.channels - 1)} maps`} = `, strong(op.sums[step])),
        ],
      };
    },
  };
}

function pooling(op) {
  if (op.relation !== 'same' || !op.window || !/^(Max|Average)Pooling2D$/.test(op.kind)) return null;
  const [input] = op.inputs;
  const isMax = op.kind === 'MaxPooling2D';
  const [rows, columns] = op.window.size;
  return {
    name: op.kind,
    text: isMax ? 'The window slides over the map, and its maximum is the output.' : 'The window slides over the map, and its mean is the output.',
    steps: op.output.length,
    output: op.output,
    at(step) {
      const at = place(step, op.size[1]);
      const values = patch(input, op.window, at);
      const inside = values.filter((value) => value !== null);
      const best = values.indexOf(maximum(inside));
      return {
        position: at,
        windows: [frame(op.window, at)],
        grids: [{ symbol: 'X', title: 'Window', values, rows, columns, gray: inside.every((value) => value >= 0), chosen: isMax ? best : null }],
        formula: isMax
          ? [line('O = max', el('sub', {}, 'i,j'), ' X', el('sub', {}, 'i,j')), line(`max(${inside.slice(0, 9).map((value) => number(value)).join(', ')}${inside.length > 9 ? ', …' : ''}) = `, strong(op.output[step]))]
          : [line('O = ', el('span', { class: 'big' }, 'Σ'), el('sub', {}, 'i,j'), ' X', el('sub', {}, 'i,j'), ' / n'), line(`${number(total(inside))} / ${inside.length} = `, strong(op.output[step]))],
      };
    },
  };
}

function globalPooling(op) {
  if (!/^Global(Max|Average)Pooling2D$/.test(op.kind)) return null;
  const [input] = op.inputs;
  const isMax = op.kind === 'GlobalMaxPooling2D';
  const { length } = input.values;
  return {
    name: op.kind,
    text: isMax ? 'The maximum of the whole map is the output.' : 'All values of the map are added up and divided by their number.',
    steps: length,
    // It ends with the last value of the map.
    first: length - 1,
    output: null,
    at(step) {
      const before = input.values.slice(0, step + 1);
      const [sum, most] = [total(before), maximum(before)];
      const isLast = step === length - 1;
      return {
        position: [0, op.channel],
        windows: [{ corner: place(step, input.size[1]), size: [1, 1] }],
        grids: [],
        formula: isMax
          ? [line('O = max', el('sub', {}, 'y,x'), ' X', el('sub', {}, 'y,x')), line(`maximum of ${count(step + 1)} of ${count(length)} values: `, strong(most))]
          : [line('O = ', el('span', { class: 'big' }, 'Σ'), el('sub', {}, 'y,x'), ' X', el('sub', {}, 'y,x'), ' / n'),
            line(`${count(step + 1)} of ${count(length)} values: ${number(sum, 4)}`, ...(isLast ? [` / ${count(length)} = `, strong(op.output[op.channel])] : []))],
      };
    },
  };
}

function normalization(op) {
  const n = op.normalization;
  if (n === null) return null;
  const [input] = op.inputs;
  const deviation = Math.sqrt(n.variance + n.epsilon);
  const isVector = input.size[0] === 1 && op.output.length === input.values.length && op.size[0] === 1;
  return {
    name: op.kind,
    text: 'The mean and the variance from training normalize the channel; γ scales it and β shifts it.',
    ...each(op, isVector),
    at(step) {
      const value = input.values[step];
      return {
        position: place(step, op.size[1]),
        windows: [pixel(step, op.size[1])],
        grids: [],
        facts: [['Mean μ', n.mean], ['Variance σ²', n.variance], ['γ', n.gamma], ['β', n.beta]],
        formula: [line('y = γ (x − μ) / √(σ² + ε) + β'), line(`${number(n.gamma)} · (${number(value)}${plus(-n.mean)}) / ${number(deviation)}${plus(n.beta)} = `, strong(op.output[step]))],
      };
    },
  };
}

const pixel = (step, width) => ({ corner: place(step, width), size: [1, 1] });
/** Steps over all positions of a map, or over the one of a unit. */
const each = (op, isVector) => ({ steps: op.output.length, output: op.output, ...(isVector ? { first: op.channel } : {}) });

function activation(op) {
  if (op.kind !== 'Activation' || op.relation !== 'same') return null;
  return activationOf(op, op.activation, op.inputs[0].values, op.output);
}

const FORMULAS = {
  relu: ['y = max(0, x)', (x) => `max(0, ${x})`],
  relu6: ['y = min(max(0, x), 6)', (x) => `min(max(0, ${x}), 6)`],
  sigmoid: ['y = 1 / (1 + e⁻ˣ)', (x) => `1 / (1 + exp(−(${x})))`],
  silu: ['y = x · sigmoid(x)', (x) => `${x} · sigmoid(${x})`],
  tanh: ['y = tanh(x)', (x) => `tanh(${x})`],
};

function activationOf(op, name, before, after) {
  const [formula, written] = FORMULAS[name] ?? [`y = ${name}(x)`, (x) => `${name}(${x})`];
  const isVector = op.size[0] === 1 && after.length > 1;
  // A dense layer computes one unit here.
  const only = isVector && Number.isNaN(before[(op.channel + 1) % before.length]);
  return {
    name,
    text: name === 'relu' ? 'Negative values become zero; positive ones stay.' : `The function ${name} of each value.`,
    steps: only ? 1 : after.length,
    first: isVector ? (only ? 0 : op.channel) : undefined,
    output: only ? null : after,
    input: only ? null : { values: before, size: op.size, layer: op.layer, channel: op.channel, title: 'Before the activation' },
    at(step) {
      const at = only ? op.channel : step;
      return {
        position: place(at, op.size[1]),
        windows: only ? [] : [pixel(step, op.size[1])],
        grids: [],
        curve: { before, after, at },
        formula: [line(formula), line(`${written(number(before[at], 4))} = `, strong(after[at]))],
      };
    },
  };
}

function dense(op) {
  if (op.relation !== 'weight' || op.sums === null) return null;
  const [input] = op.inputs;
  const products = input.values.map((value, at) => value * op.kernel[at]);
  const order = greatest(products.map(Math.abs), products.length);
  const result = op.sums.length === 1 ? op.sums[0] : op.sums[op.channel];
  const shown = Math.min(order.length, 64);
  return {
    name: op.kind,
    text: `Each of the ${count(order.length)} inputs is multiplied by its weight, and the products are added up; the strongest terms come first.`,
    steps: shown + 1,
    first: shown,
    output: null,
    at(step) {
      const taken = order.slice(0, step + 1);
      const rest = result - op.bias - total(taken.map((at) => products[at]));
      const from = Math.max(0, Math.min(step - TERMS + 1, shown - TERMS));
      const isAll = step >= shown;
      const listed = isAll ? order.slice(0, TERMS) : order.slice(from, from + TERMS);
      return {
        position: [0, op.channel],
        windows: isAll ? [] : [{ corner: [0, order[step]], size: [1, 1] }],
        grids: [],
        terms: { head: ['Unit', 'x', 'w', 'x · w'], rows: listed.map((at) => [String(at), number(input.values[at]), number(op.kernel[at]), number(products[at])]), bars: listed.map((at) => products[at]), chosen: isAll ? null : step - from, most: Math.abs(products[order[0]]) || 1 },
        formula: [
          line('z = b + ', el('span', { class: 'big' }, 'Σ'), el('sub', {}, 'i'), ' x', el('sub', {}, 'i'), ' w', el('sub', {}, 'i')),
          line(isAll ? `${number(op.bias)}${plus(result - op.bias)} from ${count(order.length)} terms = ` : `${number(op.bias)}${plus(total(taken.map((at) => products[at])))} from ${count(taken.length)} terms${order.length > taken.length ? `${plus(rest)} from the others` : ''} = `, strong(result)),
        ],
      };
    },
  };
}

function softmax(op) {
  const isSoftmax = op.kind === 'Softmax' || (op.kind === 'Activation' && op.activation === 'softmax');
  return isSoftmax && op.size[0] === 1 && op.inputs.length === 1 && op.inputs[0].values.length === op.output.length ? softmaxOf(op, op.inputs[0].values) : null;
}

function softmaxOf(op, logits) {
  const most = maximum(logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = total(powers);
  const order = greatest(logits, logits.length);
  const shown = Math.min(order.length, 32);
  return {
    name: 'softmax',
    text: 'The exponential of each value, divided by the sum of all: the outputs are positive and add up to one.',
    input: { values: logits, size: [1, logits.length], title: 'Before the softmax: z' },
    steps: shown + 1,
    first: shown,
    output: null,
    at(step) {
      const isAll = step >= shown;
      const from = Math.max(0, Math.min(step - TERMS + 1, shown - TERMS));
      let listed = isAll ? order.slice(0, TERMS) : order.slice(from, from + TERMS);
      if (isAll && !listed.includes(op.channel)) listed = [...listed.slice(0, TERMS - 1), op.channel];
      const taken = total(order.slice(0, step + 1).map((at) => powers[at]));
      return {
        position: [0, op.channel],
        windows: [],
        grids: [],
        terms: { head: ['Unit', 'z', 'exp(z − max)', 'Quotient'], rows: listed.map((at) => [op.nameOf?.(at) ?? String(at), number(logits[at]), number(powers[at]), isAll ? number(powers[at] / sum) : '']), bars: listed.map((at) => powers[at]), chosen: isAll ? listed.indexOf(op.channel) : step - from, most: 1 },
        formula: [
          line('p', el('sub', {}, 'i'), ' = exp(z', el('sub', {}, 'i'), ') / ', el('span', { class: 'big' }, 'Σ'), el('sub', {}, 'j'), ' exp(z', el('sub', {}, 'j'), ')'),
          isAll ? line(`${number(powers[op.channel])} / ${number(sum, 4)} = `, strong(op.output[op.channel])) : line(`The sum of ${count(step + 1)} of ${count(order.length)} exponentials: `, strong(taken)),
        ],
      };
    },
  };
}

const JOINS = { Add: '+', Subtract: '−', Multiply: '×', Divide: '/', Average: ',', Maximum: ',', Minimum: ',' };

/** Elementwise operations of several inputs. */
function joined(op) {
  const sign = JOINS[op.kind];
  if (!sign || op.relation !== 'same') return null;
  const name = { Average: 'mean', Maximum: 'max', Minimum: 'min' }[op.kind];
  const valueAt = ({ values, size: [height, width] }, step) => {
    const [row, column] = place(step, op.size[1]);
    return values[Math.min(row, height - 1) * width + Math.min(column, width - 1)];
  };
  return {
    name: op.kind,
    text: `The values at the same position of ${op.inputs.length} inputs are combined.`,
    ...each(op, op.size[0] === 1),
    at(step) {
      const terms = op.inputs.map((input) => number(valueAt(input, step)));
      const written = name ? `${name}(${terms.join(', ')})` : terms.join(` ${sign} `).replaceAll('+ −', '− ').replaceAll('− −', '+ ');
      return { position: place(step, op.size[1]), windows: op.inputs.map(({ size }) => (size[0] * size[1] === op.output.length ? pixel(step, op.size[1]) : { corner: [0, 0], size: [1, 1] })), grids: [], formula: [line(name ? `y = ${name}(x₁, …)` : `y = x₁ ${sign} x₂`), line(`${written} = `, strong(op.output[step]))] };
    },
  };
}

/** Layers that pass a channel on as it is. */
function copied(op) {
  const [input] = op.inputs;
  if (op.relation !== 'same' || !['Concatenate', 'Dropout', 'Flatten', 'SpatialDropout2D'].includes(op.kind)) return null;
  const isFlat = op.kind === 'Flatten';
  // Unit i of a flattened map is channel i % channels of pixel i / channels.
  const from = isFlat && input.size[0] * input.size[1] < op.output.length ? Math.floor(op.channel / input.channels) : op.channel;
  return {
    name: op.kind,
    text: op.kind === 'Concatenate' ? `The maps of all inputs follow one another: this one is channel ${input.channel} of ${input.layer}.` : isFlat ? `All values in one row: this one is channel ${input.channel} of the pixel at ${where(place(from, input.size[1]))}.` : 'A prediction passes the values through unchanged.',
    ...(isFlat ? { steps: 1, first: 0, output: null } : each(op, op.size[0] === 1)),
    at(step) {
      const at = isFlat ? op.channel : step;
      return { position: place(at, op.size[1]), windows: [pixel(isFlat ? from : op.size[0] === 1 ? input.channel : step, input.size[1])], grids: [], formula: [line('y = x'), line('y = ', strong(op.output[at]))] };
    },
  };
}

function unknown(op) {
  return { name: op.kind, text: '', steps: op.output.length, output: op.output, first: op.size[0] === 1 ? op.channel : undefined, at: (step) => ({ position: place(step, op.size[1]), windows: [], grids: [], formula: [line(`The output at ${op.size[0] === 1 ? `unit ${step}` : where(place(step, op.size[1]))}: `, strong(op.output[step]))] }) };
}
