//! The products of all rows of a work item with the panels.

use crate::simd::{Isa, multiversion};

use super::epilogue::Epilogue;
use super::panels::PackedMatrix;
use super::tile::{MAX_ROWS, RowsByPanel, Segment};

/// Maximum depth of a block: 512 rows of the widest panel are 128 KiB, half of a small L2 cache.
const BLOCK_DEPTH: usize = 512;

/// A block of the depth: segments of a row, and the row of the panels where the block starts.
#[derive(Debug)]
pub(crate) struct KBlock {
    pub(crate) segments: Vec<Segment>,
    pub(crate) start: usize,
}

/// Splits the segments of a row into blocks of at most [`BLOCK_DEPTH`]. There is always at least one block, possibly empty,
/// because bias and ReLU are applied with the last one.
pub(crate) fn depth_blocks(segments: &[Segment]) -> Vec<KBlock> {
    let mut blocks = vec![KBlock { segments: Vec::new(), start: 0 }];
    let mut room = BLOCK_DEPTH;
    let mut at = 0;
    for segment in segments {
        let (mut offset, mut len) = (segment.offset, segment.len);
        while len > 0 {
            if room == 0 {
                blocks.push(KBlock { segments: Vec::new(), start: at });
                room = BLOCK_DEPTH;
            }
            let taken = len.min(room);
            blocks.last_mut().expect("at least one block").segments.push(Segment { offset, len: taken });
            offset += taken;
            len -= taken;
            room -= taken;
            at += taken;
        }
    }
    blocks
}

/// Where a row is read and where its sums are written, as offsets in floats from the base pointers of the [`GemmJob`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileAddr {
    pub(crate) source: usize,
    pub(crate) target: usize,
}

/// A matrix product: the rows at `sites` times the packed matrix.
pub(crate) struct GemmJob<'a> {
    pub(crate) sites: &'a [TileAddr],
    pub(crate) source: *const f32,
    pub(crate) target: *mut f32,
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) blocks: &'a [KBlock],
    pub(crate) epilogue: Epilogue,
}

multiversion! {
    fn sweep_panel[simd: S](job: &GemmJob, index: usize) {
        let panel = job.matrix.panels[index];
        let tile_rows = S::tile_rows(panel.width);
        let last = job.blocks.len() - 1;
        for (number, block) in job.blocks.iter().enumerate() {
            for sites in job.sites.chunks(tile_rows) {
                let mut rows = [std::ptr::null(); MAX_ROWS];
                let mut outs = [std::ptr::null_mut(); MAX_ROWS];
                for r in 0..tile_rows {
                    let site = sites[r.min(sites.len() - 1)];
                    rows[r] = job.source.wrapping_add(site.source);
                    outs[r] = job.target.wrapping_add(site.target + panel.start);
                }
                let tile = RowsByPanel {
                    rows: &rows,
                    outs: &outs,
                    valid_rows: sites.len(),
                    segments: &block.segments,
                    panel: job.matrix.row(index, block.start),
                    tail: panel.tail,
                    accumulate: number > 0 || job.epilogue.accumulate,
                    epilogue: (number == last).then_some(&job.epilogue),
                    target: job.target,
                    column: panel.start,
                };
                // SAFETY: the caller of `sweep` guarantees that sites, segments and epilogue lie within their slices; the
                // panel has as many rows as the segments have floats.
                unsafe { simd.tile(panel.width, tile) };
            }
        }
    }
}

/// Computes the sums for the panels `panels` of the matrix.
///
/// # Safety
/// Every site's source is readable over all segments, every site's target is writable over the columns, and no other thread
/// accesses these columns of the targets; the epilogue's pointers are null or valid for the columns and targets.
pub(crate) unsafe fn sweep(isa: Isa, job: &GemmJob, panels: std::ops::Range<usize>) {
    for index in panels {
        sweep_panel(isa, job, index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_order_and_length() {
        let segments =
            [Segment { offset: 10, len: 700 }, Segment { offset: 5000, len: 3 }, Segment { offset: 0, len: 600 }];
        let blocks = depth_blocks(&segments);
        assert_eq!(blocks.iter().map(|b| b.start).collect::<Vec<_>>(), [0, 512, 1024]);
        let flat = |segments: &mut dyn Iterator<Item = Segment>| -> Vec<usize> {
            segments.flat_map(|s| s.offset..s.offset + s.len).collect()
        };
        let whole = flat(&mut segments.iter().copied());
        let cut = flat(&mut blocks.iter().flat_map(|b| b.segments.iter().copied()));
        assert_eq!(whole, cut);
        assert_eq!(depth_blocks(&[]).len(), 1);
    }
}
