//! Convolutions fused with 2x2 max pooling with stride two.
//!
//! Only the maxima are written, a quarter of the sums. The backward pass also needs to know which of the four pixels held
//! the maximum: a [`Switch`] per vector of channels, eight bytes in an encoding specific to the instruction set (lane
//! masks, or a number per lane). A lane has no pixel if a ReLU has dropped its maximum.
//!
//! ```text
//!   sums, in registers or L2        written                 switch of a vector    read again as
//!   +-----+-----+
//!   | a b | ... |                   max(a, b, c, d)         which of them         g where a was the maximum, else 0
//!   | c d | ... |     ------->                              it was, if any        g where b was ...
//!   +-----+-----+
//!    4 x 4 bytes                    4 bytes                 half a byte
//! ```
//!
//! A separate pooling pass would read all sums, and its backward pass would write all their gradients: in a training step
//! of the MNIST network with batch 256, 32 MB of sums and as much of gradients.

use crate::cpu::{Cpu, SharedMut, part_range, parts_of};
use crate::gemm::{load_vector, store_vector};
use crate::simd::{Simd, Switch, multiversion};

/// Which pixel of each window held the maximum: for each window (in row-major order) and vector of channels, a switch for
/// its four pixels.
#[derive(Debug)]
pub(crate) struct Switches {
    switches: Vec<Switch>,
    place: SwitchLayout,
}

/// The layout of switches and maxima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SwitchLayout {
    /// Rows and columns of windows.
    pub(crate) windows: [usize; 2],
    pub(crate) channels: usize,
    /// Number of vectors of channels.
    vectors: usize,
}

impl SwitchLayout {
    /// Number of maxima per image.
    pub(crate) fn len(&self) -> usize {
        self.windows[0] * self.windows[1] * self.channels
    }

    /// Index of the switch of a window (counted over all images) and a vector of channels.
    #[inline(always)]
    pub(crate) fn switch(&self, window: usize, vector: usize) -> usize {
        window * self.vectors + vector
    }
}

impl Switches {
    /// Allocates switches for images of `output` pixels, both numbers even.
    pub(crate) fn new(cpu: Cpu, output: [usize; 2], channels: usize, batch: usize) -> Self {
        let windows = output.map(|pixels| pixels / 2);
        let vectors = channels.div_ceil(cpu.isa().lanes());
        let place = SwitchLayout { windows, channels, vectors };
        Self { switches: vec![Switch::default(); batch * windows[0] * windows[1] * vectors], place }
    }

    pub(crate) fn place(&self) -> SwitchLayout {
        self.place
    }

    /// Whether there are enough switches for this many images.
    pub(crate) fn hold(&self, batch: usize) -> bool {
        self.place.switch(batch * self.place.windows[0] * self.place.windows[1], 0) <= self.switches.len()
    }

    /// Pointer to the first switch.
    pub(crate) fn start(&self) -> *const Switch {
        self.switches.as_ptr()
    }

    /// Gives shared write access: each thread writes different windows.
    pub(crate) fn sink(&mut self) -> Sink<'_> {
        Sink { place: self.place, switches: SharedMut::new(&mut self.switches) }
    }
}

/// The destination of maxima and switches.
pub(crate) struct Sink<'a> {
    pub(crate) place: SwitchLayout,
    switches: SharedMut<'a, Switch>,
}

/// The source of a pass: images, or the gradient of maxima, which is unpooled to the pixel that held each of them.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) switches: Option<&'a Switches>,
}

impl<'a> Source<'a> {
    /// Unpooled images.
    pub(crate) fn plain(values: &'a [f32]) -> Self {
        Self { values, switches: None }
    }
}

impl Sink<'_> {
    /// Writes one window: `values` has its pixels in row-major order, for the vector that starts at `channel`.
    ///
    /// # Safety
    /// `to` has room for all the maxima of all images, and no other thread writes this window.
    #[inline(always)]
    pub(crate) unsafe fn put<S: Simd>(
        &self,
        simd: S,
        values: [S::Vector; 4],
        relu: bool,
        (window, channel): (usize, usize),
        to: *mut f32,
    ) {
        let (largest, switch) = simd.largest(values, relu);
        let count = (self.place.channels - channel).min(S::LANES);
        // SAFETY: the window lies within the maxima and the switches, which were made for the same images.
        unsafe {
            store_vector(simd, to.wrapping_add(window * self.place.channels + channel), count, largest);
            self.switches.at(self.place.switch(window, channel / S::LANES)).write(switch);
        }
    }
}

