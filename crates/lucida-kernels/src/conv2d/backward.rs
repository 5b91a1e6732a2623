//! The direct pass back to the input: one correlation for each class of pixels.

use crate::cpu::Cpu;

use super::Conv2dShape;
use super::band::Window;
use super::pass::{Pass, Target};

/// The classes of positions modulo the strides, row by row.
pub(super) fn classes(strides: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..strides[0]).flat_map(move |row| (0..strides[1]).map(move |column| [row, column]))
}

/// One pass for each class of input pixels: along one axis, with stride `s`, padding `p` and input position `y`, the
/// taps `i = r + s j` with `r = (y + p) mod s` are those that reach `y`, from output `(y + p - r) / s - j`.
pub(super) fn backward_passes(cpu: Cpu, shape: &Conv2dShape, batch: usize, pooled: bool) -> Vec<Pass> {
    let axis = |class: usize, size: usize, kernel: usize, stride: usize, padding: usize| {
        let first = (class + stride - padding % stride) % stride;
        let count = if first < size { (size - first).div_ceil(stride) } else { 0 };
        let taps = if class < kernel { (kernel - class).div_ceil(stride) } else { 0 };
        let origin = ((first + padding - class) / stride) as isize;
        // Tap t of the turned kernel is j = taps - 1 - t, so it reads output origin + index - (taps - 1) + t.
        (first, count, taps, taps as isize - 1 - origin)
    };
    classes(shape.strides)
        .map(|[row_class, column_class]| {
            let (y, rows, taps_y, top) =
                axis(row_class, shape.height, shape.kernel[0], shape.strides[0], shape.padding[0]);
            let (x, columns, taps_x, left) =
                axis(column_class, shape.width, shape.kernel[1], shape.strides[1], shape.padding[1]);
            let window = Window {
                source: [shape.output[0], shape.output[1], shape.filters],
                strides: [1, 1],
                taps: if taps_y * taps_x == 0 { [0, 0] } else { [taps_y, taps_x] },
                padding: [top, left],
                output: [rows, columns],
                pooled,
            };
            let row = shape.width * shape.channels;
            let target = Target {
                offset: y * row + x * shape.channels,
                row: shape.strides[0] * row,
                column: shape.strides[1] * shape.channels,
                image: shape.input_len(),
            };
            Pass::new(cpu, window, target, shape.channels, batch)
        })
        .collect()
}
