//! The output of a network during training: inputs of the loss, and targets.

use std::sync::Arc;

use lucida_kernels::ops::sigmoid;

use crate::data::{Batch, MixedSample, Targets};
use crate::nn::layers::ActivationKind;
use crate::nn::losses::LossKind;
use crate::nn::{Loss, Network, TensorRef, counted};
use crate::weights::{Task, softmax};
use crate::{Error, Result};

use super::custom::LossChoice;
use super::{Classifier, Samples};

/// The output of a network, with a loss that matches it and the targets of the data.
#[derive(Debug)]
pub(super) struct TrainingOutput {
    /// Inputs of the loss: the outputs, or the logits before them.
    pub(super) values: TensorRef,
    /// The outputs.
    pub(super) outputs: TensorRef,
    /// Number of outputs.
    pub(super) units: usize,
    pub(super) targets: Targets,
    /// Loss of rows with `units` targets.
    pub(super) loss: Arc<dyn Loss>,
    /// The classifier, if the targets are classes.
    pub(super) classifier: Option<Classifier>,
    /// Activation after the values, if they are logits.
    logits_of: Option<ActivationKind>,
}

impl TrainingOutput {
    /// Matches the output of `network` with `targets` and a loss. The default is the cross-entropy of the final activation
    /// for classes and labels, and the mean squared error for values.
    ///
    /// # Errors
    /// [`Error::Argument`] when loss, targets and output do not match, or when the loss does not support the label smoothing
    /// that is set; [`Error::Unsupported`] when the output is not flat, or its activation has no default loss.
    pub(super) fn of(network: &Network, targets: Targets, loss: LossChoice, label_smoothing: f32) -> Result<Self> {
        let Classifier { logits, probabilities: outputs, units } = match (&loss, targets) {
            (LossChoice::Usual, Targets::Classes(_) | Targets::Labels(_)) => Classifier::of(network)?,
            _ => Classifier::of_any_output(network)?,
        };
        check_targets(targets, units)?;
        let activation = network.output()?.activation();
        let end = OutputEnd { activation, units, targets };
        let loss = match loss {
            LossChoice::Usual => end.build(default_loss(targets, activation), label_smoothing)?,
            LossChoice::Named(kind) => end.build(kind, label_smoothing)?,
            LossChoice::Custom(loss) => end.check_custom(loss, label_smoothing)?,
        };
        // The outputs can be computed from the logits only for these two.
        let has_logits = matches!(activation, ActivationKind::Softmax | ActivationKind::Sigmoid);
        let logits_of = (has_logits && loss.takes_logits_of(activation)).then_some(activation);
        let values = if logits_of.is_some() { logits.clone() } else { outputs.clone() };
        let classifier = matches!(targets, Targets::Classes(_)).then(|| Classifier {
            logits,
            probabilities: outputs.clone(),
            units,
        });
        Ok(Self { values, outputs, units, targets, loss, classifier, logits_of })
    }

    /// Checks that other data has the same kind of targets.
    ///
    /// # Errors
    /// [`Error::Argument`] states its targets.
    pub(super) fn check_same(&self, targets: Targets) -> Result<()> {
        check_targets(targets, self.units)?;
        if targets == self.targets {
            return Ok(());
        }
        let name = |targets| match targets {
            Targets::Classes(_) => "classes",
            Targets::Labels(_) => "labels",
            Targets::Values(_) => "values",
        };
        let (own, others) = (name(self.targets), name(targets));
        Err(Error::argument(format!("the training data has {own} as targets, the validation data has {others}")))
    }

    /// Writes the targets `[batch, units]` of a batch, including the shares of mixed-in samples.
    pub(super) fn write_targets(&self, batch: &Batch<'_>, rows: &mut [f32]) {
        if let Some(classifier) = &self.classifier {
            classifier.targets(batch.labels, rows);
            classifier.mix_targets(batch.mixed, rows);
            return;
        }
        rows.copy_from_slice(batch.targets);
        for (row, mixed) in rows.chunks_exact_mut(self.units).zip(batch.mixed) {
            let Some(MixedSample { target, share, .. }) = mixed else { continue };
            row.iter_mut().zip(target).for_each(|(own, other)| *own = (1.0 - share) * *own + share * other);
        }
    }

    /// Returns the targets `[samples, units]` of the samples at the positions `order`.
    pub(super) fn targets_of(&self, samples: &dyn Samples, order: &[usize]) -> Vec<f32> {
        let Some(classifier) = &self.classifier else {
            return order.iter().flat_map(|&index| samples.target(index)).copied().collect();
        };
        let labels: Vec<usize> = order.iter().map(|&index| samples.label(index)).collect();
        let mut rows = vec![0.0; order.len() * self.units];
        classifier.targets(&labels, &mut rows);
        rows
    }

    /// Counts the rows of values with the correct class; zero if the targets are not classes.
    pub(super) fn count_correct(&self, values: &[f32], labels: &[usize]) -> usize {
        let Some(classifier) = &self.classifier else { return 0 };
        let threshold = if self.logits_of.is_some() { 0.0 } else { 0.5 };
        let rows = values.chunks_exact(self.units).zip(labels);
        rows.filter(|(row, label)| classifier.class_of(row, threshold) == **label).count()
    }

    /// Computes the outputs `[batch, units]` from rows of values.
    pub(super) fn outputs_of(&self, values: &[f32]) -> Vec<f32> {
        match self.logits_of {
            Some(ActivationKind::Softmax) => values.chunks_exact(self.units).flat_map(softmax).collect(),
            Some(_) => values.iter().map(|&value| sigmoid(value)).collect(),
            None => values.to_vec(),
        }
    }

