//! A dense layer whose weights change at each step: `y = x W + b`, and its backward pass.
//!
//! Run as a 1x1 convolution of a 1x1 image, its weights would be packed twice per step, once for each of two products, and
//! with a small batch that takes as long as the products themselves. Here nothing of the size of the weights is copied:
//! both products read them in place, once, in order.
//!
//! ```text
//!   forward                                          back to the input, transposed
//!
//!            k         units                              units           batch
//!         +-----+    +---------+                        +---------+     +-------+
//!   batch | ..o |  k | ....... | <- a block of rows   k | ....... |   u | dY^T  |   dX^T = W dY^T: the rows of W are
//!         +-----+    | ooooooo |    stays in L2         | ooooooo |     |packed |   broadcast, the gradient of the
//!                    +---------+                        +---------+     +-------+   output, small, is packed instead
//! ```
//!
//! In the forward pass each thread takes a share of the rows of `W` and has its own sums, which are added in order.
//!
//! The weight gradient `dW = x^T dY` is fused with the optimizer step: a block of rows of `dW` stays in L2 until it has
//! updated the weights and their moments, and the whole of `dW`, as large as the weights, is never stored.
//!
//! With 9,216 inputs, 512 units, a batch of 32, two threads of an EPYC (Zen 4) and cold caches: 2.5 ms forward and 2.6 ms
//! backward. With packed weights the products take 1.7 and 2.4 ms, but packing takes 5.8. Prefetching the next block gains
//! nothing, and blocks of 64 or 128 rows perform the same.

use std::ops::Range;

use crate::buffer::{Buffer, with_scratch};
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Left, PackedMatrix, Panel, Right, Strided, panels, strided};
use crate::ops::{SharedUpdate, Update};
use crate::simd::multiversion;

/// Rows of the weights per block in the forward pass: 64 rows of 512 units are 128 KiB.
const DEPTH: usize = 64;
/// Rows of the weights per work item in the backward pass: a multiple of the row count of most tiles.
const ROWS: usize = 96;

/// Rows of the weight gradient per block: 48 rows of 512 units are 96 KiB.
const UPDATE_ROWS: usize = 48;

/// A dense layer prepared for a maximum batch size and one processor.
#[derive(Debug)]
pub struct Dense {
    cpu: Cpu,
    inputs: usize,
    units: usize,
    capacity: usize,
    panels: Vec<Panel>,
    /// The gradient of the output, transposed.
    transposed: PackedMatrix,
    /// The gradient of the output of a smaller batch, padded with zeros.
    padded: Buffer,
}

/// The gradient of the input, and how it is written.
#[derive(Debug)]
pub struct DenseGradient<'a> {
    /// (batch, input).
    pub values: &'a mut [f32],
    /// Add to `values` instead of overwriting them.
    pub accumulate: bool,
    /// As long as `values`: the result is set to zero where this is not positive (the backward pass of a ReLU).
    pub gate: Option<&'a [f32]>,
}

impl Dense {
    /// Whether it supports this number of units: a multiple of the vector length.
    pub fn fits(cpu: Cpu, units: usize) -> bool {
        units > 0 && units.is_multiple_of(cpu.isa().lanes())
    }

    /// Prepares a layer for up to `batch` samples.
    ///
    /// # Panics
    /// When a size is zero, or the layer does not [fit](Self::fits).
    pub fn new(cpu: Cpu, inputs: usize, units: usize, batch: usize) -> Self {
        assert!(inputs > 0 && batch > 0 && Self::fits(cpu, units), "{inputs} inputs, {units} units, batch {batch}");
        let (transposed, padded) = (PackedMatrix::new(cpu.isa(), units, batch), Buffer::zeroed(batch * units));
        Self { cpu, inputs, units, capacity: batch, panels: panels(cpu.isa(), units), transposed, padded }
    }

