//! Mean absolute error.

use super::loss::Loss;

/// `|y - t|`, averaged over the units, as Keras's `MeanAbsoluteError`: outliers do not have larger gradients.
///
/// Where `y` equals `t` the gradient is 0, as in Keras.
///
/// # Shapes
/// Values and targets: `[batch, units]`.
///
/// ```
/// use lucida::nn::losses::{Loss, MeanAbsoluteError};
///
/// let mut gradient = [0.0; 2];
/// assert_eq!(MeanAbsoluteError.evaluate(2, &[1.0, -2.0], &[1.0, 0.0], Some(&mut gradient)), 1.0);
/// assert_eq!(gradient, [0.0, -0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeanAbsoluteError;

impl Loss for MeanAbsoluteError {
    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let units = values.len() as f32;
        if let Some(gradient) = gradient {
            for ((g, &y), &t) in gradient.iter_mut().zip(values).zip(targets) {
                // `signum` of 0 is 1; NaN stays NaN, so that diverging training is noticed.
                let sign = if y == t { 0.0 } else { (y - t).signum() };
                *g = sign / (units * batch as f32);
            }
        }
        values.iter().zip(targets).map(|(&y, &t)| f64::from(y - t).abs()).sum::<f64>() / f64::from(units)
    }
}
