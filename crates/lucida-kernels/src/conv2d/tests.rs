//! All passes against their definition, computed by plain loops in 64 bits.

use super::algorithm::winograd_fits;
use super::*;
use crate::simd::Isa;

/// A repeatable stream of numbers in -1..1.
pub(super) fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Calls `visit(output, input, kernel)` with the indices of every product in the definition.
pub(super) fn products(shape: &Conv2dShape, batch: usize, mut visit: impl FnMut(usize, usize, usize)) {
    for n in 0..batch {
        for y in 0..shape.output[0] {
            for x in 0..shape.output[1] {
                for i in 0..shape.kernel[0] {
                    for j in 0..shape.kernel[1] {
                        let Some(row) = (y * shape.strides[0] + i).checked_sub(shape.padding[0]) else { continue };
                        let Some(column) = (x * shape.strides[1] + j).checked_sub(shape.padding[1]) else { continue };
                        if row >= shape.height || column >= shape.width {
                            continue;
                        }
                        for c in 0..shape.channels {
                            for f in 0..shape.filters {
                                let output = ((n * shape.output[0] + y) * shape.output[1] + x) * shape.filters + f;
                                let input = ((n * shape.height + row) * shape.width + column) * shape.channels + c;
                                let kernel = ((i * shape.kernel[1] + j) * shape.channels + c) * shape.filters + f;
                                visit(output, input, kernel);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn close(actual: &[f32], expected: &[f64], what: &str) {
    let scale = expected.iter().fold(1e-3, |m: f64, &x| m.max(x.abs()));
    for (index, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!((f64::from(a) - e).abs() <= 1e-5 * scale, "{what}: {a} instead of {e} at {index}");
    }
}

pub(super) fn prepare(algorithm: Algorithm, cpu: Cpu, shape: Conv2dShape, capacity: usize) -> Conv2d {
    let gradients = Conv2dGradients { input: true, kernel: true };
    Conv2d::with_algorithms(cpu, shape, capacity, gradients, Algorithms::all(algorithm), false)
}

/// Checks each algorithm that can compute this shape.
fn check(cpu: Cpu, shape: Conv2dShape, batch: usize, capacity: usize) {
    check_with(Algorithm::Direct, cpu, shape, batch, capacity);
    check_with(Algorithm::Col2Im, cpu, shape, batch, capacity);
    if winograd_fits(&shape) {
        check_with(Algorithm::Winograd, cpu, shape, batch, capacity);
    }
}

fn check_with(algorithm: Algorithm, cpu: Cpu, shape: Conv2dShape, batch: usize, capacity: usize) {
    let what = |pass: &str| {
        let (isa, threads) = (cpu.isa().name(), cpu.threads());
        format!("{algorithm:?} {pass} on {isa} with {threads} threads, batch {batch}: {shape:?}")
    };
    let input = numbers(batch * shape.input_len(), 1);
    let kernel = numbers(shape.kernel_len(), 2);
    let bias = numbers(shape.filters, 3);
    let grad_output = numbers(batch * shape.output_len(), 4);
    let mut conv = prepare(algorithm, cpu, shape, capacity);
    conv.set_kernel(&kernel);

    let mut expected: Vec<f64> = (0..batch * shape.output_len()).map(|o| f64::from(bias[o % shape.filters])).collect();
    products(&shape, batch, |o, i, k| expected[o] += f64::from(input[i]) * f64::from(kernel[k]));
    let mut output = vec![f32::NAN; expected.len()];
    conv.forward(batch, &input, Some(&bias), false, &mut output);
    close(&output, &expected, &what("forward"));
    let scale = numbers(shape.filters, 6);
    let scaled: Vec<f64> = expected
        .iter()
        .enumerate()
        .map(|(o, x)| {
            let f = o % shape.filters;
            (x - f64::from(bias[f])) * f64::from(scale[f]) + f64::from(bias[f])
        })
        .collect();
    conv.forward_scaled(batch, &input, Some(&scale), Some(&bias), false, &mut output);
    close(&output, &scaled, &what("forward, scaled"));
    expected.iter_mut().for_each(|x| *x = x.max(0.0));
    output.fill(f32::NAN);
    conv.forward(batch, &input, Some(&bias), true, &mut output);
    close(&output, &expected, &what("forward with ReLU"));

    let mut expected = vec![0.0; input.len()];
    products(&shape, batch, |o, i, k| expected[i] += f64::from(grad_output[o]) * f64::from(kernel[k]));
    let mut grad_input = vec![f32::NAN; input.len()];
    conv.backward_input(batch, &grad_output, &mut grad_input, false);
    close(&grad_input, &expected, &what("backward to the input"));
    conv.backward_input(batch, &grad_output, &mut grad_input, true);
    expected.iter_mut().for_each(|x| *x *= 2.0);
    close(&grad_input, &expected, &what("backward to the input, accumulated"));

    expected.iter_mut().zip(&input).for_each(|(x, &y)| *x = if y > 0.0 { *x * 1.5 } else { 0.0 });
    conv.backward_input_through_relu(batch, &grad_output, &input, &mut grad_input, true);
    close(&grad_input, &expected, &what("backward through a ReLU, accumulated"));

    check_mapped(&mut conv, batch, &grad_output, &input, &grad_input, &what);

    let mut expected = vec![0.0; kernel.len()];
    products(&shape, batch, |o, i, k| expected[k] += f64::from(grad_output[o]) * f64::from(input[i]));
    let mut grad_kernel = vec![f32::NAN; kernel.len()];
    conv.backward_kernel(batch, &input, &grad_output, &mut grad_kernel);
    close(&grad_kernel, &expected, &what("backward to the kernel"));
}

/// With a linear map of the input added to what is there, through a ReLU and not.
fn check_mapped(
    conv: &mut Conv2d,
    batch: usize,
    grad_output: &[f32],
    input: &[f32],
    before: &[f32],
    what: &impl Fn(&str) -> String,
) {
    let channels = conv.shape.channels;
    let (matrix, shift) = (numbers(channels * channels, 7), numbers(channels, 8));
    let mut map = ChannelMap::new(conv.cpu, channels);
    map.set(&matrix, &shift);
    let mut mapped = vec![0.0; input.len()];
    map.run(input, &mut mapped, false);
    let mut plain = before.to_vec();
    conv.backward_input(batch, grad_output, &mut plain, true);
    for through_relu in [false, true] {
        let mut got = before.to_vec();
        conv.backward_input_mapped(batch, grad_output, input, &map, through_relu, &mut got, true);
        let sums = plain.iter().zip(&mapped).zip(input);
        let expected: Vec<f64> = sums
            .map(|((&a, &b), &y)| if y > 0.0 || !through_relu { f64::from(a) + f64::from(b) } else { 0.0 })
            .collect();
        close(&got, &expected, &what("backward to the input, mapped"));
        conv.backward_input_mapped(batch, grad_output, input, &map, through_relu, &mut got, false);
        let expected: Vec<f64> = expected
            .iter()
            .zip(before)
            .zip(input)
            .map(|((&sum, &old), &y)| if y > 0.0 || !through_relu { sum - f64::from(old) } else { 0.0 })
            .collect();
        close(&got, &expected, &what("backward to the input, mapped and not accumulated"));
    }
}

pub(super) fn same(
    height: usize,
    width: usize,
    channels: usize,
    filters: usize,
    kernel: [usize; 2],
    strides: [usize; 2],
) -> Conv2dShape {
    let output = [height.div_ceil(strides[0]), width.div_ceil(strides[1])];
    let pad = |size: usize, axis: usize| ((output[axis] - 1) * strides[axis] + kernel[axis]).saturating_sub(size) / 2;
    Conv2dShape { height, width, channels, filters, kernel, strides, padding: [pad(height, 0), pad(width, 1)], output }
}

pub(super) fn valid(
    height: usize,
    width: usize,
    channels: usize,
    filters: usize,
    kernel: [usize; 2],
    strides: [usize; 2],
) -> Conv2dShape {
    let output = [(height - kernel[0]) / strides[0] + 1, (width - kernel[1]) / strides[1] + 1];
    Conv2dShape { height, width, channels, filters, kernel, strides, padding: [0, 0], output }
}

fn cpus() -> impl Iterator<Item = Cpu> {
    Isa::available()
        .into_iter()
        .flat_map(|isa| [1, 2, 3].map(|threads| Cpu::detect().with_isa(isa).with_threads(threads)))
}

#[test]
fn the_layers_of_known_networks() {
    for cpu in cpus() {
        check(cpu, same(28, 28, 1, 24, [3, 3], [1, 1]), 5, 5); // MNIST
        check(cpu, same(14, 14, 24, 48, [3, 3], [1, 1]), 3, 8);
        check(cpu, same(7, 7, 48, 64, [3, 3], [1, 1]), 9, 9);
        check(cpu, valid(21, 20, 3, 32, [3, 3], [1, 1]), 2, 2); // cats and dogs
        check(cpu, valid(23, 23, 3, 32, [3, 3], [2, 2]), 2, 2); // InceptionV3
        check(cpu, same(9, 9, 17, 12, [1, 7], [1, 1]), 2, 2);
        check(cpu, same(9, 9, 17, 12, [7, 1], [1, 1]), 2, 2);
        check(cpu, same(8, 9, 10, 20, [5, 5], [1, 1]), 2, 2);
        check(cpu, valid(9, 10, 33, 40, [1, 1], [1, 1]), 3, 3);
        check(cpu, same(24, 24, 3, 16, [7, 7], [2, 2]), 2, 2); // ResNet
        check(cpu, Conv2dShape::dense(300, 128), 17, 17);
        check(cpu, Conv2dShape::dense(1100, 70), 1, 4);
    }
}

#[test]
fn strides_larger_than_the_kernel_and_other_corners() {
    for cpu in cpus() {
        check(cpu, valid(11, 10, 5, 6, [1, 1], [2, 3]), 2, 2);
        check(cpu, valid(11, 10, 5, 6, [2, 1], [3, 3]), 2, 2);
        check(cpu, same(5, 4, 2, 3, [4, 4], [3, 2]), 2, 3);
        check(cpu, same(2, 2, 3, 4, [5, 5], [1, 1]), 2, 2);
        check(cpu, same(1, 1, 3, 4, [3, 3], [1, 1]), 4, 4);
        check(cpu, same(1, 9, 3, 4, [3, 3], [2, 2]), 1, 1);
        check(cpu, valid(3, 3, 1, 1, [3, 3], [1, 1]), 1, 1);
    }
}

#[test]
fn every_remainder_of_channels_and_filters() {
    for cpu in cpus().filter(|cpu| cpu.threads() == 2) {
        for size in 1..68 {
            check(cpu, same(3, 4, size, 68 - size, [3, 3], [1, 1]), 2, 2);
            check(cpu, Conv2dShape::dense(size, 68 - size), 1 + size % 17, 17);
        }
    }
}

#[test]
fn every_size_and_batch() {
    for cpu in cpus().filter(|cpu| cpu.threads() == 2) {
        for size in 1..36 {
            check(cpu, same(size, 36 - size, 3, 5, [3, 3], [1, 1]), 1 + size % 17, 17);
            check(cpu, same(size, 36 - size, 3, 5, [3, 3], [2, 2]), 1, 1);
        }
    }
}

#[test]
fn every_padding_and_any_size_of_output() {
    for cpu in cpus().filter(|cpu| cpu.threads() == 2) {
        for padding in (0..3).flat_map(|top| [[top, 0], [top, 1], [top, 2]]) {
            for output in [[1, 1], [4, 5], [9, 7], [11, 12]] {
                let shape = Conv2dShape { padding, output, ..same(9, 8, 10, 17, [3, 3], [1, 1]) };
                check(cpu, shape, 3, 4);
            }
        }
    }
}

#[test]
fn bands_of_large_images_and_deep_kernels() {
    for cpu in cpus().filter(|cpu| cpu.threads() == 2) {
        check(cpu, same(70, 300, 24, 5, [3, 3], [1, 1]), 1, 1); // several bands of one image
        check(cpu, same(70, 300, 24, 5, [3, 3], [2, 2]), 1, 1);
        check(cpu, same(4, 4, 300, 70, [3, 3], [1, 1]), 1, 2); // several blocks of depth
        check(cpu, same(3, 3, 520, 240, [3, 3], [1, 1]), 1, 1); // a kernel large enough to be split by rows
    }
}

#[test]
fn the_same_bits_each_time() {
    let cpu = Cpu::detect().with_threads(3);
    let shape = same(14, 14, 24, 48, [3, 3], [1, 1]);
    let (input, kernel) = (numbers(7 * shape.input_len(), 1), numbers(shape.kernel_len(), 2));
    let grad_output = numbers(7 * shape.output_len(), 4);
    for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
        let mut conv = prepare(algorithm, cpu, shape, 11);
        conv.set_kernel(&kernel);
        let mut run = || {
            let mut output = vec![0.0; grad_output.len()];
            let mut grad_input = vec![0.0; input.len()];
            let mut grad_kernel = vec![0.0; kernel.len()];
            conv.forward(7, &input, None, false, &mut output);
            conv.backward_input(7, &grad_output, &mut grad_input, false);
            conv.backward_kernel(7, &input, &grad_output, &mut grad_kernel);
            [output, grad_input, grad_kernel].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let first = run();
        for _ in 0..20 {
            assert!(run() == first, "{algorithm:?}");
        }
    }
}