    /// Computes `output = input * kernel + bias`, followed by a ReLU when `relu`.
    ///
    /// `input` is (batch, input), `kernel` (input, unit), `output` (batch, unit), and `bias` has one float per unit.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn forward(
        &self,
        batch: usize,
        input: &[f32],
        kernel: &[f32],
        bias: Option<&[f32]>,
        relu: bool,
        output: &mut [f32],
    ) {
        let Self { cpu, inputs, units, .. } = *self;
        assert_eq!(input.len(), batch * inputs, "input length");
        assert_eq!(kernel.len(), inputs * units, "kernel length");
        assert_eq!(output.len(), batch * units, "output length");
        assert!(bias.is_none_or(|bias| bias.len() == units), "bias length");
        let parts = cpu.threads().min(inputs.div_ceil(DEPTH));
        with_scratch(parts * batch * units, |sums| {
            let shared = SharedMut::new(sums);
            cpu.parallel_for(parts, |_, part| {
                // SAFETY: each part has its own sums.
                let own = unsafe { shared.slice(part * batch * units..(part + 1) * batch * units) };
                self.add_rows(input, kernel, part_range(inputs, parts, part), own);
            });
            finish(cpu.isa(), sums, bias.unwrap_or_default(), units, relu, output);
        });
    }

    /// Adds the products of some of the inputs to `sums`.
    fn add_rows(&self, input: &[f32], kernel: &[f32], rows: Range<usize>, sums: &mut [f32]) {
        for first in rows.clone().step_by(DEPTH) {
            let depth = DEPTH.min(rows.end - first);
            for panel in 0..self.panels.len() {
                let job = Strided {
                    left: Left::Rows { start: input[first..].as_ptr(), step: self.inputs },
                    right: Right::Rows {
                        start: kernel[first * self.units..].as_ptr(),
                        step: self.units,
                        panels: &self.panels,
                    },
                    rows: sums.len() / self.units,
                    depth,
                    out: sums.as_mut_ptr(),
                    out_step: self.units,
                    accumulate: first > rows.start,
                };
                // SAFETY: the input has `inputs` floats for each sample, the kernel as many rows of whole vectors; the sums
                // are this thread's.
                unsafe { strided(self.cpu.isa(), &job, panel..panel + 1) };
            }
        }
    }

    /// Computes the gradient of the input from the gradient of the output (before any activation).
    ///
    /// # Panics
    /// When a length does not fit, or the batch is larger than the prepared maximum.
    pub fn backward_input(&mut self, batch: usize, grad_output: &[f32], kernel: &[f32], grad_input: DenseGradient) {
        let Self { cpu, inputs, units, capacity, .. } = *self;
        assert!(batch <= capacity, "a batch of {batch}");
        assert_eq!(grad_output.len(), batch * units, "output gradient length");
        assert_eq!(kernel.len(), inputs * units, "kernel length");
        let DenseGradient { values, accumulate, gate } = grad_input;
        assert_eq!(values.len(), batch * inputs, "input gradient length");
        assert!(gate.is_none_or(|gate| gate.len() == values.len()), "gate length");
        let whole = if batch == capacity {
            grad_output
        } else {
            self.padded[..grad_output.len()].copy_from_slice(grad_output);
            self.padded[grad_output.len()..].fill(0.0);
            &self.padded
        };
        self.transposed.pack(cpu, whole, |unit| unit, units);
        let step = capacity.next_multiple_of(cpu.isa().lanes());
        let shared = SharedMut::new(values);
        let items = inputs.div_ceil(ROWS);
        with_scratch(cpu.threads() * ROWS * step, |scratch| {
            let scratch = SharedMut::new(scratch);
            cpu.parallel_for(items, |worker, item| {
                let rows = part_range(inputs, items, item);
                // SAFETY: each worker has its own scratch.
                let products = unsafe { scratch.slice(worker * ROWS * step..(worker + 1) * ROWS * step) };
                let job = Strided {
                    left: Left::Rows { start: kernel[rows.start * units..].as_ptr(), step: units },
                    right: Right::Packed(&self.transposed, 0),
                    rows: rows.len(),
                    depth: units,
                    out: products.as_mut_ptr(),
                    out_step: step,
                    accumulate: false,
                };
                // SAFETY: the kernel has these rows of `units`, the packed matrix `units` rows, and the products room for
                // `ROWS` rows of its columns in whole vectors.
                unsafe { strided(cpu.isa(), &job, 0..self.transposed.panels.len()) };
                for sample in 0..batch {
                    let at = sample * inputs + rows.start..sample * inputs + rows.end;
                    // SAFETY: items have different columns of the gradient.
                    let own = unsafe { shared.slice(at.clone()) };
                    take_column(cpu.isa(), products, step, sample, own, accumulate, gate.map(|gate| &gate[at]));
                }
            });
        });
    }

    /// Computes the gradient of the kernel from the input and the gradient of the output (before any activation), and
    /// applies the optimizer step to the kernel.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn update(&self, batch: usize, input: &[f32], grad_output: &[f32], kernel: &mut [f32], update: Update<'_>) {
        let Self { cpu, inputs, units, .. } = *self;
        assert_eq!(input.len(), batch * inputs, "input length");
        assert_eq!(grad_output.len(), batch * units, "output gradient length");
        assert_eq!(kernel.len(), inputs * units, "kernel length");
        let update = SharedUpdate::new(update, kernel);
        let items = inputs.div_ceil(UPDATE_ROWS);
        with_scratch(cpu.threads() * UPDATE_ROWS * units, |scratch| {
            let scratch = SharedMut::new(scratch);
            cpu.parallel_for(items, |worker, item| {
                let rows = part_range(inputs, items, item);
                // SAFETY: each worker has its own scratch.
                let gradient = unsafe {
                    let own = worker * UPDATE_ROWS * units;
                    scratch.slice(own..own + rows.len() * units)
                };
                let job = Strided {
                    left: Left::Columns { start: input[rows.start..].as_ptr(), step: inputs },
                    right: Right::Rows { start: grad_output.as_ptr(), step: units, panels: &self.panels },
                    rows: rows.len(),
                    depth: batch,
                    out: gradient.as_mut_ptr(),
                    out_step: units,
                    accumulate: false,
                };
                // SAFETY: input and gradient of the output have a row for each sample, the latter of whole vectors, and the
                // scratch has room for the rows. Items have different rows of the kernel.
                unsafe {
                    strided(cpu.isa(), &job, 0..self.panels.len());
                    update.apply(cpu.isa(), rows.start * units..rows.end * units, gradient);
                }
            });
        });
    }
}

