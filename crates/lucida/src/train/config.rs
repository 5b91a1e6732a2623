//! Training configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::Targets;
use crate::nn::{LossKind, Network, Optimizer, Schedule, counted};
use crate::{Cpu, Error, Result};

use super::Confusion;
use super::custom::CustomObjective;
use super::metrics::MetricKind;
use super::numeric_fault::OnNan;
use super::training_output::TrainingOutput;

/// Configuration of a training run; every field has a default.
///
/// ```
/// use lucida::train::TrainConfig;
///
/// let config = TrainConfig { epochs: 5, batch_size: 64, ..TrainConfig::default() };
/// assert_eq!(config.learning_rate.at(0), 1e-3);
/// ```
// Serialized into model files and checkpoints: keys must not change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Passes over the training data; with [`steps_per_epoch`](Self::steps_per_epoch), epochs of that many steps.
    #[serde(skip)]
    pub epochs: usize,
    /// Batch size. The last batch of a pass may be smaller.
    #[serde(skip)]
    pub batch_size: usize,
    /// The learning rate as a function of the step; `1e-3.into()` for a constant one.
    #[serde(skip)]
    pub learning_rate: Schedule,
    /// The optimizer and its hyperparameters.
    #[serde(skip)]
    pub optimizer: Optimizer,
    /// Random seed: determines the order of the samples and the dropout masks.
    #[serde(skip)]
    pub seed: u64,
    /// Threads and instruction set.
    #[serde(skip)]
    pub cpu: Cpu,
    /// Steps per epoch; by default one pass over the data.
    pub steps_per_epoch: Option<usize>,
    /// Validates on this number of batches, selected once by the seed; by default on all data.
    pub validation_steps: Option<usize>,
    /// Loss. By default the cross-entropy of the final softmax or sigmoid for classes and labels, the mean squared error for
    /// values. For a custom loss see [`Trainer::loss`](super::Trainer::loss).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossKind>,
    /// Metrics in addition to the accuracy of classes; by default [those](MetricKind::defaults) of the targets. For custom
    /// metrics see [`Trainer::metric`](super::Trainer::metric).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricKind>,
    /// Quantity that determines the best epoch.
    pub monitor: Monitor,
    /// Weight of each class in the loss; empty for 1 everywhere.
    pub class_weights: Vec<f32>,
    /// Label smoothing during training (Szegedy et al., 2016).
    pub label_smoothing: f32,
    /// Decoupled weight decay, in addition to the optimizer's own (Loshchilov and Hutter, 2019).
    pub weight_decay: f32,
    /// Clip gradients to this global norm (Pascanu et al., 2013).
    pub clip_norm: Option<f32>,
    /// Decay of an exponential moving average of the weights. The averaged weights are validated and saved (Polyak and
    /// Juditsky, 1992).
    pub ema: Option<f32>,
    /// Layers with a different learning rate.
    #[serde(rename = "slow")]
    pub param_group: Option<ParamGroup>,
    /// What is done with a step whose loss or gradient is not finite. It may be another one when a run resumes.
    #[serde(skip)]
    pub on_nan: OnNan,
    /// Checkpoint from which an interrupted run resumes.
    #[serde(skip)]
    pub checkpoint: Option<Checkpoint>,
}

impl Default for TrainConfig {
    /// 10 epochs with batches of 32 samples, and Adam with a learning rate of 0.001.
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 32,
            learning_rate: Schedule::constant(1e-3),
            optimizer: Optimizer::adam(),
            seed: 42,
            cpu: Cpu::detect(),
            steps_per_epoch: None,
            validation_steps: None,
            loss: None,
            metrics: Vec::new(),
            monitor: Monitor::default(),
            class_weights: Vec::new(),
            label_smoothing: 0.0,
            weight_decay: 0.0,
            clip_norm: None,
            ema: None,
            param_group: None,
            on_nan: OnNan::Stop,
            checkpoint: None,
        }
    }
}

/// Checkpointing: a resumed run ends with bit-identical weights to an uninterrupted one.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The file. It is written atomically, after each epoch and when training is stopped.
    pub path: PathBuf,
    /// Steps between additional checkpoints within an epoch.
    pub every: Option<usize>,
    /// Resume from the file, if it exists.
    pub resume: bool,
    /// Additional settings that must match for a run to resume, such as the data: an object with human-readable keys.
    pub identity: Value,
}

