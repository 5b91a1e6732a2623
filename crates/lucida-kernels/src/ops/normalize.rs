//! Building blocks of batch normalization (Ioffe and Szegedy, 2015): moments of each channel over the rows of a matrix, and
//! channel-wise affine maps. A row is a pixel, a column a channel.

use crate::cpu::{Cpu, SharedMut, part_range, parts_of};
use crate::simd::multiversion;

use super::MIN_PART;

/// Floats of workspace that the functions here need, except [`block_moments`].
pub fn channel_workspace(cpu: Cpu, channels: usize) -> usize {
    (2 * cpu.threads() + 1) * channels
}

/// Minimum useful row length in floats: loops over shorter rows are mostly prologue and epilogue.
const LONG: usize = 64;

/// Per-channel values, repeated for as many pixels as fit into a row of [`LONG`] floats.
struct Repeated {
    values: [f32; LONG],
    len: usize,
}

impl Repeated {
    fn new(values: &[f32]) -> Self {
        let pixels = LONG / values.len();
        let mut repeated = [0.0; LONG];
        repeated[..pixels * values.len()]
            .chunks_exact_mut(values.len().max(1))
            .for_each(|to| to.copy_from_slice(values));
        Self { values: repeated, len: pixels * values.len() }
    }

    /// The repeated values, or `values` if they are at least as long.
    fn or<'a>(&'a self, values: &'a [f32]) -> &'a [f32] {
        if self.len > values.len() { &self.values[..self.len] } else { values }
    }
}

/// The length of the longest prefix of `len` floats that consists of whole rows of `width`.
fn whole(len: usize, width: usize) -> usize {
    len - len % width
}

