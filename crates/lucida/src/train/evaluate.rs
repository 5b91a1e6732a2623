//! Evaluation of a model on labeled data.

use std::path::Path;

use crate::data::{Batch, Dataset, FolderSet};
use crate::nn::{Inference, LossKind, Network, Plan};
use crate::weights::{Model, Outputs, check_finite};
use crate::{Cpu, Error, Result};

use super::custom::LossChoice;
use super::training_output::TrainingOutput;
use super::transfer::frozen_cut_point;
use super::{Confusion, FeatureSet, FeatureStore, ImageSamples, Samples, image_keys};

/// Maximum samples per batch, and maximum input values per batch: 32 photos of 150x150. The activations of a large network
/// for 256 photos would exhaust the memory.
const BATCH: usize = 256;
const VALUES: usize = 1 << 21;

/// Evaluation of a classifier on labeled data.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Share of correctly classified samples.
    pub accuracy: f64,
    /// The confusion matrix.
    pub confusion: Confusion,
    /// Probability of each class, for each sample in data order.
    pub probabilities: Vec<Vec<f32>>,
    /// Predicted class of each sample.
    pub predicted: Vec<usize>,
    /// True class of each sample.
    pub labels: Vec<usize>,
}

impl Evaluation {
    /// Indices of the misclassified samples, the most confident mistake first.
    pub fn mistakes(&self, data: &dyn Dataset) -> Vec<usize> {
        let mut wrong: Vec<usize> =
            (0..self.predicted.len()).filter(|&index| self.predicted[index] != data.label(index)).collect();
        let confidence = |index: usize| self.probabilities[index][self.predicted[index]];
        wrong.sort_by(|&a, &b| confidence(b).total_cmp(&confidence(a)).then(a.cmp(&b)));
        wrong
    }
}

/// Classifies all samples and compares with their labels. The loss is the one that the model was trained with, if its
/// training record names it. For outputs that are not classes see [`evaluate_metrics`](super::evaluate_metrics).
///
/// ```
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let some = Subset::new(&digits, (0..200).collect())?;
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let evaluation = evaluate(&model, &some, Cpu::detect())?;
/// let mistakes = evaluation.mistakes(&some);
/// assert_eq!(evaluation.confusion.total(), 200);
/// assert_eq!(mistakes.len() as u64, 200 - evaluation.confusion.correct());
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// Those of reading the data; [`crate::Error::Argument`] when the classes do not fit the network, when there is no data, or
/// when its targets are not classes; [`crate::Error::Outputs`] when the model is not a classifier.
pub fn evaluate(model: &Model, data: &dyn Dataset, cpu: Cpu) -> Result<Evaluation> {
    model.check()?;
    Outputs::of_classes(model)?;
    let samples = ImageSamples::new(data, model.preprocessing()?, cpu.threads());
    let order: Vec<usize> = (0..data.len()).collect();
    let output = TrainingOutput::of(&model.network, data.targets(), recorded_loss(model).into(), 0.0)?;
    let evaluation = evaluate_weighted(&model.network, &output, (&samples, &order), &[], cpu)?.0;
    evaluation.probabilities.iter().try_for_each(|row| check_finite(&model.network, row, true))?;
    Ok(evaluation)
}

/// The loss that a model was trained with, if its training record names one.
pub(super) fn recorded_loss(model: &Model) -> Option<LossKind> {
    model.training["options"]["loss"].as_str()?.parse().ok()
}

/// Classifies the samples at the positions `order`, and compares with their labels.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_samples(network: &Network, samples: &dyn Samples, order: &[usize], cpu: Cpu) -> Result<Evaluation> {
    let output = TrainingOutput::of(network, samples.targets(), LossChoice::Usual, 0.0)?;
    Ok(evaluate_weighted(network, &output, (samples, order), &[], cpu)?.0)
}

/// As [`evaluate_samples`], with the loss of `output`. Also returns the mean of the losses weighted by class, which is what
/// training with class weights minimizes; the plain loss if there are no weights.
///
/// # Errors
/// As [`evaluate`].
pub(super) fn evaluate_weighted(
    network: &Network,
    output: &TrainingOutput,
    samples: (&dyn Samples, &[usize]),
    class_weights: &[f32],
    cpu: Cpu,
) -> Result<(Evaluation, f64)> {
    let forward = ForwardPass { network, output, size: batch_of(network)?, cpu };
    forward.evaluate(samples, class_weights)
}

/// As [`evaluate`], from the cached outputs of the model's frozen base that training left in `cache`: the same results,
/// without running the base. `None` when the model has no frozen base, or when the cache does not contain all images.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_cached(
    model: &Model,
    data: &FolderSet,
    cache: impl AsRef<Path>,
    cpu: Cpu,
) -> Result<Option<Evaluation>> {
    Outputs::of_classes(model)?;
    with_cached_features(model, data, cache.as_ref(), cpu, |forward, samples| {
        let order: Vec<usize> = (0..samples.len()).collect();
        Ok(forward.evaluate((samples, &order), &[])?.0)
    })
}

