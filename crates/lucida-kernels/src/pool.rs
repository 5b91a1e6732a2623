//! A thread pool for very short parallel loops.
//!
//! A layer of a small network takes tens of microseconds, so starting the other threads must cost a few at most. The
//! workers of this pool spin for a short while after their last job before they park, and take items from a shared counter:
//! a loop that closely follows another starts without a system call. A work-stealing fork-join pool (rayon) was measured at
//! 24-36 microseconds for two tasks submitted from outside, against less than one here.
//!
//! How a job is handed over: the caller publishes a pointer to a job on its own stack in `slot` and increments `epoch`. A
//! worker that observes the new epoch first increments `active` and only then reads the slot. When no items are left, the
//! caller first clears the slot and only then waits until `active` is zero. All four operations are sequentially
//! consistent, so either the worker finds the slot empty or the caller observes the worker: no worker holds the pointer
//! after the caller has returned.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// Spins before a worker parks: about 50 microseconds.
const SPINS_BEFORE_PARKING: u32 = 2_000;
/// Spins of a waiting caller before it yields its core to other processes.
const SPINS_BEFORE_YIELDING: u32 = 10_000;

/// The body of a parallel loop: `task(worker, item)`.
type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

struct Job<'a> {
    task: &'a Task<'a>,
    items: usize,
    /// Workers with this index or a higher one skip the job.
    threads: usize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    fn work(&self, worker: usize) {
        let run = || {
            loop {
                let item = self.next.fetch_add(1, SeqCst);
                if item >= self.items {
                    return;
                }
                (self.task)(worker, item);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            self.next.store(self.items, SeqCst);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
}

struct Pool {
    slot: AtomicPtr<Job<'static>>,
    epoch: AtomicU64,
    active: AtomicUsize,
    /// Held by the caller whose job is in the slot.
    busy: Mutex<()>,
    /// Worker threads started so far.
    workers: Mutex<usize>,
    parked: Mutex<usize>,
    wake: Condvar,
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static POOL: OnceLock<Pool> = OnceLock::new();

impl Pool {
    fn global() -> &'static Self {
        POOL.get_or_init(|| Self {
            slot: AtomicPtr::new(null_mut()),
            epoch: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            busy: Mutex::new(()),
            workers: Mutex::new(0),
            parked: Mutex::new(0),
            wake: Condvar::new(),
        })
    }

    /// Starts workers until there are `threads`, including the caller. If the system refuses, there are fewer.
    fn grow(&'static self, threads: usize) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        while *workers + 1 < threads {
            let index = *workers + 1;
            let name = format!("lucida-{index}");
            let started = std::thread::Builder::new().name(name).spawn(move || self.serve(index));
            if started.is_err() {
                return;
            }
            *workers = index;
        }
    }

    fn serve(&self, index: usize) {
        INSIDE.set(true);
        let mut seen = 0;
        loop {
            seen = self.wait_for_epoch_after(seen);
            self.active.fetch_add(1, SeqCst);
            let job = self.slot.load(SeqCst);
            if !job.is_null() {
                // SAFETY: this worker is counted in `active`, so the caller keeps the job alive until it is counted out.
                let job = unsafe { &*job };
                if index < job.threads {
                    job.work(index);
                }
            }
            self.active.fetch_sub(1, SeqCst);
        }
    }

    fn wait_for_epoch_after(&self, seen: u64) -> u64 {
        for _ in 0..SPINS_BEFORE_PARKING {
            let epoch = self.epoch.load(SeqCst);
            if epoch != seen {
                return epoch;
            }
            std::hint::spin_loop();
        }
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        *parked += 1;
        while self.epoch.load(SeqCst) == seen {
            parked = self.wake.wait(parked).unwrap_or_else(PoisonError::into_inner);
        }
        *parked -= 1;
        self.epoch.load(SeqCst)
    }

    fn run(&'static self, threads: usize, items: usize, task: &Task<'_>) {
        self.grow(threads);
        let job = Job { task, items, threads, next: AtomicUsize::new(0), panic: Mutex::new(None) };
        // Only the lifetime changes: the slot is cleared and all workers are done before `job` is dropped.
        let published = (&raw const job).cast_mut().cast::<Job<'static>>();
        self.slot.store(published, SeqCst);
        self.epoch.fetch_add(1, SeqCst);
        {
            let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            if *parked > 0 {
                self.wake.notify_all();
            }
        }
        INSIDE.set(true);
        job.work(0);
        INSIDE.set(false);
        self.slot.store(null_mut(), SeqCst);
        let mut spins = 0;
        while self.active.load(SeqCst) > 0 {
            spins += 1;
            if spins > SPINS_BEFORE_YIELDING {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }
}

/// Calls `task(worker, item)` once for each `item < items`, on up to `threads` threads; `worker < threads` differs
/// between the calls that may run at the same time. Returns when all have returned.
///
/// Inside another parallel loop, or while another thread uses the pool, the items run sequentially on the calling thread:
/// there are never more busy threads than requested, and never a deadlock.
///
/// # Panics
/// When a task panics, with its message.
pub(crate) fn parallel_for(threads: usize, items: usize, task: impl Fn(usize, usize) + Sync) {
    if threads > 1 && items > 1 && !INSIDE.get() {
        let pool = Pool::global();
        if let Ok(_guard) = pool.busy.try_lock() {
            pool.run(threads, items, &task);
            return;
        }
    }
    for item in 0..items {
        task(0, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_runs_once_by_a_worker_in_range() {
        for threads in [1, 2, 3, 8] {
            for items in [0, 1, 2, 7, 1000] {
                let counts: Vec<_> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                parallel_for(threads, items, |worker, item| {
                    assert!(worker < threads);
                    counts[item].fetch_add(1, SeqCst);
                });
                assert!(counts.iter().all(|count| count.load(SeqCst) == 1), "{threads} threads, {items} items");
            }
        }
    }

    #[test]
    fn many_short_loops_from_several_threads_at_once() {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        let sum = AtomicUsize::new(0);
                        parallel_for(4, 8, |_, item| {
                            sum.fetch_add(item + round, SeqCst);
                        });
                        assert_eq!(sum.into_inner(), 28 + 8 * round);
                    }
                });
            }
        });
    }

    #[test]
    fn loops_may_be_nested() {
        let sum = AtomicUsize::new(0);
        parallel_for(2, 4, |_, outer| {
            parallel_for(2, 4, |_, inner| {
                sum.fetch_add(outer * 4 + inner, SeqCst);
            });
        });
        assert_eq!(sum.into_inner(), 120);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let result = catch_unwind(|| {
            parallel_for(2, 100, |_, item| assert!(item != 37, "item {item}"));
        });
        let message = *result.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("item 37"));
        // A woken worker may park again: the pool must still serve, even after a sleep.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let sum = AtomicUsize::new(0);
        parallel_for(2, 10, |_, item| {
            sum.fetch_add(item, SeqCst);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
