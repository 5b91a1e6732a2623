//! The output of a classifier, as training and evaluation use it.

use crate::data::MixedSample;
use crate::nn::layers::ActivationKind;
use crate::nn::{Network, TensorRef};
use crate::weights::argmax;
use crate::{Error, Result};

/// The output of a classifier: where its scores are, and how they map to classes.
///
/// Several classes use a softmax, two may use a single sigmoid (the probability of the second class); with several sigmoids,
/// the class with the highest probability is predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    /// The scores before the softmax or sigmoid.
    pub logits: TensorRef,
    /// The probabilities.
    pub probabilities: TensorRef,
    /// Number of outputs.
    pub units: usize,
}

impl Classifier {
    /// Inspects the output of a network.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when its output is not flat, or ends neither in a softmax nor in sigmoids.
    pub fn of(network: &Network) -> Result<Self> {
        let classifier = Self::of_any_output(network)?;
        let units = classifier.units;
        match network.output()?.activation() {
            ActivationKind::Softmax if units > 1 => Ok(classifier),
            ActivationKind::Sigmoid => Ok(classifier),
            other => Err(no_classifier(
                network,
                &format!(
                    "its {units} outputs end in {other:?}, not in a softmax or sigmoid: they are features or numbers"
                ),
            )),
        }
    }

    /// As [`of`](Self::of), for any final activation: for losses that use the outputs directly.
    pub(super) fn of_any_output(network: &Network) -> Result<Self> {
        let output = network.output()?;
        let Some(units) = output.shape().as_flat() else {
            return Err(no_classifier(network, &format!("its output is of shape {}", output.shape())));
        };
        let name = output.name();
        Ok(Self { logits: TensorRef::before_activation(name), probabilities: TensorRef::output(name), units })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.units.max(2)
    }

    /// Writes the target outputs for samples with these labels.
    pub(crate) fn targets(&self, labels: &[usize], targets: &mut [f32]) {
        if self.units == 1 {
            targets.iter_mut().zip(labels).for_each(|(target, &label)| *target = label as f32);
            return;
        }
        targets.fill(0.0);
        for (row, &label) in targets.chunks_exact_mut(self.units).zip(labels) {
            row[label] = 1.0;
        }
    }

    /// Blends the labels of images that were mixed into samples (MixUp, CutMix) into the targets.
    pub(crate) fn mix_targets(&self, mixed: &[Option<MixedSample>], targets: &mut [f32]) {
        for (row, mixed) in targets.chunks_exact_mut(self.units).zip(mixed) {
            let Some(MixedSample { label, share, .. }) = mixed else { continue };
            row.iter_mut().for_each(|target| *target *= 1.0 - share);
            if self.units == 1 {
                row[0] += share * *label as f32;
            } else {
                row[*label] += share;
            }
        }
    }

    /// Returns the class of a row of logits with `threshold` 0, or of probabilities with `threshold` 0.5.
    pub(crate) fn class_of(&self, row: &[f32], threshold: f32) -> usize {
        if self.units == 1 {
            return usize::from(row[0] > threshold);
        }
        argmax(row)
    }

    /// Returns the class of a row of the network's output, and its probability.
    ///
    /// # Panics
    /// When the row does not have one value per output.
    pub fn decide(&self, row: &[f32]) -> (usize, f32) {
        assert_eq!(row.len(), self.units, "a row of the output");
        let class = self.class_of(row, 0.5);
        (class, self.class_probabilities(row)[class])
    }

    /// Returns the probability of each class for a row of the network's output.
    pub(crate) fn class_probabilities(&self, row: &[f32]) -> Vec<f32> {
        if self.units == 1 { vec![1.0 - row[0], row[0]] } else { row.to_vec() }
    }
}

fn no_classifier(network: &Network, why: &str) -> Error {
    Error::Unsupported(format!("network {} is not a classifier: {why}", network.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Dense, Flatten};

    fn classifier(units: usize, activation: ActivationKind) -> Classifier {
        let layers = [Flatten::new().into(), Dense::new(units).activation(activation).into()];
        Classifier::of(&Network::sequential("small", [2, 2, 1], layers, 1).unwrap()).unwrap()
    }

    #[test]
    fn a_mixed_sample_is_a_share_of_each_class() {
        let mixed = |label, share| Some(MixedSample { label, target: Vec::new(), share });
        let several = classifier(3, ActivationKind::Softmax);
        let mut targets = [9.0; 9];
        several.targets(&[0, 2, 1], &mut targets);
        several.mix_targets(&[mixed(1, 0.25), None, mixed(1, 0.5)], &mut targets);
        assert_eq!(targets, [0.75, 0.25, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        several.mix_targets(&[], &mut targets);
        assert_eq!(targets[0], 0.75);
        let two = classifier(1, ActivationKind::Sigmoid);
        let mut targets = [9.0; 3];
        two.targets(&[0, 1, 1], &mut targets);
        two.mix_targets(&[mixed(1, 0.25), mixed(0, 0.25), mixed(1, 0.5)], &mut targets);
        assert_eq!(targets, [0.25, 0.75, 1.0]);
    }
}
