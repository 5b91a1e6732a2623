//! Ctrl-C: the first asks the work to stop, the second ends the program.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::exit;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// What a command prints when its current step takes a while to finish.
pub(crate) const STOPPING: &str =
    "stopping after this step and saving what there is; press Ctrl-C again to stop at once";

/// Takes over Ctrl-C (and, where there are signals, SIGTERM and SIGHUP) for work that asks [`is_requested`].
///
/// Whoever started the program with one of them ignored (`nohup`, or `&` in a script) wants it to continue: that one is left
/// as it is, and where the system does not say which are ignored, all of them.
pub(crate) fn catch() -> Result<()> {
    install(|| eprintln_safely(&format!("\n{STOPPING}")))
}

/// As [`catch`], for a command that may have nothing to stop: it says so itself, with [`STOPPING`], where there is
/// something.
pub(crate) fn catch_quietly() -> Result<()> {
    install(|| {})
}

fn install(tell: impl Fn() + Send + Sync + 'static) -> Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let tell = Arc::new(tell);
    let caught = ctrlc::try_set_handler({
        let tell = Arc::clone(&tell);
        move || request(&*tell)
    });
    match caught {
        Err(ctrlc::Error::MultipleHandlers) => install_unignored(tell),
        caught => caught.context("cannot take over Ctrl-C"),
    }
}

/// The first request to stop, and the second.
#[expect(clippy::exit, reason = "the second Ctrl-C ends the process whatever it does")]
fn request(tell: &dyn Fn()) {
    if REQUESTED.swap(true, Ordering::SeqCst) {
        std::process::exit(exit::INTERRUPTED.into());
    }
    tell();
}

/// Takes over the signals that are not ignored, where one of them is: a server in the background of a script ignores Ctrl-C,
/// but has to answer what waits when SIGTERM comes.
#[cfg(target_os = "linux")]
fn install_unignored(tell: Arc<impl Fn() + Send + Sync + 'static>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let Some(mask) = mask else { return Ok(()) };
    let signals = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| mask >> (signal - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(signals).context("cannot take over SIGTERM")?;
    std::thread::spawn(move || signals.forever().for_each(|_| request(&*tell)));
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

/// Whether the work should stop, as [`Progress`](lucida::core::Progress) says it.
pub(crate) fn flow() -> ControlFlow<()> {
    if is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// As `eprintln`, without its panic when standard error is closed.
fn eprintln_safely(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
