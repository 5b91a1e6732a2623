//! Commands that run in several processes together.

use anyhow::Result;
use lucida::batch_jobs::WorkQueue;
use lucida::nn::ProcessGroup;

use super::Context;
use crate::cli::DistributedArgs;

/// Runs a command in the process group that MPI has started, or without one if none was requested. Only rank 0 prints. A
/// process that fails aborts the job and names itself.
pub(super) fn run(
    wanted: DistributedArgs,
    context: Context,
    work: impl FnOnce(Option<&dyn ProcessGroup>, Context) -> Result<()>,
) -> Result<()> {
    if wanted.distributed.is_none() {
        return work(None, context);
    }
    #[cfg(feature = "mpi")]
    return join(wanted.wire, context, |group, context| work(Some(group), context));
    #[cfg(not(feature = "mpi"))]
    missing_mpi()
}

/// Like [`run`], for bulk work, which always needs a group.
pub(super) fn share(context: Context, work: impl FnOnce(&dyn WorkQueue, Context) -> Result<()>) -> Result<()> {
    #[cfg(feature = "mpi")]
    return join(lucida::train::distributed::Wire::Fp32, context, |group, context| work(group, context));
    #[cfg(not(feature = "mpi"))]
    {
        let (_, _) = (context, work);
        missing_mpi()
    }
}

#[cfg(feature = "mpi")]
fn join(
    wire: lucida::train::distributed::Wire,
    context: Context,
    work: impl FnOnce(&lucida_mpi::Mpi, Context) -> Result<()>,
) -> Result<()> {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use lucida_mpi::Mpi;

    use crate::exit::Reported;

    let group = Mpi::join(wire)?;
    let (rank, size) = (group.rank(), group.size());
    let cpu =
        if context.threads_chosen { context.cpu } else { context.cpu.with_threads(threads(group.on_this_host())) };
    context.output.note(&format!("rank {rank} of {size} on {}: threads {}", group.host(), cpu.threads()));
    let output = if rank == 0 { context.output } else { context.output.without_output() };
    let failed = |problem: &str| -> ! {
        eprintln!("error: rank {rank} of {size} on {}: {problem}", group.host());
        group.abort(1)
    };
    match catch_unwind(AssertUnwindSafe(|| work(&group, Context { cpu, output, ..context }))) {
        Ok(Ok(())) => Ok(()),
        // All processes stop or finish together.
        Ok(Err(problem)) if matches!(problem.downcast_ref(), Some(lucida::Error::Interrupted)) => Err(problem),
        Ok(Err(problem)) if problem.is::<Reported>() => Err(problem),
        Ok(Err(problem)) => failed(&format!("{problem:#}")),
        Err(_) => failed("a bug in lucida: see above"),
    }
}

/// Error of a build without MPI.
#[cfg(not(feature = "mpi"))]
fn missing_mpi() -> Result<()> {
    anyhow::bail!(
        "--distributed mpi: this program was built without MPI. Build it with `cargo build --release --features mpi`, which \
         needs an MPI and libclang: on Debian and Ubuntu `apt install libopenmpi-dev libclang-dev`"
    )
}

/// Threads per process, given the number of processes on this host. Where the launcher has bound them to processors, each
/// process uses its own.
#[cfg(feature = "mpi")]
fn threads(processes: usize) -> usize {
    let own = std::thread::available_parallelism().map_or(1, usize::from);
    let bound = std::fs::read_to_string("/proc/cpuinfo")
        .is_ok_and(|text| own < text.lines().filter(|line| line.starts_with("processor")).count());
    if bound { own } else { (own / processes).max(1) }
}
