//! Which samples each training step uses.
//!
//! Training passes over the data repeatedly, each time in a different order, and takes one batch after another; the last
//! batch of a pass may be smaller. An epoch is one pass, or a number of steps that is independent of it. The whole schedule
//! is a function of the step number, so training can resume at any step.

use crate::data::epoch_order;

/// The schedule of a run's batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchSchedule {
    samples: usize,
    batch_size: usize,
    seed: u64,
    steps_per_epoch: usize,
}

/// Consecutive batches of one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PassSlice {
    /// Number of the pass, from 1.
    pub(super) pass: u32,
    /// Indices of the samples, in training order.
    pub(super) order: Vec<usize>,
}

impl BatchSchedule {
    /// Creates the schedule for this many samples, at least one.
    pub(super) fn new(samples: usize, batch_size: usize, steps_per_epoch: Option<usize>, seed: u64) -> Self {
        let steps_per_epoch = steps_per_epoch.unwrap_or(samples.div_ceil(batch_size));
        Self { samples, batch_size, seed, steps_per_epoch }
    }

    pub(super) fn steps_per_epoch(&self) -> usize {
        self.steps_per_epoch
    }

    fn steps_per_pass(&self) -> u64 {
        self.samples.div_ceil(self.batch_size) as u64
    }

    /// Number of samples trained on before a step, counted from 0.
    pub(super) fn samples_before(&self, step: u64) -> u64 {
        let (pass, within) = (step / self.steps_per_pass(), step % self.steps_per_pass());
        pass * self.samples as u64 + within * self.batch_size as u64
    }

    /// The batches of an epoch (from 1), starting at its step `from`.
    pub(super) fn parts(self, epoch: usize, from: usize) -> impl Iterator<Item = PassSlice> {
        let end = (epoch * self.steps_per_epoch) as u64;
        let mut step = end - self.steps_per_epoch.saturating_sub(from) as u64;
        std::iter::from_fn(move || {
            if step >= end {
                return None;
            }
            let (pass, within) = (step / self.steps_per_pass(), step % self.steps_per_pass());
            let steps = (self.steps_per_pass() - within).min(end - step);
            step += steps;
            let pass = pass as u32 + 1;
            let mut order = epoch_order(self.samples, self.seed, pass);
            order.truncate((within + steps) as usize * self.batch_size);
            order.drain(..within as usize * self.batch_size);
            Some(PassSlice { pass, order })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(schedule: BatchSchedule, epoch: usize, from: usize) -> Vec<(u32, Vec<usize>)> {
        let part = |part: PassSlice| part.order.chunks(4).map(|batch| (part.pass, batch.to_vec())).collect::<Vec<_>>();
        schedule.parts(epoch, from).flat_map(part).collect()
    }

    #[test]
    fn an_epoch_is_a_pass_unless_told_otherwise() {
        let schedule = BatchSchedule::new(10, 4, None, 42);
        assert_eq!(schedule.steps_per_epoch(), 3);
        let parts: Vec<PassSlice> = schedule.parts(2, 0).collect();
        assert_eq!(parts, [PassSlice { pass: 2, order: epoch_order(10, 42, 2) }]);
        assert_eq!(schedule.samples_before(4), 14);
    }

    #[test]
    fn epochs_of_any_length_go_on_where_the_last_one_ended() {
        let passes: Vec<(u32, Vec<usize>)> =
            (1..=5).flat_map(|epoch| batches(BatchSchedule::new(10, 4, None, 7), epoch, 0)).collect();
        for steps in [1, 2, 5, 7] {
            let schedule = BatchSchedule::new(10, 4, Some(steps), 7);
            let epochs: Vec<_> = (1..=15 / steps).flat_map(|epoch| batches(schedule, epoch, 0)).collect();
            assert_eq!(epochs, passes[..epochs.len()], "{steps}");
            // Resumed within an epoch.
            assert_eq!(batches(schedule, 2, 1), epochs.get(steps + 1..2 * steps).unwrap_or_default());
        }
        let schedule = BatchSchedule::new(10, 4, Some(5), 7);
        let seen: usize = passes[..5].iter().map(|(_, batch)| batch.len()).sum();
        assert_eq!(schedule.samples_before(5), seen as u64);
    }
}
