//! Gram matrices and the linear maps of their gradients, for the style layers of VGG19 at 512x512 pixels:
//! `cargo bench -p lucida-kernels --bench gram`.
//!
//! Throughput counts the multiplications and additions of the full matrix product, though a Gram matrix is symmetric and
//! only half of it is computed.

mod common;

use common::{cpu, group, id, numbers};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lucida_kernels::{ChannelMap, Gram};

/// Side of the square feature map, and number of channels.
const LAYERS: [(usize, usize); 5] = [(512, 64), (256, 128), (128, 256), (64, 512), (32, 512)];

fn gram_matrices(criterion: &mut Criterion) {
    for (side, channels) in LAYERS {
        let mut group = group(criterion, &format!("gram_{side}x{side}x{channels}"));
        let features = numbers(side * side * channels);
        let (mut gram, mut map) = (Gram::new(cpu(), channels), ChannelMap::new(cpu(), channels));
        let (mut matrix, mut mapped) = (vec![0.0; channels * channels], vec![0.0; features.len()]);
        group.throughput(Throughput::Elements((2 * side * side * channels * channels) as u64));
        group.bench_function(id("forward"), |bencher| bencher.iter(|| gram.run(&features, &mut matrix)));
        map.set(&numbers(channels * channels), &[]);
        group.bench_function(id("map"), |bencher| bencher.iter(|| map.run(&features, &mut mapped, false)));
        group.finish();
    }
}

criterion_group!(benches, gram_matrices);
criterion_main!(benches);
