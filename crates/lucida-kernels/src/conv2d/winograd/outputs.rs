//! From the matrices of sums to the pixels of the result.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::conv2d::switches::Sink;
use crate::gemm::{load_vector, store_vector};
use crate::ops::{Pointwise, activate};
use crate::simd::{Isa, Simd, multiversion};

use super::grid::{Grid, TileHeight};
use super::tiles::Matrices;
use super::transforms::{PATCH, PATCH_SIX, TILE, TILE_SIX, ToOutput, Transform};

/// Number of floats in a cache line.
const LINE: usize = 16;

/// A job: sums of products to be transformed to outputs.
pub(crate) struct Gather<'a> {
    pub(crate) grid: Grid,
    pub(crate) size: [usize; 2],
    pub(crate) filters: usize,
    pub(crate) tiles: Range<usize>,
    /// Pointer to the matrices' rows for these tiles.
    pub(crate) from: *const f32,
    pub(crate) matrices: Matrices,
    /// Pointer to the output of all images.
    pub(crate) images: *mut f32,
    /// Add to the output instead of overwriting it.
    pub(crate) accumulate: bool,
    pub(crate) scale: Option<&'a [f32]>,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) relu: bool,
    /// As long as the images: added to the pixels of a tile after all of them are written.
    pub(crate) residual: Option<&'a [f32]>,
    /// The activation applied after that.
    pub(crate) activation: Option<Pointwise>,
    /// Max pooling: only the maxima of 2x2 windows are written.
    pub(crate) pool: Option<&'a Sink<'a>>,
    /// As long as the images: outputs are set to zero where this is not positive.
    pub(crate) gate: Option<&'a [f32]>,
}

/// Transforms sums to outputs: `A^T m A`, then scale, bias, residual and activation.
///
/// # Safety
/// The images and the matrices contain all the tiles, and no other thread accesses the pixels of these.
pub(crate) unsafe fn gather_output(isa: Isa, job: &Gather) {
    output(isa, job);
}

multiversion! {
    fn output[simd: S](job: &Gather) {
        // SAFETY: guaranteed by the caller of `gather_output`.
        unsafe {
            match job.grid.height {
                TileHeight::Four => gather::<S, PATCH, TILE>(simd, job),
                TileHeight::Six => gather::<S, PATCH_SIX, TILE_SIX>(simd, job),
            }
        }
    }
}

/// Transforms `TALL x PATCH` positions to tiles of `HIGH x TILE` pixels.
///
/// # Safety
/// As [`gather_output`].
#[inline(always)]
unsafe fn gather<S: Simd, const TALL: usize, const HIGH: usize>(simd: S, job: &Gather)
where
    ToOutput: Transform<TALL, HIGH>,
{
    for (index, tile) in job.tiles.clone().enumerate() {
        let output = OutputTile::new(job, tile, HIGH);
        if job.pool.is_none() {
            prefetch_pixels(simd, job, tile + 1);
        }
        for filter in (0..job.filters).step_by(S::LANES) {
            let channels = Channels::new(simd, job, filter);
            // SAFETY: the caller's promise; all of the half is written.
            unsafe {
                let half = transform_columns::<S, TALL, HIGH>(simd, job, index, filter);
                let sums = TileSums { tile: &output, channels: &channels, half: &half };
                match job.pool {
                    Some(sink) => sums.store_maxima(simd, job, sink),
                    None => sums.store_pixels(simd, job),
                }
            }
        }
        if job.residual.is_some() || job.activation.is_some() {
            // SAFETY: the caller's promise; the rows of the tile are written.
            unsafe { output.finish(simd, job) };
        }
    }
}

/// The part of the result covered by a tile.
struct OutputTile {
    image: usize,
    /// The first pixel.
    y: usize,
    x: usize,
    /// Number of pixels inside the image.
    rows: usize,
    columns: usize,
}

