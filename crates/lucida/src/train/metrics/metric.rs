//! What all metrics have in common.

use std::fmt;

/// A number that says how good the outputs of a network are, computed batch by batch.
pub trait Metric: fmt::Debug + Send {
    /// Adds a batch of `outputs` `[batch, units]`, probabilities or values, and their `targets` `[batch, units]`; of classes
    /// these are one-hot rows.
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]);

    /// The metric over all batches so far; `None` where it is undefined, as without any.
    fn result(&self) -> Option<f64>;

    /// Keras's name.
    fn name(&self) -> String;

    /// Whether more is better.
    fn higher_is_better(&self) -> bool;

    /// The sums that the metric is computed from. Those of several batches, or of several processes, add up to those of all
    /// samples, element by element: so a metric is measured while training. `None` for a metric that needs all samples at
    /// once, which is measured on the validation data alone.
    fn sums(&mut self) -> Option<&mut [f64]>;
}

/// A mean over all rows: their sum, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Mean([f64; 2]);

impl Mean {
    /// Adds `value` of the outputs and of the targets of each row.
    pub(super) fn add_rows(
        &mut self,
        units: usize,
        outputs: &[f32],
        targets: &[f32],
        value: impl Fn(&[f32], &[f32]) -> f64,
    ) {
        for (outputs, targets) in outputs.chunks_exact(units).zip(targets.chunks_exact(units)) {
            self.0[0] += value(outputs, targets);
            self.0[1] += 1.0;
        }
    }

    /// Adds the mean over the units of `value` of an output and its target, for each row.
    pub(super) fn add_units(
        &mut self,
        units: usize,
        outputs: &[f32],
        targets: &[f32],
        value: impl Fn(f32, f32) -> f64,
    ) {
        self.add_rows(units, outputs, targets, |outputs, targets| {
            outputs.iter().zip(targets).map(|(&y, &t)| value(y, t)).sum::<f64>() / units as f64
        });
    }

    pub(super) fn result(&self) -> Option<f64> {
        (self.0[1] > 0.0).then(|| self.0[0] / self.0[1])
    }

    pub(super) fn sums(&mut self) -> &mut [f64] {
        &mut self.0
    }
}

/// The part of a [`Metric`] that is the same for all whose `mean` is a [`Mean`].
macro_rules! mean_metric {
    ($self:ident => $name:expr, higher_is_better: $higher:literal) => {
        fn result(&self) -> Option<f64> {
            self.mean.result()
        }

        fn name(&$self) -> String {
            $name.to_owned()
        }

        fn higher_is_better(&self) -> bool {
            $higher
        }

        fn sums(&mut self) -> Option<&mut [f64]> {
            Some(self.mean.sums())
        }
    };
}
pub(super) use mean_metric;
