//! Matrix product with a transposed left-hand side: the gradient of the weights.
//!
//! `out[m][n] (+)= sum over pixels p of left[p][m] * right[p][n]`: for a convolution `left[p]` is the patch of pixel `p`,
//! and `right[p]` the gradient of the output there. Nothing is packed. A tile keeps its sums in registers while it iterates
//! over all pixels of a [`Region`]; the left-hand side is broadcast from `ROWS` addresses that advance together, the
//! right-hand side is read in vectors. At each pixel one cache line of the data needed next can be prefetched, see
//! [`super::prefetch`].

use std::cell::Cell;

use crate::simd::{Isa, Simd, Tile, multiversion};

use super::panels::Panel;
use super::prefetch::Lines;
use super::tile::{MAX_ROWS, load_row, store_row};

/// The pixels a product sums over: `rows` rows of `columns`, and their strides on both sides, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) left_row: usize,
    pub(crate) left_column: usize,
    pub(crate) right_row: usize,
    pub(crate) right_column: usize,
}

impl Region {
    /// The same pixels as a single row, if the rows are contiguous on both sides.
    pub(crate) fn merged(self) -> Self {
        let gapless =
            self.left_row == self.columns * self.left_column && self.right_row == self.columns * self.right_column;
        if gapless { Self { rows: 1, columns: self.rows * self.columns, ..self } } else { self }
    }
}

/// A matrix product: the rows of the result given by `offsets`, and the columns of `panels`.
pub(crate) struct Transposed<'a> {
    pub(crate) region: Region,
    pub(crate) left: *const f32,
    /// For each row `m` of the result: offset of its first float on the left-hand side.
    pub(crate) offsets: &'a [usize],
    pub(crate) right: *const f32,
    pub(crate) panels: &'a [Panel],
    /// Row `m`, column `n` of the result is at `m * out_row + n`.
    pub(crate) out: *mut f32,
    pub(crate) out_row: usize,
    /// Add to the result instead of overwriting it.
    pub(crate) accumulate: bool,
    /// The data read next: each tile takes a part and prefetches one line of it per pixel.
    pub(crate) ahead: &'a Cell<Lines>,
}

struct ColumnsByRows<'a> {
    region: &'a Region,
    left: *const f32,
    offsets: &'a [usize; MAX_ROWS],
    right: *const f32,
    out: *mut f32,
    out_row: usize,
    valid_rows: usize,
    tail: usize,
    accumulate: bool,
    ahead: Lines,
}

impl<S: Simd> Tile<S> for ColumnsByRows<'_> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        // SAFETY: the caller's promise, see `transposed`.
        unsafe {
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            if self.accumulate {
                for r in 0..ROWS {
                    if r < self.valid_rows {
                        sums[r] = load_row(simd, self.out.add(r * self.out_row), self.tail);
                    }
                }
            }
            let consecutive = (1..ROWS).all(|r| self.offsets[r] == self.offsets[0] + r);
            match (consecutive, self.tail == S::LANES) {
                (true, true) => self.walk::<S, ROWS, WIDTH, true, true>(simd, &mut sums),
                (true, false) => self.walk::<S, ROWS, WIDTH, true, false>(simd, &mut sums),
                (false, true) => self.walk::<S, ROWS, WIDTH, false, true>(simd, &mut sums),
                (false, false) => self.walk::<S, ROWS, WIDTH, false, false>(simd, &mut sums),
            }
            for r in 0..ROWS {
                if r < self.valid_rows {
                    store_row(simd, self.out.add(r * self.out_row), self.tail, sums[r]);
                }
            }
        }
    }
}

impl ColumnsByRows<'_> {
    /// The inner loop, in four versions: with a contiguous left-hand side (one address instead of `ROWS`) or not, and with
    /// a whole or a partial last vector.
    #[inline(always)]
    unsafe fn walk<S: Simd, const ROWS: usize, const WIDTH: usize, const CONSECUTIVE: bool, const WHOLE: bool>(
        &self,
        simd: S,
        sums: &mut [[S::Vector; WIDTH]; ROWS],
    ) {
        let region = self.region;
        if region.columns == 0 {
            // Nothing may be addressed.
            return;
        }
        let mut ahead = self.ahead;
        for row in 0..region.rows {
            // SAFETY: within the region, as the caller promises.
            unsafe {
                let base = self.left.add(row * region.left_row);
                let mut lefts = [base; ROWS];
                for r in 0..ROWS {
                    lefts[r] = base.add(self.offsets[r]);
                }
                let mut left_at = 0;
                let mut right = self.right.add(row * region.right_row);
                for _ in 0..region.columns {
                    let vectors: [S::Vector; WIDTH] =
                        if WHOLE { load_row(simd, right, S::LANES) } else { load_row(simd, right, self.tail) };
                    for r in 0..ROWS {
                        let address = if CONSECUTIVE { lefts[0].add(left_at + r) } else { lefts[r].add(left_at) };
                        let left = simd.splat(*address);
                        for w in 0..WIDTH {
                            sums[r][w] = simd.mul_add(left, vectors[w], sums[r][w]);
                        }
                    }
                    left_at += region.left_column;
                    // After the last column, this may lie outside of what `right` points into.
                    right = right.wrapping_add(region.right_column);
                    ahead.fetch(simd);
                }
            }
        }
    }
}

multiversion! {
    fn run[simd: S](job: &Transposed) {
        for panel in job.panels {
            let tile_rows = S::tile_rows(panel.width);
            for (index, offsets) in job.offsets.chunks(tile_rows).enumerate() {
                let mut padded = [offsets[offsets.len() - 1]; MAX_ROWS];
                padded[..offsets.len()].copy_from_slice(offsets);
                let tile = ColumnsByRows {
                    region: &job.region,
                    left: job.left,
                    offsets: &padded,
                    right: job.right.wrapping_add(panel.start),
                    out: job.out.wrapping_add(index * tile_rows * job.out_row + panel.start),
                    out_row: job.out_row,
                    valid_rows: offsets.len(),
                    tail: panel.tail,
                    accumulate: job.accumulate,
                    ahead: job.ahead.get(),
                };
                job.ahead.set(tile.ahead.after(job.region.rows * job.region.columns));
                // SAFETY: the caller of `transposed` guarantees that the region lies within both sides.
                unsafe { simd.tile(panel.width, tile) };
            }
        }
    }
}

/// Computes the product.
///
/// # Safety
/// For each pixel of the region, `left` plus each offset is one readable float, `right` is readable over the columns of the
/// panels, and `out` is writable for `offsets.len()` rows over those columns and not accessed by other threads.
pub(crate) unsafe fn transposed(isa: Isa, job: &Transposed) {
    run(isa, job);
}
