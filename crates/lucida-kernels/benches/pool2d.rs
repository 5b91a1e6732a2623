//! Pooling: `cargo bench -p lucida-kernels --bench pool2d`. Throughput counts input values.

mod common;

use common::{cpu, group, id, numbers};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lucida_kernels::{Pool2dShape, PoolBackward, Pooling, average_pool2d_backward, max_pool2d_backward, pool2d};

/// Windows without padding over square images.
fn windows(size: usize, channels: usize, pool: usize, stride: usize) -> Pool2dShape {
    let output = [(size - pool) / stride + 1; 2];
    Pool2dShape { height: size, width: size, channels, pool: [pool; 2], strides: [stride; 2], padding: [0; 2], output }
}

fn pooling(criterion: &mut Criterion) {
    let layers = [
        ("vgg_block1_pool", windows(512, 64, 2, 2), 1),
        ("inception_max_pooling2d", windows(71, 64, 3, 2), 32),
        ("inception_average_pooling2d", windows(18, 192, 3, 1), 32),
        ("global", Pool2dShape::global(7, 7, 512), 32),
    ];
    for (name, shape, batch) in layers {
        let mut group = group(criterion, name);
        let (input, grad_output) = (numbers(batch * shape.input_len()), numbers(batch * shape.output_len()));
        let (mut output, mut grad_input) = (vec![0.0; grad_output.len()], vec![0.0; input.len()]);
        group.throughput(Throughput::Elements(input.len() as u64));
        group.bench_function(id("average"), |bencher| {
            bencher.iter(|| pool2d(cpu(), Pooling::Average, &shape, batch, &input, &mut output));
        });
        group.bench_function(id("average_backward"), |bencher| {
            bencher.iter(|| average_pool2d_backward(cpu(), &shape, batch, &grad_output, &mut grad_input, false));
        });
        group.bench_function(id("max"), |bencher| {
            bencher.iter(|| pool2d(cpu(), Pooling::Max, &shape, batch, &input, &mut output));
        });
        group.bench_function(id("max_backward"), |bencher| {
            bencher.iter(|| {
                let options = PoolBackward::default();
                max_pool2d_backward(cpu(), &shape, batch, &input, &output, &grad_output, &mut grad_input, options);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, pooling);
criterion_main!(benches);
