//! The grids of tiles that cover images, and the tile heights.
//!
//! ```text
//!     4   4   4                     4   4   4
//!   +---+---+---+                 +---+---+---+
//!   |   |   |   | 4               |   |   |   |
//!   +---+---+---+                 |   |   |   | 6
//!   |   |   |   | 4               +---+---+---+
//!   +---+---+---+                 |   |   |   |
//!   |   |   |   | 4               |   |   |   | 6
//!   +---+---+---+                 +---+---+---+
//!   36 products for 16 outputs    48 products for 24 outputs: a ninth less
//! ```
//!
//! Both heights in one image save most if neither divides the image's: 14 rows are 6 + 4 + 4, with 20 rows of products,
//! where four tiles of 4 or three of 6 have 24. Each height is a separate pass with its own transformed kernel. The three
//! passes of MNIST's second convolution (14x14, 24 to 48 channels, batch 256) on 2 cores of an EPYC (Zen 1, AVX2) take 21.0
//! ms instead of 23.0 with tiles of 4 only.

use std::ops::Range;

use crate::conv2d::Conv2dShape;

use super::transforms::{PATCH, TAPS, TILE, TILE_SIX};

/// Minimum saving of products with 6x4 tiles, in percent, that justifies their lower precision.
const WORTH: usize = 3;
/// Minimum saving, in percent, of mixing both heights over the better single one.
const WORTH_BOTH: usize = 10;
/// Maximum number of channel pairs of a kernel for which both heights are used (its two transforms are 7 MB).
const MOST_FOR_BOTH: usize = 128 * 160;

/// Output rows of a tile; all tiles are 4 wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileHeight {
    Four,
    Six,
}

impl TileHeight {
    /// Both heights.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::Four, Self::Six];

    /// Output rows.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Self::Four => TILE,
            Self::Six => TILE_SIX,
        }
    }

    /// Positions of a patch: the number of products per tile.
    pub(crate) fn positions(self) -> usize {
        (self.outputs() + TAPS - 1) * PATCH
    }
}

/// How the rows of an image are covered: first by rows of tiles that are 6 high, then by tiles that are 4 high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileMix {
    sixes: usize,
}

impl TileMix {
    const FOURS: Self = Self { sixes: 0 };
    const SIXES: Self = Self { sixes: usize::MAX };

    /// The mix with the fewest products. It depends only on the input size, so that results are bitwise identical with and
    /// without a fused max pooling, which may drop a row.
    pub(crate) fn choose(shape: &Conv2dShape) -> Self {
        let input = [shape.height, shape.width];
        let products = |stack: &Self| stack.grids(input).iter().map(Grid::products).sum::<usize>();
        let (fours, sixes) = (products(&Self::FOURS), products(&Self::SIXES));
        let one = if 100 * sixes <= (100 - WORTH) * fours { Self::SIXES } else { Self::FOURS };
        let as_high_as_input = 2 * shape.padding[0] == TAPS - 1;
        if !as_high_as_input || shape.channels * shape.filters > MOST_FOR_BOTH {
            return one;
        }
        let both = (1..shape.height.div_ceil(TILE_SIX)).map(|sixes| Self { sixes }).min_by_key(products);
        match both {
            Some(both) if 100 * products(&both) <= (100 - WORTH_BOTH) * fours.min(sixes) => both,
            _ => one,
        }
    }

    /// The grids that together cover an image of `height x width` outputs.
    pub(crate) fn grids(self, [height, width]: [usize; 2]) -> Vec<Grid> {
        let columns = width.div_ceil(TILE);
        let sixes = self.sixes.min(height.div_ceil(TILE_SIX));
        let top = sixes * TILE_SIX;
        let fours = height.saturating_sub(top).div_ceil(TILE);
        [
            Grid { height: TileHeight::Six, top: 0, rows: sixes, columns },
            Grid { height: TileHeight::Four, top, rows: fours, columns },
        ]
        .into_iter()
        .filter(|grid| grid.rows > 0)
        .collect()
    }

    /// Name of the Winograd algorithm with these tiles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FOURS => "winograd 4x4",
            Self::SIXES => "winograd 6x4",
            _ => "winograd 6x4, 4x4",
        }
    }
}

