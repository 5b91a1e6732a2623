//! Batches of small matrix products: the step between the Winograd transforms.
//!
//! The matrix of a position is at most a few dozen rows by a few hundred columns, so a tile takes only some hundred cycles
//! and the overhead around its inner loop matters. Unlike the patches of an image, the rows are a constant distance apart:
//! a tile needs one address and one stride per side, and neither bias, ReLU nor segments. One kernel serves a row-major
//! left-hand side (Winograd correlations) and a transposed one (the Winograd kernel gradient).
//!
//! 36 consecutive products of 48 x 24 x 48 / 48 x 64 x 64 / 48 x 128 x 128, on one core of a Xeon (Sapphire Rapids) where a
//! loop of bare multiply-adds reaches 190 GFLOP/s: 152 / 168 / 145 GFLOP/s with AVX-512 (the same as [`super::sweep()`]),
//! 80 / 85 / 84 with AVX2 (75 / 82 / 83 with `sweep`). On one core of an EPYC (Zen 4, 117 GFLOP/s): 107 / 113 / 113;
//! choosing the shape separately for each tile would cost 12, 6 and 3 of these.
//!
//! ```text
//!   LEFT_ROWS: rows by columns            otherwise: the left side transposed
//!
//!        depth           n                      m              n
//!      +-------+     +-------+              +-------+      +-------+
//!    m | ->    |   d |  | |  |            d | |     |    d |  | |  |       out[m][n] (+)= sum over d
//!      | ->    |     |  v v  |              | v     |      |  v v  |
//!      +-------+     +-------+              +-------+      +-------+
//! ```

use std::ops::Range;

use crate::simd::{Isa, Simd, Tile, multiversion};

use super::panels::{PackedMatrix, Panel};
use super::prefetch::Prefetcher;
use super::tile::{FEW_ROWS, load_row, store_row};

/// The left-hand side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left {
    /// Row `m` starts at `m * step`; its floats are contiguous.
    Rows { start: *const f32, step: usize },
    /// Transposed: column `m` starts at `m`; its floats are `step` apart.
    Columns { start: *const f32, step: usize },
}

/// The right-hand side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// The rows of a packed matrix, starting with this one.
    Packed(&'a PackedMatrix, usize),
    /// A row-major matrix whose rows, `step` apart, are padded to whole vectors.
    Rows { start: *const f32, step: usize, panels: &'a [Panel] },
}

/// A matrix product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) left: Left,
    pub(crate) right: Right<'a>,
    /// Rows of the result.
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    /// Row `m` of the result starts at `m * out_step` and is padded to whole vectors.
    pub(crate) out: *mut f32,
    pub(crate) out_step: usize,
    /// Add to the result instead of overwriting it.
    pub(crate) accumulate: bool,
}

/// Computes the columns of the panels `panels`.
///
/// # Safety
/// The left-hand side has `rows` by `depth` floats, the right-hand side `depth` rows of the panels' vectors, the result
/// `rows` of these; and no other thread uses that part of the result.
pub(crate) unsafe fn strided(isa: Isa, job: &Strided, panels: Range<usize>) {
    run(isa, job, panels, &mut Prefetcher::nothing());
}

/// As [`strided`], and prefetches one product's share of `ahead`.
///
/// # Safety
/// As [`strided`].
pub(crate) unsafe fn strided_ahead(isa: Isa, job: &Strided, panels: Range<usize>, ahead: &mut Prefetcher) {
    run(isa, job, panels, ahead);
}

multiversion! {
    fn run[simd: S](job: &Strided, range: Range<usize>, ahead: &mut Prefetcher) {
        let lines = ahead.share().div_ceil(range.len().max(1));
        for index in range {
            let (panel, right, right_step) = match job.right {
                Right::Packed(matrix, row) => {
                    let panel = matrix.panels[index];
                    (panel, matrix.row(index, row), panel.width * S::LANES)
                }
                Right::Rows { start, step, panels } => (panels[index], start.wrapping_add(panels[index].start), step),
            };
            let out = job.out.wrapping_add(panel.start);
            let Strided { rows, depth, out_step, accumulate, .. } = *job;
            // SAFETY: guaranteed by the caller of `strided`.
            unsafe {
                match job.left {
                    Left::Rows { start: left, step: left_step } => {
                        let sides = Sides { left, left_step, right, right_step, rows, depth, out, out_step, accumulate };
                        simd.tile(panel.width, Column::<true> { sides, ahead, lines });
                    }
                    Left::Columns { start: left, step: left_step } => {
                        let sides = Sides { left, left_step, right, right_step, rows, depth, out, out_step, accumulate };
                        simd.tile(panel.width, Column::<false> { sides, ahead, lines });
                    }
                }
            }
        }
    }
}

