//! Building blocks of layer normalization (Ba, Kiros and Hinton, 2016): each row of a matrix is normalized by its own
//! moments.

use crate::cpu::{Cpu, SharedMut, part_range, parts_of};
use crate::simd::{Simd, multiversion};

use super::MIN_PART;

/// How rows are normalized: `(x - m) / sqrt(v + epsilon)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowNorm {
    /// The length of a row.
    pub len: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether `m` is the row's mean and `v` its variance, instead of zero and the mean square.
    pub centered: bool,
}

/// Number of partial sums per row: the lanes of the widest vector, so that all instruction sets add in the same order.
const SUM_LANES: usize = 16;
/// Values after which the lanes are added in `f64`, so that long rows keep their precision.
const SUM_BLOCK: usize = 4096;

/// The term summed over a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Term {
    Value,
    /// The squared deviation from the center.
    Square,
    /// The product with the value of another row.
    Product,
}

/// The mean over a row of a term of its values (and of those of the other row, for products).
#[inline(always)]
fn lane_mean<S: Simd>(simd: S, term: Term, row: &[f32], other: &[f32], center: f32) -> f32 {
    assert!(other.len() >= row.len());
    let mut total = 0.0_f64;
    let mut start = 0;
    while start < row.len() {
        let end = row.len().min(start + SUM_BLOCK);
        let whole = start + (end - start) / SUM_LANES * SUM_LANES;
        let mut lanes = [0.0_f32; SUM_LANES];
        for first in (0..SUM_LANES).step_by(S::LANES) {
            let mut sum = simd.splat(0.0);
            let mut at = start + first;
            while at < whole {
                // SAFETY: both rows are as long.
                let (x, y) = unsafe { (simd.load(row.as_ptr().add(at)), simd.load(other.as_ptr().add(at))) };
                let from_center = simd.sub(x, simd.splat(center));
                sum = match term {
                    Term::Value => simd.add(sum, x),
                    Term::Square => simd.add(sum, simd.mul(from_center, from_center)),
                    Term::Product => simd.add(sum, simd.mul(x, y)),
                };
                at += SUM_LANES;
            }
            // SAFETY: a vector of the lanes.
            unsafe { simd.store(lanes.as_mut_ptr().add(first), sum) };
        }
        for at in whole..end {
            lanes[at - whole] += match term {
                Term::Value => row[at],
                Term::Square => (row[at] - center) * (row[at] - center),
                Term::Product => row[at] * other[at],
            };
        }
        let mut sum = 0.0;
        for lane in lanes {
            sum += lane;
        }
        total += f64::from(sum);
        start = end;
    }
    (total / row.len() as f64) as f32
}

multiversion! {
    /// `stats` has two values per row: `m` and `1 / sqrt(v + epsilon)`.
    fn forward[simd: S](
        norm: RowNorm,
        input: &[f32],
        scale: &[f32],
        offset: &[f32],
        output: &mut [f32],
        stats: &mut [f32],
    ) {
        for ((y, x), stats) in output.chunks_exact_mut(norm.len).zip(input.chunks_exact(norm.len)).zip(stats.chunks_exact_mut(2)) {
            let mean = if norm.centered { lane_mean(simd, Term::Value, x, x, 0.0) } else { 0.0 };
            let variance = lane_mean(simd, Term::Square, x, x, mean);
            let inverse = 1.0 / (variance + norm.epsilon).sqrt();
            stats.copy_from_slice(&[mean, inverse]);
            let (x, scale, offset) = (&x[..y.len()], &scale[..y.len()], &offset[..y.len()]);
            for i in 0..y.len() {
                y[i] = (x[i] - mean) * inverse * scale[i] + offset[i];
            }
        }
    }
}