/// Folds two sums over repeated rows into the sums of the channels.
fn fold(long: &[[f32; LONG]; 2], len: usize, sums: [&mut [f32]; 2]) {
    for (long, sums) in long.iter().zip(sums) {
        for pixel in long[..len].chunks_exact(sums.len()) {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// Splits the rows among the threads, lets each fill two rows of sums, and adds these in order.
fn reduce(
    cpu: Cpu,
    rows: usize,
    channels: usize,
    workspace: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    part: impl Fn(std::ops::Range<usize>, &mut [f32], &mut [f32]) + Sync,
) {
    let parts = parts_of(rows, MIN_PART.div_ceil(channels), cpu.threads());
    let workspace = &mut workspace[..2 * parts * channels];
    workspace.fill(0.0);
    let shared = SharedMut::new(workspace);
    cpu.parallel_for(parts, |_, index| {
        // SAFETY: each part has its own two rows.
        let own = unsafe { shared.slice(2 * index * channels..2 * (index + 1) * channels) };
        let (a, b) = own.split_at_mut(channels);
        part(part_range(rows, parts, index), a, b);
    });
    first.fill(0.0);
    second.fill(0.0);
    for pair in workspace.chunks_exact(2 * channels) {
        let (a, b) = pair.split_at(channels);
        first.iter_mut().zip(a).for_each(|(sum, x)| *sum += x);
        second.iter_mut().zip(b).for_each(|(sum, x)| *sum += x);
    }
}

multiversion! {
    fn add_squared_deviations[simd: S](rows: &[f32], mean: &[f32], sums: &mut [f32], squares: &mut [f32]) {
        for row in rows.chunks_exact(mean.len()) {
            for (((sum, square), x), m) in sums.iter_mut().zip(squares.iter_mut()).zip(row).zip(mean) {
                let deviation = x - m;
                *sum += deviation;
                *square += deviation * deviation;
            }
        }
    }
}

/// Computes mean and (biased) variance of each channel, in two passes: the second takes the deviations from the mean, so
/// that a large mean does not cancel a small variance.
///
/// # Panics
/// When a length does not fit.
pub fn moments(cpu: Cpu, input: &[f32], mean: &mut [f32], variance: &mut [f32], workspace: &mut [f32]) {
    let channels = mean.len();
    assert!(channels > 0 && variance.len() == channels && input.len().is_multiple_of(channels), "channels");
    let rows = input.len() / channels;
    let of = |range: std::ops::Range<usize>| &input[range.start * channels..range.end * channels];
    let (center, workspace) = workspace.split_at_mut(channels);
    // Any center near the data works for the first pass: use the first row.
    center.copy_from_slice(&input[..channels]);
    for _ in 0..2 {
        reduce(cpu, rows, channels, workspace, mean, variance, |range, sums, squares| {
            let (rows, repeated) = (of(range), Repeated::new(center));
            let row = repeated.or(center);
            if row.len() == channels {
                return add_squared_deviations(cpu.isa(), rows, row, sums, squares);
            }
            let (long, rest) = rows.split_at(whole(rows.len(), row.len()));
            let mut both = [[0.0; LONG]; 2];
            let [a, b] = &mut both;
            add_squared_deviations(cpu.isa(), long, row, &mut a[..row.len()], &mut b[..row.len()]);
            add_squared_deviations(cpu.isa(), rest, center, sums, squares);
            fold(&both, row.len(), [sums, squares]);
        });
        for ((m, v), c) in mean.iter_mut().zip(variance.iter_mut()).zip(center.iter_mut()) {
            let rest = *m / rows as f32;
            *v = (*v / rows as f32 - rest * rest).max(0.0);
            *c += rest;
            *m = *c;
        }
    }
}

/// Floats per block of [`block_moments`].
const MOMENTS_BLOCK: usize = 1 << 14;
/// Rows of workspace per part of [`block_moments`]: center, two rows of sums, mean, squares.
const MOMENTS_ROWS: usize = 5;

/// Floats of workspace that [`block_moments`] needs; it is enough for the other functions here too.
pub fn block_workspace(cpu: Cpu, channels: usize) -> usize {
    (MOMENTS_ROWS * cpu.threads() * channels).max(channel_workspace(cpu, channels))
}

/// As [`moments`], in one pass: merges the moments of blocks of rows, each computed around the mean of the preceding blocks
/// (T. Chan, G. Golub, R. LeVeque, 1979). A large image is read from memory once instead of twice.
///
/// # Panics
/// When a length does not fit.
pub fn block_moments(cpu: Cpu, input: &[f32], mean: &mut [f32], variance: &mut [f32], workspace: &mut [f32]) {
    let channels = mean.len();
    assert!(channels > 0 && variance.len() == channels && input.len().is_multiple_of(channels), "channels");
    let rows = input.len() / channels;
    let parts = parts_of(rows, MIN_PART.div_ceil(channels), cpu.threads());
    let workspace = &mut workspace[..MOMENTS_ROWS * parts * channels];
    let shared = SharedMut::new(workspace);
    cpu.parallel_for(parts, |_, index| {
        let len = MOMENTS_ROWS * channels;
        // SAFETY: each part has its own rows.
        let own = unsafe { shared.slice(index * len..(index + 1) * len) };
        let range = part_range(rows, parts, index);
        part_moments(cpu, &input[range.start * channels..range.end * channels], channels, own);
    });
    for c in 0..channels {
        let (mut count, mut center, mut squares) = (0.0, 0.0, 0.0);
        for index in 0..parts {
            let own = &workspace[MOMENTS_ROWS * index * channels..];
            let more = part_range(rows, parts, index).len() as f64;
            let apart = f64::from(own[3 * channels + c]) - center;
            squares += f64::from(own[4 * channels + c]) + apart * apart * count * more / (count + more);
            center += apart * more / (count + more);
            count += more;
        }
        mean[c] = center as f32;
        variance[c] = (squares / count).max(0.0) as f32;
    }
}

/// Computes the mean and the sum of squared deviations of some rows, block by block, into rows 3 and 4 of the workspace.
fn part_moments(cpu: Cpu, input: &[f32], channels: usize, own: &mut [f32]) {
    let (center, own) = own.split_at_mut(channels);
    let (sums, own) = own.split_at_mut(channels);
    let (squares, own) = own.split_at_mut(channels);
    let (mean, total) = own.split_at_mut(channels);
    total.fill(0.0);
    // Any center near the data works for the first block: use the first row.
    mean.copy_from_slice(&input[..channels]);
    let mut count = 0.0;
    for block in input.chunks(MOMENTS_BLOCK.div_ceil(channels) * channels) {
        center.copy_from_slice(mean);
        sums.fill(0.0);
        squares.fill(0.0);
        add_squared_deviations(cpu.isa(), block, center, sums, squares);
        let more = (block.len() / channels) as f32;
        for c in 0..channels {
            // The deviations are from the mean of all preceding rows.
            let rest = sums[c] / more;
            let own = (squares[c] - rest * sums[c]).max(0.0);
            total[c] += own + rest * rest * count * more / (count + more);
            mean[c] = center[c] + rest * more / (count + more);
        }
        count += more;
    }
}

multiversion! {
    fn affine_rows[simd: S](input: &[f32], scale: &[f32], shift: &[f32], relu: bool, output: &mut [f32]) {
        let channels = scale.len();
        for (y, x) in output.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                let value = x * scale + shift;
                *y = if relu && value <= 0.0 { 0.0 } else { value };
            }
        }
    }
}

/// `output = input * scale + shift` in each channel, followed by a ReLU when `relu`.
///
/// # Panics
/// When a length does not fit.
pub fn affine(cpu: Cpu, input: &[f32], scale: &[f32], shift: &[f32], relu: bool, output: &mut [f32]) {
    let channels = scale.len();
    assert!(channels > 0 && shift.len() == channels && input.len().is_multiple_of(channels), "channels");
    assert_eq!(input.len(), output.len(), "output length");
    let shared = SharedMut::new(output);
    let repeated = [Repeated::new(scale), Repeated::new(shift)];
    let [scales, shifts] = [repeated[0].or(scale), repeated[1].or(shift)];
    cpu.parallel_ranges(input.len() / channels, MIN_PART.div_ceil(channels), |_, rows| {
        let range = rows.start * channels..rows.end * channels;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        let at = whole(own.len(), scales.len());
        let ((x, rest), (y, last)) = (input[range].split_at(at), own.split_at_mut(at));
        affine_rows(cpu.isa(), x, scales, shifts, relu, y);
        affine_rows(cpu.isa(), rest, scale, shift, relu, last);
    });
}

multiversion! {
    fn add_products[simd: S](grad: &[f32], input: &[f32], center: &[f32], sums: &mut [f32], products: &mut [f32]) {
        let channels = center.len();
        for (grad, input) in grad.chunks_exact(channels).zip(input.chunks_exact(channels)) {
            for ((((sum, product), g), x), c) in
                sums.iter_mut().zip(products.iter_mut()).zip(grad).zip(input).zip(center)
            {
                *sum += g;
                *product += g * (x - c);
            }
        }
    }
}

/// Computes, per channel, the sum of the gradient, and the sum of the gradient times the input's deviation from `center`.
///
/// # Panics
/// When a length does not fit.
pub fn gradient_moments(
    cpu: Cpu,
    grad: &[f32],
    input: &[f32],
    center: &[f32],
    sums: &mut [f32],
    products: &mut [f32],
    workspace: &mut [f32],
) {
    let channels = center.len();
    assert!(channels > 0 && sums.len() == channels && products.len() == channels, "channels");
    assert!(grad.len() == input.len() && grad.len().is_multiple_of(channels), "gradient length");
    reduce(cpu, grad.len() / channels, channels, workspace, sums, products, |range, a, b| {
        let range = range.start * channels..range.end * channels;
        let (grad, input, repeated) = (&grad[range.clone()], &input[range], Repeated::new(center));
        let row = repeated.or(center);
        if row.len() == channels {
            return add_products(cpu.isa(), grad, input, row, a, b);
        }
        let at = whole(grad.len(), row.len());
        let ((grad, last_grad), (input, last)) = (grad.split_at(at), input.split_at(at));
        let mut both = [[0.0; LONG]; 2];
        let [sums, products] = &mut both;
        add_products(cpu.isa(), grad, input, row, &mut sums[..row.len()], &mut products[..row.len()]);
        add_products(cpu.isa(), last_grad, last, center, a, b);
        fold(&both, row.len(), [a, b]);
    });
}

multiversion! {
    fn combine_rows[simd: S](
        grad: &[f32],
        input: &[f32],
        factors: (&[f32], &[f32], &[f32]),
        output: &mut [f32],
        accumulate: bool,
    ) {
        let (a, b, c) = factors;
        let channels = a.len();
        for ((y, g), x) in output.chunks_exact_mut(channels).zip(grad.chunks_exact(channels)).zip(input.chunks_exact(channels)) {
            for (((((y, g), x), a), b), c) in y.iter_mut().zip(g).zip(x).zip(a).zip(b).zip(c) {
                let value = a * g + b * x + c;
                *y = if accumulate { *y + value } else { value };
            }
        }
    }
}

/// `output = a * grad + b * input + c` in each channel (or added to `output`): the form of the input gradient of a
/// normalization.
///
/// # Panics
/// When a length does not fit.
pub fn combine(
    cpu: Cpu,
    grad: &[f32],
    input: &[f32],
    factors: (&[f32], &[f32], &[f32]),
    output: &mut [f32],
    accumulate: bool,
) {
    let channels = factors.0.len();
    assert!(channels > 0 && factors.1.len() == channels && factors.2.len() == channels, "channels");
    assert!(grad.len() == input.len() && grad.len() == output.len() && grad.len().is_multiple_of(channels), "length");
    let shared = SharedMut::new(output);
    let repeated = [Repeated::new(factors.0), Repeated::new(factors.1), Repeated::new(factors.2)];
    let long = (repeated[0].or(factors.0), repeated[1].or(factors.1), repeated[2].or(factors.2));
    cpu.parallel_ranges(grad.len() / channels, MIN_PART.div_ceil(channels), |_, rows| {
        let range = rows.start * channels..rows.end * channels;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        let at = whole(own.len(), long.0.len());
        let ((g, last_g), (x, last_x)) = (grad[range.clone()].split_at(at), input[range].split_at(at));
        let (y, last_y) = own.split_at_mut(at);
        combine_rows(cpu.isa(), g, x, long, y, accumulate);
        combine_rows(cpu.isa(), last_g, last_x, factors, last_y, accumulate);
    });
}
