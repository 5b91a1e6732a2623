//! The gradient of the kernel: patches of the input, transposed, times the gradient of the output.

use std::cell::Cell;
use std::ops::Range;

use crate::buffer::Buffer;
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Lines, Panel, Region, Transposed, panels, transposed};
use crate::ops;

use super::band::{Items, Window};
use super::small_channel_gradient::{SmallChannelGradient, small_channel_gradient, small_channel_gradient_fits};
use super::switches::{Source, Switches, unpool_row};

/// Size of a kernel in floats above which its gradient is split by kernel rows instead of by images: separate sums per
/// thread would cost more memory than reading the input once per thread.
const LARGE_KERNEL: usize = 1 << 20;

/// The prepared kernel gradient.
#[derive(Debug)]
pub(crate) struct KernelGradient {
    window: Window,
    filters: usize,
    bordered: bool,
    /// Whether the output gradient is that of pooled maxima, which is unpooled to the pixels in scratch memory unless there
    /// are few channels.
    pooled: bool,
    few: bool,
    items: Items,
    panels: Vec<Panel>,
    /// For each row of the kernel as a matrix (row, column, channel): offset of its first float in a patch.
    offsets: Vec<usize>,
    split: Split,
    /// The sums of each part, if the images are split.
    partial: Buffer,
}

/// How the threads split the work. Either way the sums do not depend on which thread computes what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    /// Each part takes some of the images (or bands of them); the sums of the parts are added in order.
    Images(usize),
    /// Each part takes some of the rows of the kernel.
    Rows(usize),
}

impl KernelGradient {
    pub(crate) fn new(cpu: Cpu, window: Window, filters: usize, batch: usize, pooled: bool) -> Self {
        let items = match pooled {
            true => Items::with_rows(&window, batch, cpu.threads(), window.output[1] * filters),
            false => Items::new(&window, batch, cpu.threads()),
        };
        let offsets: Vec<usize> =
            window.segments().iter().flat_map(|segment| segment.offset..segment.offset + segment.len).collect();
        let bordered = window.needs_border();
        let large = offsets.len() * filters > LARGE_KERNEL;
        let split = if offsets.len() >= 128 * cpu.threads() && (large || !(bordered || pooled)) {
            Split::Rows(cpu.threads())
        } else {
            Split::Images(cpu.threads().min(batch * items.bands))
        };
        let partial = match split {
            Split::Images(parts) if parts > 1 => Buffer::zeroed(parts * offsets.len() * filters),
            _ => Buffer::default(),
        };
        let panels = panels(cpu.isa(), filters / window.groups);
        let (channels, step) = (window.source[2], window.strides[1] * window.source[2]);
        let few =
            pooled && window.dilation == [1, 1] && small_channel_gradient_fits(cpu.isa(), window.taps, channels, step);
        Self { window, filters, bordered, pooled, few, items, panels, offsets, split, partial }
    }

    /// Scratch floats per thread.
    pub(crate) fn scratch_len(&self) -> usize {
        self.band_len()
            + if self.pooled && !self.few { self.items.rows * self.window.output[1] * self.filters } else { 0 }
    }

    fn band_len(&self) -> usize {
        let len = if self.bordered { self.window.band_len(self.items.rows) } else { 0 };
        len.next_multiple_of(16)
    }

    pub(crate) fn run(
        &mut self,
        cpu: Cpu,
        batch: usize,
        input: &[f32],
        grad_output: Source,
        grad_kernel: &mut [f32],
        workspace: &mut [f32],
    ) {
        let scratch_len = workspace.len() / cpu.threads();
        let workspace = SharedMut::new(workspace);
        let mut partial = std::mem::take(&mut self.partial);
        let units = batch * self.items.bands;
        let part = |worker: usize, units: Range<usize>, rows: Range<usize>, out: *mut f32| {
            // SAFETY: each worker has its own part of the workspace.
            let scratch = unsafe { workspace.slice(worker * scratch_len..(worker + 1) * scratch_len) };
            Part { gradient: self, cpu, input, grad_output, offsets: &self.offsets[rows], out }.run(units, scratch);
        };
        match self.split {
            Split::Images(parts) if parts.min(units) > 1 => {
                let parts = parts.min(units);
                let sums = SharedMut::new(&mut partial);
                let len = grad_kernel.len();
                cpu.parallel_for(parts, |worker, index| {
                    part(worker, part_range(units, parts, index), 0..self.offsets.len(), sums.at(index * len));
                });
                ops::sum_parts(cpu, &partial[..parts * len], grad_kernel);
            }
            Split::Images(_) => part(0, 0..units, 0..self.offsets.len(), grad_kernel.as_mut_ptr()),
            Split::Rows(parts) => {
                let out = SharedMut::new(grad_kernel);
                cpu.parallel_for(parts, |worker, index| {
                    let rows = part_range(self.offsets.len(), parts, index);
                    let at = out.at(rows.start * self.filters);
                    part(worker, 0..units, rows, at);
                });
            }
        }
        self.partial = partial;
    }

