//! Convolutions of few channels that end in a maximum over windows of 2x2: the first layers of most classifiers.
//!
//! With one channel or three a patch has 9 to 27 values, so a tile of the general kernels ([`crate::gemm`]) lasts a few
//! dozen cycles, less than it costs to set it up and to take its sums to memory and back for the maximum. Here a tile is a
//! few windows side by side; all its addresses follow from one, and the maximum is taken in registers.
//!
//! ```text
//!   forward: sums of ROWS / 4 windows, 4 pixels each        to kernel: sums of ROWS taps
//!
//!      row 0   a0 b0 a1 b1 a2 b2    for each tap k              for each window and each of its pixels p:
//!      row 1   c0 d0 c1 d1 c2 d2    sum += x[pixel + k] w[k]    dK[k] += x[p + k] (g where p held the maximum)
//! ```
//!
//! MNIST's first layer (28x28, 1 to 24 channels, batch 256) on 2 cores of an EPYC (Zen 4), where its products alone take
//! 0.47 ms each way: forward 0.62 ms instead of 0.98 by the general kernels, to the kernel 0.65 instead of 1.08. With
//! STEP, the floats between neighbouring pixels, known when it is compiled, an address costs no instruction.

use crate::gemm::{PackedMatrix, Panel, load_row, store_row};
use crate::simd::{Isa, Simd, Tile, multiversion};

use super::switches::{Sink, Switches};

/// Values of a patch up to which this pays: the packed kernel stays in the L1 cache beside the pictures.
pub(crate) const MOST_TAPS: usize = 64;
/// Windows in a row that a tile may need.
pub(crate) const LEAST_WINDOWS: usize = 3;

/// Rows of windows to be computed.
pub(crate) struct Few<'a> {
    /// The first patch, from which all others follow.
    pub(crate) source: *const f32,
    /// Floats from a pixel to the next and from a row of pixels to the next.
    pub(crate) step: usize,
    pub(crate) row: usize,
    /// For each value of a patch: where it is from the patch's first.
    pub(crate) offsets: &'a [usize],
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) relu: bool,
    pub(crate) sink: &'a Sink<'a>,
    /// The first window, counted over all pictures; rows of windows; all have `sink.place.windows[1]`.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) to: *mut f32,
}

struct Windows<'a, const STEP: usize> {
    job: &'a Few<'a>,
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
        // SAFETY: the caller's promise, see `few_forward`.
        unsafe {
            let start: [S::Vector; WIDTH] = match job.bias {
                Some(bias) => load_row(simd, bias.as_ptr().add(self.shape.start), self.shape.tail),
                None => [simd.splat(0.0); WIDTH],
            };
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
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
            // Written out, so that the sums stay in registers.
            self.put::<S, 0, ROWS, WIDTH>(simd, &sums, &start);
            self.put::<S, 1, ROWS, WIDTH>(simd, &sums, &start);
            self.put::<S, 2, ROWS, WIDTH>(simd, &sums, &start);
            self.put::<S, 3, ROWS, WIDTH>(simd, &sums, &start);
        }
    }
}

