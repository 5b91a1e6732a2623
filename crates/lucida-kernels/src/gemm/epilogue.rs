//! Operations applied to sums in registers before they are stored.

use crate::ops::{Pointwise, activate};
use crate::simd::{Isa, Simd};

use super::tile::{load_row, store_row};

/// The epilogue of a sum `s`: `f(scale s + bias + residual)`, where `f` is an activation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue {
    /// Start from the values in the target.
    pub(crate) accumulate: bool,
    /// One factor per column, or null.
    pub(crate) scale: *const f32,
    /// One float per column, added after scaling, or null.
    pub(crate) bias: *const f32,
    /// Added after the bias: same layout as the target, or null.
    pub(crate) residual: *const f32,
    /// Lower and upper bound, applied in registers: a ReLU, for example.
    pub(crate) bounds: [f32; 2],
    /// An activation applied after that, which [`bounds`](Self::bounds) cannot express.
    pub(crate) activation: Option<Pointwise>,
    /// Sums are set to zero where this (same layout as the target) is not positive; or null.
    pub(crate) gate: *const f32,
}

impl Default for Epilogue {
    fn default() -> Self {
        let none = std::ptr::null();
        Self {
            accumulate: false,
            scale: none,
            bias: none,
            residual: none,
            bounds: UNBOUNDED,
            activation: None,
            gate: none,
        }
    }
}

/// The destination of a tile's sums.
#[derive(Clone, Copy)]
pub(crate) struct TileTarget<'a> {
    /// The destination of each row.
    pub(crate) outs: &'a [*mut f32],
    /// The base address of the target, whose layout residual and gate share.
    pub(crate) target: *mut f32,
    /// The first column.
    pub(crate) column: usize,
    /// Number of lanes of the last vector that are written.
    pub(crate) tail: usize,
}

impl Epilogue {
    /// The epilogue for the columns from `column` on.
    pub(crate) fn at_column(self, column: usize) -> Self {
        let from = |values: *const f32| if values.is_null() { values } else { values.wrapping_add(column) };
        Self {
            scale: from(self.scale),
            bias: from(self.bias),
            residual: from(self.residual),
            gate: from(self.gate),
            ..self
        }
    }

    /// Applies the epilogue to the sums of a tile and stores the rows that have a destination.
    ///
    /// # Safety
    /// The destinations are writable over the tile's columns; scale and bias are null or have a float for each of these;
    /// residual and gate are null or readable where the destinations are writable.
    #[inline(always)]
    pub(crate) unsafe fn write<S: Simd, const ROWS: usize, const WIDTH: usize>(
        &self,
        simd: S,
        mut sums: [[S::Vector; WIDTH]; ROWS],
        to: TileTarget,
    ) {
        let TileTarget { outs, tail, .. } = to;
        // SAFETY: the caller's promise.
        unsafe {
            self.affine(simd, &mut sums, to);
            if !self.residual.is_null() {
                for r in 0..ROWS {
                    if let Some(&out) = outs.get(r) {
                        let residual = self.residual.wrapping_offset(out.offset_from(to.target));
                        let residual: [S::Vector; WIDTH] = load_row(simd, residual, tail);
                        for w in 0..WIDTH {
                            sums[r][w] = simd.add(sums[r][w], residual[w]);
                        }
                    }
                }
            }
            bound(simd, &mut sums, self.bounds);
            if !self.gate.is_null() {
                let zero = simd.splat(0.0);
                for r in 0..ROWS {
                    if let Some(&out) = outs.get(r) {
                        let gate = self.gate.wrapping_offset(out.offset_from(to.target));
                        let open: [S::Vector; WIDTH] = load_row(simd, gate, tail);
                        for w in 0..WIDTH {
                            sums[r][w] = simd.select_gt(open[w], zero, sums[r][w], zero);
                        }
                    }
                }
            }
            for r in 0..ROWS {
                if let Some(&out) = outs.get(r) {
                    store_row(simd, out, tail, sums[r]);
                }
            }
            if let Some(activation) = self.activation {
                activate_rows(simd.isa(), activation, outs, (WIDTH - 1) * S::LANES + tail);
            }
        }
    }

    /// Applies scale and bias.
    ///
    /// # Safety
    /// As [`write`](Self::write).
    #[inline(always)]
    unsafe fn affine<S: Simd, const ROWS: usize, const WIDTH: usize>(
        &self,
        simd: S,
        sums: &mut [[S::Vector; WIDTH]; ROWS],
        to: TileTarget,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if !self.scale.is_null() {
                let scale: [S::Vector; WIDTH] = load_row(simd, self.scale.wrapping_add(to.column), to.tail);
                for r in 0..ROWS {
                    for w in 0..WIDTH {
                        sums[r][w] = simd.mul(sums[r][w], scale[w]);
                    }
                }
            }
            if !self.bias.is_null() {
                let bias: [S::Vector; WIDTH] = load_row(simd, self.bias.wrapping_add(to.column), to.tail);
                for r in 0..ROWS {
                    for w in 0..WIDTH {
                        sums[r][w] = simd.add(sums[r][w], bias[w]);
                    }
                }
            }
        }
    }
}

/// Bounds that change nothing.
pub(crate) const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Applies the activation to rows of `len` floats, which are still in the cache.
///
/// # Safety
/// The rows are writable, and do not overlap.
#[inline(never)]
unsafe fn activate_rows(isa: Isa, activation: Pointwise, rows: &[*mut f32], len: usize) {
    for &row in rows {
        // SAFETY: the caller's promise.
        activate(isa, activation, unsafe { std::slice::from_raw_parts_mut(row, len) });
    }
}

/// Computes `min(max(s, least), most)`, propagating NaN.
#[inline(always)]
fn bound<S: Simd, const ROWS: usize, const WIDTH: usize>(
    simd: S,
    sums: &mut [[S::Vector; WIDTH]; ROWS],
    [least, most]: [f32; 2],
) {
    if least > f32::NEG_INFINITY {
        let low = simd.splat(least);
        for r in 0..ROWS {
            for w in 0..WIDTH {
                sums[r][w] = simd.max(low, sums[r][w]);
            }
        }
    }
    if most < f32::INFINITY {
        let high = simd.splat(most);
        for r in 0..ROWS {
            for w in 0..WIDTH {
                sums[r][w] = simd.min(high, sums[r][w]);
            }
        }
    }
}
