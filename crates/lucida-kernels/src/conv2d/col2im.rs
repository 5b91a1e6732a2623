//! The input gradient for an input with few channels: one product per pixel of the output gradient, scattered to the input.
//!
//! As a correlation (see [`super::pass`]) this pass has as many columns as the input has channels: with the three of an
//! image, 13 of a vector's 16 lanes are idle. Here the columns are all pairs of a tap and a channel, and the contributions
//! of a pixel to the input pixels under the kernel are added afterwards: "col2im" (Chellapilla, Puri and Simard, "High
//! Performance Convolutional Neural Networks for Document Processing", 2006).
//!
//! ```text
//!   gradient          K, packed             P                            gradient of the input
//!   pixel x filter    filter x (tap, c)     pixel x (tap, c)
//!   +---------+       +-----------+         +-----------+    tap (i, j)  +------------------+
//!   | ->      |   x   | |         |    =    | p         |   --------->   | += at (y s + i - p, x s + j - q)
//!   +---------+       +-----------+         +-----------+                +------------------+
//!                     27 of 32 lanes         a few rows, in L2
//! ```
//!
//! The input gradient of VGG's first layer at 512x512 pixels, on 2 cores of an EPYC (Zen 4): 9 ms, of which reading the
//! gradient from memory takes 3, against 13.8 with Winograd.

use std::ops::Range;

use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Left, PackedMatrix, Right, Strided, strided};
use crate::ops::activate;
use crate::simd::multiversion;

use super::Conv2dShape;
use super::band::Window;
use super::pass::ConvEpilogue;
use super::switches::Source;

/// Floats of products computed at a time: 64 KiB.
const GROUP_FLOATS: usize = 1 << 14;
/// Items per thread.
const ITEMS_PER_THREAD: usize = 4;
/// Minimum rows per item, as a multiple of the kernel height: the products at the boundary between two items are computed
/// twice.
const LEAST_ROWS: usize = 4;

/// A prepared col2im pass.
#[derive(Debug)]
pub(crate) struct Col2ImPass {
    shape: Conv2dShape,
    /// The pixels of the output gradient.
    window: Window,
    /// The kernel: filters by (row, column, channel).
    matrix: PackedMatrix,
    /// Floats between the products of consecutive pixels.
    step: usize,
    /// Rows of the gradient whose products are computed at a time.
    group: usize,
}

impl Col2ImPass {
    /// `pooled` if the gradient is that of pooled maxima.
    pub(crate) fn new(cpu: Cpu, shape: &Conv2dShape, pooled: bool) -> Self {
        let [height, width] = shape.output;
        let window = Window {
            source: [height, width, shape.filters],
            strides: [1, 1],
            taps: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding: [0, 0],
            output: [height, width],
            pooled,
        };
        let columns = shape.kernel[0] * shape.kernel[1] * shape.channels;
        let step = columns.next_multiple_of(cpu.isa().lanes());
        let row = width * if pooled { step.max(shape.filters) } else { step };
        Self {
            shape: *shape,
            window,
            matrix: PackedMatrix::new(cpu.isa(), shape.filters, columns),
            step,
            group: (GROUP_FLOATS / row).clamp(1, height),
        }
    }

    /// Floats of the products of a group of rows.
    fn products_len(&self) -> usize {
        (self.group * self.shape.output[1] * self.step).next_multiple_of(16)
    }

    /// Scratch floats per thread.
    pub(crate) fn scratch_len(&self) -> usize {
        self.products_len() + if self.window.pooled { self.window.band_len(self.group) } else { 0 }
    }

