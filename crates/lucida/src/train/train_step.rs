//! A training step.

use std::collections::BTreeMap;

use crate::data::{Batch, MixedSample, Targets};
use crate::nn::{Layer, Network, OptimizerState, Plan, ProcessGroup, Shard, StepSeed, Weight};
use crate::{Cpu, Error, Result};

use super::TrainConfig;
use super::custom::CustomObjective;
use super::distributed::{BatchShard, Buckets};
use super::metrics::RunningMetrics;
use super::numeric_fault::{self, Fault, OnNan};
use super::training_output::TrainingOutput;

/// A plan, and buffers that are allocated once for all steps.
pub(super) struct TrainStep<'a> {
    cpu: Cpu,
    seed: u64,
    pub(super) output: TrainingOutput,
    metrics: RunningMetrics,
    plan: Plan,
    targets: Vec<f32>,
    class_weights: Vec<f32>,
    sample_weights: Vec<f32>,
    clip_norm: Option<f32>,
    clipped: Vec<Vec<f32>>,
    weight_decay: f32,
    on_nan: OnNan,
    /// Which weights training changes: those of layers that are not frozen, statistics too.
    changes: Vec<bool>,
    /// The moving statistics before the step, each with the number of its weight.
    statistics: Vec<(usize, Vec<f32>)>,
    /// Weights with an index below this use this fraction of the learning rate.
    group_rate: (usize, f64),
    /// The process group, and the buckets of its gradients.
    group: Option<(&'a dyn ProcessGroup, Buckets)>,
}

/// Results of a step, over the whole batch.
#[derive(Debug, Clone)]
pub(super) struct StepOutcome {
    pub(super) loss: f64,
    /// Number of correctly classified samples in the forward pass.
    pub(super) correct: usize,
    pub(super) samples: usize,
    /// Sums of the metrics.
    pub(super) metrics: Vec<f64>,
    /// Whether a member of the group requests to stop.
    pub(super) stop: bool,
    /// What is not finite. Then the step has changed nothing.
    pub(super) fault: Option<Fault>,
}

impl<'a> TrainStep<'a> {
    /// Creates the step for batches of up to `batch` samples; in a group, each member computes its part.
    pub(super) fn new(
        (config, custom): (&TrainConfig, &CustomObjective),
        (network, targets): (&Network, Targets),
        batch: usize,
        group: Option<&'a dyn ProcessGroup>,
    ) -> Result<Self> {
        let batch = group.map_or(batch, |group| batch.div_ceil(group.size()));
        let TrainConfig { cpu, seed, .. } = *config;
        let output = TrainingOutput::of(network, targets, custom.loss(config)?, config.label_smoothing)?;
        let plan = Plan::builder(network)
            .cpu(cpu)
            .batch_size(batch)
            .training()
            .output(output.values.clone())
            .grad_output_at(output.values.clone())
            .weight_gradients()
            .build()?;
        let changes = changes(network);
        let is_statistic = |(weight, changes): (&Weight, &bool)| *changes && !weight.trainable();
        let statistics = network.weights().iter().zip(&changes).enumerate().filter(|(_, pair)| is_statistic(*pair));
        let group_rate = match &config.param_group {
            Some(group) => (network.nodes()[network.find(&group.through)?].weights().end, group.factor),
            None => (0, 1.0),
        };
        Ok(Self {
            cpu,
            seed,
            targets: vec![0.0; batch * output.units],
            metrics: RunningMetrics::in_training(custom.metrics(&config.metrics_of(targets)), output.units),
            class_weights: config.class_weights.clone(),
            sample_weights: Vec::with_capacity(batch),
            clip_norm: config.clip_norm,
            clipped: Vec::new(),
            weight_decay: config.weight_decay,
            on_nan: config.on_nan,
            statistics: statistics.map(|(index, (weight, _))| (index, weight.values().to_vec())).collect(),
            changes,
            group_rate,
            group: group.map(|group| (group, Buckets::new(network, &plan))),
            output,
            plan,
        })
    }

    /// Which weights training changes: those of layers that are not frozen, statistics too.
    pub(super) fn changes(&self) -> &[bool] {
        &self.changes
    }