    /// The task of the network after training, if its last layers do not imply it.
    pub(super) fn task(&self, network: &Network) -> Result<Option<Task>> {
        let sigmoid = network.output()?.activation() == ActivationKind::Sigmoid;
        Ok(match self.targets {
            Targets::Classes(_) => None,
            Targets::Labels(_) if sigmoid => Some(Task::Multilabel),
            Targets::Labels(_) | Targets::Values(_) => Some(Task::Regress),
        })
    }
}

/// The default loss.
fn default_loss(targets: Targets, activation: ActivationKind) -> LossKind {
    match (targets, activation) {
        (Targets::Values(_), _) => LossKind::MeanSquaredError,
        (_, ActivationKind::Softmax) => LossKind::CategoricalCrossentropy,
        _ => LossKind::BinaryCrossentropy,
    }
}

/// # Errors
/// [`Error::Argument`] when the number of targets and outputs differ; a single output represents two classes.
fn check_targets(targets: Targets, units: usize) -> Result<()> {
    let outputs = counted(units, "output");
    let problem = match targets {
        Targets::Classes(classes) if classes == units.max(2) => return Ok(()),
        Targets::Labels(count) | Targets::Values(count) if count == units => return Ok(()),
        Targets::Classes(classes) => format!("the data has {classes} classes, the network has {}", units.max(2)),
        Targets::Labels(count) => format!("the data has {}, the network has {outputs}", counted(count, "label")),
        Targets::Values(count) => {
            format!("the data has {} for each sample, the network has {outputs}", counted(count, "value"))
        }
    };
    Err(Error::argument(problem))
}

fn no_label_smoothing(loss: &str) -> Error {
    Error::argument(format!("label smoothing is for categorical_crossentropy and binary_crossentropy, not for {loss}"))
}

/// The properties that a loss must match.
struct OutputEnd {
    activation: ActivationKind,
    units: usize,
    targets: Targets,
}

impl OutputEnd {
    /// Creates a loss of this kind.
    fn build(&self, kind: LossKind, label_smoothing: f32) -> Result<Arc<dyn Loss>> {
        kind.check()?;
        self.check(kind)?;
        if label_smoothing > 0.0 && !kind.smooths_labels() {
            return Err(no_label_smoothing(&kind.to_string()));
        }
        Ok(Arc::from(match kind {
            // Here classes are one-hot rows, or blends of two for mixed images; for one-hot rows both losses are
            // bit-identical.
            LossKind::SparseCategoricalCrossentropy => LossKind::CategoricalCrossentropy.build(0.0),
            kind => kind.build(label_smoothing),
        }))
    }

    /// Checks that a custom loss can be computed from these outputs and targets.
    fn check_custom(&self, loss: Arc<dyn Loss>, label_smoothing: f32) -> Result<Arc<dyn Loss>> {
        let (own, units) = (loss.target_units(self.units), self.units);
        if own != units {
            let (own, units) = (counted(own, "target"), counted(units, "target"));
            return Err(Error::argument(format!("{loss:?} takes {own} for a sample, a training has {units} here")));
        }
        if !self.one_class_is_a_probability() {
            return Err(Error::argument(format!("{loss:?}: one output of two classes must be a sigmoid")));
        }
        if label_smoothing > 0.0 {
            return Err(no_label_smoothing(&format!("{loss:?}")));
        }
        Ok(loss)
    }

    /// A single output distinguishes two classes by a threshold of 0.5, on a scale from 0 to 1.
    fn one_class_is_a_probability(&self) -> bool {
        let one_class = matches!(self.targets, Targets::Classes(_)) && self.units == 1;
        !one_class || self.activation == ActivationKind::Sigmoid
    }

    fn fits(&self, kind: LossKind) -> bool {
        match kind {
            LossKind::CategoricalCrossentropy | LossKind::SparseCategoricalCrossentropy => {
                matches!(self.targets, Targets::Classes(_))
                    && self.activation == ActivationKind::Softmax
                    && self.units > 1
            }
            LossKind::BinaryCrossentropy => {
                !matches!(self.targets, Targets::Values(_)) && self.activation == ActivationKind::Sigmoid
            }
            LossKind::MeanSquaredError | LossKind::MeanAbsoluteError | LossKind::Huber { .. } => {
                self.one_class_is_a_probability()
            }
        }
    }

    fn check(&self, kind: LossKind) -> Result<()> {
        if self.fits(kind) {
            return Ok(());
        }
        let end = match self.activation {
            ActivationKind::Softmax => "softmax".to_owned(),
            ActivationKind::Sigmoid => "sigmoid".to_owned(),
            ActivationKind::Linear => "linear".to_owned(),
            other => format!("{other:?}"),
        };
        let targets = match self.targets {
            Targets::Classes(count) => format!("{count} classes"),
            Targets::Labels(count) => counted(count, "label"),
            Targets::Values(count) => counted(count, "value"),
        };
        let fitting: Vec<String> =
            LossKind::ALL.into_iter().filter(|kind| self.fits(*kind)).map(|kind| kind.to_string()).collect();
        let advice = match fitting.is_empty() {
            true => "two classes take one sigmoid, or a softmax of two".to_owned(),
            false => format!("use {}", fitting.join(", ")),
        };
        let outputs = counted(self.units, "output");
        Err(Error::argument(format!("{kind} does not fit {outputs} ({end}) and {targets}: {advice}")))
    }
}