multiversion! {
    fn pool_rows_of[simd: S](sink: &Sink, sums: &[f32], first: usize, rows: usize, relu: bool, to: *mut f32) {
        let SwitchLayout { windows: [_, columns], channels, .. } = sink.place;
        let row = 2 * columns * channels;
        for y in 0..rows {
            for x in 0..columns {
                let corner = &sums[2 * y * row + 2 * x * channels..];
                assert!(corner.len() >= row + 2 * channels);
                for channel in (0..channels).step_by(S::LANES) {
                    let count = (channels - channel).min(S::LANES);
                    // SAFETY: the window lies within the sums, as checked above; the caller guarantees the rest.
                    unsafe {
                        let at = corner.as_ptr().add(channel);
                        let values = [
                            load_vector(simd, at, count),
                            load_vector(simd, at.add(channels), count),
                            load_vector(simd, at.add(row), count),
                            load_vector(simd, at.add(row + channels), count),
                        ];
                        sink.put(simd, values, relu, (first + y * columns + x, channel), to);
                    }
                }
            }
        }
    }
}

/// Writes the maxima of `rows` rows of windows, from window `first` (counted over all images) on.
///
/// # Safety
/// `to` has room for all the maxima of all images, and no other thread writes these windows.
pub(crate) unsafe fn pool_rows(
    cpu: Cpu,
    sink: &Sink,
    sums: &[f32],
    (first, rows): (usize, usize),
    relu: bool,
    to: *mut f32,
) {
    pool_rows_of(cpu.isa(), sink, sums, first, rows, relu, to);
}

multiversion! {
    fn unpool_row_of[simd: S](
        source: &[f32],
        switches: *const Switch,
        place: &SwitchLayout,
        pixel: [usize; 3],
        to: &mut [f32],
    ) {
        let [first, half, column] = pixel;
        let channels = place.channels;
        for (x, pixel) in to.chunks_exact_mut(channels).enumerate() {
            let x = column + x;
            let window = first + x / 2;
            for channel in (0..channels).step_by(S::LANES) {
                let count = (channels - channel).min(S::LANES);
                let from = &source[window * channels + channel..][..count];
                // SAFETY: `count` floats are in `from` and in the pixel; the switches are those of the same windows.
                unsafe {
                    let switch = switches.add(place.switch(window, channel / S::LANES));
                    let choice = simd.choice(2 * half + x % 2);
                    let value = simd.keep_chosen(switch, choice, load_vector(simd, from.as_ptr(), count));
                    store_vector(simd, pixel.as_mut_ptr().add(channel), count, value);
                }
            }
        }
    }
}

/// Unpools the gradient of maxima to the pixels of row `row` of image `image`, from column `column` on.
pub(crate) fn unpool_row(
    cpu: Cpu,
    source: &[f32],
    switches: &Switches,
    (image, row, column): (usize, usize, usize),
    to: &mut [f32],
) {
    let place = switches.place;
    let [rows, columns] = place.windows;
    let pixels = to.len() / place.channels;
    assert!(row < 2 * rows && column + pixels <= 2 * columns, "pixels under the windows");
    let first = (image * rows + row / 2) * columns;
    assert!(switches.switches.len() >= place.switch(first + columns, 0), "switches of the windows");
    unpool_row_of(cpu.isa(), source, switches.start(), &place, [first, row % 2, column], to);
}

