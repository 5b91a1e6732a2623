//! How many tiles are worked on at a time, and how the threads share them.
//!
//! ```text
//!   Blocks                                       Stages
//!
//!   thread 0: [tiles 0-47 ] T G T [96-143 ] ...  [ tiles 0-191                 ] [ tiles 192-383 ...
//!   thread 1: [tiles 48-95] T G T [144-191] ...   T: tiles | G: positions | T: tiles
//!             matrices in its own L2              (T transform, G products) matrices in the shared cache
//! ```
//!
//! Speed forward with tiles of 4x4 on 2 cores of a Xeon (Sapphire Rapids) with 2 MB of L2 each, as a multiple of the direct
//! algorithm's in the same run. Blocks of 48 tiles of 64 to 128 channels take 0.9 to 1.8 MB there.
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
//! On 2 cores of an EPYC (Zen 4) with 1 MB of L2 each, tiles of 6x4, milliseconds of all passes of a step of style transfer
//! at 512x512, the best of 13 in turn:
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

/// Floats of both sides of a block that one thread works through: 1 MB, which is an L2 cache.
const BLOCK_FLOATS: usize = 1 << 18;
/// The least tiles of such a block: fewer would read the kernel too often. A multiple of the rows of most tiles of the
/// micro-kernels.
const LEAST_TILES: usize = 24;
/// The most rows of its matrices: 48 tiles with 36 positions or 36 with 48.
const BLOCK_ROWS: usize = 36 * 48;
/// Floats of both sides of a block that all threads work on: 20 MB, for a shared cache of 32 MB.
const STAGE_FLOATS: usize = 5 << 20;
/// Bounds for the tiles of such a block.
const STAGE_TILES: [usize; 2] = [64, 256];
/// Parts for each thread in a stage, so that one that is late does not hold up the others for long.
const PARTS_PER_THREAD: usize = 4;

/// How the threads share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each thread takes whole blocks through all the stages, in matrices of its own that stay in its L2 cache.
    Blocks,
    /// All threads work on the same block, one stage after the other: first each transforms some of the tiles, then
    /// each multiplies some of the positions, so that a large kernel is read once for a block and not once for each
    /// thread.
    Stages,
}

/// The plan of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) sharing: Sharing,
    /// Positions of a patch.
    pub(crate) positions: usize,
    /// The most tiles of a block.
    pub(crate) tiles: usize,
}

impl Blocks {
    /// For the tiles of up to `batch` images, from `channels` to `filters`. With a kernel of more than `large` pairs of
    /// them the threads work on the same block.
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

    /// Blocks that are worked on at the same time.
    pub(crate) fn at_once(&self, cpu: Cpu) -> usize {
        match self.sharing {
            Sharing::Blocks => cpu.threads(),
            Sharing::Stages => 1,
        }
    }

    /// The size of the blocks for `total` tiles: nearly equal, and as many for each of those that work at a time.
    pub(crate) fn balanced(&self, cpu: Cpu, total: usize) -> usize {
        let count = total.div_ceil(self.tiles).next_multiple_of(self.at_once(cpu));
        total.div_ceil(count).max(1)
    }

    /// Parts of a block of `count` tiles in the stages of transforms.
    pub(crate) fn tile_parts(&self, cpu: Cpu, count: usize) -> usize {
        (PARTS_PER_THREAD * cpu.threads()).min(count)
    }

    /// Parts of each position in the stage of products, at most `most`: one where there are positions enough.
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
