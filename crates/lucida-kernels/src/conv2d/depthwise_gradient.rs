//! The gradient of a depthwise kernel: `dK[i, j, f] = sum over pixels of X[s y + d i - p, s x + d j - q, c] dY[y, x, f]`.
//!
//! A tile is a few taps by a few vectors of channels, whose sums stay in registers while it iterates over all pixels of a
//! band. Here the band is copied with zero padding: otherwise each tap would have a different range of pixels to iterate
//! over.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{MAX_ROWS, Panel, Region, load_row, panels_of, store_row};
use crate::ops;
use crate::simd::{Simd, Tile, multiversion};

use super::Conv2dShape;
use super::band::{Items, Window};
use super::depthwise::repeat_channels;
use super::switches::Source;

/// Vectors of channels per tile: with two there are enough registers for the nine taps of a 3x3 kernel.
const WIDTH: usize = 2;

/// The prepared kernel gradient.
#[derive(Debug)]
pub(crate) struct DepthwiseGradient {
    window: Window,
    filters: usize,
    /// Filters per channel.
    multiplier: usize,
    items: Items,
    panels: Vec<Panel>,
    /// For each tap: offset of its first float in a patch.
    offsets: Vec<usize>,
    parts: usize,
    /// The sums of each part. A part takes some of the bands; parts are added in order, regardless of the thread that
    /// computed them.
    partial: Buffer,
}

impl DepthwiseGradient {
    /// `window` is over the shape's input.
    pub(crate) fn new(cpu: Cpu, shape: &Conv2dShape, window: Window, batch: usize) -> Self {
        let (filters, multiplier) = (shape.filters, shape.group_filters());
        let items = Items::new(&window, batch, cpu.threads());
        let parts = cpu.threads().min(batch * items.bands);
        let partial = if parts > 1 { Buffer::zeroed(parts * shape.kernel_len()) } else { Buffer::default() };
        let panels = panels_of(cpu.isa(), filters, WIDTH.min(cpu.isa().max_tile_width()));
        let offsets = window.segments().iter().map(|segment| segment.offset * multiplier).collect();
        Self { window, filters, multiplier, items, panels, offsets, parts, partial }
    }

    /// Floats of a copied band.
    fn band_len(&self) -> usize {
        let copied = self.window.needs_border() || self.multiplier > 1;
        if copied { self.window.band_len(self.items.rows).next_multiple_of(16) } else { 0 }
    }

    /// Scratch floats per thread.
    pub(crate) fn scratch_len(&self) -> usize {
        self.band_len() * if self.multiplier > 1 { 1 + self.multiplier } else { 1 }
    }

    pub(crate) fn run(
        &mut self,
        cpu: Cpu,
        batch: usize,
        input: &[f32],
        grad_output: &[f32],
        grad_kernel: &mut [f32],
        workspace: &mut [f32],
    ) {
        let scratch_len = workspace.len() / cpu.threads();
        let workspace = SharedMut::new(workspace);
        let units = batch * self.items.bands;
        let parts = self.parts.min(units);
        let mut partial = std::mem::take(&mut self.partial);
        let part = |worker: usize, units: Range<usize>, out: *mut f32| {
            // SAFETY: each worker has its own part of the workspace.
            let scratch = unsafe { workspace.slice(worker * scratch_len..(worker + 1) * scratch_len) };
            self.add_up(cpu, input, grad_output, units, out, scratch);
        };
        if parts > 1 {
            let (len, sums) = (grad_kernel.len(), SharedMut::new(&mut partial));
            cpu.parallel_for(parts, |worker, index| {
                part(worker, part_range(units, parts, index), sums.at(index * len));
            });
            ops::sum_parts(cpu, &partial[..parts * len], grad_kernel);
        } else {
            part(0, 0..units, grad_kernel.as_mut_ptr());
        }
        self.partial = partial;
    }

    /// Adds up the sums over some bands of images.
    fn add_up(
        &self,
        cpu: Cpu,
        input: &[f32],
        grad_output: &[f32],
        units: Range<usize>,
        out: *mut f32,
        scratch: &mut [f32],
    ) {
        let Self { window, filters, multiplier, items, .. } = self;
        let row_len = window.output[1] * filters;
        let (band, repeated) = scratch.split_at_mut(self.band_len());
        for unit in units.clone() {
            let (image, first) = (unit / items.bands, unit % items.bands * items.rows);
            let rows = items.rows.min(window.output[0] - first);
            let mut left = self.first_patch(input, image, first);
            if window.needs_border() {
                window.copy_band(cpu, Source::plain(input), image, first, rows, band);
                left = &band[..window.band_len(rows)];
            }
            if *multiplier > 1 {
                let len = window.band_len(rows).min(left.len());
                repeat_channels(&left[..len], *multiplier, repeated);
                left = repeated;
            }
            let job = Taps {
                region: Region {
                    rows,
                    columns: window.output[1],
                    left_row: window.strides[0] * window.row_stride() * multiplier,
                    left_column: window.strides[1] * filters,
                    right_row: row_len,
                    right_column: *filters,
                },
                left: left.as_ptr(),
                offsets: &self.offsets,
                right: grad_output[(image * window.output[0] + first) * row_len..].as_ptr(),
                filters: *filters,
                out,
                accumulate: unit > units.start,
            };
            // SAFETY: the region and the offsets were made for this window and lie within the band or the image; `out` has
            // room for the kernel and belongs to this part alone.
            unsafe { add_taps(cpu.isa(), &job, &self.panels) };
        }
    }

