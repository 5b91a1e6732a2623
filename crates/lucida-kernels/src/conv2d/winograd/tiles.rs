//! Tiles of images: from patches of pixels to the matrices of the products. The inverse transform is in [`super::outputs`].
//!
//! ```text
//!        image (height, width, channel)                   36 matrices, one for each position of a patch,
//!                                                           or 48 where tiles are 6 high
//!
//!      4   4   4   4                                        row of the matrix = tile, column = channel
//!    +---+---+---+---+                                    +----------------+
//!    | 0 | 1 | 2 | 3 |   4x4 outputs each, from           | tile 0, c 0..  |  position 0
//!    +---+---+---+---+   6x6 inputs that overlap          | tile 1, c 0..  |
//!    | 4 | 5 | 6 | 7 |   by two                           +----------------+
//!    +---+---+---+---+                                    | tile 0, c 0..  |  position 1
//!      the next image starts at tile 8                  |       ...      |
//! ```
//!
//! Vectors run along the channels, so a transform is a few multiply-adds between vectors, without shuffles. Pixels outside
//! the image are zeros: rows outside are read from a row of zeros, columns outside are skipped.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::conv2d::switches::Switches;
use crate::gemm::load_vector;
use crate::simd::{Isa, Simd, multiversion};

use super::grid::{Grid, TileHeight};
use super::pooled::scatter_pooled;
use super::transforms::{OfGradient, OfInput, PATCH, PATCH_SIX, TILE, TILE_SIX, Transform};

/// Images and the patches read from them: one per tile of a grid, the first with its corner at `-padding`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patches {
    pub(crate) grid: Grid,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) padding: [usize; 2],
}

/// Number of zeros that stand for a row of a patch outside the image.
pub(crate) fn zeros_len(channels: usize) -> usize {
    PATCH * channels
}

/// The layout, in floats, of the matrices of a block: one per position, with a row per tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrices {
    /// Floats between rows.
    pub(crate) row: usize,
    /// Floats between matrices.
    pub(crate) position: usize,
    /// Number of matrices.
    pub(crate) positions: usize,
}

impl Matrices {
    /// Allocates `tiles` rows of `columns`, padded to whole vectors. The distance between matrices is an odd number of
    /// cache lines: with a multiple of 4 KiB all lines that a tile writes would map to one set of the L1 cache.
    pub(crate) fn new(height: TileHeight, tiles: usize, columns: usize, lanes: usize) -> Self {
        let row = columns.next_multiple_of(lanes);
        Self { row, position: (tiles * row).next_multiple_of(32) + 16, positions: height.positions() }
    }

    /// Total number of floats.
    pub(crate) fn len(&self) -> usize {
        self.positions * self.position
    }
}

/// A job: patches to be transformed.
pub(crate) struct Scatter<'a> {
    pub(crate) patches: &'a Patches,
    /// The values of all images.
    pub(crate) images: &'a [f32],
    /// If the images are the gradient of pooled maxima: the pixels that held them.
    pub(crate) switches: Option<&'a Switches>,
    /// [`zeros_len`] zeros.
    pub(crate) zeros: &'a [f32],
    pub(crate) tiles: Range<usize>,
    /// Pointer to the matrices' rows for these tiles; the padding of a row is written too.
    pub(crate) to: *mut f32,
    pub(crate) matrices: Matrices,
}

/// Transforms the patches of an input: `B^T d B`.
///
/// # Safety
/// The images contain all the tiles; the matrices have room for them, and no other thread accesses these rows.
pub(crate) unsafe fn scatter_input(isa: Isa, job: &Scatter) {
    input(isa, job);
}

/// Transforms the tiles of an output gradient: `A dY A^T`.
///
/// # Safety
/// As [`scatter_input`].
pub(crate) unsafe fn scatter_gradient(isa: Isa, job: &Scatter) {
    gradient(isa, job);
}

multiversion! {
    fn input[simd: S](job: &Scatter) {
        // SAFETY: guaranteed by the caller of `scatter_input`.
        unsafe {
            match job.patches.grid.height {
                TileHeight::Four => scatter::<S, OfInput, PATCH, PATCH, PATCH>(simd, job),
                TileHeight::Six => scatter::<S, OfInput, PATCH_SIX, PATCH_SIX, PATCH>(simd, job),
            }
        }
    }
}

