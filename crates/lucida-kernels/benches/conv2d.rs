//! The 3x3 convolutions of known networks, pass by pass: `cargo bench -p lucida-kernels --bench conv2d [-- NAME]`.
//!
//! The throughput counts the multiplications and additions of the definition (in "elements": one is an operation), so
//! that an algorithm that needs fewer shows as faster than the processor. `LUCIDA_SIMD` and `LUCIDA_THREADS` choose the
//! instruction set and the number of threads.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lucida_kernels::{Conv2d, Conv2dGradients, Conv2dShape, Cpu};

/// A 3x3 convolution with stride one of square pictures.
fn layer(size: usize, padding: usize, channels: usize, filters: usize) -> Conv2dShape {
    Conv2dShape {
        height: size,
        width: size,
        channels,
        filters,
        kernel: [3, 3],
        strides: [1, 1],
        padding: [padding; 2],
        output: [size + 2 * padding - 2; 2],
    }
}

/// Name, shape and batch.
fn layers() -> Vec<(&'static str, Conv2dShape, usize)> {
    vec![
        ("mnist_conv1", layer(28, 1, 1, 24), 256),
        ("mnist_conv2", layer(14, 1, 24, 48), 256),
        ("mnist_conv3", layer(7, 1, 48, 64), 256),
        ("mnist_conv2_one", layer(14, 1, 24, 48), 1),
        ("mnist_conv3_one", layer(7, 1, 48, 64), 1),
        ("cats_conv2", layer(74, 0, 32, 64), 32),
        ("cats_conv3", layer(36, 0, 64, 128), 32),
        ("vgg_block1_conv2", layer(512, 1, 64, 64), 1),
        ("vgg_block2_conv2", layer(256, 1, 128, 128), 1),
        ("vgg_block3_conv2", layer(128, 1, 256, 256), 1),
        ("vgg_block4_conv2", layer(64, 1, 512, 512), 1),
        ("vgg_block5_conv1", layer(32, 1, 512, 512), 1),
    ]
}

/// Numbers between -1 and 1, the same each time.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|index| (index * 7919 % 2001) as f32 / 1000.0 - 1.0).collect()
}

fn convolutions(criterion: &mut Criterion) {
    let cpu = Cpu::from_env().expect("the environment names an instruction set and a number of threads");
    for (name, shape, batch) in layers() {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
        let (input, kernel) = (numbers(batch * shape.input_len()), numbers(shape.kernel_len()));
        let bias = numbers(shape.filters);
        let grad_output = numbers(batch * shape.output_len());
        let mut output = vec![0.0; grad_output.len()];
        let mut grad_input = vec![0.0; input.len()];
        let mut grad_kernel = vec![0.0; kernel.len()];
        let mut conv = Conv2d::new(cpu, shape, batch, Conv2dGradients { input: true, kernel: true });
        conv.set_kernel(&kernel);

        let id = |pass| BenchmarkId::new(pass, format!("{} x{}", cpu.isa().name(), cpu.threads()));
        group.bench_function(id("set_kernel"), |bencher| bencher.iter(|| conv.set_kernel(&kernel)));
        let pixels = shape.output[0] * shape.output[1];
        group.throughput(Throughput::Elements((2 * batch * pixels * shape.kernel_len()) as u64));
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
