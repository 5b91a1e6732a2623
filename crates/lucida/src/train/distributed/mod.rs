//! Training by several processes, on one machine or many: synchronous data parallelism.
//!
//! All members of a [`ProcessGroup`](crate::nn::ProcessGroup) have the same network. Of every batch each reads and computes
//! its part; the gradients are added up, and all make the same step. The batches, their order and what dropout drops are
//! those of a single process (each sample draws from its own place in the stream of random numbers), batch normalization
//! uses the statistics of the whole batch, so the weights are those of a single process too, but for the order of sums in
//! 32-bit floats.
//!
//! Gradients travel in buckets, each as soon as the gradients in it are there, while the backward pass continues
//! with the layers before.
//!
//! The members are processes that MPI has started (`Mpi` of the crate `lucida-mpi`): `mpirun`, Slurm and Kubernetes' MPI
//! operator know how to start, place and end them, and Open MPI how to use the network at hand.

mod broadcast;
mod buckets;
mod part;
#[cfg(test)]
mod tests;

pub(super) use broadcast::broadcast_checkpoint;
pub(super) use buckets::Buckets;
pub(super) use part::{Part, each, range};

/// What gradients are on their way between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Wire {
    /// 32-bit floats: sums as exact as on one machine
    #[default]
    Fp32,
    /// 16-bit floats with a scale for each piece: half the bytes, three decimal digits
    Fp16,
}
