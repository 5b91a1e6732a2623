//! Depthwise convolution with common kernels: undilated 3x3, 5x5 and 7x7, with strides of one or two.
//!
//! With the kernel size known at compile time, a tile is a piece of a row of pixels, kept entirely in registers: the input
//! vectors under a row of taps are loaded once, and each is used for all taps over it. So a tap costs only a multiply-add,
//! without a load.
//!
//! ```text
//!   inputs under a row of taps     [v0][v1][v2][v3][v4][v5][v6][v7][v8]
//!   pixel 0                         k0  k1  k2
//!   pixel 1                             k0  k1  k2                          and so on to pixel 6
//! ```
//!
//! Seven pixels per tile: feature maps of modern networks are 7, 14, 28, 56, or 112 pixels wide. All channels of a tile are
//! computed before the next tile, so that each row of the input is read contiguously.

use std::ops::Range;

use crate::gemm::{Epilogue, TileTarget, load_vector};
use crate::ops::activate;
use crate::simd::Simd;

use super::depthwise::Rows;

/// Pixels per tile.
const PIXELS: usize = 7;
/// Maximum number of input vectors under a row of taps.
const MOST_INPUTS: usize = (PIXELS - 1) * 2 + 7;

/// Computes the rows if the kernel is one of the supported ones; returns whether it is.
///
/// # Safety
/// As for the rows in [`super::depthwise`].
#[inline(always)]
pub(super) unsafe fn square_rows<S: Simd>(simd: S, job: &Rows) -> bool {
    if job.window.dilation != [1, 1] {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match (job.window.taps, job.window.strides) {
            ([3, 3], [1, 1]) => all_rows::<S, 3, 1>(simd, job),
            ([3, 3], [2, 2]) => all_rows::<S, 3, 2>(simd, job),
            ([5, 5], [1, 1]) => all_rows::<S, 5, 1>(simd, job),
            ([5, 5], [2, 2]) => all_rows::<S, 5, 2>(simd, job),
            ([7, 7], [1, 1]) => all_rows::<S, 7, 1>(simd, job),
            _ => return false,
        }
    }
    true
}

#[inline(always)]
unsafe fn all_rows<S: Simd, const SIDE: usize, const STRIDE: usize>(simd: S, job: &Rows) {
    let columns = job.window.output[1];
    // An activation that cannot be applied in registers is applied when the row is complete.
    let epilogue = Epilogue { activation: None, ..job.epilogue };
    for y in job.rows.clone() {
        let row = job.target.wrapping_add((y - job.rows.start) * job.target_row);
        let taps = job.window.taps_inside(0, y);
        for x in (0..columns).step_by(PIXELS) {
            let tile = SquareTile { job, epilogue: &epilogue, y, taps: &taps, x, row };
            // SAFETY: the caller's promise.
            unsafe { tile.all_channels::<S, SIDE, STRIDE>(simd) };
        }
        if let Some(activation) = job.epilogue.activation {
            for x in 0..columns {
                // SAFETY: the caller's promise.
                let pixel = unsafe { std::slice::from_raw_parts_mut(row.add(x * job.target_column), job.filters) };
                activate(simd.isa(), activation, pixel);
            }
        }
    }
}

/// Consecutive pixels of a row.
struct SquareTile<'a> {
    job: &'a Rows<'a>,
    epilogue: &'a Epilogue,
    /// The first pixel.
    y: usize,
    x: usize,
    /// The range of rows of taps that lie inside the image.
    taps: &'a Range<usize>,
    /// The destination of the row.
    row: *mut f32,
}

impl SquareTile<'_> {
    #[inline(always)]
    unsafe fn all_channels<S: Simd, const SIDE: usize, const STRIDE: usize>(&self, simd: S) {
        let Self { job, x, .. } = *self;
        let (width, channels) = (job.window.source[1], job.filters);
        let first = (x * STRIDE) as isize - job.window.padding[1];
        let last = first + ((PIXELS - 1) * STRIDE + SIDE) as isize;
        let inside = first >= 0 && last <= width as isize;
        let whole = channels / S::LANES * S::LANES;
        for channel in (0..whole).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                match inside {
                    true => self.vector::<S, SIDE, STRIDE, true>(simd, channel, S::LANES),
                    false => self.vector::<S, SIDE, STRIDE, false>(simd, channel, S::LANES),
                }
            }
        }
        if whole < channels {
            // SAFETY: the caller's promise.
            unsafe { self.vector::<S, SIDE, STRIDE, false>(simd, whole, channels - whole) };
        }
    }

    /// Computes the pixels in `count` channels. `INSIDE`: no tap is to the left or right of the image, and the vector is
    /// whole.
    #[inline(always)]
    unsafe fn vector<S: Simd, const SIDE: usize, const STRIDE: usize, const INSIDE: bool>(
        &self,
        simd: S,
        channel: usize,
        count: usize,
    ) {
        let Self { job, y, x, .. } = *self;
        let (width, channels) = (job.window.source[1], job.filters);
        let count = if INSIDE { S::LANES } else { count };
        let pixels = PIXELS.min(job.window.output[1] - x);
        let mut outs = [self.row; PIXELS];
        for (p, out) in outs.iter_mut().enumerate() {
            *out = self.row.wrapping_add((x + p) * job.target_column + channel);
        }
        let first = (x * STRIDE) as isize - job.window.padding[1];
        let top = (y * STRIDE) as isize - job.window.padding[0];
        // SAFETY: the caller's promise: the rows and columns that are read are inside the image.
        unsafe {
            let mut sums = [[simd.splat(0.0)]; PIXELS];
            if self.epilogue.accumulate {
                for p in 0..pixels {
                    sums[p] = [load_vector(simd, outs[p], count)];
                }
            }
            for i in self.taps.clone() {
                let row = (top + i as isize) * width as isize + first;
                let source = job.source.wrapping_offset(row * channels as isize + channel as isize);
                let mut inputs = [simd.splat(0.0); MOST_INPUTS];
                for j in 0..(PIXELS - 1) * STRIDE + SIDE {
                    if INSIDE || (0..width as isize).contains(&(first + j as isize)) {
                        inputs[j] = load_vector(simd, source.wrapping_add(j * channels), count);
                    }
                }
                let kernel = job.kernel.as_ptr().add(i * SIDE * channels + channel);
                for k in 0..SIDE {
                    let tap = load_vector(simd, kernel.add(k * channels), count);
                    for p in 0..PIXELS {
                        sums[p][0] = simd.mul_add(inputs[p * STRIDE + k], tap, sums[p][0]);
                    }
                }
            }
            let to = TileTarget { outs: &outs[..pixels], target: self.job.target, column: channel, tail: count };
            self.epilogue.write(simd, sums, to);
        }
    }
}
