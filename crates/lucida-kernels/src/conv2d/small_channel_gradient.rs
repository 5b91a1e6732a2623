//! The gradient of a 3x3 kernel with few input channels, for a convolution with 2x2 max pooling.
//!
//! With one or three channels the kernel has 9 or 27 taps, so few that all sums of a vector of filters fit in registers.
//! The general kernel ([`crate::gemm::transposed()`]) needs the gradient of the pixels first, three quarters zeros, and
//! traverses it once for each dozen taps; here the gradient is decoded from the switches of the windows on the fly, once.
//!
//! ```text
//!   registers: a vector of filters for each tap        for each window, and each of its pixels p:
//!
//!     tap 0   [ f0 f1 ... f15 ]                          g = the maximum's gradient, in the lanes where p held it
//!     tap 1   [ f0 f1 ... f15 ]                          sums[t] += x[p + t] g      for all taps t
//!       ...
//! ```
//!
//! Sixteen registers hold the 9 sums of one channel. For 27 sums the windows would be traversed three times, decoding the
//! switches each time: there the general kernel is faster, except with AVX-512, which needs one multiply-add for all four
//! pixels ([`lookup`]).
//!
//! On two threads of an EPYC (Zen 1, AVX2) the gradient of the first kernel of the MNIST network (1 channel, 24 filters,
//! batch 256) takes 2.3 ms instead of 3.2. Three channels with this method, one row of the kernel at a time (the first of
//! basic-cnn: 3 channels, 32 filters, batch 32 at 150x150), took 29.8 ms where the general kernel takes 21.8.

#[cfg(target_arch = "x86_64")]
mod lookup;

use crate::gemm::{load_vector, store_vector};
#[cfg(target_arch = "x86_64")]
use crate::simd::Kind;
use crate::simd::{Isa, multiversion};

use super::switches::Switches;

/// A job: rows of windows, and the pixels under them.
pub(crate) struct SmallChannelGradient<'a> {
    /// Pointer to the first pixel of the first patch, from which all others are derived.
    pub(crate) source: *const f32,
    /// Floats between patches, between rows of patches, and between rows of the source.
    pub(crate) step: usize,
    pub(crate) row: usize,
    pub(crate) source_row: usize,
    pub(crate) channels: usize,
    /// The gradient of all maxima.
    pub(crate) values: *const f32,
    pub(crate) switches: &'a Switches,
    /// The first window, counted over all images, and the number of rows of windows.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    /// The sums: shape (row, column, channel, filter).
    pub(crate) out: *mut f32,
    /// Add to the sums instead of overwriting them.
    pub(crate) accumulate: bool,
}

/// Rows and columns of the kernel.
const TAPS: usize = 3;

/// Whether a specialized kernel exists for these taps, channels and floats between patches, and is faster.
pub(crate) fn small_channel_gradient_fits(isa: Isa, taps: [usize; 2], channels: usize, step: usize) -> bool {
    taps == [TAPS, TAPS] && (channels == 1 || looks_up(isa, channels, step))
}

/// Whether [`lookup`] computes the gradient.
#[cfg(target_arch = "x86_64")]
fn looks_up(isa: Isa, channels: usize, step: usize) -> bool {
    isa.0 == Kind::Avx512 && lookup::fits(channels, step)
}

#[cfg(not(target_arch = "x86_64"))]
fn looks_up(_isa: Isa, _channels: usize, _step: usize) -> bool {
    false
}

multiversion! {
    fn one_channel[simd: S](job: &SmallChannelGradient) {
        let place = job.switches.place();
        let (columns, filters) = (place.windows[1], place.channels);
        let choices = [simd.choice(0), simd.choice(1), simd.choice(2), simd.choice(3)];
        for filter in (0..filters).step_by(S::LANES) {
            let count = (filters - filter).min(S::LANES);
            let mut sums = [[simd.splat(0.0); TAPS]; TAPS];
            for y in 0..job.rows {
                let window = job.first + y * columns;
                // SAFETY: the windows are among the maxima and the switches, their patches lie within the source.
                unsafe {
                    let corner = job.source.wrapping_add(2 * y * job.row);
                    let values = job.values.add(window * filters + filter);
                    let switches = job.switches.start().add(place.switch(window, filter / S::LANES));
                    for x in 0..columns {
                        let value = load_vector(simd, values.add(x * filters), count);
                        for p in 0..4 {
                            let gradient = simd.keep_chosen(switches.add(place.switch(x, 0)), choices[p], value);
                            let patch = corner.add((p / 2) * job.row + (2 * x + p % 2) * job.step);
                            for i in 0..TAPS {
                                for j in 0..TAPS {
                                    let pixel = simd.splat(*patch.add(i * job.source_row + j));
                                    sums[i][j] = simd.mul_add(pixel, gradient, sums[i][j]);
                                }
                            }
                        }
                    }
                }
            }
            for i in 0..TAPS {
                for j in 0..TAPS {
                    let at = job.out.wrapping_add((i * TAPS + j) * filters + filter);
                    // SAFETY: there is a row of filters for each tap.
                    unsafe {
                        let before = if job.accumulate { load_vector(simd, at, count) } else { simd.splat(0.0) };
                        store_vector(simd, at, count, simd.add(before, sums[i][j]));
                    }
                }
            }
        }
    }
}

/// Adds up the kernel gradient over rows of windows.
///
/// # Safety
/// [`small_channel_gradient_fits`] returns true; the source is readable under all windows, the values and the switches
/// contain them all, and `out` has room for the kernel and is not accessed by other threads.
pub(crate) unsafe fn small_channel_gradient(isa: Isa, job: &SmallChannelGradient) {
    #[cfg(target_arch = "x86_64")]
    if looks_up(isa, job.channels, job.step) {
        // SAFETY: the caller's promise; an `Isa` of this kind exists only where the processor has AVX-512F.
        return unsafe { lookup::run(job) };
    }
    assert_eq!(job.channels, 1, "channels");
    one_channel(isa, job);
}
