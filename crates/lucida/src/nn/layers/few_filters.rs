//! Convolution with few filters and a wide kernel, as at the end of an image generator: 9x9 to red, green, and blue.
//!
//! Such filters fill only a fraction of a vector register. So each column of the kernel becomes a separate filter: a
//! convolution with a kernel that is one pixel wide computes the sums of all columns for each input pixel, and an output
//! pixel adds those of its neighbors.
//!
//! ```text
//! P[y, x, j f] = sum over i, c of X[y + i, x, c] K[i, j, c, f]        Y[y, x, f] = sum over j of P[y, x + j, j f]
//! ```
//!
//! 9x9 with 32 channels and 3 filters at 512x512 pixels: 27 of 32 lanes are used instead of 3 of 16, and the layer takes a
//! sixth of the time.

use lucida_kernels::ops::{Pointwise, pointwise};
use lucida_kernels::{Buffer, Conv2dGradients, Conv2dShape, ConvFinish, Cpu};

use crate::nn::Weight;
use crate::nn::op::{Backward, Forward, Fused, Op, OpConfig, OpStats, WantedGradients};

/// Output rows computed at a time: their sums stay in the cache.
const BAND: usize = 16;
/// Maximum number of filters: more fill a vector register well enough.
const MOST_FILTERS: usize = 4;
/// Minimum kernel width for which this is faster.
const NARROWEST: usize = 5;

/// A convolution with few filters, prepared for the forward pass.
pub(super) struct FewFilters {
    cpu: Cpu,
    shape: Conv2dShape,
    /// The convolution of a band of rows.
    columns: lucida_kernels::Conv2d,
    band: usize,
    use_bias: bool,
    activation: Option<Pointwise>,
    /// The sums of all columns of a band, and the band's output before its activation.
    parts: Buffer,
    sums: Buffer,
}

impl FewFilters {
    /// Creates the operation if it is faster for this convolution: only the forward pass is needed, and only an activation
    /// is fused.
    pub(super) fn of(config: &OpConfig, fused: &Fused, shape: Conv2dShape, use_bias: bool) -> Option<Self> {
        let plain = fused.affine.is_none() && !fused.residual && !fused.max_pooling && fused.padding.is_none();
        let dense = shape.strides == [1, 1] && shape.dilation == [1, 1] && shape.groups == 1 && shape.padding == [0, 0];
        let inside = (0..2).all(|axis| {
            let side = [shape.height, shape.width][axis];
            shape.output[axis] + shape.kernel[axis] == side + 1
        });
        let few = shape.filters <= MOST_FILTERS && shape.kernel[1] >= NARROWEST;
        let forward_alone = config.gradients == WantedGradients::default() && !config.exact;
        if !(plain && dense && inside && few && forward_alone) {
            return None;
        }
        let band = BAND.min(shape.output[0]);
        let [rows, columns] = shape.kernel;
        let of_columns = Conv2dShape {
            height: band + rows - 1,
            filters: columns * shape.filters,
            kernel: [rows, 1],
            output: [band, shape.width],
            ..shape
        };
        let none = Conv2dGradients { input: false, kernel: false };
        Some(Self {
            cpu: config.cpu,
            shape,
            columns: lucida_kernels::Conv2d::new(config.cpu, of_columns, 1, none),
            band,
            use_bias,
            activation: fused.activation,
            parts: Buffer::zeroed(band * shape.width * of_columns.filters),
            sums: Buffer::zeroed(band * shape.output[1] * shape.filters),
        })
    }
}

