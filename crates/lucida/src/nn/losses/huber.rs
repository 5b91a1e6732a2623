//! Huber loss.

use super::loss::Loss;

/// `e^2 / 2` for an error `e = y - t` with `|e| <= delta`, `delta (|e| - delta / 2)` otherwise, averaged over the units:
/// quadratic near the target, linear far from it (Huber, "Robust Estimation of a Location Parameter", 1964), as Keras's
/// `Huber`.
///
/// Both parts have the same value and slope at `|e| = delta`.
///
/// # Shapes
/// Values and targets: `[batch, units]`.
///
/// ```
/// use lucida::nn::losses::{Huber, Loss};
///
/// let mut gradient = [0.0; 2];
/// let loss = Huber { delta: 1.0 };
/// assert_eq!(loss.evaluate(2, &[0.5, 4.0], &[0.0, 0.0], Some(&mut gradient)), (0.125 + 3.5) / 2.0);
/// assert_eq!(gradient, [0.25, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    /// The error from which the loss grows linearly, above 0.
    pub delta: f32,
}

impl Default for Huber {
    /// A `delta` of 1.
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

impl Loss for Huber {
    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let units = values.len() as f32;
        if let Some(gradient) = gradient {
            for ((g, &y), &t) in gradient.iter_mut().zip(values).zip(targets) {
                *g = (y - t).clamp(-self.delta, self.delta) / (units * batch as f32);
            }
        }
        let delta = f64::from(self.delta);
        let distance = |(&y, &t): (&f32, &f32)| {
            let error = f64::from(y - t).abs();
            if error <= delta { error * error / 2.0 } else { delta * (error - delta / 2.0) }
        };
        values.iter().zip(targets).map(distance).sum::<f64>() / f64::from(units)
    }
}
