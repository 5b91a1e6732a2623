//! Ctrl-C: the first asks the work to stop, the second ends the program.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::exit;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// What a command prints when its current step takes a while to finish.
pub(crate) const STOPPING: &str =
    "stopping after this step and saving what there is; press Ctrl-C again to stop at once";

/// Takes over Ctrl-C (and, where there are signals, SIGTERM and SIGHUP) for work that asks [`is_requested`].
///
/// Whoever started the program with one of them ignored (`nohup`, or `&` in a script) wants it to continue: then all of
/// them are left as they are.
pub(crate) fn catch() -> Result<()> {
    install(|| eprintln_safely(&format!("\n{STOPPING}")))
}

/// As [`catch`], for a command that may have nothing to stop: it says so itself, with [`STOPPING`], where there is
/// something.
pub(crate) fn catch_quietly() -> Result<()> {
    install(|| {})
}

#[expect(clippy::exit, reason = "the second Ctrl-C ends the process whatever it does")]
fn install(tell: impl Fn() + Send + 'static) -> Result<()> {
    let caught = ctrlc::try_set_handler(move || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(exit::INTERRUPTED.into());
        }
        tell();
    });
    match caught {
        Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        caught => caught.context("cannot take over Ctrl-C"),
    }
}

/// Whether the work should stop.
pub(crate) fn is_requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Whether the work should stop, as [`Progress`](lucida::core::Progress) says it.
pub(crate) fn flow() -> ControlFlow<()> {
    if is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// As `eprintln`, without its panic when standard error is closed.
fn eprintln_safely(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
