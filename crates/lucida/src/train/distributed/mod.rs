//! Distributed training in several processes, on one or more machines: synchronous data parallelism.
//!
//! All members of a [`ProcessGroup`](crate::nn::ProcessGroup) have the same network. Each reads and computes its part of
//! every batch; the gradients are summed, and all members take the same step. Batches, their order and dropout masks match
//! those of a single process (random numbers are keyed by sample), and batch normalization uses the statistics of the whole
//! batch. Therefore the weights match as well, except for rounding due to the order of 32-bit sums.
//!
//! Gradients are sent in buckets, each as soon as it is complete, while the backward pass continues with the preceding
//! layers.
//!
//! The members are processes started by MPI (`Mpi` in the crate `lucida-mpi`): `mpirun`, Slurm and Kubernetes' MPI operator
//! start, place and terminate them, and Open MPI selects the network transport.

mod broadcast;
mod buckets;
mod part;
#[cfg(test)]
mod tests;

pub(super) use broadcast::broadcast_checkpoint;
pub(super) use buckets::Buckets;
pub(super) use part::{BatchShard, each, range};

/// Number format of gradients in transit between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Wire {
    /// 32-bit floats: sums as exact as on one machine
    #[default]
    Fp32,
    /// 16-bit floats with a scale for each piece: half the bytes, three decimal digits
    Fp16,
}
