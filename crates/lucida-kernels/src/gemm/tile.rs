//! The micro-kernel: a few rows times one panel.

use crate::simd::{Simd, Tile};

/// A piece of a row of the left-hand side: `len` floats, `offset` floats after the row's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// The most rows of any tile.
pub(crate) const MAX_ROWS: usize = 16;

/// One tile: `out[r] (+)= sum over k of rows[r][k] * panel[k]`, then bias and ReLU.
pub(crate) struct RowsByPanel<'a> {
    /// The address of each row. All are valid: rows from `valid_rows` on repeat another.
    pub(crate) rows: &'a [*const f32; MAX_ROWS],
    /// Where each row's sums go; those from `valid_rows` on are not written.
    pub(crate) outs: &'a [*mut f32; MAX_ROWS],
    pub(crate) valid_rows: usize,
    /// The pieces of a row; the panel holds one row of vectors for each of their floats, in order.
    pub(crate) segments: &'a [Segment],
    pub(crate) panel: *const f32,
    /// Lanes of the last vector that are written.
    pub(crate) tail: usize,
    /// Start from what is in `outs`, not from zero.
    pub(crate) accumulate: bool,
    /// What the sums are multiplied with at the end, unless null: as many floats as are written of a row.
    pub(crate) scale: *const f32,
    /// Added after that, unless null: as many floats as are written of a row.
    pub(crate) bias: *const f32,
    /// Negative sums become zero at the end.
    pub(crate) relu: bool,
    /// Unless null: sums become zero where the float as far from here as theirs from `outs[0]` is not positive.
    pub(crate) gate: *const f32,
}

impl<S: Simd> Tile<S> for RowsByPanel<'_> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        // SAFETY: the caller promises that the addresses are valid for this tile: `rows` over the segments, `panel`
        // for their lengths times `WIDTH` vectors, `outs` and `bias` for `WIDTH - 1` vectors and `tail` floats.
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
            if !self.scale.is_null() {
                let scale: [S::Vector; WIDTH] = load_row(simd, self.scale, self.tail);
                for row in &mut sums {
                    for w in 0..WIDTH {
                        row[w] = simd.mul(row[w], scale[w]);
                    }
                }
            }
            if !self.bias.is_null() {
                let bias: [S::Vector; WIDTH] = load_row(simd, self.bias, self.tail);
                for row in &mut sums {
                    for w in 0..WIDTH {
                        row[w] = simd.add(row[w], bias[w]);
                    }
                }
            }
            if self.relu {
                let zero = simd.splat(0.0);
                for row in &mut sums {
                    for value in row {
                        *value = simd.max(*value, zero);
                    }
                }
            }
            if !self.gate.is_null() {
                let zero = simd.splat(0.0);
                for r in 0..ROWS {
                    if r < self.valid_rows {
                        let gate = self.gate.wrapping_offset(self.outs[r].offset_from(self.outs[0]));
                        let open: [S::Vector; WIDTH] = load_row(simd, gate, self.tail);
                        for w in 0..WIDTH {
                            sums[r][w] = simd.select_gt(open[w], zero, sums[r][w], zero);
                        }
                    }
                }
            }
            for r in 0..ROWS {
                if r < self.valid_rows {
                    store_row(simd, self.outs[r], self.tail, sums[r]);
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
