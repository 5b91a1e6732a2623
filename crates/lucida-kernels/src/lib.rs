//! The CPU kernels of Lucida.
//!
//! Everything here works on slices of `f32` in plain layouts: images as (batch, height, width, channel), kernels as (row,
//! column, channel, filter). This crate knows nothing of graphs, files or names, and is the only one of the workspace with
//! `unsafe` code. Each kernel runs on a [`Cpu`]: an [`Isa`] that this processor supports and a number of threads.
//!
//! Lengths are checked with panics: a wrong one is a bug in the caller, which has inferred the shapes beforehand.
//!
//! The feature `threads`, on by default, has the thread pool; without it everything runs on the calling thread, as on
//! `wasm32-unknown-unknown`. There, the vectors are those that the crate is compiled for: `-C target-feature=+simd128`, or
//! `+simd128,+relaxed-simd`.

mod buffer;
mod channel_map;
pub mod clock;
mod conv2d;
mod cpu;
mod dense;
mod gemm;
mod gram;
mod matmul;
pub mod ops;
mod peak;
#[cfg(feature = "threads")]
mod pool;
mod pool2d;
mod resample;
mod simd;
mod strided;

pub use buffer::Buffer;
pub use channel_map::ChannelMap;
pub use conv2d::{Conv2d, Conv2dGradients, Conv2dShape, Conv2dTranspose, ConvFinish};
pub use cpu::Cpu;
pub use dense::{Dense, DenseGradient};
pub use gram::Gram;
pub use matmul::MatMul;
pub use pool2d::{Pool2dShape, PoolBackward, Pooling, average_pool2d_backward, max_pool2d_backward, pool2d};
pub use resample::{AxisMap, ImageMap, Resample, max_windows, max_windows_backward, resample};
pub use simd::Isa;
pub use strided::{StridedView, gather, scatter};

/// The cases of a test: all, or the first ones under Miri, which is some thousand times slower.
#[cfg(test)]
pub(crate) fn cases<T, const N: usize>(all: [T; N], under_miri: usize) -> impl Iterator<Item = T> {
    all.into_iter().take(if cfg!(miri) { under_miri } else { N })
}
