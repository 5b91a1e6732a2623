//! Binary accuracy.

use super::metric::{Mean, Metric};

/// The fraction of labels that are right, an output above one half saying that the label holds, as Keras's `BinaryAccuracy`.
///
/// ```
/// use lucida::train::metrics::{BinaryAccuracy, Metric};
///
/// let mut metric = BinaryAccuracy::default();
/// metric.update(2, &[0.75, 0.25, 0.5, 0.75], &[1.0, 0.0, 1.0, 1.0]);
/// assert_eq!(metric.result(), Some(0.75));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BinaryAccuracy(Mean);

impl Metric for BinaryAccuracy {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        self.0.add_units(units, outputs, targets, |y, t| f64::from(u8::from(f32::from(u8::from(y > 0.5)) == t)));
    }

    fn result(&self) -> Option<f64> {
        self.0.result()
    }

    fn name(&self) -> String {
        "binary_accuracy".to_owned()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        Some(self.0.sums())
    }
}
