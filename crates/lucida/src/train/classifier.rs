//! What training and evaluation need to know about the output of a classifier.

use crate::data::Mixed;
use crate::nn::layers::ActivationKind;
use crate::nn::{Loss, Network, TensorRef};
use crate::weights::argmax;
use crate::{Error, Result};

/// The output of a classifier: where its loss is computed, and how its numbers are read.
///
/// Several classes are classified with a softmax and categorical cross-entropy, two with one sigmoid (the probability of the
/// second class) and binary cross-entropy; several sigmoids are as many labels, each with a binary cross-entropy of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    /// The values that the loss takes: before the softmax or sigmoid.
    pub logits: TensorRef,
    /// The probabilities.
    pub probabilities: TensorRef,
    /// The loss that belongs to the activation.
    pub loss: Loss,
    /// The number of outputs.
    pub units: usize,
}

impl Classifier {
    /// How a network classifies.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when its output is not flat, or ends neither in a softmax nor in sigmoids.
    pub fn of(network: &Network) -> Result<Self> {
        let output = network.output()?;
        let no_classifier =
            |why: String| Error::Unsupported(format!("network {} is not a classifier: {why}", network.name()));
        let Some(units) = output.shape().as_flat() else {
            return Err(no_classifier(format!("its output is of shape {}", output.shape())));
        };
        let loss = match output.activation() {
            ActivationKind::Softmax if units > 1 => Loss::categorical_crossentropy(),
            ActivationKind::Sigmoid => Loss::binary_crossentropy(),
            other => {
                return Err(no_classifier(format!(
                    "its {units} outputs end in {other:?}, not in a softmax or sigmoid: they are features or numbers"
                )));
            }
        };
        let name = output.name();
        Ok(Self { logits: TensorRef::before_activation(name), probabilities: TensorRef::output(name), loss, units })
    }

    /// Whether the outputs are labels of which any number can hold at once.
    pub fn is_multilabel(&self) -> bool {
        self.units > 1 && matches!(self.loss, Loss::BinaryCrossentropy { .. })
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
            let Some(Mixed { label, share }) = *mixed else { continue };
            row.iter_mut().for_each(|target| *target *= 1.0 - share);
            if self.units == 1 {
                row[0] += share * label as f32;
            } else {
                row[label] += share;
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
        (class, self.spread(row)[class])
    }

    /// The probability of each class from one row of the network's output.
    pub(crate) fn spread(&self, row: &[f32]) -> Vec<f32> {
        if self.units == 1 { vec![1.0 - row[0], row[0]] } else { row.to_vec() }
    }

    /// # Errors
    /// [`Error::Argument`] when data of `classes` classes does not fit.
    pub(crate) fn fits(&self, classes: usize) -> Result<()> {
        if classes == self.classes() {
            return Ok(());
        }
        Err(Error::argument(format!("the data has {classes} classes, the network has {}", self.classes())))
    }
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
        let mixed = |label, share| Some(Mixed { label, share });
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
