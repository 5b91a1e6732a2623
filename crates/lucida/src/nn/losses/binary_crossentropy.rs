//! Binary cross-entropy.

use lucida_kernels::ops::sigmoid;

use super::loss::Loss;
use crate::nn::layers::ActivationKind;

/// `-t log sigmoid(z) - (1 - t) log(1 - sigmoid(z))`, averaged over the units: two classes with one output, or multi-label
/// classification, as Keras's `BinaryCrossentropy` with `from_logits`.
///
/// Label smoothing by `s` trains on `(1 - s) t + s / 2`.
///
/// # Shapes
/// Values: logits `[batch, units]`. Targets: 0 or 1, or probabilities, `[batch, units]`.
///
/// ```
/// use lucida::nn::losses::{BinaryCrossentropy, Loss};
///
/// let loss = BinaryCrossentropy::default();
/// let mut gradient = [0.0; 2];
/// // Two labels: undecided about the first, sure of the second, which is right.
/// let value = loss.evaluate(2, &[0.0, 40.0], &[1.0, 1.0], Some(&mut gradient));
/// assert!((value - 2.0_f64.ln() / 2.0).abs() < 1e-12);
/// assert_eq!(gradient, [-0.25, 0.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BinaryCrossentropy {
    /// The fraction of each target that is moved to one half, in [0, 1).
    pub label_smoothing: f32,
}

impl Loss for BinaryCrossentropy {
    fn takes_logits_of(&self, activation: ActivationKind) -> bool {
        activation == ActivationKind::Sigmoid
    }

    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let units = values.len() as f32;
        let smooth = |t: f32| t * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing;
        if let Some(gradient) = gradient {
            for ((g, &z), &t) in gradient.iter_mut().zip(values).zip(targets) {
                *g = (sigmoid(z) - smooth(t)) / (units * batch as f32);
            }
        }
        let cross = |(&z, &t): (&f32, &f32)| {
            let (z, t) = (f64::from(z), f64::from(smooth(t)));
            z.max(0.0) - z * t + (-z.abs()).exp().ln_1p()
        };
        values.iter().zip(targets).map(cross).sum::<f64>() / f64::from(units)
    }
}
