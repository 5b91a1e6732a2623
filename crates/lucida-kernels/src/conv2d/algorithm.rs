//! Chooses the algorithm of each pass of a convolution: the cheapest by a simple cost model.
//!
//! The unit of cost is one vector multiply-add. With `k` channels to sum over, `v_in` and `v_out` vectors of input and
//! output channels and `t` tiles of `q` positions (36 for 4x4 outputs, 48 for 6x4), a correlation (the forward pass, or the
//! input gradient, with the roles of the channels exchanged) costs
//!
//! ```text
//! direct     outputs * 9 * k * v_out
//! Winograd   t * q * (k * v_out + TRANSFORM / 36 * (v_in + v_out)),  t rounded up to whole tiles of the micro-kernel,
//!            + PACKING * k * v_out where the kernel changes at each step
//! col2im     outputs * (filters * vectors of (9 * channels) + SCATTER * 9 * channels),  back to the input only
//! ```
//!
//! and the kernel gradient costs the same, but for `GATHER * channels * v_filters` per thread's sums in place of the
//! packing. A transform costs more than its 220 instructions because it waits for memory; the constants were fitted to
//! measured ratios on a Xeon (Sapphire Rapids, one thread; `measure::crossover`). Direct time divided by Winograd's:
//!
//! ```text
//!   channels summed over           4     8    12    16    24    32    48    64
//!   28x28, batch 8,  AVX-512     0.8   1.0   1.3   1.6   2.1   2.1   2.5   2.6   as many filters as channels, forward
//!                    AVX2        0.8   1.2   1.5   1.9   2.1   2.3   2.5   2.9
//!                    scalar      1.0   1.6   2.0   2.1   2.5   2.6   2.9   3.2
//!   7x7, batch 32,   AVX-512     0.7   0.9   1.2   1.4   1.5   1.7   2.0   2.2
//!   4x4, batch 1,    AVX-512     0.5   0.6   0.7   0.7   0.7   0.8   0.8   1.0
//! ```
//!
//! So Winograd pays off from 8 to 12 channels on, but not for a single tile; the number of channels on the other side
//! hardly matters. The kernel gradient crosses over at the same number of input channels, and needs about 16 tiles per
//! thread. Of the 600 passes measured on 28x28 and 7x7 images the model misjudges 23 by more than a tenth with AVX-512 and
//! 5 with AVX2, none by more than a third. NEON and WebAssembly have not been measured.

use crate::cpu::Cpu;
use crate::gemm::panels;

use super::winograd::{TAPS, TileMix, WinogradKernelGradient};
use super::{Conv2dGradients, Conv2dShape};

/// The algorithm of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Patches times a matrix: see [`super::pass`].
    Direct,
    /// Winograd with tiles of 4x4 or 6x4 outputs, or both: see [`super::winograd`].
    Winograd,
    /// A matrix product per pixel, scattered to the input: see [`super::col2im`]. For the input gradient only.
    Col2Im,
    /// Each channel has its own filters: see [`super::depthwise`].
    Depthwise,
}

/// The algorithm of each pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Algorithms {
    pub(crate) forward: Algorithm,
    pub(crate) backward_input: Algorithm,
    pub(crate) backward_kernel: Algorithm,
}

/// Cost of transforming the kernel, for each of its rows and vectors. Costs have 64 bits everywhere: a layer of VGG19 for
/// images of 512x512 takes more than 2^32 multiply-adds.
const PACKING: u64 = 500;
/// Cost of adding up and transforming back the kernel gradient, for each channel, vector of filters and thread.
const GATHER: u64 = 500;
/// Cost of adding one product to the input gradient.
const SCATTER: u64 = 2;
/// Number of images for which inference-only passes are chosen.
const USUAL_BATCH: usize = 8;
/// Rows of a typical tile of the micro-kernels.
const TILE_ROWS: usize = 8;

/// Cost of transforming a tile of 36 positions, per vector: with shorter vectors, the same memory traffic is split over
/// more of them.
fn transform(lanes: usize) -> u64 {
    match lanes {
        16 => 450,
        8 => 320,
        _ => 200,
    }
}

impl Algorithms {
    /// The same algorithm for all passes.
    pub(crate) fn all(algorithm: Algorithm) -> Self {
        Self { forward: algorithm, backward_input: algorithm, backward_kernel: algorithm }
    }

    /// Grouped convolution: a product per group, or the depthwise algorithm if each group has a single channel.
    fn of_groups(shape: &Conv2dShape) -> Self {
        Self::all(if is_depthwise(shape) { Algorithm::Depthwise } else { Algorithm::Direct })
    }

    /// The cheapest, excluding Winograd.
    pub(crate) fn exact(cpu: Cpu, shape: &Conv2dShape) -> Self {
        if shape.groups > 1 {
            return Self::of_groups(shape);
        }
        let backward_input =
            if col2im(cpu, shape) < direct_input(cpu, shape) { Algorithm::Col2Im } else { Algorithm::Direct };
        Self { backward_input, ..Self::all(Algorithm::Direct) }
    }