/// Quantity that determines the best epoch, measured on the validation data if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Monitor {
    /// Lowest loss, weighted with the class weights
    #[default]
    Loss,
    /// Highest accuracy; the binary accuracy of labels
    Accuracy,
    /// Highest macro F1: every class counts alike, and one that is never predicted counts as zero
    F1,
    /// Largest area under the ROC curve; with several classes the mean of one-versus-rest curves
    Auc,
    /// A metric.
    #[cfg_attr(feature = "clap", value(skip))]
    Metric(MetricKind),
}

impl Monitor {
    /// Description of the best value for messages.
    pub fn best(self, weighted: bool) -> String {
        match self {
            Self::Loss if weighted => "lowest class-weighted loss".to_owned(),
            Self::Loss => "lowest loss".to_owned(),
            Self::Accuracy => "highest accuracy".to_owned(),
            Self::F1 => "highest macro F1".to_owned(),
            Self::Auc => "highest ROC AUC".to_owned(),
            Self::Metric(kind) if kind.build(1).higher_is_better() => format!("highest {kind}"),
            Self::Metric(kind) => format!("lowest {kind}"),
        }
    }

    /// Resolves the monitor for a kind of targets: for labels, accuracy and F1 are metrics.
    ///
    /// # Errors
    /// [`Error::Argument`] when it is not defined for the targets.
    pub(super) fn of_targets(self, targets: Targets) -> Result<Self> {
        match (self, targets) {
            (_, Targets::Classes(_)) | (Self::Loss | Self::Metric(_), _) => Ok(self),
            (Self::Accuracy, Targets::Labels(_)) => Ok(Self::Metric(MetricKind::BinaryAccuracy)),
            (Self::F1, Targets::Labels(_)) => Ok(Self::Metric(MetricKind::F1Score)),
            (_, Targets::Labels(_)) => {
                Err(Error::argument("ROC AUC as monitor is for classes: labels take mean_average_precision"))
            }
            (_, Targets::Values(_)) => {
                Err(Error::argument(format!("{self:?} as monitor is for classes: values take the loss or a metric")))
            }
        }
    }
}

/// Pretrained layers with a reduced learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamGroup {
    /// Last of these layers, in network order.
    pub through: String,
    /// Factor of their learning rate.
    pub factor: f64,
}

impl TrainConfig {
    /// Checks that a network can be trained on data with these targets: that loss, metrics and monitor fit both, and that
    /// all values of the configuration are valid.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first invalid value and the valid ones; [`Error::Unsupported`] when the network is not
    /// a classifier and no loss was chosen.
    pub fn check(&self, network: &Network, targets: Targets) -> Result<()> {
        self.check_with(&CustomObjective::default(), network, targets)
    }

    /// As [`check`](Self::check), with custom loss and metrics.
    pub(super) fn check_with(&self, custom: &CustomObjective, network: &Network, targets: Targets) -> Result<()> {
        let output = TrainingOutput::of(network, targets, custom.loss(self)?, self.label_smoothing)?;
        self.check_values(targets)?;
        self.monitor.of_targets(targets)?;
        let kinds = self.metrics_of(targets);
        custom.check_names(&kinds)?;
        kinds.iter().try_for_each(|kind| kind.check(targets, output.units))
    }

    /// Metrics that are measured for these targets, including that of the monitor.
    pub(super) fn metrics_of(&self, targets: Targets) -> Vec<MetricKind> {
        let chosen = if self.metrics.is_empty() { MetricKind::defaults(targets) } else { &self.metrics };
        let mut kinds = chosen.to_vec();
        if let Ok(Monitor::Metric(kind)) = self.monitor.of_targets(targets)
            && !kinds.contains(&kind)
        {
            kinds.push(kind);
        }
        kinds
    }

