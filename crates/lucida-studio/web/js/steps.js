// The steps of the mechanics page: their texts, grids, and equations.

import { count, el, number } from './core.js';

const sub = (text) => el('sub', {}, text);
const math = (...parts) => el('span', { class: 'math' }, ...parts);
/** Formats a summand with its sign. */
const plus = (value) => ` ${value < 0 ? '−' : '+'} ${number(Math.abs(value))}`;
const times = (a, b) => `${number(a)} × ${number(b)}`;

/** Formats a sum with its largest terms written out. */
function written(terms, rest, total) {
  const shown = terms.slice(0, 4).map(([a, b], at) => `${at ? ' + ' : ''}${times(a, b)}`.replace('+ −', '− '));
  return `${shown.join('')}${rest > 0 ? ` + ${count(rest)} more` : ''} = ${number(total)}`;
}

/** All steps for a response of the server; those of the backward pass only if there is a loss. */
export function steps(a) {
  const [rows, columns, channels] = a.kernel_shape;
  const sum = a.products.reduce((total, product) => total + product, 0);
  const others = a.channel_sums.reduce((total, part) => total + part, 0) - a.channel_sums[a.channel];
  const list = [
    {
      name: 'Patch',
      title: 'The patch',
      text: `The output at row ${a.position[0]}, column ${a.position[1]} is computed from ${rows} × ${columns} values of each input channel${a.corner.some((value) => value < 0) ? '; the padding outside the image is zero' : ''}.`,
      grids: ['patch'],
    },
    {
      name: 'Kernel',
      title: 'The kernel',
      text: 'The same weights at every position. Change one to recompute the map, the values here and the prediction.',
      grids: ['patch', 'kernel'],
    },
    {
      name: 'Products',
      title: 'The elementwise products',
      text: 'Each value of the patch is multiplied by the weight at the same position.',
      grids: ['patch', 'kernel', 'products'],
    },
    {
      name: 'Sum',
      title: 'The sum and the bias',
      text: channels > 1 ? `The products are added up, over all ${channels} input channels, and the bias is added.` : 'The products are added up, and the bias is added.',
      grids: ['patch', 'kernel', 'products'],
      equation: [
        math('O = b + ', el('span', { class: 'big' }, 'Σ'), sub('i,j,c'), ' X', sub('i,j,c'), ' K', sub('i,j,c')),
        math(`${number(a.bias)}${plus(sum)}${channels > 1 ? `${plus(others)} from the other ${channels - 1} channels` : ''} = `, el('b', {}, number(a.sum, 4))),
      ],
      sums: channels > 1,
    },
    {
      name: 'Activation',
      title: a.activation === 'relu' ? 'The ReLU' : `The activation: ${a.activation}`,
      text: a.activation === 'relu' ? 'Negative sums become zero.' : a.activation === 'linear' ? 'This layer has none: the sum is the output.' : 'A function of the sum.',
      grids: ['products'],
      equation: [math(a.activation === 'relu' ? `max(0, ${number(a.sum, 4)}) = ` : `${a.activation}(${number(a.sum, 4)}) = `, el('b', {}, number(a.output, 4)))],
    },
  ];
  const { back } = a;
  if (!back) return list;
  const at = a.place[0] * columns + a.place[1];
  const name = `[${a.place.join(', ')}]`;
  list.push(
    {
      name: 'Loss',
      title: 'The backward pass begins',
      text: `The loss is the cross-entropy for the class ${back.class_name}. The backward pass propagates its gradient through all later layers, to the derivative of the loss with respect to this output.`,
      grids: ['gradient'],
      equation: [
        math('L = −ln p', sub(back.class_name), ' = ', el('b', {}, number(back.loss, 4))),
        math('dL/dO = ', el('b', {}, number(back.at, 4)), a.output === 0 && a.activation === 'relu' ? ' (the ReLU is inactive here, so its gradient is zero)' : ''),
      ],
    },
    {
      name: 'Kernel gradient',
      title: 'The gradient of the kernel',
      text: 'Each weight contributes to every value of the map, so its gradient is a sum over all of them: the convolution of the input with the gradient of the output. Choose a weight.',
      grids: ['kernel', 'kernelGradient'],
      equation: [
        math('dL/dK', sub('i,j,c'), ' = ', el('span', { class: 'big' }, 'Σ'), sub('y,x'), ' X', sub('y+i, x+j, c'), ' dL/dO', sub('y,x')),
        math(`dL/dK ${name} = `, written(back.weight_terms.map((term) => [term.value, term.gradient]), back.weight_count - Math.min(4, back.weight_terms.length), back.kernel[at])),
      ],
      terms: { head: ['Output pixel', 'X', 'dL/dO', 'Product'], rows: back.weight_terms.map((term) => [term.output.join(', '), number(term.value), number(term.gradient), number(term.value * term.gradient)]), of: back.weight_count },
    },
    {
      name: 'Input gradient',
      title: 'The gradient of the input',
      text: 'An input pixel contributes to every output whose patch contains it, in all filters: its gradient is the full convolution of the gradient of the output with the kernel rotated by 180°. Choose a pixel.',
      grids: ['patch', 'patchGradient'],
      equation: back.pixel === null ? [math('This position is in the padding: there is no pixel.')] : [
        math('dL/dX', sub('u,v,c'), ' = ', el('span', { class: 'big' }, 'Σ'), sub('i,j,f'), ' dL/dO', sub('u−i, v−j, f'), ' K', sub('i,j,c,f')),
        math(`through this filter: `, written(largest(back.pixel_terms), Math.max(0, back.pixel_terms.length - 4), back.pixel_filter_sums[a.filter])),
        math(`through all ${back.pixel_filter_sums.length} filters: `, el('b', {}, number(back.patch[at], 4))),
      ],
      terms: back.pixel === null ? null : { head: ['Output pixel', 'Weight', 'dL/dO', 'K', 'Product'], rows: back.pixel_terms.map((term) => [term.output.join(', '), term.weight.join(', '), number(term.gradient), number(term.value), number(term.gradient * term.value)]), of: back.pixel_terms.length },
    },
  );
  return list;
}

function largest(terms) {
  return terms.map((term) => [term.gradient, term.value]).sort((a, b) => Math.abs(b[0] * b[1]) - Math.abs(a[0] * a[1]));
}
