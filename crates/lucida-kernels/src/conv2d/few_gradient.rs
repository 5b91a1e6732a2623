//! The gradient of a 3x3 kernel over few channels, where the convolution ends in a maximum over windows of 2x2.
//!
//! With one channel or three the kernel has 9 or 27 taps: so few that a vector of filters has all its sums in registers. The
//! general kernel ([`crate::gemm::transposed()`]) needs the gradient of the pixels first, three quarters zeros, and goes
//! over it once for each dozen of taps; here it stays in the masks of the windows and is looked at once.
//!
//! ```text
//!   registers: a vector of filters for each tap        for each window, and each of its pixels p:
//!
//!     tap 0   [ f0 f1 ... f15 ]                          g = the maximum's gradient, in the lanes where p held it
//!     tap 1   [ f0 f1 ... f15 ]                          sums[t] += x[p + t] g      for all taps t
//!       ...
//! ```
//!
//! Sixteen registers have room for the 9 sums of one channel. For 27 they would have to go over the windows three times, and
//! make their gradients from the masks each time: there the general kernel is faster.
//!
//! Back to the first kernel of basic-cnn (3 channels, 32 filters, batch 32 at 150x150) on two threads of an EPYC (Zen 4):
//! 6.9 ms. With the four pixels of a window written out in the loop the compiler puts all sums on the stack and takes them
//! back for each window: 14.4 ms. With AVX2 (an EPYC, Zen 1) the general kernel takes 21.8 ms for it and this one, in rows of
//! the kernel, 29.8; MNIST's first (1 channel, 24 filters, batch 256) takes 3.2 and 2.5.

#[cfg(target_arch = "x86_64")]
mod lookup;

use crate::gemm::{load_vector, store_vector};
#[cfg(target_arch = "x86_64")]
use crate::simd::Kind;
use crate::simd::{Isa, Simd, multiversion};

use super::switches::Switches;

/// Rows of windows, and the pixels under them.
pub(crate) struct FewGradient<'a> {
    /// The first pixel of the first patch, from which all others follow.
    pub(crate) source: *const f32,
    /// Floats from a patch to the next, to the next row of patches, and from a row of the source to the next.
    pub(crate) step: usize,
    pub(crate) row: usize,
    pub(crate) source_row: usize,
    pub(crate) channels: usize,
    /// The gradient of all maxima.
    pub(crate) values: *const f32,
    pub(crate) switches: &'a Switches,
    /// The first window, counted over all pictures, and rows of windows.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    /// The sums, (row, column, channel, filter).
    pub(crate) out: *mut f32,
    /// Add to what is there.
    pub(crate) accumulate: bool,
}

/// Lanes of the longest vector, and taps of the largest kernel.
const MOST_LANES: usize = 16;
const MOST_SUMS: usize = 27;

/// Rows of the kernel.
const ROWS: usize = 3;

/// Whether there is a kernel for these taps and channels, and it is worth while.
pub(crate) fn few_gradient_fits(isa: Isa, taps: [usize; 2], channels: usize) -> bool {
    let most = if isa.lanes() == MOST_LANES { 3 } else { 1 };
    taps == [ROWS, 3] && (1..=most).contains(&channels)
}

/// # Safety
/// `ROWS` rows of `TAPS` floats, `source_row` floats apart, can be read from `patch`.
#[inline(always)]
unsafe fn add_patch<S: Simd, const TAPS: usize>(
    simd: S,
    sums: &mut [[S::Vector; TAPS]; ROWS],
    patch: *const f32,
    source_row: usize,
    right: S::Vector,
) {
    for i in 0..ROWS {
        // SAFETY: the caller's promise.
        unsafe {
            let left = patch.add(i * source_row);
            for t in 0..TAPS {
                sums[i][t] = simd.mul_add(simd.splat(*left.add(t)), right, sums[i][t]);
            }
        }
    }
}

/// # Safety
/// As [`few_gradient`]; the kernel's rows have `TAPS` taps and channels each.
#[inline(always)]
unsafe fn kernel<S: Simd, const TAPS: usize>(simd: S, job: &FewGradient) {
    let place = job.switches.place();
    let (columns, filters) = (place.windows[1], place.channels);
    for filter in (0..filters).step_by(S::LANES) {
        let count = (filters - filter).min(S::LANES);
        let mut sums = [[simd.splat(0.0); TAPS]; ROWS];
        for y in 0..job.rows {
            // One loop over all pixels, in pairs of rows: the compiler keeps the sums in registers across it.
            let window = job.first + y * columns;
            // SAFETY: the windows are among the maxima and the masks, their patches lie within the source.
            unsafe {
                let corner = job.source.wrapping_add(2 * y * job.row);
                let values = job.values.add(window * filters + filter);
                let masks = job.switches.masks().add(place.mask(window, filter / S::LANES));
                let mask_step = place.mask(1, 0) - place.mask(0, 0);
                for pixel in 0..4 * columns {
                    let (x, p) = (pixel / 4, pixel % 4);
                    let value = load_vector(simd, values.add(x * filters), count);
                    let right = simd.keep(*masks.add(x * mask_step + p), value);
                    let patch = corner.add((p / 2) * job.row + (2 * x + p % 2) * job.step);
                    add_patch(simd, &mut sums, patch, job.source_row, right);
                }
            }
        }
        // A loop as plain as this one is unrolled, so that the sums need no place but their registers.
        let mut done = [[0.0; MOST_LANES]; MOST_SUMS];
        for i in 0..ROWS {
            for t in 0..TAPS {
                // SAFETY: no vector has more lanes.
                unsafe { simd.store(done[i * TAPS + t].as_mut_ptr(), sums[i][t]) };
            }
        }
        for (tap, sum) in done.iter().take(ROWS * TAPS).enumerate() {
            let at = job.out.wrapping_add(tap * filters + filter);
            // SAFETY: there is a row of filters for each tap.
            unsafe {
                let before = if job.accumulate { load_vector(simd, at, count) } else { simd.splat(0.0) };
                store_vector(simd, at, count, simd.add(before, simd.load(sum.as_ptr())));
            }
        }
    }
}

multiversion! {
    fn run[simd: S](job: &FewGradient) {
        // SAFETY: what `few_gradient` was promised.
        unsafe {
            match job.channels {
                1 => kernel::<S, 3>(simd, job),
                2 => kernel::<S, 6>(simd, job),
                3 => kernel::<S, 9>(simd, job),
                other => unreachable!("{other} are not few channels"),
            }
        }
    }
}

/// Sums the gradient of the kernel over rows of windows.
///
/// # Safety
/// [`few_gradient_fits`]; the source is readable under all windows, the values and the switches have them all, and `out` has
/// room for the kernel, which no other thread uses.
pub(crate) unsafe fn few_gradient(isa: Isa, job: &FewGradient) {
    #[cfg(target_arch = "x86_64")]
    if isa.0 == Kind::Avx512 && lookup::fits(job) {
        // SAFETY: the caller's promise; an `Isa` of this kind exists only where the processor has AVX-512F.
        return unsafe { lookup::run(job) };
    }
    run(isa, job);
}
