//! Options about several processes that work together.

use clap::{Args, ValueEnum};
use lucida::train::distributed::Wire;

/// How processes train together.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DistributedArgs {
    /// Train with all processes that were started together, each on its part of every batch:
    /// mpirun -n 2 lucida train ... --distributed mpi
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with = "find_lr", help_heading = "Several machines")]
    pub(crate) distributed: Option<Engine>,

    /// What gradients are on their way: fp16 halves the bytes, and keeps three digits
    #[arg(long, value_enum, default_value_t = Wire::Fp32, requires = "distributed", help_heading = "Several machines")]
    pub(crate) wire: Wire,

    /// Multiply batch size and learning rate with the number of processes (Goyal et al., 2017); --warm-up goes well with it
    #[arg(long, requires = "distributed", help_heading = "Several machines")]
    pub(crate) scale_with_ranks: bool,
}

/// How processes share very many images.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Bulk {
    /// Shard all images of a folder, a list (a file, or its address) or a bucket among the processes that were started
    /// together, and resume where an earlier run ended: see docs/scale.md
    #[arg(long, value_enum, value_name = "ENGINE", help_heading = "Several machines")]
    pub(crate) distributed: Option<Engine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Mpi,
}
