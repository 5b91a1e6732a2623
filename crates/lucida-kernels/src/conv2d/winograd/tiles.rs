//! Tiles of images: from patches of pixels to the matrices of products. The inverse transform is in [`super::outputs`].
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
//! Vectors run along the channels, so a transform is a few multiply-adds between vectors and nothing is shuffled.
//! Pixels outside the image are zeros: rows are read from a row of zeros instead, columns are left out.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::conv2d::switches::Switches;
use crate::gemm::load_vector;
use crate::simd::{Isa, Simd, multiversion};

use super::grid::{Grid, TileHeight};
use super::pooled::scatter_pooled;
use super::transforms::{OfGradient, OfInput, PATCH, PATCH_SIX, TILE, TILE_SIX, Transform};

/// Images whose patches are read: one for each tile of a grid, the first with its corner at `-padding`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patches {
    pub(crate) grid: Grid,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) padding: [usize; 2],
}

/// Floats that stand for a row of a patch outside the image.
pub(crate) fn zeros_len(channels: usize) -> usize {
    PATCH * channels
}

/// Matrices with a row for each tile of a block, one for each position, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrices {
    /// From a row to the next.
    pub(crate) row: usize,
    /// From a matrix to the next.
    pub(crate) position: usize,
    /// How many there are.
    pub(crate) positions: usize,
}

impl Matrices {
    /// Room for `tiles` rows of `columns`, padded to whole vectors. An odd number of cache lines lies between the
    /// matrices: at a multiple of 4 KiB all the lines that a tile writes would fall into one set of the L1 cache.
    pub(crate) fn new(height: TileHeight, tiles: usize, columns: usize, lanes: usize) -> Self {
        let row = columns.next_multiple_of(lanes);
        Self { row, position: (tiles * row).next_multiple_of(32) + 16, positions: height.positions() }
    }

    /// Floats of all.
    pub(crate) fn len(&self) -> usize {
        self.positions * self.position
    }
}

/// Patches to be transformed.
pub(crate) struct Scatter<'a> {
    pub(crate) patches: &'a Patches,
    /// All images.
    pub(crate) images: &'a [f32],
    /// Where the images are the gradient of maxima: to which pixels it goes.
    pub(crate) switches: Option<&'a Switches>,
    /// [`zeros_len`] zeros.
    pub(crate) zeros: &'a [f32],
    pub(crate) tiles: Range<usize>,
    /// The matrices' rows for these tiles; the padding of a row is written too.
    pub(crate) to: *mut f32,
    pub(crate) matrices: Matrices,
}

/// Transforms the patches of an input: `B^T d B`.
///
/// # Safety
/// The images have all the tiles; the matrices have room for them, and no other thread uses these rows.
pub(crate) unsafe fn scatter_input(isa: Isa, job: &Scatter) {
    input(isa, job);
}

/// Transforms the tiles of an output's gradient: `A dY A^T`.
///
/// # Safety
/// As [`scatter_input`].
pub(crate) unsafe fn scatter_gradient(isa: Isa, job: &Scatter) {
    gradient(isa, job);
}

multiversion! {
    fn input[simd: S](job: &Scatter) {
        // SAFETY: what `scatter_input` was promised.
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
        // SAFETY: what `scatter_gradient` was promised.
        unsafe {
            match job.patches.grid.height {
                TileHeight::Four => scatter::<S, OfGradient, TILE, PATCH, TILE>(simd, job),
                TileHeight::Six => scatter::<S, OfGradient, TILE_SIX, PATCH_SIX, TILE>(simd, job),
            }
        }
    }
}

/// Patches of `HIGH x WIDE` pixels become `TALL x PATCH` positions.
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
            // SAFETY: all of the half is written; the rest is the caller's promise.
            unsafe { store_products::<S, T, TALL, WIDE>(simd, job, &half, index, channel) };
        }
    }
}

/// The transform along the rows of what is transformed along the columns, into the matrices.
///
/// # Safety
/// All of `half` is written; a row of the matrices has whole vectors, and there is room for all the tiles.
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