multiversion! {
    /// Adds the sums of all parts in order, and the bias.
    fn finish[simd: S](sums: &[f32], bias: &[f32], units: usize, relu: bool, output: &mut [f32]) {
        output.copy_from_slice(&sums[..output.len()]);
        for part in sums.chunks_exact(output.len()).skip(1) {
            output.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        for row in output.chunks_exact_mut(units) {
            row.iter_mut().zip(bias).for_each(|(sum, value)| *sum += value);
            if relu {
                row.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
            }
        }
    }
}

multiversion! {
    /// Writes one column of the products to a range of a row of the gradient.
    fn take_column[simd: S](
        products: &[f32],
        step: usize,
        column: usize,
        out: &mut [f32],
        accumulate: bool,
        gate: Option<&[f32]>,
    ) {
        assert!(column < step && products.len() >= out.len() * step, "a product for each value");
        for at in 0..out.len() {
            // SAFETY: as checked above.
            let product = unsafe { *products.get_unchecked(at * step + column) };
            out[at] = if accumulate { product + out[at] } else { product };
        }
        if let Some(gate) = gate {
            for (value, &open) in out.iter_mut().zip(gate) {
                *value = if open > 0.0 { *value } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{AdamStep, adam};
    use crate::{Conv2d, Conv2dGradients, Conv2dShape, Isa};

    /// Small integers, whose sums are exact.
    fn integers(len: usize, step: usize) -> Vec<f32> {
        (0..len).map(|index| (index * step % 7) as f32 - 3.0).collect()
    }

    #[test]
    fn both_products_in_every_instruction_set() {
        for isa in Isa::available() {
            for threads in [1, 3] {
                let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                for (inputs, units, capacity) in
                    crate::cases([(1, 16, 1), (7, 16, 3), (70, 32, 5), (300, 80, 33), (97, 16, 67)], 2)
                {
                    let mut dense = Dense::new(cpu, inputs, units, capacity);
                    for batch in [capacity, capacity.div_ceil(2)] {
                        let (input, kernel) = (integers(batch * inputs, 5), integers(inputs * units, 3));
                        let (bias, grad_output) = (integers(units, 2), integers(batch * units, 4));
                        for relu in [false, true] {
                            let mut output = vec![f32::NAN; batch * units];
                            dense.forward(batch, &input, &kernel, Some(&bias), relu, &mut output);
                            for (at, &value) in output.iter().enumerate() {
                                let (sample, unit) = (at / units, at % units);
                                let sum: f32 = (0..inputs)
                                    .map(|k| input[sample * inputs + k] * kernel[k * units + unit])
                                    .sum::<f32>()
                                    + bias[unit];
                                assert_eq!(value, if relu { sum.max(0.0) } else { sum }, "{} {at}", isa.name());
                            }
                            let before = integers(input.len(), 6);
                            let mut got = before.clone();
                            let gradient =
                                DenseGradient { values: &mut got, accumulate: relu, gate: relu.then_some(&input) };
                            dense.backward_input(batch, &grad_output, &kernel, gradient);
                            for (at, &value) in got.iter().enumerate() {
                                let (sample, k) = (at / inputs, at % inputs);
                                let sum: f32 = (0..units)
                                    .map(|unit| grad_output[sample * units + unit] * kernel[k * units + unit])
                                    .sum();
                                let wanted = match (relu, input[at] > 0.0) {
                                    (false, _) => sum,
                                    (true, true) => sum + before[at],
                                    (true, false) => 0.0,
                                };
                                assert_eq!(value, wanted, "{} {at}", isa.name());
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_update_is_the_gradient_and_then_the_step() {
        for isa in Isa::available() {
            for (threads, inputs, units, batch) in [(1, 70, 32, 5), (3, 301, 80, 33), (2, 97, 16, 1)] {
                let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                let dense = Dense::new(cpu, inputs, units, batch);
                let (input, grad_output) = (integers(batch * inputs, 5), integers(batch * units, 4));
                let mut grad = vec![0.0; inputs * units];
                for (at, grad) in grad.iter_mut().enumerate() {
                    let sample = |s: usize| input[s * inputs + at / units] * grad_output[s * units + at % units];
                    *grad = (0..batch).map(sample).sum();
                }
                let step = AdamStep { rate: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, keep: 0.99 };
                let start = || (integers(grad.len(), 3), vec![0.1; grad.len()], vec![0.2; grad.len()]);
                let (mut wanted, mut got) = (start(), start());
                let (kernel, first, second) = (&mut wanted.0, &mut wanted.1, &mut wanted.2);
                adam(cpu, step, kernel, &grad, first, second);
                let (kernel, first, second) = (&mut got.0, &mut got.1, &mut got.2);
                dense.update(batch, &input, &grad_output, kernel, Update::Adam { step, first, second });
                assert!(got == wanted, "{} {threads} {inputs} {units} {batch}", isa.name());
            }
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        let (cpu, inputs, units, batch) = (Cpu::detect().with_threads(2), 9216, 512, 32);
        let mut dense = Dense::new(cpu, inputs, units, batch);
        let gradients = Conv2dGradients { input: true, kernel: false };
        let mut packed = Conv2d::new(cpu, Conv2dShape::dense(inputs, units), batch, gradients);
        let (input, kernel, grad_output) =
            (integers(batch * inputs, 5), integers(inputs * units, 3), integers(batch * units, 4));
        // Evict everything from the caches, as the rest of a training step does.
        let mut others = vec![0.0_f32; 1 << 25];
        let (mut output, mut grad_input) = (vec![0.0; batch * units], vec![0.0; batch * inputs]);
        let mut best = [f64::INFINITY; 5];
        for round in 0..30 {
            for (kind, best) in best.iter_mut().enumerate() {
                others.fill(round as f32);
                let start = std::time::Instant::now();
                match kind {
                    0 => dense.forward(batch, &input, &kernel, None, true, &mut output),
                    1 => {
                        let gradient = DenseGradient { values: &mut grad_input, accumulate: false, gate: Some(&input) };
                        dense.backward_input(batch, &grad_output, &kernel, gradient);
                    }
                    2 => packed.set_kernel(&kernel),
                    3 => packed.forward(batch, &input, None, true, &mut output),
                    _ => packed.backward_input_through_relu(batch, &grad_output, &input, &mut grad_input, false),
                }
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
        let [forward, back, pack, packed_forward, packed_back] = best.map(|seconds| 1e3 * seconds);
        println!(
            "forward {forward:.2} ms, back {back:.2}; packing {pack:.2}, forward {packed_forward:.2}, back {packed_back:.2}"
        );
    }
}