    pub(crate) fn set_kernel(&mut self, cpu: Cpu, kernel: &[f32]) {
        self.matrix.pack(cpu, kernel, |filter| filter, self.shape.filters);
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
        let Conv2dShape { height, width, channels, .. } = self.shape;
        let scratch_len = workspace.len() / cpu.threads();
        let workspace = SharedMut::new(workspace);
        let target = SharedMut::new(target);
        let most = (height / (LEAST_ROWS * self.shape.kernel[0])).max(1);
        let bands = (ITEMS_PER_THREAD * cpu.threads()).div_ceil(batch).min(most);
        cpu.parallel_for(batch * bands, |worker, item| {
            let (image, rows) = (item / bands, part_range(height, bands, item % bands));
            // SAFETY: each worker has its own part of the workspace.
            let scratch = unsafe { workspace.slice(worker * scratch_len..(worker + 1) * scratch_len) };
            let row = width * channels;
            let own = (image * height + rows.start) * row..(image * height + rows.end) * row;
            // SAFETY: the target has all images, as the callers have checked; items have different rows of them.
            let to = unsafe { target.slice(own.clone()) };
            match finish.bias {
                _ if finish.accumulate => {}
                Some(bias) => to.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(bias)),
                None => to.fill(0.0),
            }
            self.band(cpu, source, image, rows, to, scratch);
            if let Some(activation) = finish.activation {
                activate(cpu.isa(), activation, to);
            }
            if let Some(gate) = finish.gate {
                to.iter_mut().zip(&gate[own]).filter(|(_, open)| **open <= 0.0).for_each(|(value, _)| *value = 0.0);
            }
        });
    }

    /// The rows of the output gradient that contribute to these rows of the input.
    fn reaching(&self, rows: &Range<usize>) -> Range<usize> {
        let Conv2dShape { kernel: [taps, _], strides: [stride, _], dilation: [dilation, _], .. } = self.shape;
        let Conv2dShape { padding: [padding, _], output, .. } = self.shape;
        let first = (rows.start + padding).saturating_sub((taps - 1) * dilation).div_ceil(stride);
        first..((rows.end - 1 + padding) / stride + 1).min(output[0])
    }

    /// Adds all contributions to the rows `rows` of an image.
    fn band(&self, cpu: Cpu, source: Source, image: usize, rows: Range<usize>, to: &mut [f32], scratch: &mut [f32]) {
        let [height, width] = self.shape.output;
        let (products, copy) = scratch.split_at_mut(self.products_len());
        let reaching = self.reaching(&rows);
        for first in reaching.clone().step_by(self.group) {
            let count = self.group.min(reaching.end - first);
            let start = if self.window.pooled {
                self.window.copy_band(cpu, source, image, first, count, copy);
                copy.as_ptr()
            } else {
                source.values[(image * height + first) * width * self.shape.filters..].as_ptr()
            };
            let job = Strided {
                left: Left::Rows { start, step: self.shape.filters },
                right: Right::Packed(&self.matrix, 0),
                rows: count * width,
                depth: self.shape.filters,
                out: products.as_mut_ptr(),
                out_step: self.step,
                accumulate: false,
            };
            // SAFETY: the source or its copy has that many rows of pixels, and the products have room for them.
            unsafe { strided(cpu.isa(), &job, 0..self.matrix.panels.len()) };
            let job = Scattered { shape: &self.shape, products, step: self.step, first, count, rows: rows.clone() };
            add_products(cpu.isa(), &job, to);
        }
    }
}

/// Products of rows of the gradient.
struct Scattered<'a> {
    shape: &'a Conv2dShape,
    products: &'a [f32],
    step: usize,
    /// Rows of the gradient.
    first: usize,
    count: usize,
    /// Rows of the input to which contributions are added; others are skipped.
    rows: Range<usize>,
}

multiversion! {
    fn add_products[simd: S](job: &Scattered, to: &mut [f32]) {
        match job.shape.channels {
            1 => add_rows::<1>(job, to),
            3 => add_rows::<3>(job, to),
            _ => add_rows::<0>(job, to),
        }
    }
}

/// `CHANNELS`: number of channels known at compile time, or 0.
#[inline(always)]
fn add_rows<const CHANNELS: usize>(job: &Scattered, to: &mut [f32]) {
    let Conv2dShape { width, kernel: [taps_y, taps_x], strides, dilation, padding, output, .. } = *job.shape;
    let channels = if CHANNELS > 0 { CHANNELS } else { job.shape.channels };
    for (index, products) in job.products.chunks_exact(output[1] * job.step).take(job.count).enumerate() {
        for i in 0..taps_y {
            let y = ((job.first + index) * strides[0] + i * dilation[0]).wrapping_sub(padding[0]);
            if !job.rows.contains(&y) {
                continue;
            }
            let row = &mut to[(y - job.rows.start) * width * channels..][..width * channels];
            for j in 0..taps_x {
                // The columns `first..end` of the gradient contribute to columns of the input through this tap.
                let column = j * dilation[1];
                let first = padding[1].saturating_sub(column).div_ceil(strides[1]);
                let end = ((width + padding[1]).saturating_sub(column).div_ceil(strides[1])).min(output[1]);
                if first >= end {
                    continue;
                }
                let pixels = end - first;
                let from = &products[first * job.step + (i * taps_x + j) * channels..];
                let to = &mut row[(first * strides[1] + column - padding[1]) * channels..];
                let (step, stride) = (job.step, strides[1] * channels);
                assert!(from.len() >= (pixels - 1) * step + channels && to.len() >= (pixels - 1) * stride + channels);
                for x in 0..pixels {
                    for c in 0..channels {
                        // SAFETY: checked above. Iterators would not be inlined into code for other instruction sets.
                        unsafe { *to.get_unchecked_mut(x * stride + c) += from.get_unchecked(x * step + c) };
                    }
                }
            }
        }
    }
}
