//! Elementwise, per-channel and per-row operations: `cargo bench -p lucida-kernels --bench ops`. Throughput counts input
//! values.

mod common;

use common::{cpu, group, id, numbers};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lucida_kernels::ops::{
    AdamStep, Columns, Pointwise, RmspropStep, SgdStep, Update, adam, affine, channel_workspace, combine,
    gradient_moments, moments, multiply, pointwise, pointwise_backward, softmax, softmax_backward, sum_parts, sum_rows,
    sum_rows_workspace, transfer, transfer_columns,
};

/// Size of an activation of the cats-and-dogs network: 32 images of 36x36 pixels and 64 channels.
const VALUES: usize = 32 * 36 * 36 * CHANNELS;
const CHANNELS: usize = 64;

fn activations(criterion: &mut Criterion) {
    let mut group = group(criterion, "activation");
    // The gradient is updated in place: repeated runs would shrink it to denormals, which are slow.
    let (input, gradient, mut output) = (numbers(VALUES), numbers(VALUES), vec![0.0; VALUES]);
    group.throughput(Throughput::Elements(VALUES as u64));
    let kinds = [
        ("relu", Pointwise::Relu),
        ("sigmoid", Pointwise::Sigmoid),
        ("tanh", Pointwise::Tanh),
        ("leaky_relu", Pointwise::LeakyRelu { slope: 0.1 }),
        ("clip", Pointwise::Clip { min: 0.0, max: 6.0 }),
    ];
    for (name, kind) in kinds {
        group.bench_function(id(name), |bencher| bencher.iter(|| pointwise(cpu(), kind, &input, &mut output)));
        group.bench_function(id(&format!("{name}_backward")), |bencher| {
            bencher.iter_batched_ref(
                || gradient.clone(),
                |gradient| pointwise_backward(cpu(), kind, &output, gradient),
                BatchSize::LargeInput,
            );
        });
    }
    for (rows, classes) in [(256, 10), (32, 1000)] {
        let (scores, mut shares) = (numbers(rows * classes), vec![0.0; rows * classes]);
        group.throughput(Throughput::Elements(scores.len() as u64));
        let name = format!("softmax_{rows}x{classes}");
        group.bench_function(id(&name), |bencher| bencher.iter(|| softmax(cpu(), classes, &scores, &mut shares)));
        group.bench_function(id(&format!("{name}_backward")), |bencher| {
            bencher.iter_batched_ref(
                || scores.clone(),
                |gradient| softmax_backward(cpu(), classes, &shares, gradient),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn normalization(criterion: &mut Criterion) {
    let mut group = group(criterion, "normalization");
    let (input, gradient, mut output) = (numbers(VALUES), numbers(VALUES), vec![0.0; VALUES]);
    let (scale, shift) = (numbers(CHANNELS), numbers(CHANNELS));
    let (mut one, mut two) = (vec![0.0; CHANNELS], vec![0.0; CHANNELS]);
    let mut workspace = vec![0.0; channel_workspace(cpu(), CHANNELS)];
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function(id("moments"), |bencher| {
        bencher.iter(|| moments(cpu(), &input, &mut one, &mut two, &mut workspace));
    });
    group.bench_function(id("affine"), |bencher| {
        bencher.iter(|| affine(cpu(), &input, &scale, &shift, true, &mut output));
    });
    group.bench_function(id("gradient_moments"), |bencher| {
        bencher.iter(|| gradient_moments(cpu(), &gradient, &input, &shift, &mut one, &mut two, &mut workspace));
    });
    group.bench_function(id("combine"), |bencher| {
        bencher.iter(|| combine(cpu(), &gradient, &input, (&scale, &shift, &scale), &mut output, false));
    });
    group.finish();
}

fn copies_and_sums(criterion: &mut Criterion) {
    let mut group = group(criterion, "copies_and_sums");
    let (input, factors, mut output) = (numbers(VALUES), numbers(VALUES), vec![0.0; VALUES]);
    let mut sums = vec![0.0; CHANNELS];
    let mut workspace = vec![0.0; sum_rows_workspace(cpu(), CHANNELS)];
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function(id("transfer"), |bencher| bencher.iter(|| transfer(cpu(), &input, &mut output, false)));
    group.bench_function(id("multiply"), |bencher| {
        bencher.iter(|| multiply(cpu(), &input, &factors, &mut output, false));
    });
    group.bench_function(id("sum_rows"), |bencher| {
        bencher.iter(|| sum_rows(cpu(), &input, &mut sums, &mut workspace));
    });
    group.bench_function(id("sum_parts"), |bencher| {
        bencher.iter(|| sum_parts(cpu(), &input, &mut output[..VALUES / 2]));
    });
    let rows = VALUES / CHANNELS;
    let (width, whole) = (CHANNELS / 2, Columns { start: CHANNELS / 2, stride: CHANNELS });
    let part = Columns { start: 0, stride: width };
    group.throughput(Throughput::Elements((rows * width) as u64));
    group.bench_function(id("transfer_columns"), |bencher| {
        bencher.iter(|| {
            transfer_columns(cpu(), (rows, width), (&input, part), (&mut output, whole), false);
        });
    });
    group.finish();
}

fn optimizers(criterion: &mut Criterion) {
    // The first dense layer of the cats-and-dogs network.
    let len = 9216 * 512;
    let mut group = group(criterion, "optimizer");
    let (mut weights, gradient) = (numbers(len), numbers(len));
    let (mut first, mut second) = (vec![0.0; len], vec![0.0; len]);
    group.throughput(Throughput::Elements(len as u64));
    let step = AdamStep { rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, keep: 1.0 };
    group.bench_function(id("adam"), |bencher| {
        bencher.iter(|| adam(cpu(), step, &mut weights, &gradient, &mut first, &mut second));
    });
    let step = SgdStep { rate: 1e-2, momentum: 0.9, nesterov: true };
    group.bench_function(id("sgd"), |bencher| {
        bencher.iter(|| Update::Sgd { step, velocity: &mut first }.apply(cpu(), &mut weights, &gradient));
    });
    let step = RmspropStep { rate: 1e-3, rho: 0.9, epsilon: 1e-7 };
    group.bench_function(id("rmsprop"), |bencher| {
        bencher.iter(|| Update::Rmsprop { step, mean_square: &mut second }.apply(cpu(), &mut weights, &gradient));
    });
    group.finish();
}

criterion_group!(benches, activations, normalization, copies_and_sums, optimizers);
criterion_main!(benches);
