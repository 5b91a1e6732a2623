//! How fast the products between the transforms are by themselves, apart from these.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Adds up products and the time they take, if that is wanted.
#[derive(Debug, Default)]
pub(crate) struct ProductTimer {
    wanted: bool,
    /// Of all threads.
    nanoseconds: AtomicU64,
    operations: AtomicU64,
}

impl ProductTimer {
    /// Begins anew.
    pub(crate) fn set(&mut self, wanted: bool) {
        *self = Self { wanted, ..Self::default() };
    }

    /// Counts the products of a run.
    pub(crate) fn count(&self, multiply_adds: usize) {
        if self.wanted {
            self.operations.fetch_add(2 * multiply_adds as u64, Ordering::Relaxed);
        }
    }

    /// Runs some of them.
    pub(crate) fn time(&self, run: impl FnOnce()) {
        if !self.wanted {
            return run();
        }
        let start = Instant::now();
        run();
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// Multiplications and additions, and the seconds that one thread would have needed.
    pub(crate) fn total(&self) -> [f64; 2] {
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        [self.operations.load(Ordering::Relaxed) as f64, nanoseconds as f64 * 1e-9]
    }
}