impl Op for FewFilters {
    fn set_weights(&mut self, weights: &[Weight]) {
        let [kernel, ..] = weights else { return };
        let Conv2dShape { channels, filters, kernel: [rows, columns], .. } = self.shape;
        let mut turned = vec![0.0; kernel.values().len()];
        for (at, value) in kernel.values().iter().enumerate() {
            let (filter, channel) = (at % filters, at / filters % channels);
            let (column, row) = (at / (filters * channels) % columns, at / (filters * channels * columns));
            turned[((row * channels + channel) * columns + column) * filters + filter] = *value;
        }
        self.columns.set_kernel(&turned);
        debug_assert_eq!(rows * columns * channels * filters, turned.len());
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let Self { cpu, shape, columns, band, parts, sums, activation, use_bias } = self;
        let Conv2dShape { width, channels, filters, kernel, output: [height, out_width], .. } = *shape;
        let zeros = [0.0; MOST_FILTERS];
        let bias = if *use_bias { pass.weights[1].values() } else { &zeros[..filters] };
        let (row_len, out_len) = (width * channels, out_width * filters);
        let part_len = width * kernel[1] * filters;
        let images = pass.inputs.get(0).chunks_exact(shape.height * row_len);
        for (image, output) in images.zip(output.chunks_exact_mut(height * out_len)) {
            for start in (0..height).step_by(*band) {
                // The last band overlaps rows computed by the one before.
                let start = start.min(height - *band);
                let rows = &image[start * row_len..(start + *band + kernel[0] - 1) * row_len];
                columns.forward_finished(1, rows, ConvFinish::default(), parts);
                let to = &mut output[start * out_len..(start + *band) * out_len];
                let target = if activation.is_some() { &mut sums[..] } else { &mut to[..] };
                cpu.parallel_chunks(target, out_len, |row, sums| {
                    add_columns(&parts[row * part_len..][..part_len], bias, kernel[1], sums);
                });
                if let Some(kind) = *activation {
                    pointwise(*cpu, kind, sums, to);
                }
            }
        }
    }

    fn backward_input(&mut self, _pass: &Backward, _index: usize, _grad_input: &mut [f32], _accumulate: bool) {
        unreachable!("it is prepared where no gradient is wanted");
    }

    fn stats(&self) -> OpStats {
        let Conv2dShape { output, .. } = self.shape;
        let operations = 2.0 * (output[0] * output[1] * self.shape.kernel_len()) as f64;
        OpStats { forward: Some("columns"), operations, ..OpStats::default() }
    }
}

/// Adds the column sums of a row of pixels.
fn add_columns(parts: &[f32], bias: &[f32], columns: usize, sums: &mut [f32]) {
    match bias.len() {
        1 => add_columns_of::<1>(parts, bias, columns, sums),
        2 => add_columns_of::<2>(parts, bias, columns, sums),
        3 => add_columns_of::<3>(parts, bias, columns, sums),
        _ => add_columns_of::<4>(parts, bias, columns, sums),
    }
}

fn add_columns_of<const F: usize>(parts: &[f32], bias: &[f32], columns: usize, sums: &mut [f32]) {
    // The distance from the sums of column j of pixel x to those of column j + 1 of pixel x + 1.
    let step = (columns + 1) * F;
    for (x, sums) in sums.chunks_exact_mut(F).enumerate() {
        let mut sum: [f32; F] = std::array::from_fn(|filter| bias[filter]);
        let mut at = x * columns * F;
        for _ in 0..columns {
            let own = &parts[at..at + F];
            (0..F).for_each(|filter| sum[filter] += own[filter]);
            at += step;
        }
        sums.copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::layers::{ActivationKind, Conv2D};
    use crate::nn::{Plan, Sequential};

    #[test]
    fn columns_give_what_a_direct_convolution_gives() {
        for (filters, [height, width], kernel, activation) in [
            (3, [40, 30], [9, 9], ActivationKind::Linear),
            (3, [12, 30], [5, 7], ActivationKind::Tanh),
            (1, [24, 11], [9, 5], ActivationKind::Relu),
            (4, [33, 9], [2, 5], ActivationKind::Linear),
        ] {
            let conv = Conv2D::new(filters, kernel).activation(activation);
            let mut network = Sequential::new("a", [height, width, 6]).add(conv).build(5).unwrap();
            network.weights_mut()[1].values_mut().iter_mut().enumerate().for_each(|(at, bias)| *bias = at as f32 - 0.7);
            let mut fast = Plan::builder(&network).batch_size(2).build().unwrap();
            let mut exact = Plan::builder(&network).batch_size(2).exact(true).build().unwrap();
            for plan in [&mut fast, &mut exact] {
                plan.input_mut().iter_mut().enumerate().for_each(|(at, x)| *x = (at as f32 * 0.37).sin());
                plan.forward(&network).unwrap();
            }
            let difference = fast.output(0).iter().zip(exact.output(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                difference < 1e-5 && exact.output(0).iter().any(|&value| value != 0.0),
                "{filters} {kernel:?}: {difference}"
            );
            assert_ne!(fast.output(0), exact.output(0), "the same algorithm");
        }
    }
}
