//! A correlation with Winograd: the forward pass or the input gradient.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::conv2d::Conv2dShape;
use crate::conv2d::pass::ConvEpilogue;
use crate::conv2d::switches::Source;
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Left, PackedMatrix, Prefetcher, Right, Strided, strided_ahead};

use super::blocks::{Blocks, Sharing};
use super::grid::{Grid, TileMix};
use super::kernels::{KernelLayout, pack_kernel};
use super::outputs::{Gather, gather_output};
use super::prefetch::Pixels;
use super::product_timer::ProductTimer;
use super::tiles::{Matrices, Patches, Scatter, scatter_input, zeros_len};
use super::transforms::TAPS;

/// Number of channel pairs of a kernel (transformed: 9 MB) above which the threads work on the same block.
const LARGE_KERNEL: usize = 256 * 256;

/// A prepared correlation with a 3x3 kernel, for the tiles of one grid.
#[derive(Debug)]
pub(crate) struct WinogradPass {
    patches: Patches,
    /// Height and width of the result.
    output: [usize; 2],
    layout: KernelLayout,
    /// The transformed kernel: one row per position and channel.
    matrix: PackedMatrix,
    blocks: Blocks,
    /// Layouts of the transformed patches, and of the sums.
    left: Matrices,
    sums: Matrices,
    zeros: Buffer,
    pub(crate) watch: ProductTimer,
}

impl WinogradPass {
    /// The forward pass: one per grid of tiles, each of which writes different pixels.
    pub(crate) fn forward(cpu: Cpu, shape: &Conv2dShape, batch: usize) -> Vec<Self> {
        let layout = KernelLayout::forward(shape.channels, shape.filters);
        let of = |grid: Grid| {
            let blocks = Blocks::new(grid, batch, layout.rows, layout.columns, LARGE_KERNEL);
            let size = [shape.height, shape.width];
            let patches = Patches { grid, size, channels: layout.rows, padding: shape.padding };
            Self::new(cpu, patches, shape.output, layout, blocks)
        };
        TileMix::choose(shape).grids(shape.output).into_iter().map(of).collect()
    }

    /// The input gradient: the correlation of the output gradient with the kernel rotated by 180 degrees, with a padding of
    /// two minus the forward padding. One pass per grid of tiles.
    pub(crate) fn backward(cpu: Cpu, shape: &Conv2dShape, batch: usize) -> Vec<Self> {
        let layout = KernelLayout::backward(shape.channels, shape.filters);
        let size = [shape.height, shape.width];
        let of = |grid: Grid| {
            let blocks = Blocks::new(grid, batch, layout.rows, layout.columns, LARGE_KERNEL);
            let padding = shape.padding.map(|padding| TAPS - 1 - padding);
            let patches = Patches { grid, size: shape.output, channels: layout.rows, padding };
            Self::new(cpu, patches, size, layout, blocks)
        };
        TileMix::choose(shape).grids(size).into_iter().map(of).collect()
    }

    /// A pass from patches of images with `layout.rows` channels to images of size `output` with `layout.columns` channels.
    pub(crate) fn new(cpu: Cpu, patches: Patches, output: [usize; 2], layout: KernelLayout, blocks: Blocks) -> Self {
        let lanes = cpu.isa().lanes();
        let (channels, columns) = (layout.rows, layout.columns.next_multiple_of(lanes));
        let height = patches.grid.height;
        let left = Matrices::new(height, blocks.tiles, channels, lanes);
        let sums = Matrices::new(height, blocks.tiles, columns, lanes);
        Self {
            patches,
            output,
            layout,
            matrix: PackedMatrix::new(cpu.isa(), height.positions() * channels, columns),
            blocks,
            left,
            sums,
            zeros: Buffer::zeroed(zeros_len(channels)),
            watch: ProductTimer::default(),
        }
    }

    /// Scratch floats for all threads together.
    pub(crate) fn workspace_len(&self, cpu: Cpu) -> usize {
        self.blocks.at_once(cpu) * (self.left.len() + self.sums.len())
    }

    pub(crate) fn set_kernel(&mut self, cpu: Cpu, kernel: &[f32]) {
        pack_kernel(cpu, kernel, self.patches.grid.height, &self.layout, &mut self.matrix);
    }

    pub(crate) fn run(
        &self,
        cpu: Cpu,
        batch: usize,
        source: Source,
        target: &mut [f32],
        finish: ConvEpilogue,
        workspace: &mut [f32],
    ) {
        let total = self.patches.grid.tiles() * batch;
        self.watch.count(self.blocks.positions * total * self.layout.rows * self.sums.row);
        let call = Call {
            pass: self,
            cpu,
            source,
            target: SharedMut::new(target),
            finish,
            workspace: SharedMut::new(&mut workspace[..self.workspace_len(cpu)]),
        };
        let panels = self.matrix.panels.len();
        let size = self.blocks.balanced(cpu, total);
        match self.blocks.sharing {
            Sharing::Blocks => {
                cpu.parallel_for(total.div_ceil(size), |worker, index| {
                    let block = |index: usize| (index * size).min(total)..((index + 1) * size).min(total);
                    let tiles = block(index);
                    call.scatter(worker, tiles.clone(), 0);
                    // A guess: usually the threads take blocks in turn.
                    let mut ahead = call.prefetch(tiles.clone(), block(index + cpu.threads()));
                    self.watch.time(|| {
                        for position in 0..self.blocks.positions {
                            call.multiply(worker, position, tiles.len(), 0..panels, &mut ahead);
                        }
                    });
                    call.gather(worker, tiles, 0);
                });
            }
            Sharing::Stages => {
                for first in (0..total).step_by(size) {
                    let count = size.min(total - first);
                    let parts = self.blocks.tile_parts(cpu, count);
                    cpu.parallel_for(parts, |_, part| {
                        let rows = part_range(count, parts, part);
                        call.scatter(0, first + rows.start..first + rows.end, rows.start);
                    });
                    let slices = self.blocks.position_parts(cpu, panels);
                    cpu.parallel_for(self.blocks.positions * slices, |_, item| {
                        let panels = part_range(panels, slices, item % slices);
                        self.watch.time(|| call.multiply(0, item / slices, count, panels, &mut Prefetcher::nothing()));
                    });
                    cpu.parallel_for(parts, |_, part| {
                        let rows = part_range(count, parts, part);
                        call.gather(0, first + rows.start..first + rows.end, rows.start);
                    });
                }
            }
        }
    }
}

