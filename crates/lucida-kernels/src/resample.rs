//! Shifting, padding and resizing of images: a linear map over the rows, and one over the columns.
//!
//! Padding, cropping, interpolation and average pooling with arbitrary windows are all `output = rows * input * columns^T`
//! with two sparse matrices. They are built once, and the gradient is the same operation with both transposed. Each output
//! row is computed in two steps: first the weighted sum of input rows (all columns and channels at once), then for each
//! pixel the weighted sum over columns, vectorized over the channels.

use std::ops::Range;

use crate::cpu::{Cpu, SharedMut};
use crate::simd::{Simd, multiversion};

/// A sparse matrix along one axis: each output position is a weighted sum of input positions.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisMap {
    input: usize,
    /// Row `i` is `taps[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    taps: Vec<(usize, f32)>,
}

impl AxisMap {
    /// Creates a map over `input` positions from rows of (position, weight). Zero weights are omitted.
    ///
    /// # Panics
    /// When a position is out of range.
    pub fn new(input: usize, rows: impl IntoIterator<Item = Vec<(usize, f32)>>) -> Self {
        let (mut starts, mut taps) = (vec![0], Vec::new());
        for row in rows {
            assert!(row.iter().all(|&(at, _)| at < input), "a position outside of {input}");
            taps.extend(row.into_iter().filter(|&(_, weight)| weight != 0.0));
            starts.push(taps.len());
        }
        Self { input, starts, taps }
    }

    /// The identity map.
    pub fn identity(len: usize) -> Self {
        Self::new(len, (0..len).map(|at| vec![(at, 1.0)]))
    }

    /// Number of input positions.
    pub fn input_len(&self) -> usize {
        self.input
    }

    /// Number of output positions.
    pub fn output_len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The input positions that output position `index` is a sum of, and their weights.
    #[inline(always)]
    pub fn row(&self, index: usize) -> &[(usize, f32)] {
        &self.taps[self.starts[index]..self.starts[index + 1]]
    }

    /// The smallest range that contains the input positions of an output position; empty for an empty sum.
    pub fn span(&self, index: usize) -> Range<usize> {
        let positions = || self.row(index).iter().map(|&(at, _)| at);
        positions().min().unwrap_or(0)..positions().max().map_or(0, |last| last + 1)
    }

    /// The transposed map, which maps gradients.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut rows = vec![Vec::new(); self.input];
        for output in 0..self.output_len() {
            self.row(output).iter().for_each(|&(at, weight)| rows[at].push((output, weight)));
        }
        Self::new(self.output_len(), rows)
    }
}

/// The maps of both axes of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageMap {
    /// From input rows to output rows.
    pub rows: AxisMap,
    /// From input columns to output columns.
    pub columns: AxisMap,
}

impl ImageMap {
    /// The transposed maps, which map gradients.
    #[must_use]
    pub fn transposed(&self) -> Self {
        Self { rows: self.rows.transposed(), columns: self.columns.transposed() }
    }

    fn input_len(&self, channels: usize) -> usize {
        self.rows.input_len() * self.columns.input_len() * channels
    }

    fn output_len(&self, channels: usize) -> usize {
        self.rows.output_len() * self.columns.output_len() * channels
    }

    /// Floats of workspace that [`resample`] needs.
    pub fn workspace(&self, cpu: Cpu, channels: usize) -> usize {
        cpu.threads() * self.columns.input_len() * channels
    }
}

/// How [`resample`] writes its result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resample {
    /// Overwrites the output; pixels that are an empty sum get this value.
    Fill(f32),
    /// Adds to the output.
    Accumulate,
}

/// Resamples `input` to `output`, both (batch, height, width, channel).
///
/// # Panics
/// When a length does not fit.
#[allow(clippy::too_many_arguments)]
pub fn resample(
    cpu: Cpu,
    map: &ImageMap,
    channels: usize,
    batch: usize,
    input: &[f32],
    output: &mut [f32],
    mode: Resample,
    workspace: &mut [f32],
) {
    assert_eq!(input.len(), batch * map.input_len(channels), "input length");
    assert_eq!(output.len(), batch * map.output_len(channels), "output length");
    assert!(workspace.len() >= map.workspace(cpu, channels), "workspace");
    let line = map.columns.input_len() * channels;
    let row_len = map.columns.output_len() * channels;
    let (output, workspace) = (SharedMut::new(output), SharedMut::new(workspace));
    let min_rows = (1_usize << 12).div_ceil((row_len + line).max(1));
    cpu.parallel_ranges(batch * map.rows.output_len(), min_rows, |part, range| {
        // SAFETY: the ranges of rows are disjoint, and each part has its own line of the workspace.
        let (own, sums) = unsafe {
            (output.slice(range.start * row_len..range.end * row_len), workspace.slice(part * line..(part + 1) * line))
        };
        resample_rows(cpu.isa(), map, channels, input, range, own, mode, sums);
    });
}

