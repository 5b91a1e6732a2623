//! Validation after an epoch.

use std::collections::BTreeMap;

use crate::Result;
use crate::nn::{Network, ProcessGroup};

use super::distributed::range;
use super::evaluate::evaluate_weighted;
use super::metric_values::{measure, predict_rows};
use super::metrics::MetricChoice;
use super::training_output::TrainingOutput;
use super::{Confusion, Evaluation, Monitor, Samples, TrainConfig};

/// Results on the validation data.
#[derive(Debug, Clone, Default)]
pub(super) struct Validation {
    pub(super) loss: f64,
    /// For classes only.
    pub(super) accuracy: Option<f64>,
    /// Class-weighted loss.
    pub(super) weighted: f64,
    pub(super) f1: Option<f64>,
    pub(super) auc: Option<f64>,
    pub(super) metrics: BTreeMap<String, f64>,
}

/// Configuration and data of the validation.
#[derive(Clone, Copy)]
pub(super) struct Validator<'a> {
    pub(super) config: &'a TrainConfig,
    /// Without label smoothing, which applies to training only.
    pub(super) output: &'a TrainingOutput,
    pub(super) metrics: MetricChoice<'a>,
    pub(super) samples: &'a dyn Samples,
    pub(super) order: &'a [usize],
    pub(super) group: Option<&'a dyn ProcessGroup>,
}

impl Validator<'_> {
    /// Evaluates the network; in a group, each member evaluates its part.
    pub(super) fn run(&self, network: &Network) -> Result<Validation> {
        if self.output.classifier.is_none() {
            return self.rows(network);
        }
        let Some(group) = self.group else {
            let (found, weighted) = self.evaluate_classes(network, self.order)?;
            return Ok(self.of_classes(&found, weighted));
        };
        let (found, weighted) = self.classes_of_group(network, group)?;
        Ok(self.of_classes(&found, weighted))
    }

    fn evaluate_classes(&self, network: &Network, order: &[usize]) -> Result<(Evaluation, f64)> {
        let TrainConfig { class_weights, cpu, .. } = self.config;
        evaluate_weighted(network, self.output, (self.samples, order), class_weights, *cpu)
    }

    fn classes_of_group(&self, network: &Network, group: &dyn ProcessGroup) -> Result<(Evaluation, f64)> {
        let Self { samples, order, .. } = *self;
        let part = range(order.len(), group.rank(), group.size());
        let classes = self.output.units.max(2);
        let all = self.config.monitor == Monitor::Auc || !self.metrics.is_empty();
        let probabilities = if all { order.len() * classes } else { 0 };
        // Sums over all members: loss, weighted loss, confusion matrix, and probabilities if needed.
        let mut sums = vec![0.0; 2 + classes * classes + probabilities];
        if !part.is_empty() {
            let (found, weighted) = self.evaluate_classes(network, &order[part.clone()])?;
            (sums[0], sums[1]) = (found.loss * part.len() as f64, weighted * part.len() as f64);
            let (counts, rows) = sums[2..].split_at_mut(classes * classes);
            counts.iter_mut().zip(found.confusion.counts()).for_each(|(sum, &count)| *sum = count as f64);
            let own = rows.chunks_exact_mut(classes).skip(part.start).zip(&found.probabilities);
            own.for_each(|(row, found)| row.iter_mut().zip(found).for_each(|(to, &from)| *to = f64::from(from)));
        }
        group.sum(&mut sums);
        let (counts, rows) = sums[2..].split_at(classes * classes);
        let confusion = Confusion::of_counts(classes, counts.iter().map(|&count| count as u64).collect());
        let found = Evaluation {
            loss: sums[0] / order.len() as f64,
            accuracy: confusion.accuracy(),
            confusion,
            probabilities: rows.chunks_exact(classes).map(|row| row.iter().map(|&p| p as f32).collect()).collect(),
            predicted: Vec::new(),
            labels: order.iter().map(|&index| samples.label(index)).collect(),
        };
        Ok((found, sums[1] / order.len() as f64))
    }

    fn of_classes(&self, found: &Evaluation, weighted: f64) -> Validation {
        let monitor = self.config.monitor;
        let f1 = || found.confusion.macro_mean(Confusion::f1);
        // With a single output, only the probability of the second class.
        let outputs = |row: &Vec<f32>| row[row.len() - self.output.units..].to_vec();
        let rows: Vec<f32> = match self.metrics.is_empty() {
            true => Vec::new(),
            false => found.probabilities.iter().flat_map(outputs).collect(),
        };
        Validation {
            loss: found.loss,
            accuracy: Some(found.accuracy),
            weighted,
            f1: if monitor == Monitor::F1 { f1() } else { None },
            auc: if monitor == Monitor::Auc { found.mean_roc_auc() } else { None },
            metrics: measure(self.metrics, self.output, self.samples, self.order, &rows),
        }
    }

    /// Loss and metrics of labels or values.
    fn rows(&self, network: &Network) -> Result<Validation> {
        let Self { samples, order, output, .. } = *self;
        let evaluate = |order: &[usize]| predict_rows(network, samples, order, output, self.config.cpu);
        let (loss, rows) = match self.group {
            None => evaluate(order)?,
            Some(group) => {
                let part = range(order.len(), group.rank(), group.size());
                // The loss, and all outputs; each member fills in its own.
                let mut sums = vec![0.0; 1 + order.len() * output.units];
                if !part.is_empty() {
                    let (loss, own) = evaluate(&order[part.clone()])?;
                    sums[0] = loss * part.len() as f64;
                    let outputs = sums[1 + part.start * output.units..].iter_mut();
                    outputs.zip(own).for_each(|(to, from)| *to = f64::from(from));
                }
                group.sum(&mut sums);
                (sums[0] / order.len() as f64, sums[1..].iter().map(|&value| value as f32).collect())
            }
        };
        let metrics = measure(self.metrics, output, samples, order, &rows);
        Ok(Validation { loss, weighted: loss, metrics, ..Validation::default() })
    }
}