/// `output = (input - m) / sqrt(v + epsilon) * scale + offset` in each row; `scale` and `offset` have one value per column.
/// Writes two values per row to `stats`, for the backward passes.
///
/// # Panics
/// When a length does not fit.
pub fn normalize_rows(
    cpu: Cpu,
    norm: RowNorm,
    input: &[f32],
    [scale, offset]: [&[f32]; 2],
    output: &mut [f32],
    stats: &mut [f32],
) {
    let rows = rows_of(norm, input);
    assert!(scale.len() == norm.len && offset.len() == norm.len, "scale and offset");
    assert!(output.len() == input.len() && stats.len() >= 2 * rows, "output length");
    let (output, stats) = (SharedMut::new(output), SharedMut::new(stats));
    cpu.parallel_ranges(rows, MIN_PART.div_ceil(norm.len), |_, rows| {
        let range = rows.start * norm.len..rows.end * norm.len;
        // SAFETY: the ranges are disjoint.
        let (own, stats) = unsafe { (output.slice(range.clone()), stats.slice(2 * rows.start..2 * rows.end)) };
        forward(cpu.isa(), norm, &input[range], scale, offset, own, stats);
    });
}

fn rows_of(norm: RowNorm, values: &[f32]) -> usize {
    assert!(norm.len > 0 && values.len().is_multiple_of(norm.len), "rows of {} floats", norm.len);
    values.len() / norm.len
}

multiversion! {
    fn backward[simd: S](
        norm: RowNorm,
        grad: &[f32],
        input: &[f32],
        scale: &[f32],
        stats: &[f32],
        fixed: bool,
        grad_input: &mut [f32],
        accumulate: bool,
    ) {
        let rows = grad_input.chunks_exact_mut(norm.len).zip(grad.chunks_exact(norm.len)).zip(input.chunks_exact(norm.len));
        for (((out, g), x), stats) in rows.zip(stats.chunks_exact(2)) {
            let (mean, inverse) = (stats[0], stats[1]);
            let of_mean = if norm.centered { lane_mean(simd, Term::Product, g, scale, 0.0) } else { 0.0 };
            let mut of_variance = 0.0;
            if !fixed {
                // The sum over a row of products of three factors, in the same lanes.
                let mut total = 0.0_f64;
                for ((g, x), s) in g.chunks(4096).zip(x.chunks(4096)).zip(scale.chunks(4096)) {
                    let mut lanes = [0.0_f32; 16];
                    for ((g, x), s) in g.chunks(16).zip(x.chunks(16)).zip(s.chunks(16)) {
                        for (((lane, g), x), s) in lanes.iter_mut().zip(g).zip(x).zip(s) {
                            *lane += g * s * ((x - mean) * inverse);
                        }
                    }
                    total += f64::from(lanes.iter().sum::<f32>());
                }
                of_variance = (total / norm.len as f64) as f32;
            }
            for (((out, g), x), s) in out.iter_mut().zip(g).zip(x).zip(scale) {
                let value = inverse * (g * s - of_mean - (x - mean) * inverse * of_variance);
                *out = if accumulate { *out + value } else { value };
            }
        }
    }
}

/// What the gradient of the input needs from the forward pass.
#[derive(Debug, Clone, Copy)]
pub struct RowNormBackward<'a> {
    /// The input of the forward pass.
    pub input: &'a [f32],
    /// The scale of the forward pass, one value per column.
    pub scale: &'a [f32],
    /// The `stats` of the forward pass.
    pub stats: &'a [f32],
    /// Whether the variance is treated as a constant.
    pub fixed: bool,
}

/// The gradient of the input, added to `grad_input` when `accumulate`: with `h = (x - m) / sqrt(v + epsilon)` and
/// `g = grad * scale` it is `(g - mean(g) - h mean(g h)) / sqrt(v + epsilon)`.
///
/// # Panics
/// When a length does not fit.
pub fn normalize_rows_backward(
    cpu: Cpu,
    norm: RowNorm,
    grad: &[f32],
    pass: RowNormBackward,
    grad_input: &mut [f32],
    accumulate: bool,
) {
    let rows = rows_of(norm, grad);
    let RowNormBackward { input, scale, stats, fixed } = pass;
    assert!(input.len() == grad.len() && grad_input.len() == grad.len(), "gradient length");
    assert!(scale.len() == norm.len && stats.len() >= 2 * rows, "scale and moments");
    let shared = SharedMut::new(grad_input);
    cpu.parallel_ranges(rows, MIN_PART.div_ceil(norm.len), |_, rows| {
        let range = rows.start * norm.len..rows.end * norm.len;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        let stats = &stats[2 * rows.start..2 * rows.end];
        backward(cpu.isa(), norm, &grad[range.clone()], &input[range], scale, stats, fixed, own, accumulate);
    });
}

