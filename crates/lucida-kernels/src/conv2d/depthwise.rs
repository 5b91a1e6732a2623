//! Depthwise convolution: each channel has its own filters.
//!
//! With one filter per channel, `Y[y, x, c] = sum over i, j of X[s y + d i - p, s x + d j - q, c] K[i, j, c]`: nothing is
//! summed over channels, so there is no matrix product, and the channels are the vector axis. A tile is a few pixels of a
//! row by a few vectors of channels; its sums stay in registers over all taps, and a vector of the kernel is used for all
//! pixels of the tile. Common kernel sizes have specialized tiles: see [`super::depthwise_square`].
//!
//! ```text
//!            channels               taps (i, j)           pixels x vectors of sums
//!   pixels   [v][v][v][v]    *    [k][k][k][k]    +->    [s][s][s][s]
//!            [v][v][v][v]                                [s][s][s][s]
//! ```
//!
//! Padding is not copied: the operation is memory-bound, and a copy would be a third pass over the data. Pixels whose
//! patches extend beyond the image are computed one by one with the taps inside it.
//!
//! With `m` filters per channel (a depth multiplier), filter `m c + j` is over channel `c`: the channels are first repeated
//! `m` times in scratch memory. The input gradient is a depthwise convolution as well, one per class of pixels (see
//! [`super::backward`]), whose `m` sums for a channel are added up.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::cpu::{Cpu, SharedMut, parts_of};
use crate::gemm::{Epilogue, Panel, TileTarget, load_row, panels};
use crate::ops::activate;
use crate::simd::{Isa, Simd, Tile, multiversion};

use super::Conv2dShape;
use super::backward::{BackwardClass, backward_classes};
use super::band::Window;
use super::depthwise_square::square_rows;
use super::pass::{ConvEpilogue, Target};

/// Items per thread.
const ITEMS_PER_THREAD: usize = 4;
/// Minimum multiply-adds per item: about ten microseconds.
const LEAST_WORK: usize = 1 << 18;

/// The forward pass, or the input gradient of one class of input pixels.
#[derive(Debug)]
pub(crate) struct DepthwisePass {
    window: Window,
    target: Target,
    filters: usize,
    /// Filters per channel.
    multiplier: usize,
    /// The taps of the kernel to use, for an input gradient.
    class: Option<BackwardClass>,
    /// Shape (tap, filter).
    kernel: Buffer,
    /// The range of columns whose patches lie inside the image.
    inside: Range<usize>,
    panels: Vec<Panel>,
}

impl DepthwisePass {
    /// The forward pass; `window` is over the shape's input.
    pub(crate) fn forward(cpu: Cpu, shape: &Conv2dShape, window: Window) -> Self {
        let row = shape.output[1] * shape.filters;
        let target = Target { offset: 0, row, column: shape.filters, image: shape.output_len() };
        Self::new(cpu, shape, window, target, None)
    }

    /// The passes of the input gradient.
    pub(crate) fn backward(cpu: Cpu, shape: &Conv2dShape) -> Vec<Self> {
        let classes = backward_classes(shape, false).into_iter();
        classes.map(|class| Self::new(cpu, shape, class.window, class.target, Some(class))).collect()
    }

    fn new(cpu: Cpu, shape: &Conv2dShape, window: Window, target: Target, class: Option<BackwardClass>) -> Self {
        let filters = shape.filters;
        let kernel = Buffer::zeroed(window.taps[0] * window.taps[1] * filters);
        let panels = panels(cpu.isa(), filters);
        Self {
            window,
            target,
            filters,
            multiplier: shape.group_filters(),
            class,
            kernel,
            inside: window.inside(1),
            panels,
        }
    }

    /// Sets a kernel of shape (row, column, 1, filter) with `columns` columns.
    pub(crate) fn set_kernel(&mut self, kernel: &[f32], columns: usize) {
        for (tap, own) in self.kernel.chunks_exact_mut(self.filters).enumerate() {
            let from = match &self.class {
                None => tap,
                Some(class) => {
                    let [row, column] = class.tap(tap);
                    row * columns + column
                }
            };
            own.copy_from_slice(&kernel[from * self.filters..][..self.filters]);
        }
    }

