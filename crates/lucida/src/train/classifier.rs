//! What training and evaluation need to know about the output of a classifier.

use crate::data::Mixed;
use crate::nn::layers::ActivationKind;
use crate::nn::{Network, TensorRef};
use crate::weights::argmax;
use crate::{Error, Result};

/// The output of a classifier: where its scores are, and how its numbers are read.
///
/// Several classes are classified with a softmax, two with one sigmoid (the probability of the second class); of several
/// sigmoids the most probable one is the class.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    /// The scores: before the softmax or sigmoid.
    pub logits: TensorRef,
    /// The probabilities.
    pub probabilities: TensorRef,
    /// The number of outputs.
    pub units: usize,
}

impl Classifier {
    /// How a network classifies.
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

    /// As [`of`](Self::of), whatever the outputs end in: for a loss that takes them as they are.
    pub(super) fn of_any_output(network: &Network) -> Result<Self> {
        let output = network.output()?;
        let Some(units) = output.shape().as_flat() else {
            return Err(no_classifier(network, &format!("its output is of shape {}", output.shape())));
        };
        let name = output.name();
        Ok(Self { logits: TensorRef::before_activation(name), probabilities: TensorRef::output(name), units })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.units.max(2)
    }

    /// Writes what the network should say about samples of these classes.
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

    /// Gives the classes of the images that were mixed into some samples their share of the targets.
    pub(crate) fn mix_targets(&self, mixed: &[Option<Mixed>], targets: &mut [f32]) {
        for (row, mixed) in targets.chunks_exact_mut(self.units).zip(mixed) {
            let Some(Mixed { label, share, .. }) = mixed else { continue };
            row.iter_mut().for_each(|target| *target *= 1.0 - share);
            if self.units == 1 {
                row[0] += share * *label as f32;
            } else {
                row[*label] += share;
            }
        }
    }

    /// The class of one row of logits (or of probabilities, with `threshold` at one half instead of zero).
    pub(crate) fn class_of(&self, row: &[f32], threshold: f32) -> usize {
        if self.units == 1 {
            return usize::from(row[0] > threshold);
        }
        argmax(row)
    }

    /// The class, and its probability, of one row of the network's output.
    ///
    /// # Panics
    /// When the row has not one value for each output.
    pub fn decide(&self, row: &[f32]) -> (usize, f32) {
        assert_eq!(row.len(), self.units, "a row of the output");
        let class = self.class_of(row, 0.5);
        (class, self.class_probabilities(row)[class])
    }

    /// The probability of each class from one row of the network's output.
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
        let mixed = |label, share| Some(Mixed { label, target: Vec::new(), share });
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
