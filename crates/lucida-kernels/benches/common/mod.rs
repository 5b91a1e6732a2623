//! Helpers shared by the benchmarks.

use std::sync::LazyLock;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use lucida_kernels::Cpu;

/// Cached: detecting the processor takes longer than a small kernel.
static CPU: LazyLock<Cpu> =
    LazyLock::new(|| Cpu::from_env().expect("the environment names an instruction set and a number of threads"));

/// The processor to run on: `LUCIDA_SIMD` and `LUCIDA_THREADS` choose the instruction set and the number of threads.
pub(crate) fn cpu() -> Cpu {
    *CPU
}

/// A group of kernels that work on the same sizes.
pub(crate) fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    group
}

/// Benchmark id: the kernel, the instruction set and the number of threads.
pub(crate) fn id(kernel: &str) -> BenchmarkId {
    BenchmarkId::new(kernel, format!("{} x{}", cpu().isa().name(), cpu().threads()))
}

/// Deterministic values between -1 and 1.
pub(crate) fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|index| (index * 7919 % 2001) as f32 / 1000.0 - 1.0).collect()
}