    /// Rows per item.
    fn item_rows(&self, cpu: Cpu, batch: usize) -> usize {
        let [rows, columns] = self.window.output;
        let wanted = (ITEMS_PER_THREAD * cpu.threads()).div_ceil(batch);
        let row = columns * self.kernel.len();
        rows.div_ceil(parts_of(rows, LEAST_WORK.div_ceil(row.max(1)), wanted))
    }

    /// Scratch floats per thread, for up to `batch` images.
    pub(crate) fn scratch_len(&self, cpu: Cpu, batch: usize) -> usize {
        let rows = (1..=batch).map(|batch| self.item_rows(cpu, batch)).max().unwrap_or(0);
        match &self.class {
            _ if self.multiplier == 1 => 0,
            None => self.window.rows_under(rows).min(self.window.source[0]) * self.window.source[1] * self.filters,
            Some(_) => rows * self.window.output[1] * self.filters,
        }
    }

    pub(crate) fn run(
        &self,
        cpu: Cpu,
        batch: usize,
        source: &[f32],
        target: &mut [f32],
        finish: ConvEpilogue,
        workspace: &mut [f32],
    ) {
        let total = self.window.output[0];
        if total * self.window.output[1] == 0 {
            return;
        }
        let scratch_len = workspace.len() / cpu.threads();
        let (workspace, target) = (SharedMut::new(workspace), SharedMut::new(target));
        let rows = self.item_rows(cpu, batch);
        let bands = total.div_ceil(rows);
        cpu.parallel_for(batch * bands, |worker, item| {
            let (image, band) = (item / bands, item % bands);
            // SAFETY: each worker has its own part of the workspace.
            let scratch = unsafe { workspace.slice(worker * scratch_len..(worker + 1) * scratch_len) };
            let image_len = self.window.source_len();
            let call = Call { pass: self, isa: cpu.isa(), source: &source[image * image_len..][..image_len], finish };
            let (rows, to) = (band * rows..((band + 1) * rows).min(total), image * self.target.image);
            match (&self.class, self.multiplier) {
                (_, 1) => call.direct(rows, &target, to),
                (None, _) => call.repeated(rows, &target, to, scratch),
                (Some(_), _) => call.folded(rows, &target, to, scratch),
            }
        });
    }
}

/// A pass over one image.
struct Call<'a> {
    pass: &'a DepthwisePass,
    isa: Isa,
    source: &'a [f32],
    finish: ConvEpilogue<'a>,
}