/// Evaluates a model on the cached outputs of its frozen base; `None` when it has no frozen base, or when the cache does not
/// contain all images.
pub(super) fn with_cached_features<T>(
    model: &Model,
    data: &FolderSet,
    cache: &Path,
    cpu: Cpu,
    measure: impl FnOnce(ForwardPass<'_>, &dyn Samples) -> Result<T>,
) -> Result<Option<T>> {
    let Some(cut_point) = frozen_cut_point(model)? else { return Ok(None) };
    let layer = model.network.nodes()[cut_point].name();
    let keys = image_keys(data);
    let Some(store) = FeatureStore::open_existing(cache, model, layer)?.filter(|store| store.has_all(&keys)) else {
        return Ok(None);
    };
    let samples = FeatureSet::new(&store, data, &[keys])?;
    // Rounding of sums depends on the batch size, so use that of the whole network.
    let (tail, size) = (model.network.tail(cut_point)?, batch_of(&model.network)?);
    let output = &TrainingOutput::of(&tail, samples.targets(), recorded_loss(model).into(), 0.0)?;
    measure(ForwardPass { network: &tail, output, size, cpu }, &samples).map(Some)
}

/// Batch size of an evaluation.
pub(super) fn batch_of(network: &Network) -> Result<usize> {
    Ok((VALUES / network.input_shape()?.len().max(1)).clamp(1, BATCH))
}

/// Batched forward passes without training.
#[derive(Clone, Copy)]
pub(super) struct ForwardPass<'a> {
    pub(super) network: &'a Network,
    pub(super) output: &'a TrainingOutput,
    /// Batch size.
    pub(super) size: usize,
    pub(super) cpu: Cpu,
}

/// A batch after its forward pass, each array `[batch, units]`.
pub(super) struct ForwardBatch<'a> {
    /// Labels of the samples.
    pub(super) labels: &'a [usize],
    /// Inputs of the loss.
    pub(super) values: &'a [f32],
    pub(super) outputs: &'a [f32],
    pub(super) targets: &'a [f32],
}

impl ForwardPass<'_> {
    /// Runs the samples at the positions `order`, and passes each batch to `take`.
    pub(super) fn each(
        &self,
        (samples, order): (&dyn Samples, &[usize]),
        mut take: impl FnMut(ForwardBatch<'_>),
    ) -> Result<()> {
        if order.is_empty() {
            return Err(Error::argument("there is no data to evaluate the model on"));
        }
        let Self { network, output, cpu, .. } = *self;
        let plan = Plan::builder(network).cpu(cpu).batch_size(self.size.min(order.len()));
        let mut inference = Inference::new(plan.output(output.values.clone()).output(output.outputs.clone()))?;
        let size = inference.batch_size();
        let mut targets = vec![0.0; size * output.units];
        samples
            .each(None, order, size, &mut |batch: Batch<'_>| {
                let labels = batch.labels;
                inference.forward(labels.len(), batch.images)?;
                let targets = &mut targets[..labels.len() * output.units];
                output.write_targets(&batch, targets);
                take(ForwardBatch { labels, values: inference.output(0), outputs: inference.output(1), targets });
                Ok(true)
            })
            .map(|_| ())
    }

    /// As [`evaluate_weighted`], for the samples at the positions `order`.
    fn evaluate(&self, (samples, order): (&dyn Samples, &[usize]), class_weights: &[f32]) -> Result<(Evaluation, f64)> {
        let output = self.output;
        let Some(classifier) = &output.classifier else {
            return Err(Error::argument("the data has rows of targets, not classes: evaluate_metrics measures those"));
        };
        Confusion::check_classes(classifier.classes())?;
        let (mut sample_weights, mut weighted) = (Vec::with_capacity(self.size), 0.0);
        let mut evaluation = Evaluation {
            loss: 0.0,
            accuracy: 0.0,
            confusion: Confusion::new(classifier.classes()),
            probabilities: Vec::with_capacity(order.len()),
            predicted: Vec::with_capacity(order.len()),
            labels: order.iter().map(|&index| samples.label(index)).collect(),
        };
        self.each((samples, order), |ForwardBatch { labels, values, outputs, targets }| {
            let loss = output.loss.evaluate(output.units, values, targets, None);
            evaluation.loss += loss * labels.len() as f64;
            if !class_weights.is_empty() {
                sample_weights.clear();
                sample_weights.extend(labels.iter().map(|&label| class_weights[label]));
                let loss = output.loss.evaluate_weighted(output.units, values, targets, &sample_weights, None);
                weighted += loss * labels.len() as f64;
            }
            for (row, &label) in outputs.chunks_exact(output.units).zip(labels) {
                let class = classifier.class_of(row, 0.5);
                evaluation.confusion.count(label, class);
                evaluation.predicted.push(class);
                evaluation.probabilities.push(classifier.class_probabilities(row));
            }
        })?;
        evaluation.loss /= order.len() as f64;
        evaluation.accuracy = evaluation.confusion.accuracy();
        let weighted = if class_weights.is_empty() { evaluation.loss } else { weighted / order.len() as f64 };
        Ok((evaluation, weighted))
    }
}
