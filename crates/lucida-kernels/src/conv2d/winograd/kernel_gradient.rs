//! The kernel gradient with Winograd.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::conv2d::Conv2dShape;
use crate::conv2d::switches::Source;
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Left, Panel, Prefetcher, Right, Strided, panels, strided_ahead};

use super::blocks::{Blocks, Sharing};
use super::grid::{Grid, TileMix};
use super::kernels::{KernelSums, gather_kernel};
use super::product_timer::ProductTimer;
use super::tiles::{Matrices, Patches, Scatter, scatter_gradient, scatter_input, zeros_len};
use super::transforms::TAPS;

/// Number of channel pairs of a kernel (transformed: 3 MB) above which the threads work on the same block; below, each
/// thread adds to private sums, which it reads and writes once per block.
const LARGE_KERNEL: usize = 128 * 160;

/// The prepared kernel gradient, for the tiles of one grid.
#[derive(Debug)]
pub(crate) struct WinogradKernelGradient {
    input: Patches,
    gradient: Patches,
    /// The panels of the transformed output gradient.
    panels: Vec<Panel>,
    blocks: Blocks,
    /// Layouts of the transformed patches, the transformed gradient, and the sums.
    left: Matrices,
    right: Matrices,
    sums: Matrices,
    /// The sums of each part.
    partial: Buffer,
    zeros: Buffer,
    pub(crate) watch: ProductTimer,
}

impl WinogradKernelGradient {
    /// One pass per grid of tiles: the kernel gradient is the sum over all of them.
    pub(crate) fn new(cpu: Cpu, shape: &Conv2dShape, batch: usize) -> Vec<Self> {
        Self::blocks(shape, batch).map(|(grid, blocks)| Self::with_blocks(cpu, shape, grid, blocks)).collect()
    }

    fn blocks(shape: &Conv2dShape, batch: usize) -> impl Iterator<Item = (Grid, Blocks)> {
        let Conv2dShape { channels, filters, output, .. } = *shape;
        let grids = TileMix::choose(shape).grids(output).into_iter();
        grids.map(move |grid| (grid, Blocks::new(grid, batch, channels, filters, LARGE_KERNEL)))
    }

    /// Number of partial sums of all matrices that will be added up.
    pub(crate) fn parts(cpu: Cpu, shape: &Conv2dShape, batch: usize) -> usize {
        Self::blocks(shape, batch).map(|(_, blocks)| blocks.at_once(cpu)).sum()
    }

    /// As [`new`](Self::new), for the given grid of tiles over the output, and blocks.
    pub(crate) fn with_blocks(cpu: Cpu, shape: &Conv2dShape, grid: Grid, blocks: Blocks) -> Self {
        let Conv2dShape { height, width, channels, filters, padding, output, .. } = *shape;
        let lanes = cpu.isa().lanes();
        let left = Matrices::new(grid.height, blocks.tiles, channels, lanes);
        let right = Matrices::new(grid.height, blocks.tiles, filters, lanes);
        let sums = Matrices::new(grid.height, channels, filters, lanes);
        Self {
            input: Patches { grid, size: [height, width], channels, padding },
            gradient: Patches { grid, size: output, channels: filters, padding: [0, 0] },
            panels: panels(cpu.isa(), filters.next_multiple_of(lanes)),
            blocks,
            left,
            right,
            sums,
            partial: Buffer::zeroed(blocks.at_once(cpu) * sums.len()),
            zeros: Buffer::zeroed(zeros_len(channels.max(filters))),
            watch: ProductTimer::default(),
        }
    }

    /// Scratch floats for all threads together.
    pub(crate) fn workspace_len(&self, cpu: Cpu) -> usize {
        self.blocks.at_once(cpu) * (self.left.len() + self.right.len())
    }

    /// Writes the gradient, or adds it to `grad_kernel`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn run(
        &mut self,
        cpu: Cpu,
        batch: usize,
        input: &[f32],
        grad_output: Source,
        grad_kernel: &mut [f32],
        accumulate: bool,
        workspace: &mut [f32],
    ) {
        let total = self.input.grid.tiles() * batch;
        self.watch.count(self.blocks.positions * total * self.input.channels * self.sums.row);
        let mut partial = std::mem::take(&mut self.partial);
        let call = Call {
            pass: self,
            cpu,
            input,
            grad_output,
            workspace: SharedMut::new(&mut workspace[..self.workspace_len(cpu)]),
            partial: SharedMut::new(&mut partial),
        };
        let parts = match self.blocks.sharing {
            Sharing::Blocks => call.share_blocks(total),
            Sharing::Stages => call.share_stages(total),
        };
        let (channels, filters) = (self.input.channels, self.gradient.channels);
        let height = self.input.grid.height;
        let sums = KernelSums { sums: &partial, parts, height, matrices: self.sums, channels, filters, accumulate };
        gather_kernel(cpu, &sums, grad_kernel);
        self.partial = partial;
    }
}

/// One run of the pass.
struct Call<'a> {
    pass: &'a WinogradKernelGradient,
    cpu: Cpu,
    input: &'a [f32],
    grad_output: Source<'a>,
    workspace: SharedMut<'a>,
    partial: SharedMut<'a>,
}