impl Call<'_> {
    /// Index in the target of the first float of row `row` of the pass's outputs.
    fn target_at(&self, image: usize, row: usize) -> usize {
        image + self.pass.target.offset + row * self.pass.target.row
    }

    /// One filter per channel: directly from the source to the target.
    fn direct(&self, rows: Range<usize>, target: &SharedMut, image: usize) {
        let Target { row, column, .. } = self.pass.target;
        let at = self.target_at(image, rows.start);
        let job = Rows {
            window: &self.pass.window,
            filters: self.pass.filters,
            source: self.source.as_ptr(),
            kernel: &self.pass.kernel,
            inside: self.pass.inside.clone(),
            rows,
            target: target.at(at),
            target_row: row,
            target_column: column,
            epilogue: self.finish.of_sums(at),
        };
        // SAFETY: the source is a whole image, the target has these rows, as the callers have checked, and items have
        // different ones; scale and bias have a float for each channel.
        unsafe { depthwise_rows(self.isa, &job, &self.pass.panels) };
    }

    /// Several filters per channel: the rows of the source under `rows` are repeated in scratch memory.
    fn repeated(&self, rows: Range<usize>, target: &SharedMut, image: usize, scratch: &mut [f32]) {
        let DepthwisePass { window, filters, multiplier, .. } = self.pass;
        let [height, width, channels] = window.source;
        let first = ((rows.start * window.strides[0]) as isize - window.padding[0]).clamp(0, height as isize) as usize;
        let count = window.rows_under(rows.len()).min(height - first);
        repeat_channels(&self.source[first * width * channels..][..count * width * channels], *multiplier, scratch);
        let at = self.target_at(image, rows.start);
        let job = Rows {
            window,
            filters: *filters,
            source: scratch.as_ptr().wrapping_sub(first * width * filters),
            kernel: &self.pass.kernel,
            inside: self.pass.inside.clone(),
            rows,
            target: target.at(at),
            target_row: self.pass.target.row,
            target_column: self.pass.target.column,
            epilogue: self.finish.of_sums(at),
        };
        // SAFETY: as for `direct`; only copied rows of the source are read.
        unsafe { depthwise_rows(self.isa, &job, &self.pass.panels) };
    }

    /// Input gradient with several filters per channel: the sums of each filter are computed in scratch memory and added
    /// up.
    fn folded(&self, rows: Range<usize>, target: &SharedMut, image: usize, scratch: &mut [f32]) {
        let DepthwisePass { window, filters, multiplier, target: place, .. } = self.pass;
        let (first, columns, channels) = (rows.start, window.output[1], filters / multiplier);
        let job = Rows {
            window,
            filters: *filters,
            source: self.source.as_ptr(),
            kernel: &self.pass.kernel,
            inside: self.pass.inside.clone(),
            rows,
            target: scratch.as_mut_ptr(),
            target_row: columns * filters,
            target_column: *filters,
            epilogue: ConvEpilogue::default().of_sums(0),
        };
        // SAFETY: the source is a whole image, the scratch memory has room for the rows.
        unsafe { depthwise_rows(self.isa, &job, &self.pass.panels) };
        for (index, sums) in scratch[..job.rows.len() * columns * filters].chunks_exact(*filters).enumerate() {
            let at = self.target_at(image, first + index / columns) + index % columns * place.column;
            // SAFETY: items have different rows of the target, and classes different pixels.
            let to = unsafe { target.slice(at..at + channels) };
            for (c, (to, sums)) in to.iter_mut().zip(sums.chunks_exact(*multiplier)).enumerate() {
                let mut value = if self.finish.accumulate { *to } else { self.finish.bias.map_or(0.0, |bias| bias[c]) };
                value += sums.iter().sum::<f32>();
                *to = if self.finish.gate.is_none_or(|gate| gate[at + c] > 0.0) { value } else { 0.0 };
            }
            if let Some(activation) = self.finish.activation {
                activate(self.isa, activation, to);
            }
        }
    }
}

/// Repeats each value `multiplier` times.
pub(crate) fn repeat_channels(values: &[f32], multiplier: usize, to: &mut [f32]) {
    for (&value, to) in values.iter().zip(to.chunks_exact_mut(multiplier)) {
        to.fill(value);
    }
}

/// Some rows of a pass over one image.
pub(super) struct Rows<'a> {
    pub(super) window: &'a Window,
    /// Channels on both sides.
    pub(super) filters: usize,
    /// Pointer to the first row of the image; rows that are not read need not exist.
    pub(super) source: *const f32,
    pub(super) kernel: &'a [f32],
    /// The range of columns whose patches lie inside the image.
    pub(super) inside: Range<usize>,
    pub(super) rows: Range<usize>,
    /// The first of the rows, and the strides between rows and between pixels.
    pub(super) target: *mut f32,
    pub(super) target_row: usize,
    pub(super) target_column: usize,
    pub(super) epilogue: Epilogue,
}

/// # Safety
/// The source is readable wherever the window's patches under the rows lie inside the image, the target is writable for all
/// pixels of the rows and not accessed by other threads; scale, bias and gate of the epilogue are null or fit the target.
unsafe fn depthwise_rows(isa: Isa, job: &Rows, panels: &[Panel]) {
    run(isa, job, panels);
}

