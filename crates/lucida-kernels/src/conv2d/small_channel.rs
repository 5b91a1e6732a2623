//! Convolutions with few input channels and 2x2 max pooling: the first layers of many classifiers.
//!
//! With one or three channels a patch has 9 to 27 values, so a tile of the general kernels ([`crate::gemm`]) takes a few
//! dozen cycles, less than the cost of setting it up and of moving its sums to memory and back for the pooling. Here a tile
//! is a few adjacent windows; all its addresses derive from one, and the maximum is computed in registers.
//!
//! ```text
//!   sums of ROWS / 4 windows, 4 pixels each
//!
//!      row 0   a0 b0 a1 b1 a2 b2      for each value k of a patch and all pixels p at once:
//!      row 1   c0 d0 c1 d1 c2 d2      sum[p] += x[p + k] w[k]
//! ```
//!
//! MNIST's first layer (28x28, 1 to 24 channels, batch 256) on 2 cores of an EPYC (Zen 4, 230 GFLOP/s), where its products
//! alone take 0.5 ms: 0.81 ms instead of 0.98 with the general kernels; the first layer for cats and dogs (150x150, 3 to 32
//! channels, batch 32): 6.6 ms instead of 7.6. With STEP, the floats between neighboring pixels, known at compile time,
//! addresses cost no instructions. What did not help: computing the kernel gradient from the maxima and their switches in
//! the same way (1.09 ms instead of 1.08, and 11.9 instead of 9.0 with three channels, whose 27 taps are three tiles that
//! each traverse all switches).

use crate::gemm::{MAX_ROWS, PackedMatrix, Panel, load_row};
use crate::simd::{Isa, Simd, Tile, multiversion};

use super::switches::Sink;

/// Maximum number of values in a patch for which this pays off: the packed kernel stays in the L1 cache next to the images.
pub(crate) const MOST_TAPS: usize = 64;
/// Minimum number of windows in a row: the size of the largest tile.
pub(crate) const LEAST_WINDOWS: usize = MAX_ROWS / 4;

/// A job: rows of windows to be computed.
pub(crate) struct SmallChannelConv<'a> {
    /// Pointer to the first patch, from which all others are derived.
    pub(crate) source: *const f32,
    /// Floats from a pixel to the next, and from a row of pixels to the next.
    pub(crate) step: usize,
    pub(crate) row: usize,
    /// For each value of a patch: its offset from the first.
    pub(crate) offsets: &'a [usize],
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) scale: Option<&'a [f32]>,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) relu: bool,
    pub(crate) sink: &'a Sink<'a>,
    /// The first window, counted over all images, and the number of rows of windows; each row has `sink.place.windows[1]`.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) to: *mut f32,
}

struct Windows<'a, const STEP: usize> {
    job: &'a SmallChannelConv<'a>,
    source: *const f32,
    panel: *const f32,
    shape: Panel,
    window: usize,
}

impl<S: Simd, const STEP: usize> Tile<S> for Windows<'_, STEP> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        let job = self.job;
        let step = if STEP > 0 { STEP } else { job.step };
        // SAFETY: guaranteed by the caller of `few_forward`.
        unsafe {
            let start: [S::Vector; WIDTH] = match job.bias {
                Some(bias) => load_row(simd, bias.as_ptr().add(self.shape.start), self.shape.tail),
                None => [simd.splat(0.0); WIDTH],
            };
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            let scale: [S::Vector; WIDTH] = match job.scale {
                Some(scale) => load_row(simd, scale.as_ptr().add(self.shape.start), self.shape.tail),
                None => [simd.splat(1.0); WIDTH],
            };
            let mut panel = self.panel;
            for &offset in job.offsets {
                let right: [S::Vector; WIDTH] = load_row(simd, panel, S::LANES);
                let rows = [self.source.add(offset), self.source.add(job.row + offset)];
                for r in 0..ROWS / 4 * 4 {
                    let (window, a, b) = (r / 4, r / 2 % 2, r % 2);
                    let left = simd.splat(*rows[a].add((2 * window + b) * step));
                    for w in 0..WIDTH {
                        sums[r][w] = simd.mul_add(left, right[w], sums[r][w]);
                    }
                }
                panel = panel.add(WIDTH * S::LANES);
            }
            // Unrolled by hand, so that the sums stay in registers.
            self.put::<S, 0, ROWS, WIDTH>(simd, &sums, &scale, &start);
            self.put::<S, 1, ROWS, WIDTH>(simd, &sums, &scale, &start);
            self.put::<S, 2, ROWS, WIDTH>(simd, &sums, &scale, &start);
            self.put::<S, 3, ROWS, WIDTH>(simd, &sums, &scale, &start);
        }
    }
}

impl<const STEP: usize> Windows<'_, STEP> {
    /// Writes the maxima of window `WINDOW` of the tile, if the tile has that many.
    ///
    /// # Safety
    /// As [`few_forward`].
    #[inline(always)]
    unsafe fn put<S: Simd, const WINDOW: usize, const ROWS: usize, const WIDTH: usize>(
        &self,
        simd: S,
        sums: &[[S::Vector; WIDTH]; ROWS],
        scale: &[S::Vector; WIDTH],
        bias: &[S::Vector; WIDTH],
    ) {
        if WINDOW >= ROWS / 4 {
            return;
        }
        for w in 0..WIDTH {
            let values = [
                simd.add(simd.mul(sums[4 * WINDOW][w], scale[w]), bias[w]),
                simd.add(simd.mul(sums[4 * WINDOW + 1][w], scale[w]), bias[w]),
                simd.add(simd.mul(sums[4 * WINDOW + 2][w], scale[w]), bias[w]),
                simd.add(simd.mul(sums[4 * WINDOW + 3][w], scale[w]), bias[w]),
            ];
            let at = (self.window + WINDOW, self.shape.start + w * S::LANES);
            // SAFETY: the caller's promise.
            unsafe { self.job.sink.put(simd, values, self.job.relu, at, self.job.to) };
        }
    }
}

/// # Safety
/// As [`few_forward`].
#[inline(always)]
unsafe fn forward_rows<S: Simd, const STEP: usize>(simd: S, job: &SmallChannelConv) {
    let columns = job.sink.place.windows[1];
    for (index, &shape) in job.matrix.panels.iter().enumerate() {
        let windows = S::tile_rows(shape.width) / 4;
        for y in 0..job.rows {
            for x in (0..columns).step_by(windows) {
                // The last tile of a row recomputes windows that are already done.
                let x = x.min(columns - windows);
                let tile = Windows::<STEP> {
                    job,
                    source: job.source.wrapping_add(2 * (y * job.row + x * job.step)),
                    panel: job.matrix.row(index, 0),
                    shape,
                    window: job.first + y * columns + x,
                };
                // SAFETY: the caller's promise.
                unsafe { simd.tile(shape.width, tile) };
            }
        }
    }
}

multiversion! {
    fn forward[simd: S](job: &SmallChannelConv) {
        // SAFETY: guaranteed by the caller of `few_forward`.
        unsafe {
            match job.step {
                1 => forward_rows::<S, 1>(simd, job),
                3 => forward_rows::<S, 3>(simd, job),
                _ => forward_rows::<S, 0>(simd, job),
            }
        }
    }
}

/// Computes rows of windows.
///
/// # Safety
/// The source is readable under all windows, `to` has room for the maxima of all images, no other thread writes these
/// windows, and there are at least [`LEAST_WINDOWS`] in a row.
pub(crate) unsafe fn few_forward(isa: Isa, job: &SmallChannelConv) {
    forward(isa, job);
}
