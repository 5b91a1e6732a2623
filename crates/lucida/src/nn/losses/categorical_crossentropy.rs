//! Categorical cross-entropy.

use super::loss::Loss;
use crate::nn::layers::ActivationKind;

/// `-sum over classes of t log softmax(z)`: one true class out of several, as Keras's `CategoricalCrossentropy` with
/// `from_logits`.
///
/// Label smoothing by `s` (Szegedy et al., "Rethinking the Inception Architecture", 2016) trains on `(1 - s) t + s / units`.
///
/// # Shapes
/// Values: logits `[batch, units]`. Targets: one-hot rows, or any distribution, `[batch, units]`.
///
/// ```
/// use lucida::nn::losses::{CategoricalCrossentropy, Loss};
///
/// let loss = CategoricalCrossentropy::default();
/// // Two classes with the same logit: the logarithm of two.
/// let value = loss.evaluate(2, &[3.0, 3.0], &[0.0, 1.0], None);
/// assert!((value - 2.0_f64.ln()).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CategoricalCrossentropy {
    /// The fraction of each target that is distributed over all classes, in [0, 1).
    pub label_smoothing: f32,
}

impl Loss for CategoricalCrossentropy {
    fn takes_logits_of(&self, activation: ActivationKind) -> bool {
        activation == ActivationKind::Softmax
    }

    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let units = values.len() as f32;
        let smooth = |t: f32| t * (1.0 - self.label_smoothing) + self.label_smoothing / units;
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = values.iter().map(|&z| f64::from(z - largest).exp()).sum();
        let log_sum = sum.ln();
        if let Some(gradient) = gradient {
            let mass: f32 = targets.iter().map(|&t| smooth(t)).sum();
            for ((g, &z), &t) in gradient.iter_mut().zip(values).zip(targets) {
                let probability = (f64::from(z - largest) - log_sum).exp() as f32;
                *g = (mass * probability - smooth(t)) / batch as f32;
            }
        }
        let cross = |(&z, &t): (&f32, &f32)| f64::from(smooth(t)) * (log_sum - f64::from(z - largest));
        values.iter().zip(targets).map(cross).sum()
    }
}