    /// The pixels of `rows` rows of patches of one image.
    fn region(&self, rows: usize) -> Region {
        Region {
            rows,
            columns: self.window.output[1],
            left_row: self.window.strides[0] * self.window.row_stride(),
            left_column: self.window.strides[1] * self.window.source[2],
            right_row: self.window.output[1] * self.filters,
            right_column: self.filters,
        }
        .merged()
    }

    /// Whether the pixels of consecutive images are contiguous: dense layers, 1x1 convolutions.
    fn gapless(&self) -> bool {
        let region = self.region(self.window.output[0]);
        !self.bordered
            && !self.pooled
            && self.items.bands == 1
            && region.rows == 1
            && self.window.source_len() == region.columns * region.left_column
    }
}

/// The work of one thread: some rows of the kernel gradient, over some units (bands of images).
struct Part<'a> {
    gradient: &'a KernelGradient,
    cpu: Cpu,
    input: &'a [f32],
    grad_output: Source<'a>,
    offsets: &'a [usize],
    out: *mut f32,
}

impl Part<'_> {
    fn run(&self, units: Range<usize>, scratch: &mut [f32]) {
        let KernelGradient { window, filters, bordered, items, .. } = self.gradient;
        let source_len = window.source_len();
        let row_len = window.output[1] * filters;
        let target_len = window.output[0] * row_len;
        if self.gradient.gapless() {
            let region = self.gradient.region(window.output[0]);
            let region = Region { columns: region.columns * units.len(), ..region };
            let left = self.input[units.start * source_len..].as_ptr();
            let right = self.grad_output.values[units.start * target_len..].as_ptr();
            self.product(region, left, right, false);
            return;
        }
        for unit in units.clone() {
            let (image, first) = (unit / items.bands, unit % items.bands * items.rows);
            let rows = items.rows.min(window.output[0] - first);
            let (band, gradient) = scratch.split_at_mut(self.gradient.band_len());
            let left = if *bordered {
                window.copy_band(self.cpu, Source::plain(self.input), image, first, rows, band);
                band.as_ptr()
            } else {
                self.input[image * source_len + first * window.strides[0] * window.row_stride()..].as_ptr()
            };
            let right = match self.grad_output.switches {
                Some(switches) if self.gradient.few => {
                    self.few(switches, left, image, first, rows, unit > units.start);
                    continue;
                }
                Some(switches) => {
                    for (row, to) in gradient[..rows * row_len].chunks_exact_mut(row_len).enumerate() {
                        unpool_row(self.cpu, self.grad_output.values, switches, (image, first + row, 0), to);
                    }
                    gradient.as_ptr()
                }
                None => self.grad_output.values[image * target_len + first * row_len..].as_ptr(),
            };
            self.product(self.gradient.region(rows), left, right, unit > units.start);
        }
    }

    /// Sums over `rows` rows of pixels of an image from row `first` on, with the kernel for few channels.
    fn few(&self, switches: &Switches, left: *const f32, image: usize, first: usize, rows: usize, accumulate: bool) {
        let window = &self.gradient.window;
        let [height, width] = switches.place().windows;
        let job = SmallChannelGradient {
            source: left,
            step: window.strides[1] * window.source[2],
            row: window.strides[0] * window.row_stride(),
            source_row: window.row_stride(),
            channels: window.source[2],
            values: self.grad_output.values.as_ptr(),
            switches,
            first: (image * height + first / 2) * width,
            rows: rows / 2,
            out: self.out,
            accumulate,
        };
        // SAFETY: all patches lie within the band or the image; the lengths of the gradient and the switches have been
        // checked by `Conv2d`; `out` has room for the kernel and belongs to this part alone.
        unsafe { small_channel_gradient(self.cpu.isa(), &job) };
    }

    fn product(&self, region: Region, left: *const f32, right: *const f32, accumulate: bool) {
        let KernelGradient { window, panels, filters, .. } = self.gradient;
        let (channels, columns) = (window.source[2] / window.groups, filters / window.groups);
        for group in 0..window.groups {
            let job = Transposed {
                region,
                left: left.wrapping_add(group * channels),
                offsets: self.offsets,
                right: right.wrapping_add(group * columns),
                panels,
                out: self.out.wrapping_add(group * columns),
                out_row: *filters,
                accumulate,
                ahead: &Cell::new(Lines::none()),
            };
            // SAFETY: the region and the offsets were made for this window and lie within the band or the image; `out`
            // has room for the rows in `offsets` and belongs to this part alone.
            unsafe { transposed(self.cpu.isa(), &job) };
        }
    }
}
