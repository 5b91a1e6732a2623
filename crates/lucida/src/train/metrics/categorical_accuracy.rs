//! Categorical accuracy.

use super::metric::{Mean, Metric};
use crate::weights::argmax;

/// The fraction of samples whose class, that of the largest output, is the true one, as Keras's `CategoricalAccuracy`.
///
/// ```
/// use lucida::train::metrics::{CategoricalAccuracy, Metric};
///
/// let mut metric = CategoricalAccuracy::default();
/// metric.update(2, &[0.75, 0.25, 0.5, 0.5], &[1.0, 0.0, 0.0, 1.0]);
/// assert_eq!(metric.result(), Some(0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CategoricalAccuracy(Mean);

impl Metric for CategoricalAccuracy {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        let right = |outputs: &[f32], targets: &[f32]| f64::from(u8::from(argmax(outputs) == argmax(targets)));
        self.0.add_rows(units, outputs, targets, right);
    }

    fn result(&self) -> Option<f64> {
        self.0.result()
    }

    fn name(&self) -> String {
        "categorical_accuracy".to_owned()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        Some(self.0.sums())
    }
}