/// All tiles of one panel: the tile shape is chosen once, not per tile.
struct Column<'a, const LEFT_ROWS: bool> {
    sides: Sides<LEFT_ROWS>,
    ahead: &'a mut Prefetcher,
    /// Number of lines to prefetch during the panel.
    lines: usize,
}

struct Sides<const LEFT_ROWS: bool> {
    left: *const f32,
    left_step: usize,
    right: *const f32,
    right_step: usize,
    rows: usize,
    depth: usize,
    out: *mut f32,
    out_step: usize,
    accumulate: bool,
}

impl<S: Simd, const LEFT_ROWS: bool> Tile<S> for Column<'_, LEFT_ROWS> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        let Self { sides, ahead, lines } = self;
        let row_step = if LEFT_ROWS { sides.left_step } else { 1 };
        let (mut left, mut out) = (sides.left, sides.out);
        let lines = lines.div_ceil(sides.rows.div_ceil(ROWS).max(1));
        for _ in 0..sides.rows / ROWS {
            ahead.fetch(simd, lines);
            // SAFETY: the tile lies within both sides and the result, as the caller promises.
            unsafe { sides.tile::<S, ROWS, WIDTH, true>(simd, left, out, ROWS) };
            left = left.wrapping_add(ROWS * row_step);
            out = out.wrapping_add(ROWS * sides.out_step);
        }
        let rest = sides.rows % ROWS;
        // SAFETY: as above, for this number of rows.
        unsafe {
            match rest {
                0 => {}
                _ if rest <= FEW_ROWS && FEW_ROWS < ROWS => {
                    sides.tile::<S, FEW_ROWS, WIDTH, false>(simd, left, out, rest);
                }
                _ => sides.tile::<S, ROWS, WIDTH, false>(simd, left, out, rest),
            }
        }
    }
}