    /// Forward pass, loss, backward pass, and optimizer; `first_sample` is the number of samples trained on before this
    /// batch. `stop` announces to the group that this process requests to stop.
    pub(super) fn step(
        &mut self,
        network: &mut Network,
        optimizer: &mut OptimizerState,
        part: BatchShard<'_>,
        first_sample: u64,
        rate: f64,
        stop: bool,
    ) -> Result<StepOutcome> {
        let BatchShard { batch, first, counts, .. } = part;
        let shard = self.group.as_ref().map(|(group, _)| Shard { group: *group, counts });
        set_input(&mut self.plan, &batch)?;
        for (index, values) in &mut self.statistics {
            values.copy_from_slice(network.weights()[*index].values());
        }
        self.plan.forward_shared(network, self.seed_of(first_sample + first as u64), shard)?;
        let mut outcome = self.compute_loss(&batch, stop);
        let (group_end, factor) = self.group_rate;
        let rate_of = |weight: usize| if weight < group_end { rate * factor } else { rate };
        let decided = self.group.is_some() || outcome.fault.is_none();
        // Gradients that may have to be thrown away must be whole before the optimizer sees them.
        let is_whole =
            self.on_nan == OnNan::Skip || self.group.is_some() || self.clip_norm.is_some() || self.weight_decay > 0.0;
        if decided && !is_whole {
            self.plan.backward_and_apply(network, optimizer, rate_of);
        } else if decided {
            outcome = self.backward(network, part, outcome);
            if outcome.fault.is_none() {
                self.apply(network, optimizer, rate_of);
            }
        }
        if outcome.fault.is_some() {
            for (index, values) in &self.statistics {
                network.weights_mut()[*index].values_mut().copy_from_slice(values);
            }
        }
        Ok(outcome)
    }

    /// The seed of a step before which `first_sample` samples were trained on.
    pub(super) fn seed_of(&self, first_sample: u64) -> StepSeed {
        StepSeed { seed: self.seed, first_sample }
    }

    /// The gradients of the weights, of all members of a group, and what they have found.
    fn backward(&mut self, network: &Network, part: BatchShard<'_>, mut outcome: StepOutcome) -> StepOutcome {
        let Self { plan, group, .. } = self;
        match group {
            None => plan.backward(network),
            Some((group, buckets)) => {
                // From the mean over this part to its share of the mean over the whole batch.
                let factor = if part.counts { outcome.samples as f32 / part.whole as f32 } else { 0.0 };
                plan.grad_output_mut(0).iter_mut().for_each(|gradient| *gradient *= factor);
                buckets.backward(plan, network, Shard { group: *group, counts: part.counts });
                outcome = outcome.of_all(*group, part.counts);
            }
        }
        let clips = self.clip_norm.is_some();
        if outcome.fault.is_none() && (clips || self.on_nan == OnNan::Skip) {
            outcome.fault = numeric_fault::of_gradients(self.cpu, self.plan.weight_gradients(), clips);
        }
        outcome
    }

    /// The optimizer's step with whole gradients.
    fn apply(&mut self, network: &mut Network, optimizer: &mut OptimizerState, rate_of: impl Fn(usize) -> f64) {
        if self.weight_decay > 0.0 {
            for (index, weight) in network.weights_mut().iter_mut().enumerate().filter(|(_, w)| w.trainable()) {
                let keep = (1.0 - rate_of(index) * f64::from(self.weight_decay)) as f32;
                weight.values_mut().iter_mut().for_each(|value| *value *= keep);
            }
        }
        let mut gradients = self.plan.weight_gradients();
        if let Some(most) = self.clip_norm
            && clip(gradients, most, &mut self.clipped)
        {
            gradients = &self.clipped;
        }
        optimizer.apply_at(self.cpu, network, gradients, rate_of);
    }

