//! The clock of everything that is timed.
//!
//! WebAssembly without a system has no clock: there, [`std::time::Instant::now`] panics. A program sets one with [`set`], in
//! a browser `performance.now() / 1000`; without it, all times are zero.

use std::sync::OnceLock;
use std::time::Duration;

static CLOCK: OnceLock<fn() -> f64> = OnceLock::new();

/// Sets the clock: a function that returns the seconds since any fixed time, and never less than before. To be called once,
/// before anything is timed; returns whether no clock had been set.
pub fn set(seconds: fn() -> f64) -> bool {
    CLOCK.set(seconds).is_ok()
}

/// Whether there is a clock, of the system or [`set`].
pub fn exists() -> bool {
    CLOCK.get().is_some() || system().is_some()
}

/// The seconds since a fixed time; zero if there is no clock.
pub fn seconds() -> f64 {
    CLOCK.get().map_or_else(|| system().unwrap_or_default(), |clock| clock())
}

/// The seconds since the first call.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn system() -> Option<f64> {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    Some(START.elapsed().as_secs_f64())
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn system() -> Option<f64> {
    None
}

/// The time since its start.
///
/// ```
/// use lucida_kernels::clock::Stopwatch;
///
/// let watch = Stopwatch::start();
/// let seconds = watch.seconds();
/// assert!((0.0..=watch.seconds()).contains(&seconds));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    start: f64,
}

impl Stopwatch {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self { start: seconds() }
    }

    /// The seconds since the start.
    pub fn seconds(self) -> f64 {
        (seconds() - self.start).max(0.0)
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        Duration::from_secs_f64(self.seconds())
    }
}
