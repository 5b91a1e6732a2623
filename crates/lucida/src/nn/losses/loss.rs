//! What all losses have in common.

use std::fmt;

use crate::nn::layers::ActivationKind;

/// A loss: the mean over a batch of a distance between the values of a network and its targets.
///
/// A loss is one row's distance and its gradient; batches and sample weights are the same for all.
pub trait Loss: fmt::Debug + Send + Sync {
    /// Whether the loss is computed from the values before this activation of the last layer, a softmax or a sigmoid. The
    /// cross-entropies are: they stay exact where a probability rounds to zero.
    fn takes_logits_of(&self, _activation: ActivationKind) -> bool {
        false
    }

    /// The length of a target row for `units` values.
    fn target_units(&self, units: usize) -> usize {
        units
    }

    /// The loss of one row of values `[units]` against its targets [`[target_units]`](Self::target_units). The gradient with
    /// respect to the values, divided by `batch`, is written over `gradient` `[units]`, if there is one.
    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64;

    /// The mean loss over the rows of `values` `[batch, units]` against `targets` `[batch, target_units]`, and its gradient
    /// with respect to `values` in `gradient` `[batch, units]`, if there is one.
    ///
    /// # Panics
    /// When a length does not fit.
    fn evaluate(&self, units: usize, values: &[f32], targets: &[f32], gradient: Option<&mut [f32]>) -> f64 {
        self.evaluate_weighted(units, values, targets, &[], gradient)
    }

    /// As [`evaluate`](Self::evaluate), each row times a weight of its own, `weights` being `[batch]`, or empty for 1
    /// everywhere. The mean is over the rows, not over the weights, as Keras's with `sample_weight`.
    ///
    /// # Panics
    /// When a length does not fit.
    fn evaluate_weighted(
        &self,
        units: usize,
        values: &[f32],
        targets: &[f32],
        weights: &[f32],
        mut gradient: Option<&mut [f32]>,
    ) -> f64 {
        assert!(units > 0 && values.len().is_multiple_of(units), "values");
        let (batch, target_units) = (values.len() / units, self.target_units(units));
        assert_eq!(targets.len(), batch * target_units, "targets");
        assert!(weights.is_empty() || weights.len() == batch, "weights");
        let mut total = 0.0;
        for row in 0..batch {
            let range = row * units..(row + 1) * units;
            let targets = &targets[row * target_units..(row + 1) * target_units];
            let mut gradient = gradient.as_deref_mut().map(|gradient| &mut gradient[range.clone()]);
            let loss = self.row(&values[range], targets, batch, gradient.as_deref_mut());
            let Some(&weight) = weights.get(row) else {
                total += loss;
                continue;
            };
            total += f64::from(weight) * loss;
            gradient.into_iter().flatten().for_each(|gradient| *gradient *= weight);
        }
        total / batch as f64
    }
}
