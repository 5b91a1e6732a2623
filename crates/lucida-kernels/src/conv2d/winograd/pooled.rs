//! Patches of the gradient of pooled maxima: each value goes to the pixel of its window that held the maximum, see
//! [`super::super::switches`].
//!
//! A patch is aligned with the windows in one of two ways along each axis. The alignment is known at compile time, so a
//! pixel's window and its position in the window are constants, and only windows need addresses:
//!
//! ```text
//!   even (no padding, or 2)           odd (padding 1)
//!   +-----+-----+-----+               +- - -+-----+-----+- - -+
//!   | 0 1 | 2 3 | 4 5 |                   0 | 1 2 | 3 4 | 5
//!   +-----+-----+-----+               +- - -+-----+-----+- - -+
//! ```

use std::mem::MaybeUninit;

use crate::conv2d::switches::Switches;
use crate::gemm::load_vector;
use crate::simd::{Simd, Switch};

use super::tiles::{Patches, Scatter, store_products};
use super::transforms::{PATCH, PATCH_SIX, Transform};

/// Maximum number of windows under a patch along each axis.
const MOST_WINDOWS: [usize; 2] = [PATCH_SIX / 2 + 1, PATCH / 2 + 1];

/// Pointers to the maxima and the switches of a window.
#[derive(Clone, Copy)]
struct Window {
    values: *const f32,
    switches: *const Switch,
}

/// Transforms patches of `HIGH x WIDE` pixels to `TALL x PATCH` positions; a pixel is its window's value if it held the
/// maximum, and zero otherwise.
///
/// # Safety
/// As [`scatter_input`](super::tiles::scatter_input).
#[inline(always)]
pub(super) unsafe fn scatter_pooled<S, T, const HIGH: usize, const TALL: usize, const WIDE: usize>(
    simd: S,
    job: &Scatter,
    switches: &Switches,
) where
    S: Simd,
    T: Transform<HIGH, TALL> + Transform<WIDE, PATCH>,
{
    // Tiles start at even rows and columns.
    // SAFETY: the caller's promise.
    unsafe {
        match job.patches.padding.map(|padding| padding % 2) {
            [0, 0] => scatter::<S, T, HIGH, TALL, WIDE, 0, 0>(simd, job, switches),
            [0, _] => scatter::<S, T, HIGH, TALL, WIDE, 0, 1>(simd, job, switches),
            [_, 0] => scatter::<S, T, HIGH, TALL, WIDE, 1, 0>(simd, job, switches),
            _ => scatter::<S, T, HIGH, TALL, WIDE, 1, 1>(simd, job, switches),
        }
    }
}

/// As [`scatter_pooled`], for patches whose first row and column are even or odd, as `ODD_Y` and `ODD_X` say.
///
/// # Safety
/// As [`scatter_pooled`].
#[inline(always)]
unsafe fn scatter<
    S,
    T,
    const HIGH: usize,
    const TALL: usize,
    const WIDE: usize,
    const ODD_Y: usize,
    const ODD_X: usize,
>(
    simd: S,
    job: &Scatter,
    switches: &Switches,
) where
    S: Simd,
    T: Transform<HIGH, TALL> + Transform<WIDE, PATCH>,
{
    let choices = [simd.choice(0), simd.choice(1), simd.choice(2), simd.choice(3)];
    let channels = job.patches.channels;
    for (index, tile) in job.tiles.clone().enumerate() {
        let windows = windows_under::<ODD_Y, ODD_X>(job, switches, tile);
        for channel in (0..channels).step_by(S::LANES) {
            let count = (channels - channel).min(S::LANES);
            let mut half = [[MaybeUninit::uninit(); WIDE]; TALL];
            for j in 0..WIDE {
                let mut column = [simd.splat(0.0); HIGH];
                for i in 0..HIGH {
                    let Window { values, switches } = windows[(i + ODD_Y) / 2][(j + ODD_X) / 2];
                    let switch = switches.wrapping_add(channel / S::LANES);
                    let choice = choices[2 * ((i + ODD_Y) % 2) + (j + ODD_X) % 2];
                    // SAFETY: the window is among the maxima and the switches, or it is the zeros, which are as long as all
                    // channels, and the first switches.
                    column[i] = unsafe {
                        let value = load_vector(simd, values.wrapping_add(channel), count);
                        simd.keep_chosen(switch, choice, value)
                    };
                }
                let column = <T as Transform<HIGH, TALL>>::apply(simd, column);
                for p in 0..TALL {
                    half[p][j].write(column[p]);
                }
            }
            // SAFETY: all of `half` is initialized; the caller guarantees the rest.
            unsafe { store_products::<S, T, TALL, WIDE>(simd, job, &half, index, channel) };
        }
    }
}

/// The windows under the patch of a tile. Windows outside the image have zeros and arbitrary switches.
#[inline(always)]
fn windows_under<const ODD_Y: usize, const ODD_X: usize>(
    job: &Scatter,
    switches: &Switches,
    tile: usize,
) -> [[Window; MOST_WINDOWS[1]]; MOST_WINDOWS[0]] {
    let Patches { grid, channels, padding, .. } = *job.patches;
    let (place, switches) = (switches.place(), switches.start());
    let [rows, columns] = place.windows;
    let [image, y, x] = grid.place(tile);
    // Images have even sizes, so a window is either inside or outside as a whole.
    let top = (y as isize - (padding[0] + ODD_Y) as isize) / 2;
    let left = (x as isize - (padding[1] + ODD_X) as isize) / 2;
    let outside = Window { values: job.zeros.as_ptr(), switches };
    let mut windows = [[outside; MOST_WINDOWS[1]]; MOST_WINDOWS[0]];
    for (r, row) in windows.iter_mut().enumerate() {
        let row_at = top + r as isize;
        if row_at < 0 || row_at >= rows as isize {
            continue;
        }
        let first = (image * rows + row_at as usize) * columns;
        for (c, window) in row.iter_mut().enumerate() {
            let column_at = left + c as isize;
            if column_at >= 0 && column_at < columns as isize {
                let at = first + column_at as usize;
                window.values = job.images.as_ptr().wrapping_add(at * channels);
                window.switches = switches.wrapping_add(place.switch(at, 0));
            }
        }
    }
    windows
}
