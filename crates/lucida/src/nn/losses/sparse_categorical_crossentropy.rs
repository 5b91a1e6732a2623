//! Categorical cross-entropy against class indices.

use super::loss::Loss;
use crate::nn::layers::ActivationKind;

/// `-log softmax(z)[t]` for the index `t` of the true class, as Keras's `SparseCategoricalCrossentropy` with `from_logits`:
/// [`CategoricalCrossentropy`](super::CategoricalCrossentropy) without one-hot rows.
///
/// # Shapes
/// Values: logits `[batch, units]`. Targets: class indices from 0 to `units - 1`, `[batch, 1]`.
///
/// # Panics
/// When a target is not the index of a class.
///
/// ```
/// use lucida::nn::losses::{Loss, SparseCategoricalCrossentropy};
///
/// let value = SparseCategoricalCrossentropy.evaluate(2, &[3.0, 3.0], &[1.0], None);
/// assert!((value - 2.0_f64.ln()).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SparseCategoricalCrossentropy;

impl Loss for SparseCategoricalCrossentropy {
    fn takes_logits_of(&self, activation: ActivationKind) -> bool {
        activation == ActivationKind::Softmax
    }

    fn target_units(&self, _units: usize) -> usize {
        1
    }

    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let class = targets[0] as usize;
        assert!(targets[0] == class as f32 && class < values.len(), "{} is not the index of a class", targets[0]);
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = values.iter().map(|&z| f64::from(z - largest).exp()).sum::<f64>().ln();
        if let Some(gradient) = gradient {
            for (unit, (g, &z)) in gradient.iter_mut().zip(values).enumerate() {
                let probability = (f64::from(z - largest) - log_sum).exp() as f32;
                *g = (probability - f32::from(u8::from(unit == class))) / batch as f32;
            }
        }
        log_sum - f64::from(values[class] - largest)
    }
}
