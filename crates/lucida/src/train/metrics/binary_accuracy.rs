//! Binary accuracy.

use super::metric::{Mean, Metric, mean_metric};

/// Share of correct labels, predicted if an output exceeds 0.5, as Keras's `BinaryAccuracy`.
///
/// ```
/// use lucida::train::metrics::{BinaryAccuracy, Metric};
///
/// let mut metric = BinaryAccuracy::default();
/// metric.update(2, &[0.75, 0.25, 0.5, 0.75], &[1.0, 0.0, 1.0, 1.0]);
/// assert_eq!(metric.result(), Some(0.75));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BinaryAccuracy {
    mean: Mean,
}

impl Metric for BinaryAccuracy {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        self.mean.add_units(units, outputs, targets, |y, t| f64::from(u8::from(f32::from(u8::from(y > 0.5)) == t)));
    }

    mean_metric!(self => "binary_accuracy", higher_is_better: true);
}
