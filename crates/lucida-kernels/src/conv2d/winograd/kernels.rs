//! The kernel transform `G g G^T`, written directly into packed panels, and its backward pass `G^T dU G`.

use std::ops::Range;

use crate::cpu::{Cpu, SharedMut};
use crate::gemm::{PackedMatrix, PackedWriter};
use crate::simd::{Simd, multiversion};

use super::grid::TileHeight;
use super::tiles::Matrices;
use super::transforms::{OfKernel, PATCH, PATCH_SIX, TAPS, ToKernel, Transform, both_axes};

/// The layout of the taps of a 3x3 kernel: tap `t` of row `k` and column `n` of the matrix is at
/// `taps[t] + k * row_step + n * column_step`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelLayout {
    pub(crate) taps: [usize; TAPS * TAPS],
    pub(crate) row_step: usize,
    pub(crate) column_step: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl KernelLayout {
    /// Unchanged: (row, column, channel, filter), for the matrix of channels by filters.
    pub(crate) fn forward(channels: usize, filters: usize) -> Self {
        Self {
            taps: std::array::from_fn(|tap| tap * channels * filters),
            row_step: filters,
            column_step: 1,
            rows: channels,
            columns: filters,
        }
    }

    /// Rotated by 180 degrees, for the matrix of filters by channels.
    pub(crate) fn backward(channels: usize, filters: usize) -> Self {
        Self {
            taps: std::array::from_fn(|tap| (TAPS * TAPS - 1 - tap) * channels * filters),
            row_step: 1,
            column_step: filters,
            rows: filters,
            columns: channels,
        }
    }
}

/// Transforms a kernel for tiles of this height: position `p` becomes the rows `p * layout.rows ..` of the matrix.
///
/// # Panics
/// When the kernel is shorter than its layout.
pub(crate) fn pack_kernel(
    cpu: Cpu,
    kernel: &[f32],
    height: TileHeight,
    layout: &KernelLayout,
    matrix: &mut PackedMatrix,
) {
    assert_eq!(kernel.len(), TAPS * TAPS * layout.rows * layout.columns, "kernel length");
    assert_eq!(matrix.depth, height.positions() * layout.rows, "rows of the packed matrix");
    let writer = matrix.writer();
    // A row takes some microseconds at most; groups of four reduce contention between threads.
    let groups = layout.rows.div_ceil(4);
    cpu.parallel_for(groups, |_, group| {
        let rows = group * 4..(group * 4 + 4).min(layout.rows);
        pack_rows(cpu.isa(), kernel, height, layout, &writer, rows);
    });
}

multiversion! {
    fn pack_rows[simd: S](
        kernel: &[f32],
        height: TileHeight,
        layout: &KernelLayout,
        writer: &PackedWriter,
        rows: Range<usize>,
    ) {
        match height {
            TileHeight::Four => pack_positions::<S, PATCH>(simd, kernel, layout, writer, rows),
            TileHeight::Six => pack_positions::<S, PATCH_SIX>(simd, kernel, layout, writer, rows),
        }
    }
}

/// Packs the rows `rows` of each of the `TALL x PATCH` positions.
#[inline(always)]
fn pack_positions<S: Simd, const TALL: usize>(
    simd: S,
    kernel: &[f32],
    layout: &KernelLayout,
    writer: &PackedWriter,
    rows: Range<usize>,
) where
    OfKernel: Transform<TAPS, TALL>,
{
    for (index, panel) in writer.panels.iter().enumerate() {
        for w in 0..panel.width {
            let column = panel.start + w * S::LANES;
            let count = layout.columns.saturating_sub(column).min(S::LANES);
            for k in rows.clone() {
                let mut taps = [[simd.splat(0.0); TAPS]; TAPS];
                for (t, start) in layout.taps.iter().enumerate() {
                    let from = &kernel[start + k * layout.row_step + column * layout.column_step..];
                    taps[t / TAPS][t % TAPS] = load_strided(simd, from, layout.column_step, count);
                }
                let products = both_axes::<S, OfKernel, TAPS, TALL, TAPS, PATCH>(simd, taps);
                for (p, value) in products.iter().flatten().enumerate() {
                    // SAFETY: row `p * rows + k` of this panel has `width` vectors, and only this call writes the
                    // rows of this `k`.
                    unsafe { simd.store(writer.row(index, p * layout.rows + k).add(w * S::LANES), *value) };
                }
            }
        }
    }
}

