//! The micro-kernel: a few rows times one panel.

use crate::simd::{Simd, Tile};

use super::epilogue::{Epilogue, TileTarget};

/// A contiguous part of a row of the left-hand side: `len` floats, `offset` floats after the row's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// Maximum number of rows of any tile.
pub(crate) const MAX_ROWS: usize = 16;

/// Number of rows of the tile used when at most that many rows remain and the usual tile has more: enough sums to hide the
/// latency of the multiply-adds, without time spent on surplus rows.
pub(crate) const FEW_ROWS: usize = 4;

/// One tile: `out[r] (+)= sum over k of rows[r][k] * panel[k]`, then the epilogue.
pub(crate) struct RowsByPanel<'a> {
    /// The address of each row. All are valid: rows from `valid_rows` on repeat another row.
    pub(crate) rows: &'a [*const f32; MAX_ROWS],
    /// The destination of each row's sums; rows from `valid_rows` on are not written.
    pub(crate) outs: &'a [*mut f32; MAX_ROWS],
    pub(crate) valid_rows: usize,
    /// The segments of a row; the panel has one row of vectors for each of their floats, in order.
    pub(crate) segments: &'a [Segment],
    pub(crate) panel: *const f32,
    /// Number of lanes of the last vector that are written.
    pub(crate) tail: usize,
    /// Start from the values in `outs` instead of zero.
    pub(crate) accumulate: bool,
    /// Applied to the sums, if this is the last block of the depth.
    pub(crate) epilogue: Option<&'a Epilogue>,
    /// The base address of the target, whose layout residual and gate share.
    pub(crate) target: *mut f32,
    /// The first column.
    pub(crate) column: usize,
}

impl<S: Simd> Tile<S> for RowsByPanel<'_> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.valid_rows {
                rows if rows <= FEW_ROWS && FEW_ROWS < ROWS => self.tile::<S, FEW_ROWS, WIDTH>(simd),
                _ => self.tile::<S, ROWS, WIDTH>(simd),
            }
        }
    }
}

impl RowsByPanel<'_> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        // SAFETY: the caller promises that the addresses are valid for this tile: `rows` over the segments, `panel` for
        // their lengths times `WIDTH` vectors, `outs` and the operands of the epilogue for `WIDTH - 1` vectors and `tail`
        // floats.
        unsafe {
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            if self.accumulate {
                for r in 0..ROWS {
                    if r < self.valid_rows {
                        sums[r] = load_row(simd, self.outs[r], self.tail);
                    }
                }
            }
            let mut panel = self.panel;
            for segment in self.segments {
                let mut rows = [std::ptr::null(); ROWS];
                for r in 0..ROWS {
                    rows[r] = self.rows[r].add(segment.offset);
                }
                for k in 0..segment.len {
                    let mut right = [simd.splat(0.0); WIDTH];
                    for w in 0..WIDTH {
                        right[w] = simd.load(panel.add(w * S::LANES));
                    }
                    for r in 0..ROWS {
                        let left = simd.splat(*rows[r].add(k));
                        for w in 0..WIDTH {
                            sums[r][w] = simd.mul_add(left, right[w], sums[r][w]);
                        }
                    }
                    panel = panel.add(WIDTH * S::LANES);
                }
            }
            let outs = &self.outs[..self.valid_rows];
            match self.epilogue {
                Some(epilogue) => {
                    let to = TileTarget { outs, target: self.target, column: self.column, tail: self.tail };
                    epilogue.write(simd, sums, to);
                }
                None => {
                    for r in 0..ROWS {
                        if let Some(&out) = outs.get(r) {
                            store_row(simd, out, self.tail, sums[r]);
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// `WIDTH - 1` vectors and `tail` floats can be read.
#[inline(always)]
pub(crate) unsafe fn load_row<S: Simd, const WIDTH: usize>(
    simd: S,
    from: *const f32,
    tail: usize,
) -> [S::Vector; WIDTH] {
    let mut row = [simd.splat(0.0); WIDTH];
    // SAFETY: the caller's promise.
    unsafe {
        for (w, value) in row.iter_mut().enumerate().take(WIDTH - 1) {
            *value = simd.load(from.add(w * S::LANES));
        }
        let last = from.add((WIDTH - 1) * S::LANES);
        row[WIDTH - 1] = if tail == S::LANES { simd.load(last) } else { simd.load_partial(last, tail) };
    }
    row
}

/// # Safety
/// `WIDTH - 1` vectors and `tail` floats can be written.
#[inline(always)]
pub(crate) unsafe fn store_row<S: Simd, const WIDTH: usize>(
    simd: S,
    to: *mut f32,
    tail: usize,
    row: [S::Vector; WIDTH],
) {
    // SAFETY: the caller's promise.
    unsafe {
        for (w, value) in row.iter().enumerate().take(WIDTH - 1) {
            simd.store(to.add(w * S::LANES), *value);
        }
        let last = to.add((WIDTH - 1) * S::LANES);
        if tail == S::LANES {
            simd.store(last, row[WIDTH - 1]);
        } else {
            simd.store_partial(last, tail, row[WIDTH - 1]);
        }
    }
}

/// # Safety
/// `count` floats can be read, at most a vector.
#[inline(always)]
pub(crate) unsafe fn load_vector<S: Simd>(simd: S, from: *const f32, count: usize) -> S::Vector {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.load(from) } else { simd.load_partial(from, count) } }
}

/// # Safety
/// `count` floats can be written, at most a vector.
#[inline(always)]
pub(crate) unsafe fn store_vector<S: Simd>(simd: S, to: *mut f32, count: usize, value: S::Vector) {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.store(to, value) } else { simd.store_partial(to, count, value) } }
}
