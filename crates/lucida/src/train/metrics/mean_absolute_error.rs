//! Mean absolute error.

use super::metric::{Mean, Metric, mean_metric};

/// The mean absolute error over all outputs, as Keras's metric `MeanAbsoluteError`.
///
/// ```
/// use lucida::train::metrics::{MeanAbsoluteError, Metric};
///
/// let mut metric = MeanAbsoluteError::default();
/// metric.update(2, &[1.0, 2.0], &[1.0, 4.0]);
/// assert_eq!(metric.result(), Some(1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanAbsoluteError {
    mean: Mean,
}

impl Metric for MeanAbsoluteError {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        self.mean.add_units(units, outputs, targets, |y, t| (f64::from(y) - f64::from(t)).abs());
    }

    mean_metric!(self => "mean_absolute_error", higher_is_better: false);
}