/// Loads `count` floats, `step` apart.
#[inline(always)]
fn load_strided<S: Simd>(simd: S, from: &[f32], step: usize, count: usize) -> S::Vector {
    if step == 1 {
        // SAFETY: the slice is checked to have `count` floats.
        return unsafe { simd.load_partial(from[..count].as_ptr(), count) };
    }
    let mut lanes = [0.0; 16];
    for (n, lane) in lanes.iter_mut().enumerate().take(count) {
        *lane = from[n * step];
    }
    // SAFETY: no vector has more than 16 lanes.
    unsafe { simd.load(lanes.as_ptr()) }
}

/// Gradient sums of a transformed kernel: for each part, a matrix of channels by filters per position.
pub(crate) struct KernelSums<'a> {
    pub(crate) sums: &'a [f32],
    pub(crate) parts: usize,
    pub(crate) height: TileHeight,
    pub(crate) matrices: Matrices,
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    /// Add to the gradient instead of overwriting it.
    pub(crate) accumulate: bool,
}

/// Adds the parts in order, transforms the sums back and writes the gradient (row, column, channel, filter), or adds to it.
///
/// # Panics
/// When a slice is too short.
pub(crate) fn gather_kernel(cpu: Cpu, job: &KernelSums, grad_kernel: &mut [f32]) {
    assert_eq!(job.matrices.positions, job.height.positions(), "a matrix for each position");
    assert!(job.sums.len() >= job.parts * job.matrices.len() && job.parts > 0, "sums of the kernel's gradient");
    assert_eq!(grad_kernel.len(), TAPS * TAPS * job.channels * job.filters, "kernel gradient length");
    let out = SharedMut::new(grad_kernel);
    let groups = job.channels.div_ceil(4);
    cpu.parallel_for(groups, |_, group| {
        gather_rows(cpu.isa(), job, &out, group * 4..(group * 4 + 4).min(job.channels));
    });
}

multiversion! {
    fn gather_rows[simd: S](job: &KernelSums, out: &SharedMut, channels: Range<usize>) {
        match job.height {
            TileHeight::Four => gather_positions::<S, PATCH>(simd, job, out, channels),
            TileHeight::Six => gather_positions::<S, PATCH_SIX>(simd, job, out, channels),
        }
    }
}

/// Computes the gradient of the taps of `channels` from the sums of the `TALL x PATCH` positions.
#[inline(always)]
fn gather_positions<S: Simd, const TALL: usize>(simd: S, job: &KernelSums, out: &SharedMut, channels: Range<usize>)
where
    ToKernel: Transform<TALL, TAPS>,
{
    for channel in channels {
        for filter in (0..job.filters).step_by(S::LANES) {
            let count = (job.filters - filter).min(S::LANES);
            let mut sums = [[simd.splat(0.0); PATCH]; TALL];
            for (position, sum) in sums.iter_mut().flatten().enumerate() {
                let at = position * job.matrices.position + channel * job.matrices.row + filter;
                for part in 0..job.parts {
                    // SAFETY: each part has the matrices of all positions, of whole vectors, as `gather_kernel` checks.
                    let value = unsafe { simd.load(job.sums.as_ptr().add(part * job.matrices.len() + at)) };
                    *sum = if part == 0 { value } else { simd.add(*sum, value) };
                }
            }
            let taps = both_axes::<S, ToKernel, TALL, TAPS, PATCH, TAPS>(simd, sums);
            for (t, &tap) in taps.iter().flatten().enumerate() {
                let at = out.at((t * job.channels + channel) * job.filters + filter);
                // SAFETY: `count` filters from `at` on are in the gradient, and only this call writes the channel.
                unsafe {
                    let sum = if job.accumulate { simd.add(simd.load_partial(at, count), tap) } else { tap };
                    simd.store_partial(at, count, sum);
                }
            }
        }
    }
}
