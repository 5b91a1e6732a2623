//! What a training may do besides the plain loop.

use serde::{Deserialize, Serialize};

use crate::nn::counted;
use crate::{Error, Result};

/// Conveniences of a training; none of them unless asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Steps of an epoch; a pass over the data when there is none.
    pub steps_per_epoch: Option<usize>,
    /// Batches of the validation data, chosen once by the seed, that are tried after each epoch; all when there is none.
    pub validation_steps: Option<usize>,
    /// What the best epoch is judged by.
    pub monitor: Monitor,
    /// Ends the training after so many epochs without a better one.
    pub early_stopping: Option<usize>,
    /// Lowers the rate where training gets stuck.
    pub plateau: Option<Plateau>,
    /// A factor for the loss of each class; one for all when empty.
    pub class_weights: Vec<f32>,
    /// The share of each target that is spread over all classes, in training alone (Szegedy et al., 2016).
    pub label_smoothing: f32,
    /// The share of each weight, times the rate, that a step takes away, beside the optimizer's own (Loshchilov and Hutter,
    /// 2019).
    pub weight_decay: f32,
    /// The most that the norm of all gradients together may be: beyond it they are scaled down (Pascanu et al., 2013).
    pub clip_norm: Option<f32>,
    /// The decay of a running mean of the weights, which is what is tried and kept (Polyak and Juditsky, 1992).
    pub ema: Option<f32>,
    /// A part of the network that learns at a rate of its own.
    pub slow: Option<Slow>,
}

/// What epochs are judged by, on the validation data if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// The loss, the less the better; that with the class weights, where there are any.
    #[default]
    Loss,
    /// The accuracy, the more the better.
    Accuracy,
    /// The macro F1, the more the better: each class counts alike, and one that is never predicted counts as zero.
    F1,
    /// The area under the ROC curve, the more the better; of several classes the mean over them, each against all others.
    Auc,
}

impl Monitor {
    /// What a message calls the best value.
    pub fn best(self, weighted: bool) -> &'static str {
        match self {
            Self::Loss if weighted => "lowest class-weighted loss",
            Self::Loss => "lowest loss",
            Self::Accuracy => "highest accuracy",
            Self::F1 => "highest macro F1",
            Self::Auc => "highest ROC AUC",
        }
    }
}

/// Lowers the learning rate when epochs get no better, as Keras's `ReduceLROnPlateau`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Epochs without a better one before it does.
    pub patience: usize,
    /// What the rate is multiplied with.
    pub factor: f64,
}

/// Layers that were trained before, and learn with a fraction of the rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// The last of these layers, in the order of the network.
    pub through: String,
    /// What their rate is multiplied with.
    pub factor: f64,
}

impl Options {
    /// Whether the values can be used for a network that tells so many classes apart.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first one that cannot.
    pub fn check(&self, classes: usize) -> Result<()> {
        let refuse = |problem: String| Err(Error::argument(problem));
        for (name, value) in [
            ("steps per epoch", self.steps_per_epoch),
            ("validation steps", self.validation_steps),
            ("the patience of early stopping", self.early_stopping),
            ("the patience of a plateau", self.plateau.map(|plateau| plateau.patience)),
        ] {
            if value == Some(0) {
                return refuse(format!("{name}: 0, it must be at least 1"));
            }
        }
        if !self.class_weights.is_empty() && self.class_weights.len() != classes {
            return refuse(format!(
                "{} for {}",
                counted(self.class_weights.len(), "class weight"),
                counted(classes, "class")
            ));
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
        let factors = [self.plateau.map(|plateau| plateau.factor), self.slow.as_ref().map(|slow| slow.factor)];
        if let Some(factor) = factors.into_iter().flatten().find(|factor| !(*factor > 0.0 && *factor <= 1.0)) {
            return refuse(format!("a factor for the learning rate is above 0 and at most 1, not {factor}"));
        }
        Ok(())
    }
}

/// Weights that make the classes count alike, as scikit-learn's `balanced`: `samples / (classes * samples of the class)`. A
/// class without samples has 0.
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
        let refused = |options: Options, expected: &str| {
            let message = options.check(2).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let none = Options::default;
        none().check(2).unwrap();
        refused(Options { steps_per_epoch: Some(0), ..none() }, "steps per epoch: 0");
        refused(Options { class_weights: vec![1.0], ..none() }, "1 class weight for 2 classes");
        refused(Options { class_weights: vec![1.0, f32::NAN], ..none() }, "NaN");
        refused(Options { label_smoothing: 1.0, ..none() }, "label smoothing is 1");
        refused(Options { ema: Some(-0.5), ..none() }, "-0.5");
        refused(Options { clip_norm: Some(0.0), ..none() }, "norm");
        refused(Options { plateau: Some(Plateau { patience: 1, factor: 2.0 }), ..none() }, "not 2");
    }
}
