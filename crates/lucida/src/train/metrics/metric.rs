//! The interface of metrics.

use std::fmt;

/// A measure of the quality of a network's outputs, computed batch by batch.
pub trait Metric: fmt::Debug + Send {
    /// Adds a batch of `outputs` `[batch, units]`, probabilities or values, and their `targets` `[batch, units]`; for
    /// classes, these are one-hot rows.
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]);

    /// The metric over all batches so far; `None` if it is undefined, for example without samples.
    fn result(&self) -> Option<f64>;

    /// Keras's name of the metric.
    fn name(&self) -> String;

    /// Whether higher values are better.
    fn higher_is_better(&self) -> bool;

    /// The sums that the metric is computed from. They are additive over batches and processes, element by element, so the
    /// metric can be measured during training. `None` for a metric that needs all samples at once, which is measured on the
    /// validation data only.
    fn sums(&mut self) -> Option<&mut [f64]>;
}

/// A mean over all rows: sum and count.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Mean([f64; 2]);

impl Mean {
    /// Adds `value` of the outputs and targets of each row.
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

    /// Adds, for each row, the mean of `value` over its outputs and targets.
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

/// The [`Metric`] methods shared by all metrics whose `mean` is a [`Mean`].
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