/// The tiles of images: each image has rows and columns of tiles, and images follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) height: TileHeight,
    /// The first row of outputs under the tiles.
    top: usize,
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The tiles of this height that cover an image of `height x width` outputs.
    #[cfg(test)]
    pub(crate) fn of(tile: TileHeight, [height, width]: [usize; 2]) -> Self {
        Self { height: tile, top: 0, rows: height.div_ceil(tile.outputs()), columns: width.div_ceil(TILE) }
    }

    /// Tiles per image.
    pub(crate) fn tiles(&self) -> usize {
        self.rows * self.columns
    }

    /// Products per pair of channels and image.
    pub(crate) fn products(&self) -> usize {
        self.tiles() * self.height.positions()
    }

    /// The image of a tile, and the row and column of its first output.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> [usize; 3] {
        let (image, place) = (tile / self.tiles(), tile % self.tiles());
        [image, self.top + place / self.columns * self.height.outputs(), place % self.columns * TILE]
    }

    /// Splits the tiles into horizontal runs: the place of the first tile and their number.
    pub(super) fn runs(self, tiles: Range<usize>) -> impl Iterator<Item = ([usize; 3], usize)> {
        let mut next = tiles.start;
        std::iter::from_fn(move || {
            let first = next;
            let end = (first / self.columns + 1) * self.columns;
            next = end.min(tiles.end);
            (first < next).then(|| (self.place(first), next - first))
        })
    }

    /// The outputs of a tile in images of this size, indexed over all images.
    #[inline(always)]
    pub(super) fn pixels(self, tile: usize, [height, width]: [usize; 2]) -> impl Iterator<Item = usize> {
        let [image, top, left] = self.place(tile);
        let (bottom, right) = ((top + self.height.outputs()).min(height), (left + TILE).min(width));
        (top..bottom).flat_map(move |y| (left..right).map(move |x| (image * height + y) * width + x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::tests::{same, valid};

    #[test]
    fn the_stack_with_fewest_products() {
        for (height, channels, stack) in [
            (512, 64, TileMix::SIXES),
            (72, 64, TileMix::SIXES),
            (35, 64, TileMix::SIXES),
            (17, 64, TileMix::SIXES),
            (6, 64, TileMix::SIXES),
            (16, 64, TileMix::FOURS),
            (14, 64, TileMix { sixes: 1 }),
            (14, 512, TileMix::FOURS),
            (26, 64, TileMix { sixes: 3 }),
            (9, 64, TileMix { sixes: 1 }),
            (7, 64, TileMix::FOURS),
            (4, 64, TileMix::FOURS),
        ] {
            let shape = same(height, height, channels, channels, [3, 3], [1, 1]);
            assert_eq!(TileMix::choose(&shape), stack, "{height} rows, {channels} channels");
        }
        assert_eq!(TileMix::choose(&valid(14, 14, 8, 8, [3, 3], [1, 1])), TileMix::FOURS);
    }

    #[test]
    fn every_output_has_a_tile() {
        for size in [[13, 9], [12, 9], [5, 4], [1, 1]] {
            for stack in [TileMix::FOURS, TileMix::SIXES, TileMix { sixes: 1 }, TileMix { sixes: 2 }] {
                let mut seen = vec![0; 2 * size[0] * size[1]];
                for grid in stack.grids(size) {
                    for tile in 0..2 * grid.tiles() {
                        grid.pixels(tile, size).for_each(|pixel| seen[pixel] += 1);
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{stack:?} {size:?}");
            }
        }
    }

    #[test]
    fn runs_are_the_tiles_in_order() {
        let grid = Grid::of(TileHeight::Six, [13, 9]);
        for tiles in [0..0, 0..1, 2..3, 1..8, 3..18, 8..18] {
            let found: Vec<_> = grid
                .runs(tiles.clone())
                .flat_map(|([image, y, x], count)| (0..count).map(move |at| [image, y, x + at * TILE]))
                .collect();
            assert_eq!(found, tiles.map(|tile| grid.place(tile)).collect::<Vec<_>>());
        }
    }
}