    /// The algorithm expected to be the fastest, for each pass, at `batch` images.
    ///
    /// Without gradients it is chosen for [`USUAL_BATCH`] images regardless of the batch size, so that the output for an
    /// image does not depend, not even in its last digit, on the other images of the batch.
    pub(crate) fn choose(cpu: Cpu, shape: &Conv2dShape, batch: usize, gradients: Conv2dGradients) -> Self {
        if shape.groups > 1 {
            return Self::of_groups(shape);
        }
        let batch = if gradients.input || gradients.kernel { batch } else { USUAL_BATCH };
        let cheaper = |direct: u64, winograd: u64| {
            if winograd_fits(shape) && winograd < direct { Algorithm::Winograd } else { Algorithm::Direct }
        };
        let (channels, filters) = (vectors(cpu, shape.channels), vectors(cpu, shape.filters));
        let transforms = transform(cpu.isa().lanes()) * product(&[channels + filters]);
        let stack = TileMix::choose(shape);
        let products = |size: [usize; 2], depth: usize, columns: usize| {
            let winograd = stack.grids(size).into_iter().map(|grid| {
                let (tiles, positions) = (grid.tiles() * batch, grid.height.positions());
                let products = product(&[tiles.next_multiple_of(TILE_ROWS), positions, depth, columns]);
                products + product(&[tiles, positions]) * transforms / 36
            });
            (product(&[batch, size[0], size[1], TAPS, TAPS, depth, columns]), winograd.sum::<u64>())
        };
        let correlation = |size: [usize; 2], depth: usize, columns: usize| {
            let (direct, winograd) = products(size, depth, columns);
            let packing = if gradients.kernel { PACKING * product(&[depth, columns]) } else { 0 };
            cheaper(direct, winograd + packing)
        };
        let (direct, winograd) = products(shape.output, shape.channels, filters);
        let parts = WinogradKernelGradient::parts(cpu, shape, batch);
        let gather = GATHER * product(&[parts, shape.channels, filters]);
        let input = correlation([shape.height, shape.width], shape.filters, channels);
        let best = match input {
            Algorithm::Winograd => products([shape.height, shape.width], shape.filters, channels).1,
            _ => direct_input(cpu, shape) * batch as u64,
        };
        Self {
            forward: correlation(shape.output, shape.channels, filters),
            backward_input: if col2im(cpu, shape) * (batch as u64) < best { Algorithm::Col2Im } else { input },
            backward_kernel: cheaper(direct, winograd + gather),
        }
    }
}

/// Cost per image of the direct input gradient.
fn direct_input(cpu: Cpu, shape: &Conv2dShape) -> u64 {
    let taps = shape.kernel[0] * shape.kernel[1];
    product(&[shape.output[0], shape.output[1], taps, shape.filters, vectors(cpu, shape.channels)])
}

/// Cost per image of the col2im input gradient: the products of all pixels, and adding them up.
fn col2im(cpu: Cpu, shape: &Conv2dShape) -> u64 {
    let columns = shape.kernel[0] * shape.kernel[1] * shape.channels;
    let of_pixel = product(&[shape.filters, vectors(cpu, columns)]) + SCATTER * columns as u64;
    product(&shape.output) * of_pixel
}

/// The product of these numbers in 64 bits, whatever the size of an address.
fn product(factors: &[usize]) -> u64 {
    factors.iter().map(|&factor| factor as u64).product()
}

/// Number of SIMD vectors that hold the given number of channels.
fn vectors(cpu: Cpu, channels: usize) -> usize {
    panels(cpu.isa(), channels).iter().map(|panel| panel.width).sum()
}

/// Whether each channel has its own filters.
pub(crate) fn is_depthwise(shape: &Conv2dShape) -> bool {
    shape.groups == shape.channels && shape.groups > 1
}

/// Whether Winograd can compute this: an undilated 3x3 kernel over all channels, stride one, and padding that the backward
/// pass can mirror.
pub(crate) fn winograd_fits(shape: &Conv2dShape) -> bool {
    let plain = shape.groups == 1 && shape.dilation == [1, 1] && shape.strides == [1, 1];
    plain && shape.kernel == [TAPS, TAPS] && shape.padding.iter().all(|&padding| padding < TAPS)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{same, valid};
    use super::*;
    use crate::simd::Isa;

    fn choose(shape: Conv2dShape, batch: usize) -> Vec<Algorithms> {
        let gradients = Conv2dGradients { input: true, kernel: true };
        Isa::available()
            .into_iter()
            .map(|isa| Algorithms::choose(Cpu::detect().with_isa(isa), &shape, batch, gradients))
            .collect()
    }

    #[test]
    fn layers_with_channels_take_winograd_and_others_do_not() {
        let winograd = Algorithms::all(Algorithm::Winograd);
        for (shape, batch) in [
            (same(14, 14, 24, 48, [3, 3], [1, 1]), 256),
            (same(7, 7, 48, 64, [3, 3], [1, 1]), 256),
            (valid(74, 74, 32, 64, [3, 3], [1, 1]), 32),
            (same(64, 64, 512, 512, [3, 3], [1, 1]), 1),
        ] {
            assert!(choose(shape, batch).iter().all(|choice| *choice == winograd), "{shape:?}");
        }
        let direct = Algorithms::all(Algorithm::Direct);
        for (shape, batch) in [
            (same(14, 14, 64, 64, [5, 5], [1, 1]), 32),
            (same(14, 14, 64, 64, [3, 3], [2, 2]), 32),
            (same(4, 4, 64, 64, [3, 3], [1, 1]), 1),
            (Conv2dShape::dense(512, 512), 32),
        ] {
            assert!(choose(shape, batch).iter().all(|choice| *choice == direct), "{shape:?}");
        }
        let first = choose(same(28, 28, 1, 24, [3, 3], [1, 1]), 256);
        assert!(first.iter().all(|choice| choice.forward == Algorithm::Direct), "a single channel to sum over");
        assert!(first.iter().all(|choice| choice.backward_kernel == Algorithm::Direct));
    }
}
