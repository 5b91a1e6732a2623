//! A dense layer whose weights change at each step: `cargo bench -p lucida-kernels --bench dense`.
//!
//! Throughput counts multiplications and additions. Between runs the weights stay in the caches as far as they fit; in a
//! training step they come from memory.

mod common;

use common::{cpu, group, id, numbers};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lucida_kernels::ops::{AdamStep, Update};
use lucida_kernels::{Dense, DenseGradient};

/// Name, inputs, units and batch.
const LAYERS: [(&str, usize, usize, usize); 2] = [("cats_dense", 9216, 512, 32), ("vgg_head", 8192, 256, 32)];

fn dense_layers(criterion: &mut Criterion) {
    for (name, inputs, units, batch) in LAYERS {
        let mut group = group(criterion, name);
        let mut dense = Dense::new(cpu(), inputs, units, batch);
        let (input, mut kernel, grad_output) =
            (numbers(batch * inputs), numbers(inputs * units), numbers(batch * units));
        let bias = numbers(units);
        let (mut output, mut grad_input) = (vec![0.0; grad_output.len()], vec![0.0; input.len()]);
        let (mut first, mut second) = (vec![0.0; kernel.len()], vec![0.0; kernel.len()]);
        group.throughput(Throughput::Elements((2 * batch * inputs * units) as u64));
        group.bench_function(id("forward"), |bencher| {
            bencher.iter(|| dense.forward(batch, &input, &kernel, Some(&bias), true, &mut output));
        });
        group.bench_function(id("backward_input"), |bencher| {
            bencher.iter(|| {
                let gradient = DenseGradient { values: &mut grad_input, accumulate: false, gate: Some(&input) };
                dense.backward_input(batch, &grad_output, &kernel, gradient);
            });
        });
        let step = AdamStep { rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, keep: 1.0 };
        group.bench_function(id("update_adam"), |bencher| {
            bencher.iter(|| {
                let update = Update::Adam { step, first: &mut first, second: &mut second };
                dense.update(batch, &input, &grad_output, &mut kernel, update);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, dense_layers);
criterion_main!(benches);