    /// # Errors
    /// [`Error::Argument`] names the first invalid value.
    fn check_values(&self, targets: Targets) -> Result<()> {
        let refuse = |problem: String| Err(Error::argument(problem));
        self.learning_rate.check()?;
        if self.batch_size == 0 || self.epochs == 0 {
            let Self { epochs, batch_size, .. } = self;
            return refuse(format!(
                "training takes at least one epoch and one sample a step, not {epochs} and {batch_size}"
            ));
        }
        for (name, value) in [("steps per epoch", self.steps_per_epoch), ("validation steps", self.validation_steps)] {
            if value == Some(0) {
                return refuse(format!("{name}: 0, it must be at least 1"));
            }
        }
        if let Targets::Classes(classes) = targets {
            Confusion::check_classes(classes)?;
        }
        match targets {
            _ if self.class_weights.is_empty() => {}
            Targets::Classes(classes) if self.class_weights.len() == classes => {}
            Targets::Classes(classes) => {
                let (weights, classes) = (counted(self.class_weights.len(), "class weight"), counted(classes, "class"));
                return refuse(format!("{weights} for {classes}"));
            }
            _ => return refuse("class weights are for classes: the targets of the data are rows".to_owned()),
        }
        if let Some(weight) = self.class_weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
            return refuse(format!("a class weight is a number from 0 up, not {weight}"));
        }
        for (name, value, below) in [
            ("label smoothing", Some(self.label_smoothing), 1.0),
            ("the decay of the mean of the weights", self.ema, 1.0),
            ("weight decay", Some(self.weight_decay), f32::INFINITY),
        ] {
            if value.is_some_and(|value| !(0.0..below).contains(&value)) {
                return refuse(format!("{name} is {}, it must be at least 0 and below {below}", value.unwrap_or(0.0)));
            }
        }
        if self.clip_norm.is_some_and(|norm| !(norm.is_finite() && norm > 0.0)) {
            return refuse("the largest norm of the gradients is a positive number".to_owned());
        }
        let factor = self.param_group.as_ref().map(|group| group.factor);
        if let Some(factor) = factor.filter(|factor| !(*factor > 0.0 && *factor <= 1.0)) {
            return refuse(format!("a factor for the learning rate is above 0 and at most 1, not {factor}"));
        }
        Ok(())
    }
}

/// Class weights that balance the classes, as scikit-learn's `balanced`: `samples / (classes * samples of the class)`. A
/// class without samples gets 0.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::train::balanced_class_weights;
///
/// // Three images of class 0, one of class 1.
/// let class_weights = balanced_class_weights(&[0, 0, 1, 0], 2);
/// assert_eq!(class_weights, [4.0 / (2.0 * 3.0), 4.0 / (2.0 * 1.0)]);
/// let config = TrainConfig { class_weights, ..TrainConfig::default() };
/// assert_eq!(config.class_weights.len(), 2);
/// ```
pub fn balanced_class_weights(labels: &[usize], classes: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    let weight = |count: usize| if count == 0 { 0.0 } else { labels.len() as f64 / (classes * count) as f64 };
    counts.into_iter().map(|count| weight(count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_count_alike() {
        assert_eq!(balanced_class_weights(&[0, 0, 0, 1], 2), [2.0 / 3.0, 2.0]);
        assert_eq!(balanced_class_weights(&[0, 0], 3), [1.0 / 3.0, 0.0, 0.0]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let refused = |options: TrainConfig, expected: &str| {
            let message = options.check_values(Targets::Classes(2)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let none = TrainConfig::default;
        none().check_values(Targets::Classes(2)).unwrap();
        let message = none().check_values(Targets::Classes(90_001)).unwrap_err().to_string();
        assert!(message.contains("90001 is over the limit of 32768"), "{message}");
        refused(TrainConfig { steps_per_epoch: Some(0), ..none() }, "steps per epoch: 0");
        refused(TrainConfig { class_weights: vec![1.0], ..none() }, "1 class weight for 2 classes");
        refused(TrainConfig { class_weights: vec![1.0, f32::NAN], ..none() }, "NaN");
        let weights = TrainConfig { class_weights: vec![1.0, 2.0], ..none() };
        let message = weights.check_values(Targets::Values(2)).unwrap_err().to_string();
        assert!(message.contains("class weights are for classes"), "{message}");
        refused(TrainConfig { label_smoothing: 1.0, ..none() }, "label smoothing is 1");
        refused(TrainConfig { ema: Some(-0.5), ..none() }, "-0.5");
        refused(TrainConfig { clip_norm: Some(0.0), ..none() }, "norm");
        let group = ParamGroup { through: "conv2d".to_owned(), factor: 2.0 };
        refused(TrainConfig { param_group: Some(group), ..none() }, "not 2");
    }
}
