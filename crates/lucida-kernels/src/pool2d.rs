//! Pooling over windows, forward and backward.
//!
//! The vector axis is the channel axis, which is contiguous. Windows are clipped to the image: padding never wins a maximum
//! and does not count in an average, as in TensorFlow.
//!
//! In the backward pass of max pooling, the gradient goes to the first pixel (in row-major order) of the window that holds
//! the maximum. That pixel (the "switch" of Zeiler and Fergus) is found again by comparing input and output: cheaper than
//! storing and loading an index per output.

use std::ops::Range;

use crate::cpu::{Cpu, SharedMut};
use crate::simd::{Simd, multiversion};

/// The sizes of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2dShape {
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
    /// Number of channels.
    pub channels: usize,
    /// Height and width of a window.
    pub pool: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Rows and columns of padding at the top and left.
    pub padding: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
}

impl Pool2dShape {
    /// Global pooling: one window over the whole image.
    pub fn global(height: usize, width: usize, channels: usize) -> Self {
        let pool = [height, width];
        Self { height, width, channels, pool, strides: [1, 1], padding: [0, 0], output: [1, 1] }
    }

    /// Floats of one input image.
    pub fn input_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Floats of one output image.
    pub fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    fn size(&self, axis: usize) -> usize {
        [self.height, self.width][axis]
    }

    /// The range of input positions covered by window `index` of an axis.
    #[inline(always)]
    fn window(&self, axis: usize, index: usize) -> Range<usize> {
        let start = index * self.strides[axis];
        let end = (start + self.pool[axis]).saturating_sub(self.padding[axis]).min(self.size(axis));
        start.saturating_sub(self.padding[axis]).min(end)..end
    }

    /// Whether each input pixel lies in exactly one window.
    fn tiles(&self) -> bool {
        (0..2).all(|axis| {
            self.strides[axis] == self.pool[axis]
                && self.window(axis, 0).start == 0
                && self.window(axis, self.output[axis] - 1).end == self.size(axis)
        })
    }
}

/// How the values of a window are reduced to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Maximum.
    Max,
    /// Mean.
    Average,
}

/// Computes the pooled `output` of `input`, both (batch, height, width, channel).
///
/// # Panics
/// When a length does not fit.
pub fn pool2d(cpu: Cpu, kind: Pooling, shape: &Pool2dShape, batch: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), batch * shape.input_len(), "input length");
    assert_eq!(output.len(), batch * shape.output_len(), "output length");
    let row_len = shape.output[1] * shape.channels;
    let rows = batch * shape.output[0];
    let shared = SharedMut::new(output);
    let min_rows = (1_usize << 12).div_ceil(row_len * shape.pool[0]);
    cpu.parallel_ranges(rows, min_rows, |_, range| {
        // SAFETY: the ranges of rows are disjoint.
        let own = unsafe { shared.slice(range.start * row_len..range.end * row_len) };
        forward_rows(cpu.isa(), kind, shape, input, range, own);
    });
}

multiversion! {
    fn forward_rows[simd: S](kind: Pooling, shape: &Pool2dShape, input: &[f32], rows: Range<usize>, output: &mut [f32]) {
        let channels = shape.channels;
        let row_len = shape.output[1] * channels;
        for (row, out) in rows.zip(output.chunks_exact_mut(row_len)) {
            let values = &input[row / shape.output[0] * shape.input_len()..][..shape.input_len()];
            let ys = shape.window(0, row % shape.output[0]);
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let xs = shape.window(1, x);
                let scale = simd.splat(1.0 / (ys.len() * xs.len()) as f32);
                for start in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - start);
                    let mut value = simd.splat(match kind { Pooling::Max => f32::NEG_INFINITY, Pooling::Average => 0.0 });
                    for y in ys.clone() {
                        for x in xs.clone() {
                            let at = (y * shape.width + x) * channels + start;
                            debug_assert!(at + count <= values.len());
                            // SAFETY: the window lies within the image, `start + count` within its channels.
                            let next = unsafe { load(simd, values.as_ptr().add(at), count) };
                            value = match kind {
                                Pooling::Max => simd.max(next, value),
                                Pooling::Average => simd.mul_add(next, scale, value),
                            };
                        }
                    }
                    // SAFETY: `start + count` floats are in `out`.
                    unsafe { store(simd, out.as_mut_ptr().add(start), count, value) };
                }
            }
        }
    }
}

/// Options of [`max_pool2d_backward`] and [`average_pool2d_backward`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolBackward {
    /// Add to the gradient of the input instead of overwriting it.
    pub accumulate: bool,
    /// The input is the output of a ReLU whose backward pass is fused: the gradient is dropped where the pooled output is
    /// not positive. (Max pooling only.)
    pub through_relu: bool,
}

/// Computes the gradient of the input of max pooling from that of its output.
///
/// # Panics
/// When a length does not fit.
#[allow(clippy::too_many_arguments)]
pub fn max_pool2d_backward(
    cpu: Cpu,
    shape: &Pool2dShape,
    batch: usize,
    input: &[f32],
    output: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
    options: PoolBackward,
) {
    assert_eq!(input.len(), batch * shape.input_len(), "input length");
    assert_eq!(output.len(), batch * shape.output_len(), "output length");
    backward(cpu, shape, batch, grad_output, grad_input, options.accumulate, |image, channels, grad_input, add| {
        let values = &input[image * shape.input_len()..][..shape.input_len()];
        let outputs = image * shape.output_len()..(image + 1) * shape.output_len();
        let grads = &grad_output[outputs.clone()];
        max_backward_image(
            cpu.isa(),
            shape,
            channels,
            values,
            &output[outputs],
            grads,
            grad_input,
            add,
            options.through_relu,
        );
    });
}

