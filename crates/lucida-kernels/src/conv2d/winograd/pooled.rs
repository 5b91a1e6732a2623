//! Patches of the gradient of maxima: each maximum goes to the pixel of its window that held it, see [`super::super::switches`].
//!
//! A patch lies over its windows in one of two ways, apart from its borders. Where that is known when this is compiled, a
//! pixel's value and mask are a constant number of windows from the first, and not an address of their own:
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
use crate::simd::Simd;

use super::tiles::{Patches, Scatter, store_products};
use super::transforms::{PATCH, Transform};

/// Patches of `HIGH x WIDE` pixels become `TALL x PATCH` positions; a pixel is its window's value, if it held the maximum.
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
    let Patches { grid, size: [height, width], channels, padding } = *job.patches;
    let place = switches.place();
    let [rows, columns] = place.windows;
    let zero = simd.splat(0.0);
    for (index, tile) in job.tiles.clone().enumerate() {
        let [picture, y, x] = grid.place(tile);
        let top = y as isize - padding[0] as isize;
        let left = x as isize - padding[1] as isize;
        let inside = |start: isize, len: usize, size: usize| start >= 0 && start as usize + len <= size;
        if inside(top, HIGH, height) && inside(left, WIDE, width) {
            let corner = [picture, top as usize, left as usize];
            // SAFETY: the patch is inside; the rest is the caller's promise.
            unsafe {
                match (top % 2, left % 2) {
                    (0, 0) => {
                        scatter_inside::<S, T, HIGH, TALL, WIDE, 0>(simd, job, switches, index, corner);
                        continue;
                    }
                    (1, 1) => {
                        scatter_inside::<S, T, HIGH, TALL, WIDE, 1>(simd, job, switches, index, corner);
                        continue;
                    }
                    _ => {}
                }
            }
        }
        // The address of each pixel's value and mask: outside the picture a zero, and any mask.
        let mut values_at = [[job.zeros.as_ptr(); HIGH]; WIDE];
        let mut masks_at = [[switches.masks(); HIGH]; WIDE];
        for i in 0..HIGH {
            let row = top + i as isize;
            if row < 0 || row >= height as isize {
                continue;
            }
            let row = row as usize;
            let first = (picture * rows + row / 2) * columns;
            for j in 0..WIDE {
                let column = left + j as isize;
                if column >= 0 && column < width as isize {
                    let column = column as usize;
                    let window = first + column / 2;
                    values_at[j][i] = job.pictures.as_ptr().wrapping_add(window * channels);
                    masks_at[j][i] = switches.masks().wrapping_add(place.mask(window, 0) + 2 * (row % 2) + column % 2);
                }
            }
        }
        for channel in (0..channels).step_by(S::LANES) {
            let count = (channels - channel).min(S::LANES);
            let mut half = [[MaybeUninit::uninit(); WIDE]; TALL];
            for j in 0..WIDE {
                let mut values = [zero; HIGH];
                for i in 0..HIGH {
                    let (at, mask) =
                        (values_at[j][i].wrapping_add(channel), masks_at[j][i].wrapping_add(channel / S::LANES * 4));
                    // SAFETY: a pixel inside the picture has its window among the maxima and the masks; the zeros are as
                    // long as all channels.
                    values[i] = unsafe { simd.keep(*mask, load_vector(simd, at, count)) };
                }
                let values = <T as Transform<HIGH, TALL>>::apply(simd, values);
                for p in 0..TALL {
                    half[p][j].write(values[p]);
                }
            }
            // SAFETY: all of the half is written; the rest is the caller's promise.
            unsafe { store_products::<S, T, TALL, WIDE>(simd, job, &half, index, channel) };
        }
    }
}

/// The patch with its corner at `[picture, row, column]` of pixels, all inside the picture; row and column are even if `ODD`
/// is 0 and odd if it is 1.
///
/// # Safety
/// As [`scatter_input`](super::tiles::scatter_input).
#[inline(always)]
unsafe fn scatter_inside<S, T, const HIGH: usize, const TALL: usize, const WIDE: usize, const ODD: usize>(
    simd: S,
    job: &Scatter,
    switches: &Switches,
    index: usize,
    [picture, top, left]: [usize; 3],
) where
    S: Simd,
    T: Transform<HIGH, TALL> + Transform<WIDE, PATCH>,
{
    let channels = job.patches.channels;
    let place = switches.place();
    let [rows, columns] = place.windows;
    let first = (picture * rows + top / 2) * columns + left / 2;
    let values = job.pictures.as_ptr().wrapping_add(first * channels);
    let masks = switches.masks().wrapping_add(place.mask(first, 0));
    let (mask_row, mask_column) = (place.mask(columns, 0), place.mask(1, 0));
    for channel in (0..channels).step_by(S::LANES) {
        let count = (channels - channel).min(S::LANES);
        let values = values.wrapping_add(channel);
        let masks = masks.wrapping_add(place.mask(0, channel / S::LANES));
        let mut half = [[MaybeUninit::uninit(); WIDE]; TALL];
        for j in 0..WIDE {
            let (window_column, right) = ((j + ODD) / 2, (j + ODD) % 2);
            let mut column = [simd.splat(0.0); HIGH];
            for i in 0..HIGH {
                let (window_row, below) = ((i + ODD) / 2, (i + ODD) % 2);
                let value = values.wrapping_add((window_row * columns + window_column) * channels);
                let mask = masks.wrapping_add(window_row * mask_row + window_column * mask_column + 2 * below + right);
                // SAFETY: the pixel is inside the picture, so its window is among the maxima and the masks.
                column[i] = unsafe { simd.keep(*mask, load_vector(simd, value, count)) };
            }
            let column = <T as Transform<HIGH, TALL>>::apply(simd, column);
            for p in 0..TALL {
                half[p][j].write(column[p]);
            }
        }
        // SAFETY: all of the half is written; the rest is the caller's promise.
        unsafe { store_products::<S, T, TALL, WIDE>(simd, job, &half, index, channel) };
    }
}