impl Call<'_> {
    /// Sums the products of all `total` tiles, with a share of the tiles per thread; returns the number of parts.
    fn share_blocks(&self, total: usize) -> usize {
        let Blocks { tiles, positions, .. } = self.pass.blocks;
        let parts = self.cpu.threads().min(total);
        self.cpu.parallel_for(parts, |_, part| {
            let own = part_range(total, parts, part);
            for first in own.clone().step_by(tiles) {
                let next = (first + tiles).min(own.end);
                self.scatter(part, first..next, 0);
                let mut ahead = self.prefetch(next..(next + tiles).min(own.end));
                self.pass.watch.time(|| {
                    for position in 0..positions {
                        let channels = 0..self.pass.input.channels;
                        self.multiply(part, position, next - first, channels, first > own.start, &mut ahead);
                    }
                });
            }
        });
        parts
    }

    /// Sums the products of all `total` tiles, block by block, each transformed and then multiplied by all threads
    /// together; returns the number of parts: one.
    fn share_stages(&self, total: usize) -> usize {
        let WinogradKernelGradient { blocks, input, watch, .. } = self.pass;
        let size = blocks.balanced(self.cpu, total);
        for first in (0..total).step_by(size) {
            let count = size.min(total - first);
            let parts = blocks.tile_parts(self.cpu, count);
            self.cpu.parallel_for(parts, |_, part| {
                let rows = part_range(count, parts, part);
                self.scatter(0, first + rows.start..first + rows.end, rows.start);
            });
            let slices = blocks.position_parts(self.cpu, input.channels);
            self.cpu.parallel_for(blocks.positions * slices, |_, item| {
                let rows = part_range(input.channels, slices, item % slices);
                watch.time(|| {
                    self.multiply(0, item / slices, count, rows, first > 0, &mut Prefetcher::nothing());
                });
            });
        }
        1
    }

    /// Pointers to the matrices of transformed patches and gradients in slot `slot` of the workspace.
    fn slot(&self, slot: usize) -> (*mut f32, *mut f32) {
        let (left, right) = (self.pass.left.len(), self.pass.right.len());
        let at = slot * (left + right);
        (self.workspace.at(at), self.workspace.at(at + left))
    }

    /// Transforms input and gradient under `tiles` into the rows from `row` on.
    fn scatter(&self, slot: usize, tiles: Range<usize>, row: usize) {
        let (left, right) = self.slot(slot);
        let input = Scatter {
            patches: &self.pass.input,
            images: self.input,
            switches: None,
            zeros: &self.pass.zeros,
            tiles: tiles.clone(),
            to: left.wrapping_add(row * self.pass.left.row),
            matrices: self.pass.left,
        };
        let gradient = Scatter {
            patches: &self.pass.gradient,
            images: self.grad_output.values,
            switches: self.grad_output.switches,
            zeros: &self.pass.zeros,
            tiles,
            to: right.wrapping_add(row * self.pass.right.row),
            matrices: self.pass.right,
        };
        // SAFETY: `Conv2d` has checked the lengths for the batch that the tiles are counted from; each slot, or each range
        // of its rows, is used by one thread at a time.
        unsafe {
            scatter_input(self.cpu.isa(), &input);
            scatter_gradient(self.cpu.isa(), &gradient);
        }
    }

    /// The patches of the input and the gradient under `tiles`, which are transformed next.
    fn prefetch(&self, tiles: Range<usize>) -> Prefetcher {
        let mut ahead = Prefetcher::nothing();
        self.pass.input.pixels(Source::plain(self.input), TAPS - 1).prefetch(&mut ahead, tiles.clone());
        self.pass.gradient.pixels(self.grad_output, 0).prefetch(&mut ahead, tiles);
        ahead.spread_over(self.pass.blocks.positions);
        ahead
    }

    /// Multiplies the first `count` rows of one position, with the left side transposed, for the channels `channels`.
    fn multiply(
        &self,
        slot: usize,
        position: usize,
        count: usize,
        channels: Range<usize>,
        accumulate: bool,
        ahead: &mut Prefetcher,
    ) {
        let WinogradKernelGradient { left, right, sums, .. } = self.pass;
        let (left_at, right_at) = self.slot(slot);
        let out = slot * sums.len() + position * sums.position + channels.start * sums.row;
        let left = left_at.wrapping_add(position * left.position + channels.start);
        let job = Strided {
            left: Left::Columns { start: left, step: self.pass.left.row },
            right: Right::Rows {
                start: right_at.wrapping_add(position * right.position),
                step: right.row,
                panels: &self.pass.panels,
            },
            rows: channels.len(),
            depth: count,
            out: self.partial.at(out),
            out_step: sums.row,
            accumulate,
        };
        // SAFETY: the matrices have `count` rows of whole vectors; these rows of the sums are used by one thread at a time.
        unsafe { strided_ahead(self.cpu.isa(), &job, 0..self.pass.panels.len(), ahead) };
    }
}
