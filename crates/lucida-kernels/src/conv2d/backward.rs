//! The direct input gradient: one correlation per class of input pixels.

use super::Conv2dShape;
use super::band::Window;
use super::pass::Target;

/// The correlation that computes the gradient of one class of input pixels.
#[derive(Debug)]
pub(super) struct BackwardClass {
    pub(super) window: Window,
    pub(super) target: Target,
    rows: AxisClass,
    columns: AxisClass,
}

/// The positions `y` of an axis with `(y + p) mod s = r`, for stride `s` and padding `p`, and the taps that reach them.
///
/// Tap `i` of a kernel with dilation `d` reads output `(y + p - d i) / s`, if that is an integer: where `d i mod s = r`.
/// With `g` the greatest common divisor of `s` and `d`, these are every `s / g`-th tap, and consecutive ones are `d / g`
/// outputs apart; there are none if `g` does not divide `r`.
#[derive(Debug, Clone, Copy)]
struct AxisClass {
    /// The first position, and the number of positions.
    first: usize,
    count: usize,
    taps: usize,
    first_tap: usize,
    tap_step: usize,
    dilation: usize,
    /// Zero padding before the outputs; negative where the first outputs are skipped.
    padding: isize,
}

impl AxisClass {
    fn new(shape: &Conv2dShape, axis: usize, class: usize) -> Self {
        let (size, taps) = ([shape.height, shape.width][axis], shape.kernel[axis]);
        let (stride, dilation, padding) = (shape.strides[axis], shape.dilation[axis], shape.padding[axis]);
        let first = (class + stride - padding % stride) % stride;
        let count = if first < size { (size - first).div_ceil(stride) } else { 0 };
        let divisor = gcd(stride, dilation);
        let (tap_step, dilation_of_outputs) = (stride / divisor, dilation / divisor);
        let first_tap = (0..tap_step).find(|tap| tap * dilation % stride == class);
        let taps = first_tap.filter(|&tap| tap < taps).map_or(0, |tap| (taps - tap).div_ceil(tap_step));
        let first_tap = first_tap.unwrap_or(0);
        let origin = ((first + padding) as isize - (first_tap * dilation) as isize) / stride as isize;
        // Tap t of the rotated kernel is tap taps - 1 - t of the class, so it reads output
        // origin + index - (taps - 1 - t) dilation.
        let reach = (taps as isize - 1) * dilation_of_outputs as isize;
        Self { first, count, taps, first_tap, tap_step, dilation: dilation_of_outputs, padding: reach - origin }
    }

    /// Index in the kernel of tap `t` of this class, counted from the last to the first.
    fn tap(&self, t: usize) -> usize {
        self.first_tap + self.tap_step * (self.taps - 1 - t)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl BackwardClass {
    /// The row and column in the kernel of tap `t` of the class's window.
    pub(super) fn tap(&self, t: usize) -> [usize; 2] {
        let columns = self.window.taps[1];
        [self.rows.tap(t / columns), self.columns.tap(t % columns)]
    }
}

/// Returns one correlation per class of input pixels; classes are rows and columns modulo the strides.
pub(super) fn backward_classes(shape: &Conv2dShape, pooled: bool) -> Vec<BackwardClass> {
    let classes = (0..shape.strides[0]).flat_map(|row| (0..shape.strides[1]).map(move |column| [row, column]));
    classes
        .map(|[row, column]| {
            let (rows, columns) = (AxisClass::new(shape, 0, row), AxisClass::new(shape, 1, column));
            let window = Window {
                source: [shape.output[0], shape.output[1], shape.filters],
                strides: [1, 1],
                taps: if rows.taps * columns.taps == 0 { [0, 0] } else { [rows.taps, columns.taps] },
                dilation: [rows.dilation, columns.dilation],
                groups: shape.groups,
                padding: [rows.padding, columns.padding],
                output: [rows.count, columns.count],
                pooled,
            };
            let row = shape.width * shape.channels;
            let target = Target {
                offset: rows.first * row + columns.first * shape.channels,
                row: shape.strides[0] * row,
                column: shape.strides[1] * shape.channels,
                image: shape.input_len(),
            };
            BackwardClass { window, target, rows, columns }
        })
        .collect()
}