multiversion! {
    fn gradient[simd: S](job: &Scatter) {
        // SAFETY: guaranteed by the caller of `scatter_gradient`.
        unsafe {
            match job.patches.grid.height {
                TileHeight::Four => scatter::<S, OfGradient, TILE, PATCH, TILE>(simd, job),
                TileHeight::Six => scatter::<S, OfGradient, TILE_SIX, PATCH_SIX, TILE>(simd, job),
            }
        }
    }
}

/// Transforms patches of `HIGH x WIDE` pixels to `TALL x PATCH` positions.
///
/// # Safety
/// As [`scatter_input`].
#[inline(always)]
unsafe fn scatter<S, T, const HIGH: usize, const TALL: usize, const WIDE: usize>(simd: S, job: &Scatter)
where
    S: Simd,
    T: Transform<HIGH, TALL> + Transform<WIDE, PATCH>,
{
    // SAFETY: the caller's promise.
    unsafe {
        match job.switches {
            None => scatter_plain::<S, T, HIGH, TALL, WIDE>(simd, job),
            Some(switches) => scatter_pooled::<S, T, HIGH, TALL, WIDE>(simd, job, switches),
        }
    }
}

/// # Safety
/// As [`scatter_input`].
#[inline(always)]
unsafe fn scatter_plain<S, T, const HIGH: usize, const TALL: usize, const WIDE: usize>(simd: S, job: &Scatter)
where
    S: Simd,
    T: Transform<HIGH, TALL> + Transform<WIDE, PATCH>,
{
    let Patches { grid, size: [height, width], channels, padding } = *job.patches;
    assert!(job.zeros.len() >= WIDE * channels);
    let zero = simd.splat(0.0);
    for (index, tile) in job.tiles.clone().enumerate() {
        let [image, y, x] = grid.place(tile);
        let top = y as isize - padding[0] as isize;
        let left = x as isize - padding[1] as isize;
        let inside = (-left).max(0)..width as isize - left;
        let mut rows = [job.zeros.as_ptr(); HIGH];
        for (i, row) in rows.iter_mut().enumerate() {
            let at = top + i as isize;
            if at >= 0 && at < height as isize {
                let pixel = (image * height * width) as isize + at * width as isize + left;
                *row = job.images.as_ptr().wrapping_offset(pixel * channels as isize);
            }
        }
        for channel in (0..channels).step_by(S::LANES) {
            let count = (channels - channel).min(S::LANES);
            let mut half = [[MaybeUninit::uninit(); WIDE]; TALL];
            for j in 0..WIDE {
                let mut column = [zero; HIGH];
                if inside.contains(&(j as isize)) {
                    for i in 0..HIGH {
                        let at = rows[i].wrapping_add(j * channels + channel);
                        // SAFETY: row `top + i` and column `left + j` are inside the image, or it is the row of zeros.
                        column[i] = unsafe { load_vector(simd, at, count) };
                    }
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

/// Applies the transform along the rows to values already transformed along the columns, and stores the result in the
/// matrices.
///
/// # Safety
/// All of `half` is initialized; a row of the matrices has whole vectors, and there is room for all the tiles.
#[inline(always)]
pub(super) unsafe fn store_products<S: Simd, T: Transform<WIDE, PATCH>, const TALL: usize, const WIDE: usize>(
    simd: S,
    job: &Scatter,
    half: &[[MaybeUninit<S::Vector>; WIDE]; TALL],
    index: usize,
    channel: usize,
) {
    for p in 0..TALL {
        let mut row = [simd.splat(0.0); WIDE];
        for j in 0..WIDE {
            // SAFETY: the caller's promise.
            row[j] = unsafe { half[p][j].assume_init() };
        }
        let products = T::apply(simd, row);
        for q in 0..PATCH {
            let at = (p * PATCH + q) * job.matrices.position + index * job.matrices.row + channel;
            // SAFETY: the caller's promise.
            unsafe { simd.store(job.to.add(at), products[q]) };
        }
    }
}