multiversion! {
    fn resample_rows[simd: S](
        map: &ImageMap,
        channels: usize,
        input: &[f32],
        range: Range<usize>,
        output: &mut [f32],
        mode: Resample,
        sums: &mut [f32],
    ) {
        let heights = map.rows.output_len();
        let line = sums.len();
        let row_len = map.columns.output_len() * channels;
        for (row, out) in range.zip(output.chunks_exact_mut(row_len)) {
            let image = &input[row / heights * map.input_len(channels)..][..map.input_len(channels)];
            let values: &[f32] = match map.rows.row(row % heights) {
                [] => {
                    if let Resample::Fill(value) = mode {
                        out.fill(value);
                    }
                    continue;
                }
                &[(y, 1.0)] => &image[y * line..(y + 1) * line],
                taps => {
                    for (index, &(y, weight)) in taps.iter().enumerate() {
                        let from = &image[y * line..(y + 1) * line];
                        if index == 0 {
                            sums.iter_mut().zip(from).for_each(|(sum, value)| *sum = weight * value);
                        } else {
                            sums.iter_mut().zip(from).for_each(|(sum, value)| *sum += weight * value);
                        }
                    }
                    sums
                }
            };
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let taps = map.columns.row(x);
                if taps.is_empty() {
                    if let Resample::Fill(value) = mode {
                        out.fill(value);
                    }
                    continue;
                }
                for start in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - start);
                    // SAFETY: `start + count` floats are in `out`, and in each pixel of the line, whose positions the map
                    // has checked against its length.
                    unsafe {
                        let to = out.as_mut_ptr().add(start);
                        let mut sum = match mode {
                            Resample::Accumulate => load(simd, to, count),
                            Resample::Fill(_) => simd.splat(0.0),
                        };
                        for &(at, weight) in taps {
                            debug_assert!(at * channels + start + count <= values.len());
                            let value = load(simd, values.as_ptr().add(at * channels + start), count);
                            sum = simd.mul_add(value, simd.splat(weight), sum);
                        }
                        store(simd, to, count, sum);
                    }
                }
            }
        }
    }
}

/// Writes the maximum of each window of `input` to `output`, both (batch, height, width, channel). A window consists of the
/// positions of a row of `map.rows` and of a row of `map.columns`; weights are ignored.
///
/// # Panics
/// When a length does not fit.
pub fn max_windows(cpu: Cpu, map: &ImageMap, channels: usize, batch: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), batch * map.input_len(channels), "input length");
    assert_eq!(output.len(), batch * map.output_len(channels), "output length");
    let row_len = map.columns.output_len() * channels;
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(batch * map.rows.output_len(), (1_usize << 12).div_ceil(row_len.max(1)), |_, range| {
        // SAFETY: the ranges of rows are disjoint.
        let own = unsafe { shared.slice(range.start * row_len..range.end * row_len) };
        max_rows(cpu.isa(), map, channels, input, range, own);
    });
}

multiversion! {
    fn max_rows[simd: S](map: &ImageMap, channels: usize, input: &[f32], range: Range<usize>, output: &mut [f32]) {
        let (heights, width) = (map.rows.output_len(), map.columns.input_len());
        let row_len = map.columns.output_len() * channels;
        for (row, out) in range.zip(output.chunks_exact_mut(row_len)) {
            let image = &input[row / heights * map.input_len(channels)..][..map.input_len(channels)];
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                for start in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - start);
                    let mut value = simd.splat(f32::NEG_INFINITY);
                    for &(y, _) in map.rows.row(row % heights) {
                        for &(x, _) in map.columns.row(x) {
                            let at = (y * width + x) * channels + start;
                            debug_assert!(at + count <= image.len());
                            // SAFETY: the window lies within the image, `start + count` within its channels.
                            value = simd.max(unsafe { load(simd, image.as_ptr().add(at), count) }, value);
                        }
                    }
                    // SAFETY: `start + count` floats are in `out`.
                    unsafe { store(simd, out.as_mut_ptr().add(start), count, value) };
                }
            }
        }
    }
}

