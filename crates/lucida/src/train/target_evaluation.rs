//! Evaluation of models with labels or values.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::{Dataset, FolderSet, Targets};
use crate::weights::Model;
use crate::{Cpu, Error, Result};

use super::evaluate::{ForwardBatch, ForwardPass, batch_of, recorded_loss, with_cached_features};
use super::metric_values::measure;
use super::metrics::{Metric, MetricKind, R2Score, average_precision};
use super::roc_auc::roc_auc;
use super::training_output::TrainingOutput;
use super::{ImageSamples, Samples};

/// Evaluation of a model on images with labels or values.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetEvaluation {
    /// Mean loss.
    pub loss: f64,
    /// Default metrics of the targets by Keras's names, without undefined ones.
    pub metrics: BTreeMap<String, f64>,
    /// Kind and number of the targets.
    pub targets: Targets,
    /// Probabilities of the labels, or the values, for each image in data order.
    pub outputs: Vec<Vec<f32>>,
    /// True labels or values.
    pub truths: Vec<Vec<f32>>,
}

/// Scores of a label; `None` for undefined ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelScores {
    /// Number of images that have the label.
    pub images: usize,
    /// Share of the images predicted to have it that do.
    pub precision: Option<f64>,
    /// Share of the images that have it that are predicted to.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall; zero if either is zero or undefined.
    pub f1: f64,
    /// Average precision over all thresholds.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
}

/// Scores of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueScores {
    /// Mean absolute error.
    pub mae: f64,
    /// Root mean squared error.
    pub rmse: f64,
    /// Coefficient of determination: 1 is perfect, 0 is as good as always predicting the mean.
    pub r2: Option<f64>,
}

impl TargetEvaluation {
    fn column(&self, column: usize) -> (Vec<f32>, Vec<f32>) {
        let of = |rows: &[Vec<f32>]| rows.iter().map(|row| row[column]).collect();
        (of(&self.outputs), of(&self.truths))
    }

    /// Scores of a label, which is predicted if its probability exceeds 0.5.
    ///
    /// # Panics
    /// When the label does not exist.
    pub fn label(&self, label: usize) -> LabelScores {
        let (outputs, truths) = self.column(label);
        let holds: Vec<bool> = truths.iter().map(|&truth| truth > 0.5).collect();
        let count = |wanted: &dyn Fn(bool, bool) -> bool| {
            outputs.iter().zip(&holds).filter(|(output, holds)| wanted(**output > 0.5, **holds)).count()
        };
        let (images, predicted) = (count(&|_, holds| holds), count(&|said, _| said));
        let right = count(&|said, holds| said && holds) as f64;
        let share = |all: usize| (all > 0).then(|| right / all as f64);
        let ranked: Vec<(f32, bool)> = outputs.iter().copied().zip(holds.iter().copied()).collect();
        LabelScores {
            images,
            precision: share(predicted),
            recall: share(images),
            f1: if right > 0.0 { 2.0 * right / (images + predicted) as f64 } else { 0.0 },
            average_precision: average_precision(&ranked),
            roc_auc: roc_auc(&outputs, &holds),
        }
    }

    /// Scores of a value.
    ///
    /// # Panics
    /// When the value does not exist.
    pub fn value(&self, value: usize) -> ValueScores {
        let (outputs, truths) = self.column(value);
        let errors = || outputs.iter().zip(&truths).map(|(&output, &truth)| f64::from(output) - f64::from(truth));
        let count = outputs.len().max(1) as f64;
        let mut r2 = R2Score::new(1);
        r2.update(1, &outputs, &truths);
        ValueScores {
            mae: errors().map(f64::abs).sum::<f64>() / count,
            rmse: (errors().map(|error| error * error).sum::<f64>() / count).sqrt(),
            r2: r2.result(),
        }
    }
}

/// Evaluates a model on images with labels or values.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::train::{TargetSpec, evaluate_targets};
///
/// let names = vec!["bright".to_owned(), "dark".to_owned()];
/// let rows = vec![1.0, 0.0, 0.0, 1.0];
/// let two = LabeledImages::with_labels([28, 28, 1], [[255; 784], [0; 784]].concat(), rows, names)?;
/// let model = TargetSpec::of(&two).build(applications::mnist_cnn(42)?)?.with_preprocessing(Preprocessing::mnist());
/// let evaluation = evaluate_targets(&model, &two, Cpu::detect())?;
/// assert_eq!((evaluation.label(0).images, evaluation.outputs[1].len()), (1, 2));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// Those of reading the data; [`Error::Argument`] when targets and network do not match, or the data has classes.
pub fn evaluate_targets(model: &Model, data: &dyn Dataset, cpu: Cpu) -> Result<TargetEvaluation> {
    model.check()?;
    let samples = ImageSamples::new(data, model.preprocessing()?, cpu.threads());
    let output = TrainingOutput::of(&model.network, data.targets(), recorded_loss(model).into(), 0.0)?;
    of_samples(ForwardPass { network: &model.network, output: &output, size: batch_of(&model.network)?, cpu }, &samples)
}

/// As [`evaluate_targets`], from cached outputs of a frozen base, if the cache contains all images.
///
/// # Errors
/// As [`evaluate_targets`].
pub fn evaluate_targets_cached(
    model: &Model,
    data: &FolderSet,
    cache: impl AsRef<Path>,
    cpu: Cpu,
) -> Result<Option<TargetEvaluation>> {
    with_cached_features(model, data, cache.as_ref(), cpu, |forward, samples| of_samples(forward, samples))
}

fn of_samples(forward: ForwardPass<'_>, samples: &dyn Samples) -> Result<TargetEvaluation> {
    let ForwardPass { output, .. } = forward;
    let kinds = MetricKind::defaults(output.targets);
    if kinds.is_empty() {
        return Err(Error::argument("the data has classes: evaluate measures those"));
    }
    let order: Vec<usize> = (0..samples.len()).collect();
    let (mut loss, mut rows) = (0.0, Vec::with_capacity(order.len() * output.units));
    forward.each((samples, &order), |ForwardBatch { labels, values, outputs, targets }| {
        loss += output.loss.evaluate(output.units, values, targets, None) * labels.len() as f64;
        rows.extend_from_slice(outputs);
    })?;
    Ok(TargetEvaluation {
        loss: loss / order.len() as f64,
        metrics: measure(kinds.into(), output, samples, &order, &rows),
        targets: output.targets,
        outputs: rows.chunks_exact(output.units).map(<[f32]>::to_vec).collect(),
        truths: order.iter().map(|&index| samples.target(index).to_vec()).collect(),
    })
}
