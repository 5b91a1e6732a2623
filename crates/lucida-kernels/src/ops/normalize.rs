//! The pieces of batch normalization (Ioffe and Szegedy, 2015): moments of each channel over the rows of a matrix, and
//! channel-wise affine maps. A row is a pixel, a column a channel.

use crate::cpu::{Cpu, SharedMut, part_range, parts_of};
use crate::simd::multiversion;

use super::MIN_PART;

/// Floats of work memory that the functions here need.
pub fn channel_workspace(cpu: Cpu, channels: usize) -> usize {
    (2 * cpu.threads() + 1) * channels
}

/// Floats of a row that is long enough: loops over shorter ones are mostly beginnings and ends.
const LONG: usize = 64;

/// Values per channel, repeated for as many pixels as fit into a long row.
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

    /// The repeated values, or those themselves where there are as many.
    fn or<'a>(&'a self, values: &'a [f32]) -> &'a [f32] {
        if self.len > values.len() { &self.values[..self.len] } else { values }
    }
}

/// Where the last whole row of `width` floats ends in `len` of them.
fn whole(len: usize, width: usize) -> usize {
    len - len % width
}

/// Adds two sums over long rows to those of the channels.
fn fold(long: &[[f32; LONG]; 2], len: usize, sums: [&mut [f32]; 2]) {
    for (long, sums) in long.iter().zip(sums) {
        for pixel in long[..len].chunks_exact(sums.len()) {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// Splits the rows over the threads, lets each fill two rows of sums, and adds these in order.
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

/// Mean and (biased) variance of each channel, in two passes: the second takes the deviations from the mean, so that a
/// large mean does not swallow a small variance.
///
/// # Panics
/// When a length does not fit.
pub fn moments(cpu: Cpu, input: &[f32], mean: &mut [f32], variance: &mut [f32], workspace: &mut [f32]) {
    let channels = mean.len();
    assert!(channels > 0 && variance.len() == channels && input.len().is_multiple_of(channels), "channels");
    let rows = input.len() / channels;
    let of = |range: std::ops::Range<usize>| &input[range.start * channels..range.end * channels];
    let (center, workspace) = workspace.split_at_mut(channels);
    // Any center near the data will do for the first pass: the first row is.
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

/// `output = input * scale + shift` in each channel, then ReLU if asked for.
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

/// For each channel the sum of the gradient, and the sum of the gradient times the input's deviation from `center`.
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

/// `output = a * grad + b * input + c` in each channel (or added to `output`): the gradient that a normalization passes
/// back has this form.
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
