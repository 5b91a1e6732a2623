//! Measures several metrics together.

use std::collections::BTreeMap;

use super::{Metric, MetricKind};
use crate::train::custom::CustomMetric;

/// The metrics to measure: those of `kinds`, and custom ones.
#[derive(Clone, Copy)]
pub(in crate::train) struct MetricChoice<'a> {
    pub(in crate::train) kinds: &'a [MetricKind],
    pub(in crate::train) custom: &'a [CustomMetric],
}

impl<'a> From<&'a [MetricKind]> for MetricChoice<'a> {
    fn from(kinds: &'a [MetricKind]) -> Self {
        Self { kinds, custom: &[] }
    }
}

impl MetricChoice<'_> {
    pub(in crate::train) fn is_empty(self) -> bool {
        self.kinds.is_empty() && self.custom.is_empty()
    }
}

/// The metrics of a training run or an evaluation, by name.
#[derive(Debug)]
pub(in crate::train) struct RunningMetrics {
    metrics: Vec<Box<dyn Metric>>,
}

impl RunningMetrics {
    /// Creates all chosen metrics for a number of outputs.
    pub(in crate::train) fn new(MetricChoice { kinds, custom }: MetricChoice<'_>, units: usize) -> Self {
        let custom = custom.iter().map(CustomMetric::build);
        Self { metrics: kinds.iter().map(|kind| kind.build(units)).chain(custom).collect() }
    }

    /// Creates only those that can be summed over batches, and therefore measured during training.
    pub(in crate::train) fn in_training(choice: MetricChoice<'_>, units: usize) -> Self {
        let mut all = Self::new(choice, units);
        all.metrics.retain_mut(|metric| metric.sums().is_some());
        all
    }

    pub(in crate::train) fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// Adds a batch: outputs and targets, `[batch, units]` each.
    pub(in crate::train) fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        self.metrics.iter_mut().for_each(|metric| metric.update(units, outputs, targets));
    }

    /// Results by name, without undefined ones.
    pub(in crate::train) fn results(&self) -> BTreeMap<String, f64> {
        let values = self.metrics.iter().map(|metric| (metric.name(), metric.result()));
        values.filter_map(|(name, value)| Some((name, value.filter(|value| value.is_finite())?))).collect()
    }

    /// Returns and resets all sums, one metric after another.
    pub(in crate::train) fn take_sums(&mut self) -> Vec<f64> {
        let sums = self.metrics.iter_mut().filter_map(|metric| metric.sums());
        sums.flat_map(|sums| sums.iter_mut().map(std::mem::take)).collect()
    }

    /// Results for these sums; empty if there are none yet.
    pub(in crate::train) fn results_of(&mut self, sums: &[f64]) -> BTreeMap<String, f64> {
        let mut rest = sums.iter();
        for own in self.metrics.iter_mut().filter_map(|metric| metric.sums()) {
            own.iter_mut().zip(rest.by_ref()).for_each(|(own, &sum)| *own = sum);
        }
        let results = self.results();
        self.take_sums();
        results
    }
}
