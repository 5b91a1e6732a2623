//! The tiles that cover pictures, and how high they are.
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

use std::ops::Range;

use super::transforms::{PATCH, TAPS, TILE, TILE_SIX};

/// How much of the products a tile of 6x4 outputs must save, in hundredths, to be worth the digits that it loses.
const WORTH: usize = 3;

/// Outputs of a tile; all tiles are 4 wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Height {
    Four,
    Six,
}

impl Height {
    /// The one with which a convolution of pictures of `input` pixels takes fewer products. What comes out does not matter:
    /// with or without a maximum at its end, which may drop a row, it computes the same to the bit.
    pub(crate) fn choose(input: [usize; 2]) -> Self {
        let [four, six] = [Self::Four, Self::Six].map(|height| Grid::of(height, input).products());
        if 100 * six <= (100 - WORTH) * four { Self::Six } else { Self::Four }
    }

    /// Both.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::Four, Self::Six];

    /// Rows of outputs.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Self::Four => TILE,
            Self::Six => TILE_SIX,
        }
    }

    /// Positions of a patch, and products for each tile.
    pub(crate) fn positions(self) -> usize {
        (self.outputs() + TAPS - 1) * PATCH
    }
}

/// The tiles of pictures: each picture in rows and columns of tiles, one picture after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) height: Height,
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The tiles of this height that cover a picture of `height x width` outputs.
    pub(crate) fn of(tile: Height, [height, width]: [usize; 2]) -> Self {
        Self { height: tile, rows: height.div_ceil(tile.outputs()), columns: width.div_ceil(TILE) }
    }

    /// Tiles in a picture.
    pub(crate) fn tiles(&self) -> usize {
        self.rows * self.columns
    }

    /// Products of each pair of channels in a picture.
    pub(crate) fn products(&self) -> usize {
        self.tiles() * self.height.positions()
    }

    /// The picture of a tile, and the row and column of its first output there.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> [usize; 3] {
        let (picture, place) = (tile / self.tiles(), tile % self.tiles());
        [picture, place / self.columns * self.height.outputs(), place % self.columns * TILE]
    }

    /// The tiles that lie side by side: the place of the first and how many.
    pub(super) fn runs(self, tiles: Range<usize>) -> impl Iterator<Item = ([usize; 3], usize)> {
        let mut next = tiles.start;
        std::iter::from_fn(move || {
            let first = next;
            let end = (first / self.columns + 1) * self.columns;
            next = end.min(tiles.end);
            (first < next).then(|| (self.place(first), next - first))
        })
    }

    /// The outputs of a tile in pictures of this size, counted over all pictures.
    #[inline(always)]
    pub(super) fn pixels(self, tile: usize, [height, width]: [usize; 2]) -> impl Iterator<Item = usize> {
        let [picture, top, left] = self.place(tile);
        let (bottom, right) = ((top + self.height.outputs()).min(height), (left + TILE).min(width));
        (top..bottom).flat_map(move |y| (left..right).map(move |x| (picture * height + y) * width + x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_height_with_fewer_products() {
        for (size, height) in [
            ([512, 512], Height::Six),
            ([72, 72], Height::Six),
            ([35, 35], Height::Six),
            ([17, 17], Height::Six),
            ([6, 4], Height::Six),
            ([16, 16], Height::Four),
            ([14, 14], Height::Four),
            ([7, 7], Height::Four),
            ([4, 4], Height::Four),
        ] {
            assert_eq!(Height::choose(size), height, "{size:?}");
        }
    }

    #[test]
    fn every_output_has_a_tile() {
        for height in Height::ALL {
            let grid = Grid::of(height, [13, 9]);
            let mut seen = vec![0; 2 * 13 * 9];
            for tile in 0..2 * grid.tiles() {
                grid.pixels(tile, [13, 9]).for_each(|pixel| seen[pixel] += 1);
            }
            assert!(seen.iter().all(|&times| times == 1));
        }
    }

    #[test]
    fn runs_are_the_tiles_in_order() {
        let grid = Grid::of(Height::Six, [13, 9]);
        for tiles in [0..0, 0..1, 2..3, 1..8, 3..18, 8..18] {
            let found: Vec<_> = grid
                .runs(tiles.clone())
                .flat_map(|([picture, y, x], count)| (0..count).map(move |at| [picture, y, x + at * TILE]))
                .collect();
            assert_eq!(found, tiles.map(|tile| grid.place(tile)).collect::<Vec<_>>());
        }
    }
}
