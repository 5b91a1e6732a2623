//! Tiles of pictures: from patches of pixels to the 36 matrices of products. The way back is in [`super::outputs`].
//!
//! ```text
//!        picture (height, width, channel)                   36 matrices, one for each position of a patch
//!
//!      4   4   4   4                                        row of the matrix = tile, column = channel
//!    +---+---+---+---+                                    +----------------+
//!    | 0 | 1 | 2 | 3 |   4x4 outputs each, from           | tile 0, c 0..  |  position 0
//!    +---+---+---+---+   6x6 inputs that overlap          | tile 1, c 0..  |
//!    | 4 | 5 | 6 | 7 |   by two                           +----------------+
//!    +---+---+---+---+                                    | tile 0, c 0..  |  position 1
//!      the next picture goes on with tile 8               |       ...      |
//! ```
//!
//! Vectors run along the channels, so a transform is a few multiply-adds between vectors and nothing is shuffled.
//! Pixels outside the picture are zeros: rows are read from a row of zeros instead, columns are left out.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::conv2d::switches::Switches;
use crate::gemm::load_vector;
use crate::simd::{Isa, Simd, multiversion};

use super::transforms::{OfGradient, OfInput, PATCH, TILE, Transform};

/// The tiles of pictures: each picture in rows and columns of tiles, one picture after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The tiles that cover a picture of `height x width` outputs.
    pub(crate) fn over([height, width]: [usize; 2]) -> Self {
        Self { rows: height.div_ceil(TILE), columns: width.div_ceil(TILE) }
    }

    /// Tiles in a picture.
    pub(crate) fn tiles(&self) -> usize {
        self.rows * self.columns
    }

    /// The picture of a tile, and its row and column there.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> [usize; 3] {
        let (picture, place) = (tile / self.tiles(), tile % self.tiles());
        [picture, place / self.columns, place % self.columns]
    }
}

/// Pictures whose patches are read: one for each tile of a grid, the first with its corner at `-padding`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patches {
    pub(crate) grid: Grid,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) padding: [usize; 2],
}

/// Floats that stand for a row of a patch outside the picture.
pub(crate) fn zeros_len(channels: usize) -> usize {
    PATCH * channels
}

/// 36 matrices with a row for each tile of a block, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrices {
    /// From a row to the next.
    pub(crate) row: usize,
    /// From a matrix to the next.
    pub(crate) position: usize,
}

impl Matrices {
    /// Room for `tiles` rows of `columns`, padded to whole vectors. An odd number of cache lines lies between the
    /// matrices: at a multiple of 4 KiB all 36 lines that a tile writes would fall into one set of the L1 cache.
    pub(crate) fn new(tiles: usize, columns: usize, lanes: usize) -> Self {
        let row = columns.next_multiple_of(lanes);
        Self { row, position: (tiles * row).next_multiple_of(32) + 16 }
    }

    /// Floats of all 36.
    pub(crate) fn len(&self) -> usize {
        PATCH * PATCH * self.position
    }
}

/// Patches to be transformed.
pub(crate) struct Scatter<'a> {
    pub(crate) patches: &'a Patches,
    /// All pictures.
    pub(crate) pictures: &'a [f32],
    /// Where the pictures are the gradient of maxima: to which pixels it goes.
    pub(crate) switches: Option<&'a Switches>,
    /// [`zeros_len`] zeros.
    pub(crate) zeros: &'a [f32],
    pub(crate) tiles: Range<usize>,
    /// The matrices' rows for these tiles; the padding of a row is written too.
    pub(crate) to: *mut f32,
    pub(crate) matrices: Matrices,
}

/// Transforms the 6x6 patches of an input: `B^T d B`.
///
/// # Safety
/// The pictures have all the tiles; the matrices have room for them, and no other thread uses these rows.
pub(crate) unsafe fn scatter_input(isa: Isa, job: &Scatter) {
    input(isa, job);
}

/// Transforms the 4x4 tiles of an output's gradient: `A dY A^T`.
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
            match job.switches {
                None => scatter::<S, OfInput, PATCH>(simd, job),
                Some(switches) => scatter_pooled::<S, OfInput, PATCH>(simd, job, switches),
            }
        }
    }
}

multiversion! {
    fn gradient[simd: S](job: &Scatter) {
        // SAFETY: what `scatter_gradient` was promised.
        unsafe {
            match job.switches {
                None => scatter::<S, OfGradient, TILE>(simd, job),
                Some(switches) => scatter_pooled::<S, OfGradient, TILE>(simd, job, switches),
            }
        }
    }
}