impl<const STEP: usize> Windows<'_, STEP> {
    /// Writes the maxima of one window of the tile, if it has as many.
    ///
    /// # Safety
    /// As [`few_forward`].
    #[inline(always)]
    unsafe fn put<S: Simd, const WINDOW: usize, const ROWS: usize, const WIDTH: usize>(
        &self,
        simd: S,
        sums: &[[S::Vector; WIDTH]; ROWS],
        bias: &[S::Vector; WIDTH],
    ) {
        if WINDOW >= ROWS / 4 {
            return;
        }
        for w in 0..WIDTH {
            let values = [
                simd.add(sums[4 * WINDOW][w], bias[w]),
                simd.add(sums[4 * WINDOW + 1][w], bias[w]),
                simd.add(sums[4 * WINDOW + 2][w], bias[w]),
                simd.add(sums[4 * WINDOW + 3][w], bias[w]),
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
unsafe fn forward_rows<S: Simd, const STEP: usize>(simd: S, job: &Few) {
    let columns = job.sink.place.windows[1];
    for (index, &shape) in job.matrix.panels.iter().enumerate() {
        let windows = S::tile_rows(shape.width) / 4;
        for y in 0..job.rows {
            for x in (0..columns).step_by(windows) {
                // The last tile of a row goes over windows again that are there already.
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
    fn forward[simd: S](job: &Few) {
        // SAFETY: what `few_forward` was promised.
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
/// The source is readable under all windows, `to` has room for the maxima of all pictures, no other thread writes these
/// windows, and there are [`LEAST_WINDOWS`] in a row.
pub(crate) unsafe fn few_forward(isa: Isa, job: &Few) {
    forward(isa, job);
}

/// Pictures whose part of the kernel's gradient is wanted.
pub(crate) struct FewGradient<'a> {
    /// The first patch of the first row of windows.
    pub(crate) source: *const f32,
    pub(crate) step: usize,
    pub(crate) row: usize,
    /// For each row of the gradient: where its value is from a patch's first.
    pub(crate) offsets: &'a [usize],
    /// The gradient of the maxima of all pictures.
    pub(crate) gradient: &'a [f32],
    pub(crate) switches: &'a Switches,
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) panels: &'a [Panel],
    /// Row `m`, column `n` at `m * out_row + n`.
    pub(crate) out: *mut f32,
    pub(crate) out_row: usize,
    pub(crate) accumulate: bool,
}

/// Rows of the gradient in a tile where they divide by it: a channel's taps of a 3x3 kernel.
const TAPS: usize = 9;
const MOST_ROWS: usize = 16;

struct Rows<'a> {
    job: &'a FewGradient<'a>,
    offsets: [usize; MOST_ROWS],
    valid: usize,
    shape: Panel,
    out: *mut f32,
}

impl<S: Simd> Tile<S> for Rows<'_> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        let job = self.job;
        let place = job.switches.place();
        let (columns, channels) = (place.windows[1], place.channels);
        // SAFETY: the caller's promise, see `few_gradient`.
        unsafe {
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            if job.accumulate {
                for r in 0..ROWS {
                    if r < self.valid {
                        sums[r] = load_row(simd, self.out.add(r * job.out_row), self.shape.tail);
                    }
                }
            }
            for y in 0..job.rows {
                let mut pixel = job.source.add(2 * y * job.row);
                let mut window = job.first + y * columns;
                for _ in 0..columns {
                    let at = job.gradient.as_ptr().add(window * channels + self.shape.start);
                    let gradient: [S::Vector; WIDTH] = load_row(simd, at, self.shape.tail);
                    let masks = job.switches.masks().add(place.mask(window, self.shape.start / S::LANES));
                    for p in 0..4 {
                        let mut right = [simd.splat(0.0); WIDTH];
                        for w in 0..WIDTH {
                            right[w] = simd.keep(*masks.add(4 * w + p), gradient[w]);
                        }
                        let from = pixel.add(p / 2 * job.row + p % 2 * job.step);
                        for r in 0..ROWS {
                            let left = simd.splat(*from.add(self.offsets[r]));
                            for w in 0..WIDTH {
                                sums[r][w] = simd.mul_add(left, right[w], sums[r][w]);
                            }
                        }
                    }
                    pixel = pixel.add(2 * job.step);
                    window += 1;
                }
            }
            for r in 0..ROWS {
                if r < self.valid {
                    store_row(simd, self.out.add(r * job.out_row), self.shape.tail, sums[r]);
                }
            }
        }
    }
}

multiversion! {
    fn gradient_rows[simd: S](job: &FewGradient) {
        for &shape in job.panels {
            let even = job.offsets.len() % TAPS == 0 && S::tile_rows(shape.width) >= TAPS;
            let rows = if even { TAPS } else { S::tile_rows(shape.width) };
            for (index, chunk) in job.offsets.chunks(rows).enumerate() {
                let mut offsets = [chunk[chunk.len() - 1]; MOST_ROWS];
                offsets[..chunk.len()].copy_from_slice(chunk);
                let out = job.out.wrapping_add(index * rows * job.out_row + shape.start);
                let tile = Rows { job, offsets, valid: chunk.len(), shape, out };
                // SAFETY: what `few_gradient` was promised.
                unsafe {
                    match shape.width {
                        1 if even => tile.run::<TAPS, 1>(simd),
                        2 if even => tile.run::<TAPS, 2>(simd),
                        width => simd.tile(width, tile),
                    }
                }
            }
        }
    }
}

/// Computes, or adds, the gradient of the kernel from some rows of windows.
///
/// # Safety
/// The source is readable under all windows; the gradient and the switches are those of all pictures; `out` is writable for
/// all rows and columns, and no other thread's.
pub(crate) unsafe fn few_gradient(isa: Isa, job: &FewGradient) {
    gradient_rows(isa, job);
}