multiversion! {
    fn add_normalized[simd: S](len: usize, grad: &[f32], input: &[f32], stats: &[f32], sums: &mut [f32], products: &mut [f32]) {
        for ((g, x), stats) in grad.chunks_exact(len).zip(input.chunks_exact(len)).zip(stats.chunks_exact(2)) {
            let (mean, inverse) = (stats[0], stats[1]);
            for (((sum, product), g), x) in sums.iter_mut().zip(products.iter_mut()).zip(g).zip(x) {
                *sum += g;
                *product += g * ((x - mean) * inverse);
            }
        }
    }
}

/// Computes, per column, the sum of the gradient (the gradient of the offset) and the sum of the gradient times the
/// normalized input (the gradient of the scale). Rows are added in groups of 256 to keep precision.
///
/// # Panics
/// When a length does not fit, or `workspace` is shorter than [`normalize_rows_workspace`].
pub fn normalize_rows_gradients(
    cpu: Cpu,
    norm: RowNorm,
    (grad, input): (&[f32], &[f32]),
    stats: &[f32],
    [sums, products]: [&mut [f32]; 2],
    workspace: &mut [f32],
) {
    let (rows, len) = (rows_of(norm, grad), norm.len);
    assert!(input.len() == grad.len() && stats.len() >= 2 * rows, "gradient length");
    let parts = parts_of(rows, MIN_PART.div_ceil(len), cpu.threads());
    let workspace = &mut workspace[..4 * parts * len];
    workspace.fill(0.0);
    let shared = SharedMut::new(workspace);
    cpu.parallel_for(parts, |_, part| {
        // SAFETY: each part has its own four rows.
        let own = unsafe { shared.slice(4 * part * len..4 * (part + 1) * len) };
        let (total, group) = own.split_at_mut(2 * len);
        let range = part_range(rows, parts, part);
        for start in range.clone().step_by(256) {
            let rows = start..range.end.min(start + 256);
            let values = rows.start * len..rows.end * len;
            group.fill(0.0);
            let (sums, products) = group.split_at_mut(len);
            add_normalized(
                cpu.isa(),
                len,
                &grad[values.clone()],
                &input[values],
                &stats[2 * rows.start..2 * rows.end],
                sums,
                products,
            );
            total.iter_mut().zip(group.iter()).for_each(|(total, value)| *total += value);
        }
    });
    sums.fill(0.0);
    products.fill(0.0);
    for part in workspace.chunks_exact(4 * len) {
        sums.iter_mut().zip(&part[..len]).for_each(|(sum, value)| *sum += value);
        products.iter_mut().zip(&part[len..2 * len]).for_each(|(sum, value)| *sum += value);
    }
}

/// Floats of workspace that [`normalize_rows_gradients`] needs.
pub fn normalize_rows_workspace(cpu: Cpu, len: usize) -> usize {
    4 * cpu.threads() * len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn moments_of_long_and_short_rows() {
        for (rows, len) in [(7, 1), (40, 5), (9, 16), (3, 17), (2, 9000)] {
            let input: Vec<f32> = (0..rows * len).map(|i| 50.0 + (i as f32 * 0.7).sin()).collect();
            let (scale, offset) = (vec![2.0; len], vec![-1.0; len]);
            let norm = RowNorm { len, epsilon: 1e-3, centered: true };
            let mut first: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                let cpu = Cpu::detect().with_isa(isa).with_threads(2);
                let (mut output, mut stats) = (vec![0.0; rows * len], vec![0.0; 2 * rows]);
                normalize_rows(cpu, norm, &input, [&scale, &offset], &mut output, &mut stats);
                for (y, x) in output.chunks_exact(len).zip(input.chunks_exact(len)) {
                    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / len as f64;
                    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / len as f64;
                    for (&y, &x) in y.iter().zip(x) {
                        let expected = 2.0 * (f64::from(x) - mean) / (variance + 1e-3).sqrt() - 1.0;
                        assert!((f64::from(y) - expected).abs() < 2e-4, "{y} for {expected} ({len}, {})", isa.name());
                    }
                }
                let bits: Vec<u32> = output.into_iter().map(f32::to_bits).collect();
                assert_eq!(*first.get_or_insert_with(|| bits.clone()), bits, "{}", isa.name());
            }
        }
    }
}