/// One run of a pass.
struct Call<'a> {
    pass: &'a WinogradPass,
    cpu: Cpu,
    source: Source<'a>,
    target: SharedMut<'a>,
    finish: ConvEpilogue<'a>,
    workspace: SharedMut<'a>,
}

impl Call<'_> {
    /// Pointers to the matrices of transformed patches and of sums in slot `slot` of the workspace.
    fn slot(&self, slot: usize) -> (*mut f32, *mut f32) {
        let (left, sums) = (self.pass.left.len(), self.pass.sums.len());
        let at = slot * (left + sums);
        (self.workspace.at(at), self.workspace.at(at + left))
    }

    /// Transforms the patches of `tiles` into the rows from `row` on.
    fn scatter(&self, slot: usize, tiles: Range<usize>, row: usize) {
        let matrices = self.pass.left;
        let job = Scatter {
            patches: &self.pass.patches,
            images: self.source.values,
            switches: self.source.switches,
            zeros: &self.pass.zeros,
            tiles,
            to: self.slot(slot).0.wrapping_add(row * matrices.row),
            matrices,
        };
        // SAFETY: `Conv2d` has checked the length of the source for the batch that the tiles are counted from; each slot,
        // or each range of its rows, is used by one thread at a time.
        unsafe { scatter_input(self.cpu.isa(), &job) };
    }

    /// The pixels that the sums of `tiles` will be written to, and those that the patches of the tiles `next` read.
    fn prefetch(&self, tiles: Range<usize>, next: Range<usize>) -> Prefetcher {
        let source = self.pass.patches.pixels(self.source, TAPS - 1);
        let target = Pixels {
            grid: self.pass.patches.grid,
            images: self.target.at(0),
            size: self.pass.output,
            channels: self.pass.layout.columns,
            pooled: self.finish.pool.is_some(),
            padding: [0, 0],
            overlap: 0,
        };
        let mut ahead = Prefetcher::nothing();
        source.prefetch(&mut ahead, next);
        target.prefetch(&mut ahead, tiles);
        ahead.spread_over(self.pass.blocks.positions);
        ahead
    }

    /// Multiplies the first `count` rows of one position with the columns of `panels`.
    fn multiply(&self, slot: usize, position: usize, count: usize, panels: Range<usize>, ahead: &mut Prefetcher) {
        let (left, sums) = self.slot(slot);
        let WinogradPass { left: left_matrices, sums: sums_matrices, layout, matrix, .. } = self.pass;
        let job = Strided {
            left: Left::Rows { start: left.wrapping_add(position * left_matrices.position), step: left_matrices.row },
            right: Right::Packed(matrix, position * layout.rows),
            rows: count,
            depth: layout.rows,
            out: sums.wrapping_add(position * sums_matrices.position),
            out_step: sums_matrices.row,
            accumulate: false,
        };
        // SAFETY: the matrices have `count` rows; the sums of a position and panel are used by one thread at a time.
        unsafe { strided_ahead(self.cpu.isa(), &job, panels, ahead) };
    }

    /// Transforms the sums in the rows from `row` on to the pixels of `tiles`.
    fn gather(&self, slot: usize, tiles: Range<usize>, row: usize) {
        let matrices = self.pass.sums;
        let (grid, size) = (self.pass.patches.grid, self.pass.output);
        let relu = self.finish.relu() && self.finish.residual.is_none();
        let job = Gather {
            grid,
            size,
            filters: self.pass.layout.columns,
            tiles: tiles.clone(),
            from: self.slot(slot).1.wrapping_add(row * matrices.row).cast_const(),
            matrices,
            images: self.target.at(0),
            accumulate: self.finish.accumulate,
            scale: self.finish.scale,
            bias: self.finish.bias,
            relu,
            residual: self.finish.residual,
            activation: self.finish.activation.filter(|_| !relu),
            pool: self.finish.pool,
            gate: self.finish.gate,
        };
        // SAFETY: `Conv2d` has checked the length of the target for the batch that the tiles are counted from; tiles do
        // not overlap, and each is one thread's.
        unsafe { gather_output(self.cpu.isa(), &job) };
        if let Some(added) = self.finish.added {
            let pixels = tiles.flat_map(|tile| grid.pixels(tile, size));
            // SAFETY: the features are as long as the target; the pixels are those of the tiles.
            unsafe { added.map.run_pixels(&added.to(&self.target), pixels) };
        }
    }
}
