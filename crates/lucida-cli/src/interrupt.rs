//! Ctrl-C: the first asks the work to stop, the second ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::exit;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Takes over Ctrl-C (and, where there are signals, SIGTERM and SIGHUP) for work that asks [`is_requested`].
pub(crate) fn catch() -> Result<()> {
    let caught = ctrlc::try_set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(exit::INTERRUPTED.into());
        }
        eprintln_safely("\nstopping after this step and saving what there is; press Ctrl-C again to stop at once");
    });
    match caught {
        // Under nohup somebody has decided already what becomes of signals; that is respected.
        Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        caught => caught.context("cannot take over Ctrl-C"),
    }
}

/// Whether the work should stop.
pub(crate) fn is_requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// As `eprintln`, without its panic when standard error is closed.
fn eprintln_safely(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
