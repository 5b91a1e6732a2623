//! All passes against their definition, computed with plain loops in `f64`.

use super::algorithm::{is_depthwise, winograd_fits};
use super::*;
use crate::simd::Isa;

/// Reproducible pseudo-random numbers in -1..1.
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

/// Calls `visit(output, input, kernel)` with the indices of every product of the convolution.
pub(super) fn products(shape: &Conv2dShape, batch: usize, mut visit: impl FnMut(usize, usize, usize)) {
    for n in 0..batch {
        for y in 0..shape.output[0] {
            for x in 0..shape.output[1] {
                for i in 0..shape.kernel[0] {
                    for j in 0..shape.kernel[1] {
                        let at = |axis: usize, output: usize, tap: usize| {
                            let place = output * shape.strides[axis] + tap * shape.dilation[axis];
                            let size = [shape.height, shape.width][axis];
                            place.checked_sub(shape.padding[axis]).filter(|&place| place < size)
                        };
                        let (Some(row), Some(column)) = (at(0, y, i), at(1, x, j)) else { continue };
                        let channels = shape.channels / shape.groups;
                        for f in 0..shape.filters {
                            let group = f / (shape.filters / shape.groups);
                            for c in 0..channels {
                                let output = ((n * shape.output[0] + y) * shape.output[1] + x) * shape.filters + f;
                                let pixel = (n * shape.height + row) * shape.width + column;
                                let input = pixel * shape.channels + group * channels + c;
                                let kernel = ((i * shape.kernel[1] + j) * channels + c) * shape.filters + f;
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

/// Checks a residual with activations of three kinds: a lower bound only, two bounds, and not the identity between bounds.
fn check_finished(
    conv: &mut Conv2d,
    input: &[f32],
    batch: usize,
    finish: ConvFinish,
    sums: &[f64],
    what: &dyn Fn(&str) -> String,
) {
    let residual = numbers(sums.len(), 7);
    // Bounds relative to the magnitude of the sums, which determines their rounding.
    let most = sums.iter().fold(0.0, |most: f64, sum| most.max(sum.abs()));
    let (low, high) = (-0.5 * most as f32, 0.75 * most as f32);
    let clip = |x: f64| x.clamp(f64::from(low), f64::from(high));
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let cases: [(Pointwise, &dyn Fn(f64) -> f64); 3] = [
        (Pointwise::Relu, &|x| x.max(0.0)),
        (Pointwise::Clip { min: low, max: high }, &clip),
        (Pointwise::Silu, &silu),
    ];
    for (activation, f) in cases {
        let sums = sums.iter().zip(&residual);
        let expected: Vec<f64> = sums.map(|(sum, &residual)| f(sum + f64::from(residual))).collect();
        let finish = ConvFinish { residual: Some(&residual), activation: Some(activation), ..finish };
        let mut output = vec![f32::NAN; expected.len()];
        conv.forward_finished(batch, input, finish, &mut output);
        close(&output, &expected, &what(&format!("forward, scaled, with a residual and {activation:?}")));
    }
}

/// NaN passes through the bounds of an activation, so that a diverged network is noticed.
#[test]
fn activations_keep_what_is_not_a_number() {
    for cpu in cpus() {
        let shape = same(8, 8, 16, 16, [3, 3], [1, 1]);
        let depthwise = Conv2dShape { groups: 16, ..shape };
        for (algorithm, shape) in
            [(Algorithm::Direct, shape), (Algorithm::Winograd, shape), (Algorithm::Depthwise, depthwise)]
        {
            let mut conv = prepare(algorithm, cpu, shape, 1);
            conv.set_kernel(&vec![f32::NAN; shape.kernel_len()]);
            for activation in [Pointwise::Relu, Pointwise::Clip { min: 0.0, max: 6.0 }, Pointwise::Silu] {
                let mut output = vec![0.0; shape.output_len()];
                let finish = ConvFinish { activation: Some(activation), ..ConvFinish::default() };
                conv.forward_finished(1, &numbers(shape.input_len(), 1), finish, &mut output);
                assert!(output.iter().all(|value| value.is_nan()), "{algorithm:?} {activation:?} {}", cpu.isa().name());
            }
        }
    }
}

/// Checks each algorithm that supports this shape.
fn check(cpu: Cpu, shape: Conv2dShape, batch: usize, capacity: usize) {
    check_with(Algorithm::Direct, cpu, shape, batch, capacity);
    if shape.groups == 1 {
        check_with(Algorithm::Col2Im, cpu, shape, batch, capacity);
    }
    if is_depthwise(&shape) {
        check_with(Algorithm::Depthwise, cpu, shape, batch, capacity);
    }
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
    let finish = ConvFinish { scale: Some(&scale), bias: Some(&bias), ..ConvFinish::default() };
    conv.forward_finished(batch, &input, finish, &mut output);
    close(&output, &scaled, &what("forward, scaled"));
    check_finished(&mut conv, &input, batch, finish, &scaled, &what);
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

/// Checks an added linear map of the input, accumulated, with and without a ReLU.
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

/// The same convolution, dilated and in groups.
fn dilated(shape: Conv2dShape, dilation: [usize; 2], groups: usize) -> Conv2dShape {
    let reach = [0, 1].map(|axis| (shape.kernel[axis] - 1) * dilation[axis] + 1);
    let spread = match shape.padding {
        [0, 0] => valid(shape.height, shape.width, shape.channels, shape.filters, reach, shape.strides),
        _ => same(shape.height, shape.width, shape.channels, shape.filters, reach, shape.strides),
    };
    Conv2dShape { kernel: shape.kernel, dilation, groups, ..spread }
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
    let padding = [pad(height, 0), pad(width, 1)];
    Conv2dShape { height, width, channels, filters, kernel, strides, dilation: [1, 1], groups: 1, padding, output }
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
    Conv2dShape {
        height,
        width,
        channels,
        filters,
        kernel,
        strides,
        dilation: [1, 1],
        groups: 1,
        padding: [0, 0],
        output,
    }
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

/// One of each kind, small enough for Miri.
#[test]
fn small_shapes() {
    for cpu in cpus().filter(|cpu| cpu.threads() == 2) {
        check(cpu, same(4, 5, 2, 3, [3, 3], [1, 1]), 1, 2);
        check(cpu, valid(5, 4, 3, 2, [2, 2], [2, 1]), 2, 2);
        check(cpu, dilated(same(5, 4, 4, 2, [3, 3], [1, 1]), [2, 1], 2), 1, 1);
        check(cpu, dilated(same(4, 4, 3, 3, [3, 3], [1, 1]), [1, 1], 3), 1, 1);
        check(cpu, Conv2dShape::dense(7, 5), 2, 3);
        check_transposed(cpu, same(3, 4, 2, 3, [3, 3], [2, 1]), 1);
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
fn dilated_convolutions() {
    for cpu in cpus() {
        for (dilation, strides) in
            [([2, 2], [1, 1]), ([2, 3], [1, 2]), ([2, 4], [2, 2]), ([3, 2], [2, 3]), ([1, 6], [4, 4])]
        {
            check(cpu, dilated(same(11, 14, 5, 18, [3, 3], strides), dilation, 1), 3, 3);
            check(cpu, dilated(valid(13, 14, 3, 4, [3, 2], strides), dilation, 1), 2, 3);
        }
        check(cpu, dilated(same(5, 4, 7, 6, [3, 3], [1, 1]), [4, 5], 1), 2, 2);
    }
}

#[test]
fn grouped_convolutions() {
    for cpu in cpus() {
        for (channels, filters, groups) in [(6, 4, 2), (24, 36, 3), (40, 80, 2), (33, 99, 11), (4, 4, 4), (5, 15, 5)] {
            check(cpu, dilated(same(7, 6, channels, filters, [3, 3], [1, 1]), [1, 1], groups), 3, 3);
            check(cpu, dilated(valid(9, 8, channels, filters, [3, 2], [2, 1]), [1, 2], groups), 2, 2);
            check(cpu, dilated(valid(5, 4, channels, filters, [1, 1], [1, 1]), [1, 1], groups), 4, 4);
        }
        check(cpu, dilated(same(3, 4, 300, 70, [3, 3], [1, 1]), [1, 1], 2), 1, 1); // several blocks of depth
    }
}

#[test]
fn depthwise_convolutions() {
    for cpu in cpus() {
        for channels in [2, 3, 15, 16, 17, 33, 70] {
            for (kernel, strides, dilation) in
                [([3, 3], [1, 1], [1, 1]), ([3, 3], [2, 2], [1, 1]), ([5, 2], [1, 3], [1, 1]), ([3, 3], [2, 1], [2, 3])]
            {
                for multiplier in [1, 2, 5] {
                    let filters = channels * multiplier;
                    check(cpu, dilated(same(9, 13, channels, filters, kernel, strides), dilation, channels), 2, 3);
                    check(cpu, dilated(valid(8, 15, channels, filters, kernel, strides), dilation, channels), 1, 1);
                }
            }
        }
        check(cpu, dilated(same(2, 3, 20, 20, [7, 7], [1, 1]), [1, 1], 20), 3, 3); // larger than the image
        check(cpu, dilated(same(60, 70, 32, 64, [3, 3], [2, 2]), [1, 1], 32), 3, 3); // several bands
    }
}

#[test]
fn transposed_convolutions() {
    let shapes = |channels, filters, groups| {
        [
            dilated(same(6, 7, channels, filters, [3, 3], [1, 1]), [1, 1], groups),
            dilated(same(9, 8, channels, filters, [3, 2], [2, 3]), [1, 1], groups),
            dilated(valid(11, 12, channels, filters, [3, 3], [2, 2]), [2, 1], groups),
            dilated(valid(10, 9, channels, filters, [2, 2], [3, 4]), [1, 1], groups), // some pixels are not reached by any tap
        ]
    };
    for cpu in cpus() {
        for (channels, filters, groups) in [(3, 40, 1), (24, 36, 1), (12, 18, 3), (17, 17, 17), (6, 12, 6)] {
            for shape in shapes(channels, filters, groups) {
                check_transposed(cpu, shape, 3);
            }
        }
    }
}

fn check_transposed(cpu: Cpu, shape: Conv2dShape, batch: usize) {
    let what =
        |pass: &str| format!("transposed {pass} on {} with {} threads: {shape:?}", cpu.isa().name(), cpu.threads());
    let (input, kernel) = (numbers(batch * shape.output_len(), 1), numbers(shape.kernel_len(), 2));
    let (bias, grad_output) = (numbers(shape.channels, 3), numbers(batch * shape.input_len(), 4));
    let gradients = Conv2dGradients { input: true, kernel: true };
    for exact in [false, true] {
        let mut conv = Conv2dTranspose::new(cpu, shape, batch, gradients, exact);
        conv.set_kernel(&kernel);
        for relu in [false, true] {
            let mut expected: Vec<f64> =
                (0..grad_output.len()).map(|at| f64::from(bias[at % shape.channels])).collect();
            products(&shape, batch, |o, i, k| expected[i] += f64::from(input[o]) * f64::from(kernel[k]));
            expected.iter_mut().for_each(|x| *x = if relu { x.max(0.0) } else { *x });
            let mut output = vec![f32::NAN; expected.len()];
            conv.forward(batch, &input, Some(&bias), relu, &mut output);
            close(&output, &expected, &what("forward"));
        }
        let mut expected = vec![0.0; input.len()];
        products(&shape, batch, |o, i, k| expected[o] += f64::from(grad_output[i]) * f64::from(kernel[k]));
        let mut grad_input = vec![f32::NAN; input.len()];
        conv.backward_input(batch, &grad_output, &mut grad_input, false);
        close(&grad_input, &expected, &what("backward to the input"));
        conv.backward_input(batch, &grad_output, &mut grad_input, true);
        expected.iter_mut().for_each(|x| *x *= 2.0);
        close(&grad_input, &expected, &what("backward to the input, accumulated"));
        let mut expected = vec![0.0; kernel.len()];
        products(&shape, batch, |o, i, k| expected[k] += f64::from(grad_output[i]) * f64::from(input[o]));
        let mut grad_kernel = vec![f32::NAN; kernel.len()];
        conv.backward_kernel(batch, &input, &grad_output, &mut grad_kernel);
        close(&grad_kernel, &expected, &what("backward to the kernel"));
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
    let plain = same(14, 14, 24, 48, [3, 3], [1, 1]);
    let depthwise = dilated(plain, [1, 1], 24);
    for (algorithm, shape) in
        [(Algorithm::Direct, plain), (Algorithm::Winograd, plain), (Algorithm::Depthwise, depthwise)]
    {
        let (input, kernel) = (numbers(7 * shape.input_len(), 1), numbers(shape.kernel_len(), 2));
        let grad_output = numbers(7 * shape.output_len(), 4);
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