impl OutputTile {
    #[inline(always)]
    fn new(job: &Gather, tile: usize, high: usize) -> Self {
        let [image, y, x] = job.grid.place(tile);
        let [height, width] = job.size;
        Self { image, y, x, rows: (height - y).min(high), columns: (width - x).min(TILE) }
    }
}

impl OutputTile {
    /// Applies residual and activation to all values of the tile, which are still in the cache. Inside the loop over the
    /// pixels they would slow down passes without them.
    ///
    /// # Safety
    /// As [`gather_output`].
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, simd: S, job: &Gather) {
        let [height, width] = job.size;
        for i in 0..self.rows {
            let at = ((self.image * height + self.y + i) * width + self.x) * job.filters;
            let len = self.columns * job.filters;
            // SAFETY: the caller's promise.
            let row = unsafe { std::slice::from_raw_parts_mut(job.images.add(at), len) };
            if let Some(residual) = job.residual {
                for (value, residual) in row.iter_mut().zip(&residual[at..at + len]) {
                    *value += residual;
                }
            }
            if let Some(activation) = job.activation {
                activate(simd.isa(), activation, row);
            }
        }
    }
}

/// A vector of filters, with its scale and bias.
struct Channels<S: Simd> {
    /// The first filter.
    filter: usize,
    count: usize,
    scale: Option<S::Vector>,
    bias: S::Vector,
}

impl<S: Simd> Channels<S> {
    #[inline(always)]
    fn new(simd: S, job: &Gather, filter: usize) -> Self {
        let count = (job.filters - filter).min(S::LANES);
        let zero = simd.splat(0.0);
        // SAFETY: the bias has a float for each filter.
        let bias = job.bias.map_or(zero, |bias| unsafe { simd.load_partial(bias[filter..].as_ptr(), count) });
        // SAFETY: the scale has a float for each filter.
        let scale = job.scale.map(|scale| unsafe { simd.load_partial(scale[filter..].as_ptr(), count) });
        Self { filter, count, scale, bias }
    }

    /// `scale * value + bias`.
    #[inline(always)]
    fn affine(&self, simd: S, value: S::Vector) -> S::Vector {
        let value = match self.scale {
            Some(scale) => simd.mul(value, scale),
            None => value,
        };
        simd.add(value, self.bias)
    }
}

/// Applies the transform along the columns to the sums of tile `index`; initializes all of the result.
///
/// # Safety
/// As [`gather_output`].
#[inline(always)]
unsafe fn transform_columns<S: Simd, const TALL: usize, const HIGH: usize>(
    simd: S,
    job: &Gather,
    index: usize,
    filter: usize,
) -> [[MaybeUninit<S::Vector>; PATCH]; HIGH]
where
    ToOutput: Transform<TALL, HIGH>,
{
    let mut half = [[MaybeUninit::<S::Vector>::uninit(); PATCH]; HIGH];
    for q in 0..PATCH {
        let mut column = [simd.splat(0.0); TALL];
        for p in 0..TALL {
            let at = (p * PATCH + q) * job.matrices.position + index * job.matrices.row + filter;
            // SAFETY: a row has whole vectors, and its matrix has room for all the tiles.
            column[p] = unsafe { simd.load(job.from.add(at)) };
        }
        let column = <ToOutput as Transform<TALL, HIGH>>::apply(simd, column);
        for i in 0..HIGH {
            half[i][q].write(column[i]);
        }
    }
    half
}

/// The sums of a tile for a vector of filters, transformed along the columns.
struct TileSums<'a, S: Simd, const HIGH: usize> {
    tile: &'a OutputTile,
    channels: &'a Channels<S>,
    half: &'a [[MaybeUninit<S::Vector>; PATCH]; HIGH],
}