/// Computes the gradient of the input of average pooling from that of its output.
///
/// # Panics
/// When a length does not fit.
pub fn average_pool2d_backward(
    cpu: Cpu,
    shape: &Pool2dShape,
    batch: usize,
    grad_output: &[f32],
    grad_input: &mut [f32],
    accumulate: bool,
) {
    backward(cpu, shape, batch, grad_output, grad_input, accumulate, |image, channels, grad_input, add| {
        let grads = &grad_output[image * shape.output_len()..][..shape.output_len()];
        average_backward_image(cpu.isa(), shape, channels, grads, grad_input, add);
    });
}

/// Splits the images, and if there are few of them groups of channels, among the threads. Windows may overlap, so no two
/// threads may write to the same channel of an image. Calls `one(image, channels, grad_input, add)`, where `grad_input`
/// points to the gradient of the image.
fn backward(
    cpu: Cpu,
    shape: &Pool2dShape,
    batch: usize,
    grad_output: &[f32],
    grad_input: &mut [f32],
    accumulate: bool,
    one: impl Fn(usize, Range<usize>, *mut f32, bool) + Sync,
) {
    assert_eq!(grad_output.len(), batch * shape.output_len(), "output gradient length");
    assert_eq!(grad_input.len(), batch * shape.input_len(), "input gradient length");
    const GROUP: usize = 64;
    let groups = if batch >= 2 * cpu.threads() { 1 } else { shape.channels.div_ceil(GROUP) };
    let width = if groups == 1 { shape.channels } else { GROUP };
    // If each input lies in exactly one window, its gradient is written once; otherwise it is a sum, starting from zero.
    let clear = !accumulate && !shape.tiles();
    let shared = SharedMut::new(grad_input);
    cpu.parallel_for(batch * groups, |_, item| {
        let (image, group) = (item / groups, item % groups);
        let channels = group * width..((group + 1) * width).min(shape.channels);
        let target = shared.at(image * shape.input_len());
        if clear {
            for pixel in 0..shape.height * shape.width {
                let at = image * shape.input_len() + pixel * shape.channels;
                // SAFETY: these channels of this image belong to this item.
                unsafe { shared.slice(at + channels.start..at + channels.end) }.fill(0.0);
            }
        }
        one(image, channels, target, accumulate || clear);
    });
}

multiversion! {
    fn max_backward_image[simd: S](
        shape: &Pool2dShape,
        channels: Range<usize>,
        input: &[f32],
        output: &[f32],
        grad_output: &[f32],
        grad_input: *mut f32,
        add: bool,
        through_relu: bool,
    ) {
        let zero = simd.splat(0.0);
        for row in 0..shape.output[0] {
            let ys = shape.window(0, row);
            for column in 0..shape.output[1] {
                let xs = shape.window(1, column);
                let pixel = (row * shape.output[1] + column) * shape.channels;
                for start in channels.clone().step_by(S::LANES) {
                    let count = S::LANES.min(channels.end - start);
                    debug_assert!(pixel + start + count <= output.len());
                    // SAFETY: the output pixel and the window's pixels lie within their images, `start + count` within
                    // their channels, which no other thread writes.
                    unsafe {
                        let maximum = load(simd, output.as_ptr().add(pixel + start), count);
                        let mut left = load(simd, grad_output.as_ptr().add(pixel + start), count);
                        if through_relu {
                            left = simd.select_gt(maximum, zero, left, zero);
                        }
                        for y in ys.clone() {
                            for x in xs.clone() {
                                let at = (y * shape.width + x) * shape.channels + start;
                                let value = load(simd, input.as_ptr().add(at), count);
                                let mut taken = simd.select_eq(value, maximum, left, zero);
                                left = simd.select_eq(value, maximum, zero, left);
                                if add {
                                    taken = simd.add(taken, load(simd, grad_input.add(at), count));
                                }
                                store(simd, grad_input.add(at), count, taken);
                            }
                        }
                    }
                }
            }
        }
    }
}

multiversion! {
    fn average_backward_image[simd: S](
        shape: &Pool2dShape,
        channels: Range<usize>,
        grad_output: &[f32],
        grad_input: *mut f32,
        add: bool,
    ) {
        for row in 0..shape.output[0] {
            let ys = shape.window(0, row);
            for column in 0..shape.output[1] {
                let xs = shape.window(1, column);
                let scale = simd.splat(1.0 / (ys.len() * xs.len()) as f32);
                let pixel = (row * shape.output[1] + column) * shape.channels;
                for start in channels.clone().step_by(S::LANES) {
                    let count = S::LANES.min(channels.end - start);
                    debug_assert!(pixel + start + count <= grad_output.len());
                    // SAFETY: as for the maximum.
                    unsafe {
                        let grad = load(simd, grad_output.as_ptr().add(pixel + start), count);
                        for y in ys.clone() {
                            for x in xs.clone() {
                                let to = grad_input.add((y * shape.width + x) * shape.channels + start);
                                let before = if add { load(simd, to, count) } else { simd.splat(0.0) };
                                store(simd, to, count, simd.mul_add(grad, scale, before));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// `count` floats can be read.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::Vector {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.load(from) } else { simd.load_partial(from, count) } }
}

/// # Safety
/// `count` floats can be written.
#[inline(always)]
unsafe fn store<S: Simd>(simd: S, to: *mut f32, count: usize, value: S::Vector) {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.store(to, value) } else { simd.store_partial(to, count, value) } }
}

#[cfg(test)]
mod tests;
