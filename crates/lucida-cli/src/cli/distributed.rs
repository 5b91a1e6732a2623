//! Options about several processes that work together.

use clap::{Args, ValueEnum};
use lucida::train::distributed::Wire;

/// How processes train together.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DistributedArgs {
    /// Data-parallel training over all MPI processes, each on its shard of every batch:
    /// mpirun -n 2 lucida train ... --distributed mpi
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with = "find_lr", help_heading = "Several machines")]
    pub(crate) distributed: Option<Engine>,

    /// Data type in which gradients are sent; fp16 halves the bytes and keeps three digits
    #[arg(long, value_enum, default_value_t = Wire::Fp32, requires = "distributed", help_heading = "Several machines")]
    pub(crate) wire: Wire,

    /// Multiply batch size and learning rate by the number of processes (Goyal et al., 2017); best with --warm-up
    #[arg(long, requires = "distributed", help_heading = "Several machines")]
    pub(crate) scale_with_ranks: bool,
}

/// How processes share very many images.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Bulk {
    /// Shard all images of a folder, a list (a file or URL) or a bucket over all MPI processes, and resume an interrupted job:
    /// see docs/scale.md
    #[arg(long, value_enum, value_name = "ENGINE", help_heading = "Several machines")]
    pub(crate) distributed: Option<Engine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Mpi,
}
