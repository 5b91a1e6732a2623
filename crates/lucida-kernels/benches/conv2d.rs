//! Convolutions of well-known networks, pass by pass: `cargo bench -p lucida-kernels --bench conv2d [-- NAME]`.
//!
//! Throughput counts the multiplications and additions of direct convolution (one "element" is one operation), so an
//! algorithm that needs fewer can exceed the processor's peak.

mod common;

use common::{cpu, group, id, numbers};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lucida_kernels::{Conv2d, Conv2dGradients, Conv2dShape};

/// A convolution of square images with "same" or "valid" padding.
fn layer(size: usize, same: bool, channels: usize, filters: usize, kernel: [usize; 2], stride: usize) -> Conv2dShape {
    let padding = kernel.map(|taps| if same { (taps - 1) / 2 } else { 0 });
    let output = [0, 1].map(|axis| (size + 2 * padding[axis] - kernel[axis]) / stride + 1);
    Conv2dShape {
        height: size,
        width: size,
        channels,
        filters,
        kernel,
        strides: [stride; 2],
        dilation: [1, 1],
        groups: 1,
        padding,
        output,
    }
}

/// A grouped 3x3 convolution with "same" padding.
fn grouped(size: usize, channels: usize, groups: usize, stride: usize) -> Conv2dShape {
    Conv2dShape { groups, ..layer(size, true, channels, channels, [3, 3], stride) }
}

/// Name, shape, batch size, and whether a 2x2 max pooling follows.
fn layers() -> Vec<(&'static str, Conv2dShape, usize, bool)> {
    let three = |size, same, channels, filters| layer(size, same, channels, filters, [3, 3], 1);
    vec![
        ("mnist_conv1", three(28, true, 1, 24), 256, false),
        ("mnist_conv1_pooled", three(28, true, 1, 24), 256, true),
        ("mnist_conv2", three(14, true, 24, 48), 256, false),
        ("mnist_conv2_pooled", three(14, true, 24, 48), 256, true),
        ("mnist_conv3", three(7, true, 48, 64), 256, false),
        ("mnist_conv2_one", three(14, true, 24, 48), 1, false),
        ("mnist_conv3_one", three(7, true, 48, 64), 1, false),
        ("mnist_dense", Conv2dShape::dense(576, 128), 256, false),
        ("cats_conv1_pooled", three(150, false, 3, 32), 32, true),
        ("cats_conv2", three(74, false, 32, 64), 32, false),
        ("cats_conv3", three(36, false, 64, 128), 32, false),
        ("vgg_block1_conv1", three(512, true, 3, 64), 1, false),
        ("vgg_block1_conv2", three(512, true, 64, 64), 1, false),
        ("vgg_block2_conv2", three(256, true, 128, 128), 1, false),
        ("vgg_block3_conv2", three(128, true, 256, 256), 1, false),
        ("vgg_block4_conv2", three(64, true, 512, 512), 1, false),
        ("vgg_block5_conv1", three(32, true, 512, 512), 1, false),
        ("inception_stem_3x3_by_2", layer(150, false, 3, 32, [3, 3], 2), 32, false),
        ("inception_mixed0_1x1", layer(16, true, 192, 64, [1, 1], 1), 32, false),
        ("inception_mixed0_5x5", layer(16, true, 48, 64, [5, 5], 1), 32, false),
        ("inception_mixed3_3x3_by_2", layer(16, false, 288, 384, [3, 3], 2), 32, false),
        ("inception_mixed4_1x7", layer(7, true, 128, 128, [1, 7], 1), 32, false),
        ("inception_mixed4_7x1", layer(7, true, 128, 128, [7, 1], 1), 32, false),
        ("mobilenet_depthwise_112", grouped(112, 32, 32, 1), 1, false),
        ("mobilenet_depthwise_14", grouped(14, 576, 576, 1), 1, false),
        ("mobilenet_depthwise_14_by_2", grouped(14, 576, 576, 2), 1, false),
        ("resnext_grouped_56", grouped(56, 128, 32, 1), 1, false),
        ("resnext_grouped_14", grouped(14, 512, 32, 1), 1, false),
        (
            "deeplab_dilated",
            Conv2dShape { dilation: [2, 2], padding: [2, 2], ..layer(32, true, 256, 256, [3, 3], 1) },
            1,
            false,
        ),
    ]
}

fn convolutions(criterion: &mut Criterion) {
    for (name, shape, batch, pooled) in layers() {
        let mut group = group(criterion, name);
        let gradients = Conv2dGradients { input: true, kernel: true };
        let (mut conv, result_len) = match pooled {
            true => {
                let maxima = shape.output.map(|pixels| pixels / 2);
                (Conv2d::pooled(cpu(), shape, batch, gradients, false), maxima[0] * maxima[1] * shape.filters)
            }
            false => (Conv2d::new(cpu(), shape, batch, gradients), shape.output_len()),
        };
        let (input, kernel) = (numbers(batch * shape.input_len()), numbers(shape.kernel_len()));
        let bias = numbers(shape.filters);
        let grad_output = numbers(batch * result_len);
        let mut output = vec![0.0; grad_output.len()];
        let mut grad_input = vec![0.0; input.len()];
        let mut grad_kernel = vec![0.0; kernel.len()];
        conv.set_kernel(&kernel);

        group.bench_function(id("set_kernel"), |bencher| bencher.iter(|| conv.set_kernel(&kernel)));
        group.throughput(Throughput::Elements((batch as f64 * conv.operations()) as u64));
        group.bench_function(id("forward"), |bencher| {
            bencher.iter(|| conv.forward(batch, &input, Some(&bias), true, &mut output));
        });
        group.bench_function(id("backward_input"), |bencher| {
            bencher.iter(|| conv.backward_input(batch, &grad_output, &mut grad_input, false));
        });
        group.bench_function(id("backward_kernel"), |bencher| {
            bencher.iter(|| conv.backward_kernel(batch, &input, &grad_output, &mut grad_kernel));
        });
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