    /// Computes the loss of a batch after its forward pass, its gradient with respect to the output, and the metrics.
    fn compute_loss(&mut self, batch: &Batch<'_>, stop: bool) -> StepOutcome {
        let Self { output, plan, metrics, class_weights, sample_weights, .. } = self;
        let samples = batch.labels.len();
        let targets = &mut self.targets[..samples * output.units];
        output.write_targets(batch, targets);
        sample_weights.clear();
        if !class_weights.is_empty() {
            let weights = batch.labels.iter().zip(batch.mixed).map(|(&label, mixed)| match mixed {
                Some(MixedSample { label: other, share, .. }) => {
                    (1.0 - share) * class_weights[label] + share * class_weights[*other]
                }
                None => class_weights[label],
            });
            sample_weights.extend(weights);
        }
        let (values, gradient) = plan.output_and_grad_mut(0, 0);
        let loss = output.loss.evaluate_weighted(output.units, values, targets, sample_weights, Some(gradient));
        let correct = output.count_correct(values, batch.labels);
        if !metrics.is_empty() {
            metrics.update(output.units, &output.outputs_of(values), targets);
        }
        StepOutcome { loss, correct, samples, metrics: metrics.take_sums(), stop, fault: of_loss(loss) }
    }

    /// Metrics from their sums over several steps.
    pub(super) fn metrics_of(&mut self, sums: &[f64]) -> BTreeMap<String, f64> {
        self.metrics.results_of(sums)
    }
}

impl StepOutcome {
    /// Combines the results of all members; a part that does not count is left out.
    fn of_all(self, group: &dyn ProcessGroup, counts: bool) -> Self {
        let own = [self.loss * self.samples as f64, self.correct as f64, self.samples as f64];
        let own = own.into_iter().chain(self.metrics).map(|value| if counts { value } else { 0.0 });
        let mut sums: Vec<f64> = own.chain([f64::from(u8::from(self.stop))]).collect();
        group.sum(&mut sums);
        let (loss, correct, samples, stop) = (sums[0], sums[1], sums[2], sums[sums.len() - 1] > 0.0);
        let metrics = sums[3..sums.len() - 1].to_vec();
        let loss = loss / samples;
        Self { loss, correct: correct as usize, samples: samples as usize, metrics, stop, fault: of_loss(loss) }
    }
}

fn of_loss(loss: f64) -> Option<Fault> {
    (!loss.is_finite()).then_some(Fault::Loss(loss))
}

/// Which weights training changes.
fn changes(network: &Network) -> Vec<bool> {
    let mut changes = vec![false; network.weights().len()];
    for node in network.nodes() {
        let weights = node.weights();
        let any = network.weights()[weights.clone()].iter().any(|weight| weight.trainable());
        // One without factor and shift has statistics alone, and cannot be frozen.
        let only_statistics = matches!(node.layer(), Layer::BatchNormalization(norm) if !norm.center && !norm.scale);
        changes[weights].fill(any || only_statistics);
    }
    changes
}

/// Copies the inputs of a batch to a plan.
///
/// # Errors
/// [`Error::Argument`] when their shape is not that of the network's input.
fn set_input(plan: &mut Plan, batch: &Batch<'_>) -> Result<()> {
    let count = batch.labels.len();
    plan.set_batch(count);
    let input = plan.input_mut();
    if input.len() != batch.images.len() {
        let (takes, has) = (input.len() / count.max(1), batch.images.len() / count.max(1));
        return Err(Error::argument(format!("the network takes {takes} values for a sample, the data has {has}")));
    }
    input.copy_from_slice(batch.images);
    Ok(())
}

/// Clips the gradients to a global norm of `most`, writing to `clipped`; returns whether clipping was needed.
fn clip(gradients: &[Vec<f32>], most: f32, clipped: &mut Vec<Vec<f32>>) -> bool {
    let square = |gradient: &Vec<f32>| gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    // Gradients that are not finite do not get here.
    if !norm.is_finite() || norm <= f64::from(most) {
        return false;
    }
    let scale = (f64::from(most) / norm) as f32;
    clipped.resize_with(gradients.len(), Vec::new);
    for (to, from) in clipped.iter_mut().zip(gradients) {
        to.clear();
        to.extend(from.iter().map(|g| g * scale));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_scaled_together() {
        let mut clipped = Vec::new();
        let gradients = [vec![3.0, 0.0], vec![], vec![-4.0]];
        assert!(!clip(&gradients, 5.0, &mut clipped) && clipped.is_empty());
        assert!(clip(&gradients, 1.0, &mut clipped));
        assert_eq!(clipped, [vec![0.6, 0.0], vec![], vec![-0.8]]);
        assert!(!clip(&[vec![f32::NAN]], 1.0, &mut clipped));
    }
}
