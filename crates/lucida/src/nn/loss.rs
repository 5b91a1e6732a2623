//! What training minimizes.

use lucida_kernels::ops::sigmoid;
use serde::{Deserialize, Serialize};

use super::layers::ActivationKind;

/// A loss: the mean over a batch of a distance between what the network says and what it should say.
///
/// The cross-entropies are computed from logits, the values before the softmax or sigmoid, which keeps them exact where
/// the probability of the true class rounds to zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// `-sum over classes of t log softmax(z)`, for one true class out of several.
    CategoricalCrossentropy {
        /// The share of each target that is spread evenly over all classes (Szegedy et al., 2016).
        #[serde(default)]
        label_smoothing: f32,
    },
    /// `-t log sigmoid(z) - (1 - t) log(1 - sigmoid(z))`, the mean over the units.
    BinaryCrossentropy {
        /// The share of each target that is moved to one half.
        #[serde(default)]
        label_smoothing: f32,
    },
    /// `(y - t)^2`, the mean over the units.
    MeanSquaredError,
}

impl Loss {
    /// Categorical cross-entropy without label smoothing.
    pub fn categorical_crossentropy() -> Self {
        Self::CategoricalCrossentropy { label_smoothing: 0.0 }
    }

    /// Binary cross-entropy without label smoothing.
    pub fn binary_crossentropy() -> Self {
        Self::BinaryCrossentropy { label_smoothing: 0.0 }
    }

    /// Whether the loss is computed from the values before this activation of the last layer.
    pub fn takes_logits_of(&self, activation: ActivationKind) -> bool {
        match self {
            Self::CategoricalCrossentropy { .. } => activation == ActivationKind::Softmax,
            Self::BinaryCrossentropy { .. } => activation == ActivationKind::Sigmoid,
            Self::MeanSquaredError => false,
        }
    }

    /// The mean loss over the rows of `values` (batch, units) against `targets` of the same shape, and its gradient
    /// with respect to `values` in `gradient`, if there is one.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn evaluate(&self, units: usize, values: &[f32], targets: &[f32], gradient: Option<&mut [f32]>) -> f64 {
        self.evaluate_weighted(units, values, targets, &[], gradient)
    }

    /// As [`evaluate`](Self::evaluate), each row times a weight of its own; none where there are no weights. The mean is over
    /// the rows, as Keras's with `class_weight`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn evaluate_weighted(
        &self,
        units: usize,
        values: &[f32],
        targets: &[f32],
        weights: &[f32],
        mut gradient: Option<&mut [f32]>,
    ) -> f64 {
        assert!(units > 0 && values.len().is_multiple_of(units) && values.len() == targets.len(), "targets");
        let batch = values.len() / units;
        assert!(weights.is_empty() || weights.len() == batch, "weights");
        let mut total = 0.0;
        for row in 0..batch {
            let range = row * units..(row + 1) * units;
            let mut gradient = gradient.as_deref_mut().map(|gradient| &mut gradient[range.clone()]);
            let loss = self.row(&values[range.clone()], &targets[range], batch, gradient.as_deref_mut());
            let Some(&weight) = weights.get(row) else {
                total += loss;
                continue;
            };
            total += f64::from(weight) * loss;
            gradient.into_iter().flatten().for_each(|gradient| *gradient *= weight);
        }
        total / batch as f64
    }

    /// The same loss with so much of each target spread over all classes; a squared error stays as it is.
    #[must_use]
    pub fn smoothed(self, label_smoothing: f32) -> Self {
        match self {
            Self::CategoricalCrossentropy { .. } => Self::CategoricalCrossentropy { label_smoothing },
            Self::BinaryCrossentropy { .. } => Self::BinaryCrossentropy { label_smoothing },
            Self::MeanSquaredError => self,
        }
    }

    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        let units = values.len() as f32;
        match *self {
            Self::CategoricalCrossentropy { label_smoothing } => {
                let smooth = |t: f32| t * (1.0 - label_smoothing) + label_smoothing / units;
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
            Self::BinaryCrossentropy { label_smoothing } => {
                let smooth = |t: f32| t * (1.0 - label_smoothing) + 0.5 * label_smoothing;
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
            Self::MeanSquaredError => {
                if let Some(gradient) = gradient {
                    for ((g, &y), &t) in gradient.iter_mut().zip(values).zip(targets) {
                        *g = 2.0 * (y - t) / (units * batch as f32);
                    }
                }
                values.iter().zip(targets).map(|(&y, &t)| f64::from(y - t).powi(2)).sum::<f64>() / f64::from(units)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let cce = Loss::categorical_crossentropy();
        let loss = cce.evaluate(3, &[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0], None);
        let first = -(3.0_f64.exp() / (1.0_f64.exp() + 2.0_f64.exp() + 3.0_f64.exp())).ln();
        assert!((loss - (first + 3.0_f64.ln()) / 2.0).abs() < 1e-9);
        let bce = Loss::binary_crossentropy();
        assert!(
            (bce.evaluate(1, &[0.0, 2.0], &[1.0, 0.0], None) - (2.0_f64.ln() + (1.0 + 2.0_f64.exp()).ln()) / 2.0).abs()
                < 1e-9
        );
        assert_eq!(Loss::MeanSquaredError.evaluate(2, &[1.0, 2.0], &[0.0, 0.0], None), 2.5);
    }

    #[test]
    fn weights_count_rows_more_or_less() {
        let loss = Loss::binary_crossentropy().smoothed(0.1);
        let (values, targets) = ([0.5, -1.0, 2.0], [1.0, 0.0, 1.0]);
        let (mut plain, mut weighted) = ([0.0; 3], [0.0; 3]);
        let each: Vec<f64> = (0..3).map(|i| loss.evaluate(1, &values[i..=i], &targets[i..=i], None)).collect();
        loss.evaluate(1, &values, &targets, Some(&mut plain));
        let total = loss.evaluate_weighted(1, &values, &targets, &[2.0, 1.0, 0.0], Some(&mut weighted));
        assert!((total - (2.0 * each[0] + each[1]) / 3.0).abs() < 1e-12);
        assert_eq!(weighted, [2.0 * plain[0], plain[1], 0.0]);
    }

    #[test]
    fn confident_mistakes_stay_finite() {
        assert_eq!(Loss::categorical_crossentropy().evaluate(2, &[500.0, -500.0], &[0.0, 1.0], None), 1000.0);
        assert_eq!(Loss::binary_crossentropy().evaluate(1, &[-800.0], &[1.0], None), 800.0);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let values = [0.3, -1.2, 0.8, 2.0, -0.4, 0.1];
        let targets = [0.0, 1.0, 0.0, 0.2, 0.3, 0.5];
        for loss in [
            Loss::categorical_crossentropy(),
            Loss::CategoricalCrossentropy { label_smoothing: 0.1 },
            Loss::binary_crossentropy(),
            Loss::BinaryCrossentropy { label_smoothing: 0.1 },
            Loss::MeanSquaredError,
        ] {
            let mut gradient = [f32::NAN; 6];
            loss.evaluate(3, &values, &targets, Some(&mut gradient));
            for i in 0..values.len() {
                let at = |step: f32| {
                    let mut moved = values;
                    moved[i] += step;
                    loss.evaluate(3, &moved, &targets, None)
                };
                // A power of two, so that adding it rounds little.
                let step = 2.0_f32.powi(-10);
                let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
                assert!((f64::from(gradient[i]) - numeric).abs() < 1e-4, "{loss:?}: {} for {numeric}", gradient[i]);
            }
        }
    }
}
