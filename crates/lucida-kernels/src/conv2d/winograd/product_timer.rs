//! Timing of the products between the transforms.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Stopwatch;

/// Counts products and their time, if enabled.
#[derive(Debug, Default)]
pub(crate) struct ProductTimer {
    wanted: bool,
    /// Total of all threads.
    nanoseconds: AtomicU64,
    operations: AtomicU64,
}

impl ProductTimer {
    /// Enables or disables the timer and resets it.
    pub(crate) fn set(&mut self, wanted: bool) {
        *self = Self { wanted, ..Self::default() };
    }

    /// Counts the products of a run.
    pub(crate) fn count(&self, multiply_adds: usize) {
        if self.wanted {
            self.operations.fetch_add(2 * multiply_adds as u64, Ordering::Relaxed);
        }
    }

    /// Runs a part of the products and adds its time.
    pub(crate) fn time(&self, run: impl FnOnce()) {
        if !self.wanted {
            return run();
        }
        let start = Stopwatch::start();
        run();
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// Multiplications and additions, and the total time of all threads in seconds.
    pub(crate) fn total(&self) -> [f64; 2] {
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        [self.operations.load(Ordering::Relaxed) as f64, nanoseconds as f64 * 1e-9]
    }
}