impl<S: Simd, const HIGH: usize> TileSums<'_, S, HIGH> {
    /// Writes the maxima of the tile's 2x2 windows.
    ///
    /// # Safety
    /// As [`gather_output`]; all of `half` is initialized.
    #[inline(always)]
    unsafe fn store_maxima(&self, simd: S, job: &Gather, sink: &Sink) {
        let Self { tile, channels, half } = *self;
        let [window_rows, window_columns] = sink.place.windows;
        for i in (0..tile.rows).step_by(2) {
            // SAFETY: the caller's promise.
            let (above, below) = unsafe { (transform_row(simd, &half[i]), transform_row(simd, &half[i + 1])) };
            for j in (0..tile.columns).step_by(2) {
                let window = (tile.image * window_rows + (tile.y + i) / 2) * window_columns + (tile.x + j) / 2;
                let mut values = [above[j], above[j + 1], below[j], below[j + 1]];
                for k in 0..4 {
                    values[k] = channels.affine(simd, values[k]);
                }
                // SAFETY: the images have even sizes, so that all windows are inside.
                unsafe { sink.put(simd, values, job.relu, (window, channels.filter), job.images) };
            }
        }
    }

    /// Writes the tile's pixels.
    ///
    /// # Safety
    /// As [`gather_output`]; all of `half` is initialized.
    #[inline(always)]
    unsafe fn store_pixels(&self, simd: S, job: &Gather) {
        let Self { tile, channels, half } = *self;
        let (count, zero, [height, width]) = (channels.count, simd.splat(0.0), job.size);
        let corner = ((tile.image * height + tile.y) * width + tile.x) * job.filters;
        for i in 0..HIGH {
            if i >= tile.rows {
                break;
            }
            // SAFETY: the caller's promise.
            let row = unsafe { transform_row(simd, &half[i]) };
            for j in 0..TILE {
                if j >= tile.columns {
                    break;
                }
                let pixel = corner + (i * width + j) * job.filters + channels.filter;
                let at = job.images.wrapping_add(pixel);
                let mut value = channels.affine(simd, row[j]);
                // SAFETY: pixel (i, j) of this tile is inside the image, and the pixel is this job's.
                unsafe {
                    if job.accumulate {
                        value = simd.add(value, simd.load_partial(at, count));
                    }
                    if job.relu {
                        value = simd.max(zero, value);
                    }
                    if let Some(gate) = job.gate {
                        let open = load_vector(simd, gate.as_ptr().wrapping_add(pixel), count);
                        value = simd.select_gt(open, zero, value, zero);
                    }
                    store_vector(simd, at, count, value);
                }
            }
        }
    }
}

/// Applies the transform along a row to values already transformed along the columns.
///
/// # Safety
/// All of `half` is initialized.
#[inline(always)]
unsafe fn transform_row<S: Simd>(simd: S, half: &[MaybeUninit<S::Vector>; PATCH]) -> [S::Vector; TILE] {
    let mut row = [simd.splat(0.0); PATCH];
    for q in 0..PATCH {
        // SAFETY: the caller's promise.
        row[q] = unsafe { half[q].assume_init() };
    }
    <ToOutput as Transform<PATCH, TILE>>::apply(simd, row)
}

/// Prefetches the lines that a tile will write. Without that, half of the time here is spent waiting for them: 506 ns per
/// tile of 48 filters instead of 315 (MNIST's second convolution at batch 256). Prefetching the patches that are read gains
/// nothing: they are contiguous rows, which the hardware prefetcher detects.
#[inline(always)]
fn prefetch_pixels<S: Simd>(simd: S, job: &Gather, tile: usize) {
    let [image, y, x] = job.grid.place(tile);
    let [height, width] = job.size;
    let corner = ((image * height + y) * width + x) * job.filters;
    let row = (width - x).min(TILE) * job.filters;
    for i in 0..(height - y).min(job.grid.height.outputs()) {
        let start = job.images.wrapping_add(corner + i * width * job.filters);
        for at in (0..row).step_by(LINE) {
            simd.prefetch(start.wrapping_add(at));
        }
    }
}