/// The gradient of the input of [`max_windows`]: the gradient of each output goes to the first pixel of its window that
/// holds the maximum. It is added to `grad_input` when `accumulate`, and overwrites it otherwise.
///
/// # Panics
/// When a length does not fit.
#[allow(clippy::too_many_arguments)]
pub fn max_windows_backward(
    cpu: Cpu,
    map: &ImageMap,
    channels: usize,
    batch: usize,
    input: &[f32],
    output: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
    accumulate: bool,
) {
    let (image, pooled) = (map.input_len(channels), map.output_len(channels));
    assert_eq!(input.len(), batch * image, "input length");
    assert_eq!(output.len(), batch * pooled, "output length");
    assert_eq!(grad_output.len(), batch * pooled, "output gradient length");
    assert_eq!(grad_input.len(), batch * image, "input gradient length");
    let shared = SharedMut::new(grad_input);
    // Windows overlap, so no two threads may write to the same image.
    cpu.parallel_for(batch, |_, index| {
        // SAFETY: each image belongs to one item.
        let grad_input = unsafe { shared.slice(index * image..(index + 1) * image) };
        if !accumulate {
            grad_input.fill(0.0);
        }
        let (inputs, outputs) = (index * image..(index + 1) * image, index * pooled..(index + 1) * pooled);
        max_image(
            cpu.isa(),
            map,
            channels,
            &input[inputs],
            &output[outputs.clone()],
            &grad_output[outputs],
            grad_input,
        );
    });
}

multiversion! {
    fn max_image[simd: S](
        map: &ImageMap,
        channels: usize,
        input: &[f32],
        output: &[f32],
        grad_output: &[f32],
        grad_input: &mut [f32],
    ) {
        let zero = simd.splat(0.0);
        let (width, columns) = (map.columns.input_len(), map.columns.output_len());
        for pixel in 0..map.rows.output_len() * columns {
            for start in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - start);
                let from = pixel * channels + start;
                debug_assert!(from + count <= output.len());
                // SAFETY: the output pixel and the window's pixels lie within their images, `start + count` within their
                // channels.
                unsafe {
                    let maximum = load(simd, output.as_ptr().add(from), count);
                    let mut left = load(simd, grad_output.as_ptr().add(from), count);
                    for &(y, _) in map.rows.row(pixel / columns) {
                        for &(x, _) in map.columns.row(pixel % columns) {
                            let at = (y * width + x) * channels + start;
                            let value = load(simd, input.as_ptr().add(at), count);
                            let taken = simd.select_eq(value, maximum, left, zero);
                            left = simd.select_eq(value, maximum, zero, left);
                            let to = grad_input.as_mut_ptr().add(at);
                            store(simd, to, count, simd.add(taken, load(simd, to, count)));
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
mod tests {
    use super::*;
    use crate::simd::Isa;

    #[test]
    fn every_instruction_set_multiplies_by_both_matrices() {
        let rows = AxisMap::new(3, [vec![(2, 1.0)], vec![], vec![(0, 0.25), (1, 0.75)], vec![(1, -2.0), (0, 0.0)]]);
        let columns = AxisMap::new(2, [vec![(0, 0.5), (1, 0.5)], vec![(1, 1.0)], vec![]]);
        assert_eq!((rows.span(2), rows.span(1), rows.span(3)), (0..2, 0..0, 1..2));
        let map = ImageMap { rows, columns };
        for channels in crate::cases([1, 3, 17, 33], 2) {
            let input: Vec<f32> = (0..2 * 6 * channels).map(|i| (i * 7 % 23) as f32 - 11.0).collect();
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                    let mut output = vec![1.0; 2 * 12 * channels];
                    let mut workspace = vec![0.0; map.workspace(cpu, channels)];
                    resample(cpu, &map, channels, 2, &input, &mut output, Resample::Fill(9.0), &mut workspace);
                    resample(cpu, &map, channels, 2, &input, &mut output, Resample::Accumulate, &mut workspace);
                    for (index, &got) in output.iter().enumerate() {
                        let (pixel, channel) = (index / channels, index % channels);
                        let (image, row, column) = (pixel / 12, pixel / 3 % 4, pixel % 3);
                        let mut sum = 0.0;
                        for &(y, a) in map.rows.row(row) {
                            for &(x, b) in map.columns.row(column) {
                                sum += a * b * input[((image * 3 + y) * 2 + x) * channels + channel];
                            }
                        }
                        let expected = if row == 1 || column == 2 { 9.0 } else { 2.0 * sum };
                        assert!((got - expected).abs() < 1e-4, "{got} {expected} at {index} ({})", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let map = AxisMap::new(3, [vec![(2, 1.0)], vec![], vec![(0, 0.25), (1, 0.75)]]);
        assert_eq!(map.transposed().row(2), [(0, 1.0)]);
        assert_eq!(map.transposed().transposed(), map);
    }
}
