//! Ctrl-C: the first press asks the work to stop, the second ends the program.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::exit;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Printed on Ctrl-C when the current step takes a while to finish.
pub(crate) const STOPPING: &str =
    "stopping after this step and saving what there is; press Ctrl-C again to stop at once";

/// Catches Ctrl-C (and SIGTERM and SIGHUP, where there are signals) for work that polls [`is_requested`].
///
/// A signal that was already ignored when the program started (`nohup`, or `&` in a script) stays ignored. Where the system
/// cannot list the ignored signals, one that is ignored leaves all of them uncaught.
pub(crate) fn catch() -> Result<()> {
    install(|| eprintln_safely(&format!("\n{STOPPING}")))
}

/// Like [`catch`], for a command that may have nothing to stop: it prints [`STOPPING`] itself if there is something.
pub(crate) fn catch_quietly() -> Result<()> {
    install(|| {})
}

fn install(on_request: impl Fn() + Send + Sync + 'static) -> Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let on_request = Arc::new(on_request);
    let caught = ctrlc::try_set_handler({
        let on_request = Arc::clone(&on_request);
        move || request(&*on_request)
    });
    match caught {
        Err(ctrlc::Error::MultipleHandlers) => install_unignored(on_request),
        caught => caught.context("cannot take over Ctrl-C"),
    }
}

/// Handles the first and second request to stop.
#[expect(clippy::exit, reason = "the second Ctrl-C ends the process whatever it does")]
fn request(on_request: &dyn Fn()) {
    if REQUESTED.swap(true, Ordering::SeqCst) {
        std::process::exit(exit::INTERRUPTED.into());
    }
    on_request();
}

/// Catches the signals that are not ignored. A server in the background of a script ignores Ctrl-C, but has to answer its
/// pending requests on SIGTERM.
#[cfg(target_os = "linux")]
fn install_unignored(on_request: Arc<impl Fn() + Send + Sync + 'static>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let Some(mask) = mask else { return Ok(()) };
    let signals = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| mask >> (signal - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(signals).context("cannot take over SIGTERM")?;
    std::thread::spawn(move || signals.forever().for_each(|_| request(&*on_request)));
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn install_unignored(_: Arc<impl Fn() + Send + Sync + 'static>) -> Result<()> {
    Ok(())
}

/// Whether the work should stop.
pub(crate) fn is_requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// [`is_requested`], as returned by [`Progress`](lucida::core::Progress).
pub(crate) fn flow() -> ControlFlow<()> {
    if is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Like `eprintln`, but without a panic if standard error is closed.
fn eprintln_safely(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
