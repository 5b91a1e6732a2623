//! What is prefetched during the products of a block: the patches of the next block, and the pixels that the block's own
//! sums will be written to.
//!
//! Passes of a style-transfer step at 512x512 (VGG19) on two cores of an EPYC (Zen 4), in milliseconds, without and with
//! prefetching:
//!
//! ```text
//!                          64 to 64 channels    the same back,         64 to 128          128 to 64
//!                          at 512, maxima       and a Gram matrix's    at 256             at 256, back
//!   patches to matrices    10.1     4.6          5.3     4.0           2.5     1.4        4.9     2.5
//!   products               19.9    20.6         19.6    20.2          10.1    10.4        9.8    10.8
//!   sums to pixels          3.9     2.5         21.0    15.4           3.6     1.8        1.8     0.8
//! ```
//!
//! With 256 or more channels, where the matrices of a block are several times the L2 cache, prefetching neither helps nor
//! hurts.

use std::ops::Range;

use crate::conv2d::switches::Source;
use crate::gemm::Prefetcher;

use super::grid::Grid;
use super::tiles::Patches;
use super::transforms::TILE;

/// The pixels of tiles in images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pixels {
    pub(crate) grid: Grid,
    /// Pointer to all images, of `size` pixels and `channels`.
    pub(crate) images: *const f32,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    /// Whether each stored value stands for 2x2 pixels, so that images are half the size.
    pub(crate) pooled: bool,
    /// How far above and to the left of a tile its pixels start.
    pub(crate) padding: [usize; 2],
    /// How much larger than the tile its pixels are in height and width.
    pub(crate) overlap: usize,
}

impl Pixels {
    /// Requests the pixels under `tiles` that lie inside their images.
    pub(crate) fn prefetch(&self, ahead: &mut Prefetcher, tiles: Range<usize>) {
        let Self { grid, size: [height, width], overlap, .. } = *self;
        for ([image, y, x], count) in grid.runs(tiles) {
            let rows = self.inside(y, self.padding[0], grid.height.outputs() + overlap, height);
            let columns = self.inside(x, self.padding[1], count * TILE + overlap, width);
            for row in rows {
                let pixel = (image * self.whole(height) + row) * self.whole(width) + columns.start;
                ahead.prefetch(self.images.wrapping_add(pixel * self.channels), columns.len() * self.channels);
            }
        }
    }

    /// The range of `len` pixels from `start - padding` on, clipped to `size`.
    fn inside(&self, start: usize, padding: usize, len: usize, size: usize) -> Range<usize> {
        let (first, last) = (start.saturating_sub(padding), (start + len).saturating_sub(padding).min(size));
        if self.pooled { first / 2..last.div_ceil(2) } else { first..last }
    }

    fn whole(&self, size: usize) -> usize {
        if self.pooled { size / 2 } else { size }
    }
}

impl Patches {
    /// The pixels of `source`; `overlap` as in [`Pixels`].
    pub(crate) fn pixels(&self, source: Source, overlap: usize) -> Pixels {
        let Self { grid, size, channels, padding } = *self;
        let (images, pooled) = (source.values.as_ptr(), source.switches.is_some());
        Pixels { grid, images, size, channels, pooled, padding, overlap }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::TileHeight;
    use super::*;

    /// For each pixel of `images` images, whether it is requested for `tiles`.
    fn asked(pixels: Pixels, tiles: Range<usize>, images: usize) -> Vec<bool> {
        let mut ahead = Prefetcher::nothing();
        pixels.prefetch(&mut ahead, tiles);
        ahead.spread_over(1);
        let mut seen = vec![false; images * pixels.whole(pixels.size[0]) * pixels.whole(pixels.size[1])];
        while let Some(line) = ahead.next() {
            // A pixel is one cache line.
            seen[(line as usize - pixels.images as usize) / 64] = true;
        }
        seen
    }

    #[test]
    fn the_pixels_that_tiles_read_and_no_others() {
        let size = [13, 10];
        let grid = Grid::of(TileHeight::Six, size);
        let images = [0.0; 1].as_ptr();
        for (padding, overlap) in [([1, 1], 2), ([0, 2], 2), ([0, 0], 0)] {
            let pixels = Pixels { grid, images, size, channels: 16, pooled: false, padding, overlap };
            for tiles in [0..1, 2..3, 4..5, 1..2, 9..11, 0..18] {
                let mut expected = vec![false; 2 * 130];
                for ([image, y, x], count) in grid.runs(tiles.clone()) {
                    for (i, j) in (0..6 + overlap).flat_map(|i| (0..4 * count + overlap).map(move |j| (i, j))) {
                        let (row, column) = ((y + i).wrapping_sub(padding[0]), (x + j).wrapping_sub(padding[1]));
                        if row < 13 && column < 10 {
                            expected[(image * 13 + row) * 10 + column] = true;
                        }
                    }
                }
                assert_eq!(asked(pixels, tiles.clone(), 2), expected, "{tiles:?}, {padding:?}");
            }
        }
    }

    #[test]
    fn maxima_under_tiles() {
        let size = [12, 8];
        let grid = Grid::of(TileHeight::Six, size);
        let images = [0.0; 1].as_ptr();
        let pixels = Pixels { grid, images, size, channels: 16, pooled: true, padding: [1, 1], overlap: 2 };
        // Rows -1 to 6 and columns 3 to 8 of the second tile: maxima 0 to 3 of 6, and 1 to 3 of 4.
        let expected: Vec<bool> = (0..24).map(|at| at / 4 <= 3 && at % 4 >= 1).collect();
        assert_eq!(asked(pixels, 1..2, 1), expected);
    }
}
