//! Mean squared error.

use super::loss::Loss;

/// `(y - t)^2`, averaged over the units, as Keras's `MeanSquaredError`.
///
/// # Shapes
/// Values and targets: `[batch, units]`.
///
/// ```
/// use lucida::nn::losses::{Loss, MeanSquaredError};
///
/// let mut gradient = [0.0; 2];
/// assert_eq!(MeanSquaredError.evaluate(2, &[1.0, 2.0], &[0.0, 0.0], Some(&mut gradient)), 2.5);
/// assert_eq!(gradient, [1.0, 2.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeanSquaredError;

impl Loss for MeanSquaredError {
    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let units = values.len() as f32;
        if let Some(gradient) = gradient {
            for ((g, &y), &t) in gradient.iter_mut().zip(values).zip(targets) {
                *g = 2.0 * (y - t) / (units * batch as f32);
            }
        }
        values.iter().zip(targets).map(|(&y, &t)| f64::from(y - t).powi(2)).sum::<f64>() / f64::from(units)
    }
}
