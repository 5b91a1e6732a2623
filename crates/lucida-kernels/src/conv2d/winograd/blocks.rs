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
//! A block of 48 tiles of 64 to 128 channels takes 0.9 to 1.8 MB; 24 tiles were as fast where the kernel stays in L2 as
//! well, and slower where it does not (128 channels and more: 7 to 20 %), for it is then read once for each block. From
//! 256 channels on both ways forward are equally fast, and at 512 channels stages are 1.4 to 1.8 times as fast.

use crate::cpu::Cpu;

use super::transforms::PATCH;

/// Tiles of a block that one thread works through: a multiple of the rows of most tiles of the micro-kernels.
const BLOCK: usize = 48;
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
    /// The most tiles of a block.
    pub(crate) tiles: usize,
}

impl Blocks {
    /// For up to `total` tiles, from `channels` to `filters`. With a transformed kernel of more than `large` floats the
    /// threads work on the same block.
    pub(crate) fn new(total: usize, channels: usize, filters: usize, large: usize) -> Self {
        let positions = PATCH * PATCH;
        let (sharing, most) = if positions * channels * filters > large {
            let [least, most] = STAGE_TILES;
            (Sharing::Stages, (STAGE_FLOATS / (positions * (channels + filters))).clamp(least, most))
        } else {
            (Sharing::Blocks, BLOCK)
        };
        Self { sharing, tiles: total.min(most) }
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
        (PARTS_PER_THREAD * cpu.threads()).div_ceil(PATCH * PATCH).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_and_every_thread_has_one() {
        for threads in [1, 2, 3, 8] {
            let cpu = Cpu::detect().with_threads(threads);
            for large in [0, usize::MAX] {
                for capacity in [1, 4, 47, 48, 49, 1000] {
                    let blocks = Blocks::new(capacity, 24, 48, large);
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