impl<const LEFT_ROWS: bool> Sides<LEFT_ROWS> {
    /// Computes one tile. `FULL` tiles have all `ROWS` rows; in other tiles the surplus rows repeat the last one and are
    /// not stored.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const WIDTH: usize, const FULL: bool>(
        &self,
        simd: S,
        left: *const f32,
        out: *mut f32,
        rows: usize,
    ) {
        let (row_step, depth_step) = if LEFT_ROWS { (self.left_step, 1) } else { (1, self.left_step) };
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            if self.accumulate {
                for r in 0..ROWS {
                    if FULL || r < rows {
                        sums[r] = load_row(simd, out.add(r * self.out_step), S::LANES);
                    }
                }
            }
            let mut starts = [left; ROWS];
            for r in 0..ROWS {
                starts[r] = left.add(if FULL { r } else { r.min(rows - 1) } * row_step);
            }
            let (mut right, mut at) = (self.right, 0);
            for _ in 0..self.depth {
                let vectors: [S::Vector; WIDTH] = load_row(simd, right, S::LANES);
                for r in 0..ROWS {
                    let value = simd.splat(*starts[r].add(at));
                    for w in 0..WIDTH {
                        sums[r][w] = simd.mul_add(value, vectors[w], sums[r][w]);
                    }
                }
                // After the last row, this may lie outside of what `right` points into.
                right = right.wrapping_add(self.right_step);
                at += depth_step;
            }
            for r in 0..ROWS {
                if FULL || r < rows {
                    store_row(simd, out.add(r * self.out_step), S::LANES, sums[r]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Epilogue, GemmJob, KBlock, Segment, TileAddr, panels, sweep};
    use super::*;
    use crate::{Buffer, Cpu};

    fn filled(len: usize, step: usize) -> Buffer {
        let mut buffer = Buffer::zeroed(len);
        for (index, value) in buffer.iter_mut().enumerate() {
            *value = (index * step % 11) as f32 - 5.0;
        }
        buffer
    }

    #[test]
    fn both_left_sides_and_both_right_sides() {
        for isa in Isa::available() {
            let lanes = isa.lanes();
            for rows in [1, 5, 6, 13, 29] {
                for columns in [lanes, 2 * lanes, 5 * lanes] {
                    let depth = 7;
                    // Small integers, so that every sum is exact. Rows are longer than necessary.
                    let (left, right) = (filled((rows + depth) * 40, 7), filled(depth * (columns + 16), 3));
                    let mut packed = PackedMatrix::new(isa, depth + 2, columns);
                    let step = columns + 16;
                    packed.pack(Cpu::detect(), &right, |k| k.saturating_sub(2) * step, 1);
                    let panels = panels(isa, columns);
                    for (transposed, is_packed, accumulate) in
                        (0..8).map(|case| (case & 1 > 0, case & 2 > 0, case & 4 > 0))
                    {
                        let start = left.as_ptr();
                        let mut out = filled(rows * step, 5);
                        let before = out.clone();
                        let job = Strided {
                            left: if transposed {
                                Left::Columns { start, step: 40 }
                            } else {
                                Left::Rows { start, step: 40 }
                            },
                            right: if is_packed {
                                Right::Packed(&packed, 2)
                            } else {
                                Right::Rows { start: right.as_ptr(), step, panels: &panels }
                            },
                            rows,
                            depth,
                            out: out.as_mut_ptr(),
                            out_step: step,
                            accumulate,
                        };
                        // SAFETY: the buffers were made for these sizes.
                        unsafe { strided(isa, &job, 0..panels.len()) };
                        for (index, (&value, &old)) in out.iter().zip(before.iter()).enumerate() {
                            let (m, n) = (index / step, index % step);
                            let sum: f32 = (0..depth)
                                .map(|k| left[if transposed { k * 40 + m } else { m * 40 + k }] * right[k * step + n])
                                .sum();
                            let expected = match (n < columns, accumulate) {
                                (true, true) => old + sum,
                                (true, false) => sum,
                                (false, _) => old,
                            };
                            assert_eq!(value, expected, "{} row {m} column {n}: {job:?}", isa.name());
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        for isa in Isa::available() {
            for (rows, depth, columns) in [(48, 24, 48), (48, 48, 64), (48, 64, 64), (48, 128, 128)] {
                let (left, mut out) = (filled(36 * rows * depth, 7), filled(36 * rows * columns, 1));
                let mut packed = PackedMatrix::new(isa, 36 * depth, columns);
                packed.pack(Cpu::detect(), &filled(columns, 3), |_| 0, 1);
                let sites: Vec<_> =
                    (0..rows).map(|row| TileAddr { source: row * depth, target: row * columns }).collect();
                let blocks: Vec<_> = (0..36)
                    .map(|at| [KBlock { segments: vec![Segment { offset: 0, len: depth }], start: at * depth }])
                    .collect();
                let panels = packed.panels.len();
                let mut best = [f64::INFINITY; 2];
                for _ in 0..300 {
                    for (kind, best) in best.iter_mut().enumerate() {
                        let start = std::time::Instant::now();
                        for at in 0..36 {
                            let from = left[at * rows * depth..].as_ptr();
                            let to = out[at * rows * columns..].as_mut_ptr();
                            if kind == 0 {
                                let epilogue = Epilogue::default();
                                let (source, target, matrix, blocks) = (from, to, &packed, &blocks[at]);
                                let job = GemmJob { sites: &sites, source, target, matrix, blocks, epilogue };
                                // SAFETY: the buffers were made for these sizes.
                                unsafe { sweep(isa, &job, 0..panels) };
                            } else {
                                let job = Strided {
                                    left: Left::Rows { start: from, step: depth },
                                    right: Right::Packed(&packed, at * depth),
                                    rows,
                                    depth,
                                    out: to,
                                    out_step: columns,
                                    accumulate: false,
                                };
                                // SAFETY: as above.
                                unsafe { strided(isa, &job, 0..panels) };
                            }
                        }
                        *best = best.min(start.elapsed().as_secs_f64());
                    }
                }
                let rate = best.map(|seconds| 72e-9 * (rows * depth * columns) as f64 / seconds);
                println!(
                    "{} {rows} x {depth} x {columns}: sweep {:.0}, strided {:.0} GFLOP/s",
                    isa.name(),
                    rate[0],
                    rate[1]
                );
            }
        }
    }
}
