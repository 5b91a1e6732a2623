//! The trait of all losses.

use std::fmt;

use crate::nn::layers::ActivationKind;

/// A loss: the mean over a batch of a distance between the outputs of a network and its targets.
///
/// An implementation provides the distance of one row and its gradient; batches and sample weights are handled here.
pub trait Loss: fmt::Debug + Send + Sync {
    /// Whether the loss is computed from the values before this activation of the last layer, a softmax or a sigmoid.
    /// Cross-entropies are: they stay exact where a probability rounds to zero.
    fn takes_logits_of(&self, _activation: ActivationKind) -> bool {
        false
    }

    /// The length of a row of targets for `units` values.
    fn target_units(&self, units: usize) -> usize {
        units
    }

    /// Computes the loss of one row of values `[units]` with its targets [`[target_units]`](Self::target_units). Writes the
    /// gradient with respect to the values, divided by `batch`, to `gradient` `[units]`, if given.
    fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64;

    /// Computes the mean loss over the rows of `values` `[batch, units]` with `targets` `[batch, target_units]`, and writes
    /// its gradient with respect to `values` to `gradient` `[batch, units]`, if given.
    ///
    /// # Panics
    /// When a length does not fit.
    fn evaluate(&self, units: usize, values: &[f32], targets: &[f32], gradient: Option<&mut [f32]>) -> f64 {
        self.evaluate_weighted(units, values, targets, &[], gradient)
    }

    /// As [`evaluate`](Self::evaluate), with each row multiplied by its weight; `weights` is `[batch]`, or empty for 1
    /// everywhere. The mean is over the rows, not over the weights, as with Keras's `sample_weight`.
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
