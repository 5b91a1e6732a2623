//! Loss and metrics of a network on data, for any kind of outputs.

use std::collections::BTreeMap;

use crate::data::Dataset;
use crate::nn::Network;
use crate::weights::{Model, check_finite};
use crate::{Cpu, Result};

use super::evaluate::{ForwardBatch, ForwardPass, batch_of, recorded_loss};
use super::metrics::{MetricChoice, MetricKind, RunningMetrics};
use super::training_output::TrainingOutput;
use super::{ImageSamples, Samples};

/// Loss and metrics of a model on data.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricValues {
    /// Mean loss: of the loss that the model was trained with, if its training record names it.
    pub loss: f64,
    /// Metrics by Keras's names, without undefined ones.
    pub metrics: BTreeMap<String, f64>,
}

/// Evaluates a model on data with any kind of targets: labels, values, or classes. By default these `metrics` are measured:
/// binary accuracy, macro F1 and mean average precision of labels; mean absolute error, mean squared error and R² of values;
/// the accuracy of classes, for which [`evaluate`](super::evaluate) reports more.
///
/// ```
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let some = Subset::new(&digits, (0..100).collect())?;
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let measured = evaluate_metrics(&model, &some, &[], Cpu::detect())?;
/// assert!(measured.metrics.values().all(|value| (0.0..=1.0).contains(value)));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Argument`] when targets, metrics and network do not match or there is no data; those of reading the data.
pub fn evaluate_metrics(model: &Model, data: &dyn Dataset, metrics: &[MetricKind], cpu: Cpu) -> Result<MetricValues> {
    model.check()?;
    let samples = ImageSamples::new(data, model.preprocessing()?, cpu.threads());
    let output = TrainingOutput::of(&model.network, data.targets(), recorded_loss(model).into(), 0.0)?;
    let of_classes = [if output.units == 1 { MetricKind::BinaryAccuracy } else { MetricKind::CategoricalAccuracy }];
    let kinds = match (metrics, MetricKind::defaults(data.targets())) {
        ([], []) => &of_classes,
        ([], defaults) => defaults,
        (chosen, _) => chosen,
    };
    kinds.iter().try_for_each(|kind| kind.check(output.targets, output.units))?;
    let order: Vec<usize> = (0..data.len()).collect();
    let (loss, rows) = predict_rows(&model.network, &samples, &order, &output, cpu)?;
    check_finite(&model.network, &rows, true)?;
    Ok(MetricValues { loss, metrics: measure(kinds.into(), &output, &samples, &order, &rows) })
}

/// Returns the mean loss and the outputs `[samples, units]` of the samples at the positions `order`.
pub(super) fn predict_rows(
    network: &Network,
    samples: &dyn Samples,
    order: &[usize],
    output: &TrainingOutput,
    cpu: Cpu,
) -> Result<(f64, Vec<f32>)> {
    let (mut loss, mut rows) = (0.0, Vec::with_capacity(order.len() * output.units));
    let forward = ForwardPass { network, output, size: batch_of(network)?, cpu };
    forward.each((samples, order), |ForwardBatch { labels, values, outputs, targets }| {
        loss += output.loss.evaluate(output.units, values, targets, None) * labels.len() as f64;
        rows.extend_from_slice(outputs);
    })?;
    Ok((loss / order.len() as f64, rows))
}

/// Computes metrics from the outputs `[samples, units]` of the samples at the positions `order`.
pub(super) fn measure(
    metrics: MetricChoice<'_>,
    output: &TrainingOutput,
    samples: &dyn Samples,
    order: &[usize],
    rows: &[f32],
) -> BTreeMap<String, f64> {
    let mut metrics = RunningMetrics::new(metrics, output.units);
    if !metrics.is_empty() {
        metrics.update(output.units, rows, &output.targets_of(samples, order));
    }
    metrics.results()
}
