//! A work queue over MPI.
//!
//! Rank 0 owns the list of items, and processes items itself. Between its items it serves the others, which always request
//! one item more than the one they are processing, so that they need not wait.

use std::time::Duration;

use lucida::Result;
use lucida::batch_jobs::WorkQueue;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use crate::Mpi;

const ASK: i32 = 78;
const ITEM: i32 = 79;
const DONE: i32 = 80;
/// Number of items that a process requests in advance.
const AHEAD: usize = 2;
/// Polling interval: waiting must not take processor time from the workers.
const PAUSE: Duration = Duration::from_micros(200);

impl WorkQueue for Mpi {
    fn leads(&self) -> bool {
        self.rank == 0
    }

    fn for_each(
        &self,
        items: &mut dyn Iterator<Item = String>,
        work: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        if self.rank > 0 {
            return take(&self.world, work);
        }
        // Number of outstanding requests that will have to be answered with "no items left".
        let mut open = (self.size - 1) * AHEAD;
        while let Some(item) = items.next() {
            work(&item)?;
            answer(&self.world, items, &mut open);
        }
        while open > 0 {
            answer(&self.world, items, &mut open);
            std::thread::sleep(PAUSE);
        }
        for _ in 1..self.size {
            let done = loop {
                match self.world.any_process().immediate_probe_with_tag(DONE) {
                    Some(done) => break done,
                    None => std::thread::sleep(PAUSE),
                }
            };
            let (_, _) = self.world.process_at_rank(done.source_rank()).receive_with_tag::<u8>(DONE);
        }
        Ok(())
    }
}

/// Sends an item to each process that has requested one, or an empty reply if none are left.
fn answer(world: &SimpleCommunicator, items: &mut dyn Iterator<Item = String>, open: &mut usize) {
    while let Some(asked) = world.any_process().immediate_probe_with_tag(ASK) {
        let process = world.process_at_rank(asked.source_rank());
        let (_, _) = process.receive_with_tag::<u8>(ASK);
        // An empty reply means that no items are left; items are never empty.
        let item = items.next().unwrap_or_default();
        *open -= usize::from(item.is_empty());
        process.send_with_tag(item.as_bytes(), ITEM);
    }
}

/// Requests and processes items until none are left.
fn take(world: &SimpleCommunicator, work: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let first = world.process_at_rank(0);
    let ask = || first.send_with_tag(&0_u8, ASK);
    (0..AHEAD).for_each(|_| ask());
    let mut open = AHEAD;
    while open > 0 {
        while first.immediate_probe_with_tag(ITEM).is_none() {
            std::thread::sleep(PAUSE);
        }
        let (item, _) = first.receive_vec_with_tag::<u8>(ITEM);
        if item.is_empty() {
            open -= 1;
            continue;
        }
        ask();
        work(&String::from_utf8_lossy(&item))?;
    }
    first.send_with_tag(&0_u8, DONE);
    Ok(())
}
