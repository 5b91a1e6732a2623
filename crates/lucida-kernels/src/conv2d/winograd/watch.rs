//! How fast the products between the transforms are by themselves, apart from these.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::gemm::Strided;

/// Adds up products and the time they take, if that is wanted: two looks at the clock for each position of a block.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    wanted: bool,
    /// Of all threads.
    nanoseconds: AtomicU64,
    operations: AtomicU64,
}

impl Watch {
    /// Begins anew.
    pub(crate) fn set(&mut self, wanted: bool) {
        *self = Self { wanted, ..Self::default() };
    }

    /// Runs the product `job` with `columns` columns.
    pub(crate) fn time(&self, job: &Strided, columns: usize, run: impl FnOnce()) {
        if !self.wanted {
            return run();
        }
        let start = Instant::now();
        run();
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.operations.fetch_add((2 * job.rows * job.depth * columns) as u64, Ordering::Relaxed);
    }

    /// Multiplications and additions, and the seconds that one thread would have taken for them.
    pub(crate) fn total(&self) -> [f64; 2] {
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        [self.operations.load(Ordering::Relaxed) as f64, nanoseconds as f64 * 1e-9]
    }
}
