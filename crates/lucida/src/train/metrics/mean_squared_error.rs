//! Mean squared error.

use super::metric::{Mean, Metric, mean_metric};

/// The mean squared error over all outputs, as Keras's metric `MeanSquaredError`.
///
/// ```
/// use lucida::train::metrics::{MeanSquaredError, Metric};
///
/// let mut metric = MeanSquaredError::default();
/// metric.update(2, &[1.0, 2.0], &[1.0, 4.0]);
/// assert_eq!(metric.result(), Some(2.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanSquaredError {
    mean: Mean,
}

impl Metric for MeanSquaredError {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        self.mean.add_units(units, outputs, targets, |y, t| (f64::from(y) - f64::from(t)).powi(2));
    }

    mean_metric!(self => "mean_squared_error", higher_is_better: false);
}