multiversion! {
    fn run[simd: S](job: &Rows, panels: &[Panel]) {
        // SAFETY: guaranteed by the caller of `depthwise_rows`.
        if unsafe { square_rows(simd, job) } {
            return;
        }
        for row in job.rows.clone() {
            for &panel in panels {
                // SAFETY: as above.
                unsafe { simd.tile(panel.width, Row { job, row, panel }) };
            }
        }
    }
}

/// A row of pixels, in the channels of one panel.
struct Row<'a> {
    job: &'a Rows<'a>,
    row: usize,
    panel: Panel,
}

impl<S: Simd> Tile<S> for Row<'_> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.panel.tail == S::LANES {
                true => self.pixels::<S, ROWS, WIDTH, true>(simd),
                false => self.pixels::<S, ROWS, WIDTH, false>(simd),
            }
        }
    }
}

impl Row<'_> {
    /// Computes all pixels, `ROWS` at a time where all taps are inside the image.
    #[inline(always)]
    unsafe fn pixels<S: Simd, const ROWS: usize, const WIDTH: usize, const WHOLE: bool>(&self, simd: S) {
        let Range { start, end } = self.job.inside;
        let (columns, all) = (self.job.window.output[1], 0..self.job.window.taps[1]);
        let rows = self.job.window.taps_inside(0, self.row);
        // SAFETY: the caller's promise; the taps lie inside the image.
        unsafe {
            for x in 0..start {
                self.tile::<S, 1, WIDTH, WHOLE>(simd, x, rows.clone(), self.job.window.taps_inside(1, x));
            }
            let mut x = start;
            while x + ROWS <= end {
                self.tile::<S, ROWS, WIDTH, WHOLE>(simd, x, rows.clone(), all.clone());
                x += ROWS;
            }
            while x + 2 <= end {
                self.tile::<S, 2, WIDTH, WHOLE>(simd, x, rows.clone(), all.clone());
                x += 2;
            }
            for x in x..columns {
                self.tile::<S, 1, WIDTH, WHOLE>(simd, x, rows.clone(), self.job.window.taps_inside(1, x));
            }
        }
    }

    /// Computes `ROWS` pixels from column `x` on, all over the same taps.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const WIDTH: usize, const WHOLE: bool>(
        &self,
        simd: S,
        x: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) {
        let Self { job, panel, .. } = self;
        let Window { source: [_, width, _], strides, taps, dilation, padding, .. } = *job.window;
        let tail = if WHOLE { S::LANES } else { panel.tail };
        let at = (self.row - job.rows.start) * job.target_row + x * job.target_column + panel.start;
        let target = job.target.wrapping_add(at);
        let step = strides[1] * job.filters;
        let top = (self.row * strides[0]) as isize - padding[0];
        let left = (x * strides[1]) as isize - padding[1];
        // SAFETY: the caller's promise: all pixels of the tile have these taps inside the image.
        unsafe {
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            if job.epilogue.accumulate {
                for r in 0..ROWS {
                    sums[r] = load_row(simd, target.add(r * job.target_column), tail);
                }
            }
            for i in rows {
                let y = (top + (i * dilation[0]) as isize) as usize;
                for j in columns.clone() {
                    let pixel = y * width + (left + (j * dilation[1]) as isize) as usize;
                    let source = job.source.wrapping_add(pixel * job.filters + panel.start);
                    let kernel = job.kernel.as_ptr().wrapping_add((i * taps[1] + j) * job.filters + panel.start);
                    let kernel: [S::Vector; WIDTH] = load_row(simd, kernel, tail);
                    for r in 0..ROWS {
                        let values: [S::Vector; WIDTH] = load_row(simd, source.add(r * step), tail);
                        for w in 0..WIDTH {
                            sums[r][w] = simd.mul_add(values[w], kernel[w], sums[r][w]);
                        }
                    }
                }
            }
            let mut outs = [target; ROWS];
            for (r, out) in outs.iter_mut().enumerate() {
                *out = target.add(r * job.target_column);
            }
            let to = TileTarget { outs: &outs, target: job.target, column: panel.start, tail };
            job.epilogue.write(simd, sums, to);
        }
    }
}