/// # Safety
/// As [`scatter_input`].
#[inline(always)]
unsafe fn scatter<S: Simd, T: Transform<SIDE, PATCH>, const SIDE: usize>(simd: S, job: &Scatter) {
    let Patches { grid, size: [height, width], channels, padding } = *job.patches;
    assert!(job.zeros.len() >= SIDE * channels);
    let zero = simd.splat(0.0);
    for (index, tile) in job.tiles.clone().enumerate() {
        let [picture, y, x] = grid.place(tile);
        let top = (y * TILE) as isize - padding[0] as isize;
        let left = (x * TILE) as isize - padding[1] as isize;
        let inside = (-left).max(0)..width as isize - left;
        let mut rows = [job.zeros.as_ptr(); SIDE];
        for (i, row) in rows.iter_mut().enumerate() {
            let at = top + i as isize;
            if at >= 0 && at < height as isize {
                let pixel = (picture * height * width) as isize + at * width as isize + left;
                *row = job.pictures.as_ptr().wrapping_offset(pixel * channels as isize);
            }
        }
        for channel in (0..channels).step_by(S::LANES) {
            let count = (channels - channel).min(S::LANES);
            let mut half = [[MaybeUninit::uninit(); SIDE]; PATCH];
            for j in 0..SIDE {
                let mut column = [zero; SIDE];
                if inside.contains(&(j as isize)) {
                    for i in 0..SIDE {
                        let at = rows[i].wrapping_add(j * channels + channel);
                        // SAFETY: row `top + i` and column `left + j` are inside the picture, or it is the row of zeros.
                        column[i] = unsafe { load_vector(simd, at, count) };
                    }
                }
                let column = T::apply(simd, column);
                for p in 0..PATCH {
                    half[p][j].write(column[p]);
                }
            }
            // SAFETY: all of the half is written; the rest is the caller's promise.
            unsafe { store_products::<S, T, SIDE>(simd, job, &half, index, channel) };
        }
    }
}

/// As [`scatter`] where the pictures are the gradient of maxima: a pixel is its window's value, if it held the maximum.
///
/// # Safety
/// As [`scatter_input`].
#[inline(always)]
unsafe fn scatter_pooled<S: Simd, T: Transform<SIDE, PATCH>, const SIDE: usize>(
    simd: S,
    job: &Scatter,
    switches: &Switches,
) {
    let Patches { grid, size: [height, width], channels, padding } = *job.patches;
    let place = switches.place();
    let [rows, columns] = place.windows;
    let zero = simd.splat(0.0);
    for (index, tile) in job.tiles.clone().enumerate() {
        let [picture, y, x] = grid.place(tile);
        let top = (y * TILE) as isize - padding[0] as isize;
        let left = (x * TILE) as isize - padding[1] as isize;
        // The address of each pixel's value and mask: outside the picture a zero, and any mask.
        let mut values_at = [[job.zeros.as_ptr(); SIDE]; SIDE];
        let mut masks_at = [[switches.masks(); SIDE]; SIDE];
        for i in 0..SIDE {
            let row = top + i as isize;
            if row < 0 || row >= height as isize {
                continue;
            }
            let row = row as usize;
            let first = (picture * rows + row / 2) * columns;
            for j in 0..SIDE {
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
            let mut half = [[MaybeUninit::uninit(); SIDE]; PATCH];
            for j in 0..SIDE {
                let mut values = [zero; SIDE];
                for i in 0..SIDE {
                    let (at, mask) =
                        (values_at[j][i].wrapping_add(channel), masks_at[j][i].wrapping_add(channel / S::LANES * 4));
                    // SAFETY: a pixel inside the picture has its window among the maxima and the masks; the zeros are as
                    // long as all channels.
                    values[i] = unsafe { simd.keep(*mask, load_vector(simd, at, count)) };
                }
                let values = T::apply(simd, values);
                for p in 0..PATCH {
                    half[p][j].write(values[p]);
                }
            }
            // SAFETY: as in `scatter`.
            unsafe { store_products::<S, T, SIDE>(simd, job, &half, index, channel) };
        }
    }
}

/// The transform along the rows of what is transformed along the columns, into the matrices.
///
/// # Safety
/// All of `half` is written; a row of the matrices has whole vectors, and there is room for all the tiles.
#[inline(always)]
unsafe fn store_products<S: Simd, T: Transform<SIDE, PATCH>, const SIDE: usize>(
    simd: S,
    job: &Scatter,
    half: &[[MaybeUninit<S::Vector>; SIDE]; PATCH],
    index: usize,
    channel: usize,
) {
    for p in 0..PATCH {
        let mut row = [simd.splat(0.0); SIDE];
        for j in 0..SIDE {
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
