//! Categorical accuracy.

use super::metric::{Mean, Metric, mean_metric};
use crate::weights::argmax;

/// Share of samples whose largest output is that of the true class, as Keras's `CategoricalAccuracy`.
///
/// ```
/// use lucida::train::metrics::{CategoricalAccuracy, Metric};
///
/// let mut metric = CategoricalAccuracy::default();
/// metric.update(2, &[0.75, 0.25, 0.5, 0.5], &[1.0, 0.0, 0.0, 1.0]);
/// assert_eq!(metric.result(), Some(0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CategoricalAccuracy {
    mean: Mean,
}

impl Metric for CategoricalAccuracy {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        let right = |outputs: &[f32], targets: &[f32]| f64::from(u8::from(argmax(outputs) == argmax(targets)));
        self.mean.add_rows(units, outputs, targets, right);
    }

    mean_metric!(self => "categorical_accuracy", higher_is_better: true);
}