multiversion! {
    fn add_open[simd: S](source: &[f32], switches: &[Switch], channels: usize, sums: &mut [f32]) {
        for channel in (0..channels).step_by(S::LANES) {
            let count = (channels - channel).min(S::LANES);
            let vectors = channels.div_ceil(S::LANES);
            let windows = source.len() / channels;
            assert!(switches.len() >= windows * vectors, "switches of all windows");
            let mut sum = simd.splat(0.0);
            // Raw addresses: there is so little work per vector that the overhead of an iterator would double it.
            for window in 0..windows {
                // SAFETY: `count` floats from `channel` on are in the window's channels, and its switch among all, as
                // checked.
                unsafe {
                    let switch = switches.as_ptr().add(window * vectors + channel / S::LANES);
                    let value = load_vector(simd, source.as_ptr().add(window * channels + channel), count);
                    sum = simd.add(sum, simd.keep_open(switch, value));
                }
            }
            let to = &mut sums[channel..channel + count];
            // SAFETY: `count` floats.
            unsafe {
                let before = load_vector(simd, to.as_ptr(), count);
                store_vector(simd, to.as_mut_ptr(), count, simd.add(before, sum));
            }
        }
    }
}

/// Computes the gradient of a bias: `out[c]` is the sum of the output gradient over the windows with a choice. Adds in the
/// same order as [`crate::ops::sum_rows`], and needs the same workspace.
pub(crate) fn sum_open(cpu: Cpu, source: &[f32], switches: &Switches, out: &mut [f32], workspace: &mut [f32]) {
    const GROUP: usize = 256;
    let (channels, place) = (out.len(), switches.place);
    let count = source.len() / channels;
    let parts = parts_of(count, (1_usize << 13).div_ceil(channels), cpu.threads());
    let workspace = &mut workspace[..2 * parts * channels];
    let shared = SharedMut::new(workspace);
    cpu.parallel_for(parts, |_, part| {
        // SAFETY: each part has its own two rows.
        let own = unsafe { shared.slice(2 * part * channels..2 * (part + 1) * channels) };
        let (total, group) = own.split_at_mut(channels);
        total.fill(0.0);
        let range = part_range(count, parts, part);
        for first in range.clone().step_by(GROUP) {
            let end = (first + GROUP).min(range.end);
            group.fill(0.0);
            let under = &switches.switches[place.switch(first, 0)..place.switch(end, 0)];
            add_open(cpu.isa(), &source[first * channels..end * channels], under, channels, group);
            total.iter_mut().zip(group.iter()).for_each(|(sum, value)| *sum += value);
        }
    });
    out.fill(0.0);
    for pair in workspace.chunks_exact(2 * channels) {
        out.iter_mut().zip(pair).for_each(|(sum, value)| *sum += value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::algorithm::{Algorithm, Algorithms, winograd_fits};
    use super::super::tests::{numbers, same, valid};
    use super::super::{Conv2d, Conv2dGradients, Conv2dShape};
    use crate::ops::{Pointwise, pointwise_backward, sum_rows, sum_rows_workspace};
    use crate::simd::Isa;
    use crate::{Cpu, Pool2dShape, PoolBackward, Pooling, max_pool2d_backward, pool2d};

    const GRADIENTS: Conv2dGradients = Conv2dGradients { input: true, kernel: true };

    fn close(actual: &[f32], expected: &[f32], what: &str) {
        let scale = expected.iter().fold(1e-3, |m: f32, &x| m.max(x.abs()));
        assert_eq!(actual.len(), expected.len());
        for (index, (&a, &e)) in actual.iter().zip(expected).enumerate() {
            assert!((a - e).abs() <= 1e-5 * scale, "{what}: {a} instead of {e} at {index}");
        }
    }

    /// Compares all passes with an unfused convolution followed by max pooling, and their backward passes.
    fn check(cpu: Cpu, shape: Conv2dShape, batch: usize, relu: bool) {
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            if algorithm == Algorithm::Winograd && !winograd_fits(&shape) {
                continue;
            }
            let what =
                |pass: &str| format!("{pass} {algorithm:?} {} batch {batch} relu {relu} {shape:?}", cpu.isa().name());
            let algorithms = Algorithms::all(algorithm);
            let even = Conv2dShape { output: shape.output.map(|pixels| pixels / 2 * 2), ..shape };
            let mut whole = Conv2d::with_algorithms(cpu, shape, batch, GRADIENTS, algorithms, false);
            let mut fused = Conv2d::with_algorithms(cpu, even, batch + 1, GRADIENTS, algorithms, true);
            let (input, kernel) = (numbers(batch * shape.input_len(), 1), numbers(shape.kernel_len(), 2));
            let bias = numbers(shape.filters, 3);
            whole.set_kernel(&kernel);
            fused.set_kernel(&kernel);
            let ([height, width], channels) = (shape.output, shape.filters);
            let (pool, strides, padding) = ([2, 2], [2, 2], [0, 0]);
            let output = [height / 2, width / 2];
            let pooling = Pool2dShape { height, width, channels, pool, strides, padding, output };

            let mut sums = vec![f32::NAN; batch * shape.output_len()];
            whole.forward(batch, &input, Some(&bias), relu, &mut sums);
            let mut expected = vec![f32::NAN; batch * pooling.output_len()];
            pool2d(cpu, Pooling::Max, &pooling, batch, &sums, &mut expected);
            let mut maxima = vec![f32::NAN; expected.len()];
            fused.forward(batch, &input, Some(&bias), relu, &mut maxima);
            assert_eq!(maxima, expected, "{}", what("forward"));

            let grad = numbers(maxima.len(), 4);
            let mut grad_sums = vec![f32::NAN; sums.len()];
            let options = PoolBackward { accumulate: false, through_relu: relu };
            max_pool2d_backward(cpu, &pooling, batch, &sums, &expected, &grad, &mut grad_sums, options);
            if relu {
                pointwise_backward(cpu, Pointwise::Relu, &sums, &mut grad_sums);
            }
            let (mut a, mut b) = (numbers(input.len(), 5), numbers(input.len(), 5));
            for accumulate in [true, false] {
                whole.backward_input(batch, &grad_sums, &mut a, accumulate);
                fused.backward_input(batch, &grad, &mut b, accumulate);
                close(&b, &a, &what("backward to the input"));
            }
            let (mut a, mut b) = (kernel.clone(), kernel.clone());
            whole.backward_kernel(batch, &input, &grad_sums, &mut a);
            fused.backward_kernel(batch, &input, &grad, &mut b);
            close(&b, &a, &what("backward to the kernel"));
            let (mut a, mut b) = (bias.clone(), bias.clone());
            let mut workspace = vec![0.0; sum_rows_workspace(cpu, channels)];
            sum_rows(cpu, &grad_sums, &mut a, &mut workspace);
            fused.backward_bias(batch, &grad, &mut b, &mut workspace);
            close(&b, &a, &what("backward to the bias"));
        }
    }

    #[test]
    fn as_a_convolution_and_then_a_maximum() {
        for isa in Isa::available() {
            for threads in [1, 3] {
                let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                for relu in [false, true] {
                    check(cpu, same(28, 28, 1, 24, [3, 3], [1, 1]), 5, relu);
                    check(cpu, same(14, 14, 24, 48, [3, 3], [1, 1]), 3, relu);
                    check(cpu, same(7, 7, 48, 64, [3, 3], [1, 1]), 4, relu);
                    check(cpu, valid(21, 20, 3, 33, [3, 3], [1, 1]), 2, relu);
                    check(cpu, valid(23, 23, 5, 17, [5, 4], [2, 1]), 2, relu);
                    check(cpu, valid(9, 11, 5, 6, [1, 1], [1, 1]), 2, relu);
                    check(cpu, same(90, 300, 3, 24, [3, 3], [1, 1]), 1, relu);
                    let spread = Conv2dShape { dilation: [2, 3], ..valid(12, 13, 3, 24, [3, 3], [1, 1]) };
                    check(cpu, Conv2dShape { output: [8, 7], ..spread }, 2, relu);
                }
            }
        }
    }

    #[test]
    fn every_remainder() {
        for isa in Isa::available() {
            let cpu = Cpu::detect().with_isa(isa).with_threads(2);
            for size in 1..68 {
                check(cpu, same(5, 6, size, 68 - size, [3, 3], [1, 1]), 1 + size % 3, true);
            }
            for size in 2..35 {
                check(cpu, same(size, 37 - size, 3, 5, [3, 3], [1, 1]), 1 + size % 17, true);
            }
        }
    }
}
