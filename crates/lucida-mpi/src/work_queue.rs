//! Items dealt out over MPI.
//!
//! The first member has the list and works as well. Between its items it answers the others, who always have one more item
//! than they work on, so that they need not wait for an answer.

use std::time::Duration;

use lucida::Result;
use lucida::batch_jobs::WorkQueue;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use crate::Mpi;

const ASK: i32 = 78;
const ITEM: i32 = 79;
const DONE: i32 = 80;
/// Items that a member asks for before it has done the first.
const AHEAD: usize = 2;
/// Between two looks whether there is an answer: waiting must not take a processor from those who work.
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
        // How often the others have still to be told that nothing is left.
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

/// Gives an item, or none, to each that has asked.
fn answer(world: &SimpleCommunicator, items: &mut dyn Iterator<Item = String>, open: &mut usize) {
    while let Some(asked) = world.any_process().immediate_probe_with_tag(ASK) {
        let process = world.process_at_rank(asked.source_rank());
        let (_, _) = process.receive_with_tag::<u8>(ASK);
        // An empty answer is none: no item is called nothing.
        let item = items.next().unwrap_or_default();
        *open -= usize::from(item.is_empty());
        process.send_with_tag(item.as_bytes(), ITEM);
    }
}

/// Asks for items, and works on them, until nothing is left.
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
