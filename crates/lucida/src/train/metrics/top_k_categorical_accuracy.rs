//! Top-k accuracy.

use super::MetricKind;
use super::metric::{Mean, Metric, mean_metric};
use crate::weights::argmax;

/// Share of samples whose true class is among the `k` largest outputs, as Keras's `TopKCategoricalAccuracy`; in a tie, the
/// true class wins.
///
/// ```
/// use lucida::train::metrics::{Metric, TopKCategoricalAccuracy};
///
/// let mut metric = TopKCategoricalAccuracy::new(2);
/// metric.update(3, &[0.5, 0.25, 0.125, 0.5, 0.25, 0.125], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
/// assert_eq!(metric.result(), Some(0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopKCategoricalAccuracy {
    k: usize,
    mean: Mean,
}

impl TopKCategoricalAccuracy {
    /// Checks the `k` largest outputs; 0 counts as 1.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k: k.max(1), mean: Mean::default() }
    }
}

impl Metric for TopKCategoricalAccuracy {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        let k = self.k;
        let among = |outputs: &[f32], targets: &[f32]| {
            let score = outputs[argmax(targets)];
            f64::from(u8::from(outputs.iter().filter(|&&other| other > score).count() < k))
        };
        self.mean.add_rows(units, outputs, targets, among);
    }

    mean_metric!(self => MetricKind::TopKCategoricalAccuracy(self.k).to_string(), higher_is_better: true);
}