    /// The input, starting with the first patch of a band.
    fn first_patch<'a>(&self, input: &'a [f32], image: usize, first: usize) -> &'a [f32] {
        if self.window.needs_border() {
            return input;
        }
        &input[image * self.window.source_len() + first * self.window.strides[0] * self.window.row_stride()..]
    }
}

/// The taps of a kernel over a region of pixels.
struct Taps<'a> {
    region: Region,
    left: *const f32,
    offsets: &'a [usize],
    right: *const f32,
    filters: usize,
    out: *mut f32,
    /// Add to the sums in `out` instead of overwriting them.
    accumulate: bool,
}

/// # Safety
/// For each pixel of the region, `left` plus each offset and `right` are readable over the filters, and `out` is writable
/// for all taps and not accessed by other threads.
unsafe fn add_taps(isa: crate::Isa, job: &Taps, panels: &[Panel]) {
    run(isa, job, panels);
}

multiversion! {
    fn run[simd: S](job: &Taps, panels: &[Panel]) {
        for &panel in panels {
            let tile_rows = S::tile_rows(panel.width);
            for (index, offsets) in job.offsets.chunks(tile_rows).enumerate() {
                let mut padded = [offsets[offsets.len() - 1]; MAX_ROWS];
                padded[..offsets.len()].copy_from_slice(offsets);
                let out = job.out.wrapping_add(index * tile_rows * job.filters + panel.start);
                let tile = TapsByChannels { job, offsets: &padded, valid: offsets.len(), out, panel };
                // SAFETY: guaranteed by the caller of `add_taps`.
                unsafe { simd.tile(panel.width, tile) };
            }
        }
    }
}

/// A few taps, in the channels of one panel.
struct TapsByChannels<'a> {
    job: &'a Taps<'a>,
    offsets: &'a [usize; MAX_ROWS],
    valid: usize,
    out: *mut f32,
    panel: Panel,
}

impl<S: Simd> Tile<S> for TapsByChannels<'_> {
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S) {
        // SAFETY: the caller's promise.
        unsafe {
            let tail = self.panel.tail;
            let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
            if self.job.accumulate {
                for r in 0..ROWS {
                    if r < self.valid {
                        sums[r] = load_row(simd, self.out.add(r * self.job.filters), tail);
                    }
                }
            }
            match tail == S::LANES {
                true => self.walk::<S, ROWS, WIDTH, true>(simd, &mut sums),
                false => self.walk::<S, ROWS, WIDTH, false>(simd, &mut sums),
            }
            for r in 0..ROWS {
                if r < self.valid {
                    store_row(simd, self.out.add(r * self.job.filters), tail, sums[r]);
                }
            }
        }
    }
}

impl TapsByChannels<'_> {
    #[inline(always)]
    unsafe fn walk<S: Simd, const ROWS: usize, const WIDTH: usize, const WHOLE: bool>(
        &self,
        simd: S,
        sums: &mut [[S::Vector; WIDTH]; ROWS],
    ) {
        let Taps { region, left, right, .. } = *self.job;
        let tail = if WHOLE { S::LANES } else { self.panel.tail };
        for row in 0..region.rows {
            // SAFETY: within the region, as the caller promises.
            unsafe {
                let base = left.add(row * region.left_row + self.panel.start);
                let mut lefts = [base; ROWS];
                for r in 0..ROWS {
                    lefts[r] = base.add(self.offsets[r]);
                }
                let mut at = 0;
                let mut right = right.add(row * region.right_row + self.panel.start);
                for _ in 0..region.columns {
                    let gradient: [S::Vector; WIDTH] = load_row(simd, right, tail);
                    for r in 0..ROWS {
                        let values: [S::Vector; WIDTH] = load_row(simd, lefts[r].add(at), tail);
                        for w in 0..WIDTH {
                            sums[r][w] = simd.mul_add(values[w], gradient[w], sums[r][w]);
                        }
                    }
                    at += region.left_column;
                    // After the last column, this may lie outside of what `right` points into.
                    right = right.wrapping_add(region.right_column);
                }
            }
        }
    }
}
