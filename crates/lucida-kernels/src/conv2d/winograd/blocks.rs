//! How many tiles are processed at a time, and how the threads share them.
//!
//! ```text
//!   Blocks                                       Stages
//!
//!   thread 0: [tiles 0-47 ] T G T [96-143 ] ...  [ tiles 0-191                 ] [ tiles 192-383 ...
//!   thread 1: [tiles 48-95] T G T [144-191] ...   T: tiles | G: positions | T: tiles
//!             matrices in its own L2              (T transform, G products) matrices in the shared cache
//! ```
//!
//! Forward speedup of 4x4 tiles over the direct algorithm, measured in the same run, on 2 cores of a Xeon (Sapphire Rapids)
//! with 2 MB of L2 each. Blocks of 48 tiles of 64 to 128 channels take 0.9 to 1.8 MB there.
//!
//! ```text
//!                          MNIST conv2   VGG 1_2   2_2   3_1   3_2   4_2   5_1
//!   channels               24 -> 48      64        128   256   256   512   512
//!   Blocks of 24           1.7           2.8       2.8   2.5   2.9   2.4   2.1
//!   Blocks of 48           1.7           2.7       2.9   2.7   2.9   2.3   2.6
//!   Blocks of 72           1.7           2.8       2.5   2.7   3.0   2.7   2.7
//!   Stages of 128          1.0           2.2       2.6   2.8   2.9   3.1   3.2
//!   Stages of 256          1.1           2.3       2.5   2.9   2.8   3.5   3.2
//! ```
//!
//! On 2 cores of an EPYC (Zen 4) with 1 MB of L2 each, with 6x4 tiles: milliseconds of all passes of a style-transfer step
//! at 512x512, the best of 13 alternating runs:
//!
//! ```text
//!                          VGG block 1   2     3
//!   channels                     64      128   256
//!   Blocks of 12                 74.8    80.7  185
//!   Blocks of 18                 71.8    77.7  183
//!   Blocks of 24                 71.0    75.7  177
//!   Blocks of 36                 72.7    75.4  188
//!   Blocks of 48                 74.0    76.7  191
//!   Blocks of 60                 74.6    81.6  205
//! ```

use crate::cpu::Cpu;

use super::grid::Grid;

/// Floats of the input and output matrices of a block for one thread: 1 MB, the size of an L2 cache.
const BLOCK_FLOATS: usize = 1 << 18;
/// Minimum number of tiles in such a block: with fewer, the kernel would be read too often. A multiple of the row count of
/// most micro-kernel tiles.
const LEAST_TILES: usize = 24;
/// Maximum number of rows of its matrices: 48 tiles with 36 positions or 36 tiles with 48.
const BLOCK_ROWS: usize = 36 * 48;
/// Floats of the input and output matrices of a block for all threads: 20 MB, for a shared cache of 32 MB.
const STAGE_FLOATS: usize = 5 << 20;
/// Minimum and maximum number of tiles in such a block.
const STAGE_TILES: [usize; 2] = [64, 256];
/// Parts per thread in a stage, so that a slow thread does not delay the others for long.
const PARTS_PER_THREAD: usize = 4;

/// How the threads share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each thread takes whole blocks through all stages, in private matrices that stay in its L2 cache.
    Blocks,
    /// All threads work on the same block, one stage after the other: first each transforms some of the tiles, then each
    /// multiplies some of the positions, so that a large kernel is read once per block instead of once per thread.
    Stages,
}

/// How a pass is split into blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) sharing: Sharing,
    /// Positions per patch.
    pub(crate) positions: usize,
    /// Maximum number of tiles per block.
    pub(crate) tiles: usize,
}

impl Blocks {
    /// Plans for up to `batch` images, from `channels` to `filters`. If the kernel has more than `large` pairs of channels,
    /// all threads work on the same block.
    pub(crate) fn new(grid: Grid, batch: usize, channels: usize, filters: usize, large: usize) -> Self {
        let (total, positions) = (grid.tiles() * batch, grid.height.positions());
        let (sharing, floats, [least, most]) = if channels * filters > large {
            (Sharing::Stages, STAGE_FLOATS, STAGE_TILES)
        } else {
            (Sharing::Blocks, BLOCK_FLOATS, [LEAST_TILES, BLOCK_ROWS / positions])
        };
        let fitting = (floats / (positions * (channels + filters))).clamp(least, most);
        Self { sharing, positions, tiles: total.min(fitting) }
    }

    /// Number of blocks processed concurrently.
    pub(crate) fn at_once(&self, cpu: Cpu) -> usize {
        match self.sharing {
            Sharing::Blocks => cpu.threads(),
            Sharing::Stages => 1,
        }
    }

    /// Block size for `total` tiles: blocks are nearly equal, and their number is a multiple of those processed
    /// concurrently.
    pub(crate) fn balanced(&self, cpu: Cpu, total: usize) -> usize {
        let count = total.div_ceil(self.tiles).next_multiple_of(self.at_once(cpu));
        total.div_ceil(count).max(1)
    }

    /// Number of parts of a block of `count` tiles in the transform stages.
    pub(crate) fn tile_parts(&self, cpu: Cpu, count: usize) -> usize {
        (PARTS_PER_THREAD * cpu.threads()).min(count)
    }

    /// Number of parts per position in the product stage, at most `most`: one if there are enough positions.
    pub(crate) fn position_parts(&self, cpu: Cpu, most: usize) -> usize {
        (PARTS_PER_THREAD * cpu.threads()).div_ceil(self.positions).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::TileHeight;
    use super::*;

    #[test]
    fn blocks_fit_and_every_thread_has_one() {
        for threads in [1, 2, 3, 8] {
            let cpu = Cpu::detect().with_threads(threads);
            for large in [0, usize::MAX] {
                for capacity in [1, 4, 47, 48, 49, 1000] {
                    let blocks = Blocks::new(Grid::of(TileHeight::Four, [4, 4]), capacity, 24, 48, large);
                    for total in 1..=capacity {
                        let size = blocks.balanced(cpu, total);
                        assert!((1..=blocks.tiles).contains(&size), "{size} of {total}");
                        assert!(total.div_ceil(size) >= blocks.at_once(cpu).min(total) / 2, "{size} of {total}");
                    }
                }
            }
        }
    }
}
