//! The training loop: epochs of steps, and what is decided between them.

use std::ops::ControlFlow;

use lucida_kernels::clock::Stopwatch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::choose;
use crate::core::{BatchReport, Detail, SkippedStep, Step, Unit};
use crate::files::decimal;
use crate::nn::{Network, OptimizerState, ProcessGroup};
use crate::{Error, Result};

use super::batch_schedule::BatchSchedule;
use super::callbacks::Callbacks;
use super::checkpoint;
use super::custom::CustomObjective;
use super::distributed::{BatchShard, broadcast_checkpoint, each};
use super::history::is_zero;
use super::numeric_fault::{Cause, Fault, FaultyStep, MOST_IN_A_ROW, OnNan, of_validation, of_weights};
use super::record::record;
use super::train_step::{StepOutcome, TrainStep};
use super::training_output::TrainingOutput;
use super::validation::Validator;
use super::{EpochRecord, History, MetricKind, Monitor, Samples, TrainConfig, TrainResult, TrainingState};

/// All that changes while a network trains, in addition to its weights.
pub(super) struct LoopState {
    pub(super) counters: TrainingCounters,
    pub(super) optimizer: OptimizerState,
    /// The weights of the best epoch; empty ones where training changes nothing.
    pub(super) best: Option<Vec<Vec<f32>>>,
    /// The moving average of the weights, likewise, where it is wanted.
    pub(super) average: Option<Vec<Vec<f32>>>,
}

/// The part of the state that a checkpoint holds as text. Its names are those in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainingCounters {
    /// The sums over the epoch at hand.
    #[serde(rename = "sums")]
    pub(super) totals: EpochTotals,
    pub(super) history: History,
    pub(super) best_epoch: Option<usize>,
    /// The monitored value of the best epoch: the less the better.
    #[serde(rename = "least")]
    pub(super) best_value: Option<f64>,
    #[serde(rename = "worse")]
    pub(super) epochs_since_best: usize,
    #[serde(rename = "stuck")]
    pub(super) epochs_on_plateau: usize,
    /// The factor that callbacks have given the learning rate.
    #[serde(rename = "rate_factor")]
    pub(super) learning_rate_factor: f64,
    /// The last steps, as far as they were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    skipped_in_a_row: usize,
}

/// The sums over an epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct EpochTotals {
    loss: f64,
    correct: usize,
    seen: usize,
    pub(super) steps: usize,
    /// The time it took before the training was interrupted.
    seconds: f64,
    /// The sums of the metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<f64>,
    /// Steps that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    skipped: usize,
}

impl EpochTotals {
    fn add(&mut self, found: &StepOutcome) {
        self.loss += found.loss * found.samples as f64;
        self.correct += found.correct;
        self.seen += found.samples;
        self.metrics.resize(found.metrics.len(), 0.0);
        self.metrics.iter_mut().zip(&found.metrics).for_each(|(sum, value)| *sum += value);
    }

    /// Mean loss and accuracy.
    fn means(&self) -> (f64, f64) {
        (self.loss / self.seen as f64, self.correct as f64 / self.seen as f64)
    }
}

impl Default for TrainingCounters {
    fn default() -> Self {
        Self {
            totals: EpochTotals::default(),
            history: History::default(),
            best_epoch: None,
            best_value: None,
            epochs_since_best: 0,
            epochs_on_plateau: 0,
            learning_rate_factor: 1.0,
            skipped_in_a_row: 0,
        }
    }
}

impl TrainingCounters {
    /// Steps that were left out, of all epochs.
    fn skipped(&self) -> u64 {
        (self.history.skipped_steps() + self.totals.skipped) as u64
    }

    /// Counts an epoch; whether it is the best so far.
    fn push(&mut self, record: EpochRecord, monitor: Monitor) -> bool {
        self.totals = EpochTotals::default();
        let value = match monitor {
            Monitor::Loss => record.val_weighted_loss.or(record.val_loss).unwrap_or(record.loss),
            Monitor::Accuracy => -record.val_accuracy.or(record.accuracy).unwrap_or(0.0),
            Monitor::F1 => -record.val_f1.unwrap_or(0.0),
            // Undefined where all samples are of one class.
            Monitor::Auc => -record.val_auc.unwrap_or(0.0),
            Monitor::Metric(kind) => {
                let name = kind.to_string();
                let value = record.val_metrics.get(&name).or(record.metrics.get(&name));
                let sign = if kind.build(1).higher_is_better() { -1.0 } else { 1.0 };
                // An undefined metric is the worst; infinity would be null in a checkpoint.
                value.map_or(f64::MAX, |value| sign * value)
            }
        };
        // So is a loss that is not finite.
        let value = if value.is_finite() { value } else { f64::MAX };
        self.epochs_since_best += 1;
        self.epochs_on_plateau += 1;
        let improved = self.best_value.is_none_or(|best| value < best);
        if improved {
            (self.best_value, self.best_epoch) = (Some(value), Some(record.epoch));
            (self.epochs_since_best, self.epochs_on_plateau) = (0, 0);
        }
        self.history.epochs.push(record);
        improved
    }

    fn state<'a>(&'a self, network: &'a Network, improved: bool) -> TrainingState<'a> {
        TrainingState {
            improved,
            epochs_since_best: self.epochs_since_best,
            epochs_on_plateau: self.epochs_on_plateau,
            ..TrainingState::new(&self.history, network)
        }
    }

    fn scale_learning_rate(&mut self, factor: f64) {
        if factor != 1.0 {
            self.learning_rate_factor *= factor;
            self.epochs_on_plateau = 0;
        }
    }
}

/// A training on its way.
pub(super) struct TrainingLoop<'a> {
    config: &'a TrainConfig,
    custom: &'a CustomObjective,
    /// The output as it is validated.
    output: TrainingOutput,
    /// What is optional in the configuration, with that of the callbacks.
    options: &'a Value,
    train: &'a dyn Samples,
    validation: Option<(&'a dyn Samples, Vec<usize>)>,
    /// What epochs are judged by, for the targets of the data.
    monitor: Monitor,
    metrics: Vec<MetricKind>,
    schedule: BatchSchedule,
    train_step: TrainStep<'a>,
    group: Option<&'a dyn ProcessGroup>,
    /// A callback's wish to interrupt, which the next step tells the group.
    stop: bool,
    /// Whether training changes a weight.
    changes: Vec<bool>,
    /// Whether this training has a checkpoint on the disk.
    saved: bool,
    /// What a checkpoint must agree with; null without one.
    identity: Value,
    state: LoopState,
}

impl<'a> TrainingLoop<'a> {
    pub(super) fn new(
        (config, custom, options): (&'a TrainConfig, &'a CustomObjective, &'a Value),
        network: &Network,
        group: Option<&'a dyn ProcessGroup>,
        train: &'a dyn Samples,
        validation: Option<&'a dyn Samples>,
    ) -> Result<Self> {
        if train.is_empty() {
            return Err(Error::argument("there is no data to train on"));
        }
        let targets = train.targets();
        config.check_with(custom, network, targets)?;
        let batch_size = config.batch_size.clamp(1, train.len());
        let train_step = TrainStep::new((config, custom), (network, targets), batch_size, group)?;
        let output = TrainingOutput::of(network, targets, custom.loss(config)?, 0.0)?;
        let (monitor, metrics) = (config.monitor.of_targets(targets)?, config.metrics_of(targets));
        let validation = validation.filter(|samples| !samples.is_empty());
        match validation {
            Some(validation) => train_step.output.check_same(validation.targets())?,
            None => needs_no_validation(monitor)?,
        }
        let validation = validation.map(|samples| {
            let all = samples.len();
            let some = config.validation_steps.map_or(all, |steps| steps.saturating_mul(config.batch_size).min(all));
            (samples, choose(all, some, config.seed))
        });
        let changes = train_step.changes().to_vec();
        let state = LoopState {
            counters: TrainingCounters::default(),
            optimizer: OptimizerState::new(config.optimizer, network),
            best: None,
            average: config.ema.map(|_| copy(network, &changes)),
        };
        let identity = match &config.checkpoint {
            Some(checkpoint) => checkpoint::identity(config, options, network, &checkpoint.identity),
            None => Value::Null,
        };
        let schedule = BatchSchedule::new(train.len(), config.batch_size, config.steps_per_epoch, config.seed);
        Ok(Self {
            config,
            custom,
            output,
            options,
            train,
            validation,
            monitor,
            metrics,
            schedule,
            train_step,
            group,
            stop: false,
            changes,
            saved: false,
            identity,
            state,
        })
    }

    pub(super) fn run(mut self, network: &mut Network, callbacks: &mut Callbacks<'_>) -> Result<TrainResult> {
        let mut interrupted = false;
        let mut stopped_early = self.resume(network, callbacks)?;
        network.check_finite()?;
        loop {
            let epoch = self.state.counters.history.epochs.len() + 1;
            if epoch > self.config.epochs || stopped_early || interrupted {
                break;
            }
            let started = Stopwatch::start();
            let complete = self.epoch(network, epoch, started, callbacks)?;
            let mut flow = ControlFlow::Break(());
            if complete {
                (flow, stopped_early) = self.end_of_epoch(network, epoch, started, callbacks)?;
            } else {
                self.state.counters.totals.seconds += started.seconds();
            }
            self.save(network)?;
            callbacks.checkpoint_written(&self.state.counters.history)?;
            interrupted = flow.is_break() && (!complete || epoch < self.config.epochs);
        }
        let mut last = network.clone();
        // The history's validation values are those of the moving average: the network of the last epoch has it.
        if let Some(average) = &self.state.average {
            put(&mut last, average);
        }
        if let Some(best) = &self.state.best {
            put(network, best);
        } else if let Some(average) = &self.state.average {
            put(network, average);
        }
        let TrainingCounters { history, best_epoch, .. } = self.state.counters;
        let record = record(self.config, self.options, &history, best_epoch);
        let stopped_early = stopped_early && !interrupted;
        Ok(TrainResult { history, best_epoch, last, interrupted, stopped_early, record })
    }

    /// Reads the checkpoint, if that is wanted and there is one; whether a callback then ends the training.
    fn resume(&mut self, network: &mut Network, callbacks: &mut Callbacks<'_>) -> Result<bool> {
        let Some(checkpoint) = self.config.checkpoint.as_ref().filter(|checkpoint| checkpoint.resume) else {
            return Ok(false);
        };
        // Of a group the first member reads, and tells the others.
        let Self { changes, state, group, identity, .. } = self;
        let reads = group.is_none_or(|group| group.rank() == 0);
        let mut found = reads && checkpoint::load(&checkpoint.path, identity, network, changes, state)?;
        if let Some(group) = *group {
            found = broadcast_checkpoint(group, network, changes, state, found)?;
        }
        if !found {
            return Ok(false);
        }
        let counters = &self.state.counters;
        self.saved = true;
        let mut state = TrainingState { steps: counters.totals.steps, ..counters.state(network, false) };
        callbacks.resumed(&mut state);
        let TrainingState { stopped, learning_rate_factor, .. } = state;
        self.state.counters.scale_learning_rate(learning_rate_factor);
        Ok(stopped)
    }

    /// The steps of an epoch that are left; whether all were made.
    fn epoch(
        &mut self,
        network: &mut Network,
        epoch: usize,
        started: Stopwatch,
        callbacks: &mut Callbacks<'_>,
    ) -> Result<bool> {
        let Self { config, train, group, schedule, .. } = *self;
        let steps = schedule.steps_per_epoch();
        for part in schedule.parts(epoch, self.state.counters.totals.steps) {
            let batches = (&part.order[..], config.batch_size);
            let all = each(group, train, Some(part.pass), batches, &mut |part| {
                self.step(network, part, (epoch, started), callbacks)
            })?;
            if !all {
                break;
            }
        }
        // Stopped after its last step, an epoch is complete all the same.
        Ok(self.state.counters.totals.steps >= steps)
    }

    /// One step; whether to make another one.
    fn step(
        &mut self,
        network: &mut Network,
        part: BatchShard<'_>,
        (epoch, started): (usize, Stopwatch),
        callbacks: &mut Callbacks<'_>,
    ) -> Result<bool> {
        let Self { config, group, schedule, .. } = *self;
        let steps = schedule.steps_per_epoch();
        let position = self.position();
        let learning_rate = config.learning_rate.at(position) * self.state.counters.learning_rate_factor;
        let first_sample = schedule.samples_before(position);
        let optimizer = &mut self.state.optimizer;
        let outcome = self.train_step.step(network, optimizer, part, first_sample, learning_rate, self.stop)?;
        self.state.counters.totals.steps += 1;
        let mut skipped = None;
        if let Some(fault) = outcome.fault {
            // The step before may have made the weights what gives such a loss.
            let fault = of_weights(config.cpu, network.weights(), &self.changes).unwrap_or(fault);
            let cause = self.cause(network, part, fault, first_sample);
            skipped = Some(self.skip(epoch, fault, (cause, learning_rate))?);
        } else {
            self.state.counters.skipped_in_a_row = 0;
            self.state.counters.totals.add(&outcome);
            self.update_average(network);
        }
        let totals = &self.state.counters.totals;
        let (done, total) = ((epoch - 1) * steps + totals.steps, config.epochs * steps);
        let at_end = totals.steps >= steps;
        let detail = match &skipped {
            Some(why) => Detail::Skipped(SkippedStep { epoch, step: totals.steps, steps, why }),
            None => Detail::Training(self.report(epoch, &outcome, learning_rate)),
        };
        let wish = callbacks.update(&Step::new(Unit::Steps, done, total).detail(detail));
        // A group stops together, a step after one of it wants to.
        let another = if group.is_some() { !outcome.stop } else { wish.is_continue() };
        self.stop |= wish.is_break();
        // At the end of an epoch a checkpoint is written anyway.
        if another && !at_end {
            self.checkpoint_within_epoch(network, started)?;
        }
        Ok(another)
    }

    /// The number of the next step, from 0: of those that were made or left out.
    fn position(&self) -> u64 {
        self.state.optimizer.steps() + self.state.counters.skipped()
    }

    fn report(&self, epoch: usize, outcome: &StepOutcome, learning_rate: f64) -> BatchReport {
        let totals = &self.state.counters.totals;
        let (loss, accuracy) = totals.means();
        BatchReport {
            epoch,
            step: totals.steps,
            steps: self.schedule.steps_per_epoch(),
            loss,
            accuracy: self.train_step.output.classifier.as_ref().map(|_| accuracy),
            step_loss: outcome.loss,
            learning_rate,
            samples: outcome.samples,
        }
    }

    /// Why a step has a fault.
    fn cause(&self, network: &Network, part: BatchShard<'_>, fault: Fault, first_sample: u64) -> Cause {
        let step = FaultyStep {
            cpu: self.config.cpu,
            network,
            samples: self.train,
            batch: part.batch,
            fault,
            seed: Some(self.train_step.seed_of(first_sample + part.first as u64)),
            values: &self.train_step.output.values,
        };
        step.cause()
    }

    /// Leaves a step out, and says why.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when that is not wanted, or does not help.
    fn skip(&mut self, epoch: usize, fault: Fault, (cause, rate): (Cause, f64)) -> Result<String> {
        let TrainingCounters { totals, skipped_in_a_row, .. } = &mut self.state.counters;
        let (step, skips) = (totals.steps, self.config.on_nan == OnNan::Skip);
        totals.skipped += 1;
        *skipped_in_a_row += 1;
        let stop = match fault {
            // Of broken weights, those before are gone.
            _ if !skips || matches!(fault, Fault::Weight(_)) => Some(String::new()),
            _ if *skipped_in_a_row >= MOST_IN_A_ROW => {
                Some(format!("{skipped_in_a_row} steps in a row were skipped: "))
            }
            _ if totals.seen == 0 && step == self.schedule.steps_per_epoch() => {
                Some("all steps of the epoch were skipped: ".to_owned())
            }
            _ => None,
        };
        let Some(why) = stop else { return Ok(cause.problem) };
        let Cause { layer, problem } = cause.with_advice(rate);
        Err(self.not_finite((epoch, step), layer, why + &problem))
    }

    fn not_finite(&self, (epoch, step): (usize, usize), layer: Option<String>, problem: String) -> Error {
        let path = self.config.checkpoint.as_ref().map(|checkpoint| checkpoint.path.clone());
        let checkpoint = path.filter(|_| self.saved);
        Error::NotFinite { epoch, step, layer, problem, checkpoint, skips: self.config.on_nan == OnNan::Skip }
    }

    /// Writes a checkpoint, if one is due after this step.
    fn checkpoint_within_epoch(&mut self, network: &Network, started: Stopwatch) -> Result<()> {
        let every = self.config.checkpoint.as_ref().and_then(|checkpoint| checkpoint.every);
        let done = self.position();
        if !every.is_some_and(|every| done.is_multiple_of(every as u64)) {
            return Ok(());
        }
        let before = self.state.counters.totals.seconds;
        self.state.counters.totals.seconds += started.seconds();
        self.save(network)?;
        self.state.counters.totals.seconds = before;
        Ok(())
    }

    /// Updates the moving average of the weights: a young one forgets faster.
    fn update_average(&mut self, network: &Network) {
        let (Some(decay), Some(average)) = (self.config.ema, &mut self.state.average) else { return };
        let steps = self.state.optimizer.steps() as f32;
        let part = 1.0 - decay.min((1.0 + steps) / (10.0 + steps));
        for (average, weight) in average.iter_mut().zip(network.weights()) {
            average.iter_mut().zip(weight.values()).for_each(|(mean, &value)| *mean += part * (value - *mean));
        }
    }

    /// Validates the network, and calls back: whether to continue, and whether a callback ends the training.
    fn end_of_epoch(
        &mut self,
        network: &mut Network,
        epoch: usize,
        started: Stopwatch,
        callbacks: &mut Callbacks<'_>,
    ) -> Result<(ControlFlow<()>, bool)> {
        // What is validated and kept is the moving average of the weights, where there is one.
        let current = self.state.average.as_ref().map(|average| {
            let current = copy(network, &self.changes);
            put(network, average);
            current
        });
        if let Some((layer, weight)) = network.first_not_finite() {
            let (layer, problem) =
                (layer.to_owned(), format!("the weights of layer {layer} are not finite ({weight})"));
            return Err(self.not_finite((epoch, self.schedule.steps_per_epoch()), Some(layer), problem));
        }
        let record = self.validate(network, epoch, started)?;
        let counters = &mut self.state.counters;
        let improved = counters.push(record, self.monitor);
        if improved {
            self.state.best = Some(copy(network, &self.changes));
        }
        let mut state = counters.state(network, improved);
        callbacks.epoch_end(&mut state)?;
        let TrainingState { stopped, learning_rate_factor, .. } = state;
        counters.scale_learning_rate(learning_rate_factor);
        let mut flow = callbacks.update(&Step::new(Unit::Epochs, epoch, self.config.epochs));
        if let Some(group) = self.group {
            let mut stop = [f64::from(u8::from(self.stop || flow.is_break()))];
            group.sum(&mut stop);
            flow = if stop[0] > 0.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        if let Some(current) = current {
            put(network, &current);
        }
        Ok((flow, stopped))
    }

    /// The record of an epoch whose steps are made.
    fn validate(&mut self, network: &Network, epoch: usize, started: Stopwatch) -> Result<EpochRecord> {
        let config = self.config;
        let found = match &self.validation {
            Some((samples, order)) => {
                let (output, metrics) = (&self.output, self.custom.metrics(&self.metrics));
                let validator = Validator { config, output, metrics, samples: *samples, order, group: self.group };
                let found = validator.run(network)?;
                if !found.loss.is_finite() && config.on_nan == OnNan::Stop {
                    let cause = of_validation(config.cpu, network, (*samples, order), &output.values)?;
                    let problem = format!("the validation loss is {}: {}", found.loss, cause.problem);
                    return Err(self.not_finite((epoch, self.schedule.steps_per_epoch()), cause.layer, problem));
                }
                Some(found)
            }
            None => None,
        };
        let totals = &self.state.counters.totals;
        let (loss, accuracy) = totals.means();
        let metrics = self.train_step.metrics_of(&totals.metrics);
        let last_step = self.position().saturating_sub(1);
        let validated = found.as_ref();
        Ok(EpochRecord {
            epoch,
            loss,
            accuracy: self.train_step.output.classifier.as_ref().map(|_| accuracy),
            val_loss: validated.map(|found| found.loss).filter(|loss| loss.is_finite()),
            val_accuracy: validated.and_then(|found| found.accuracy),
            val_weighted_loss: validated.map(|found| found.weighted).filter(|_| !config.class_weights.is_empty()),
            val_f1: validated.and_then(|found| found.f1),
            val_auc: validated.and_then(|found| found.auc),
            metrics,
            ema: validated.and(config.ema).map(decimal),
            learning_rate: config.learning_rate.at(last_step) * self.state.counters.learning_rate_factor,
            seconds: self.state.counters.totals.seconds + started.seconds(),
            skipped_steps: self.state.counters.totals.skipped,
            val_metrics: found.map(|found| found.metrics).unwrap_or_default(),
        })
    }

    fn save(&mut self, network: &Network) -> Result<()> {
        let Some(checkpoint) = &self.config.checkpoint else { return Ok(()) };
        if self.group.is_some_and(|group| group.rank() > 0) {
            return Ok(());
        }
        if let Some(tensor) = checkpoint::not_finite(self.config.cpu, network, &self.changes, &self.state) {
            let TrainingCounters { history, totals, .. } = &self.state.counters;
            let at = (history.epochs.len() + 1, totals.steps);
            return Err(self.not_finite(at, None, format!("{tensor} is not finite, so no checkpoint was written")));
        }
        checkpoint::save(&checkpoint.path, &self.identity, network, &self.changes, &self.state)?;
        self.saved = true;
        Ok(())
    }
}

/// # Errors
/// [`Error::Argument`] when epochs are to be judged by what is measured on validation data alone.
fn needs_no_validation(monitor: Monitor) -> Result<()> {
    let name = match monitor {
        Monitor::F1 | Monitor::Auc => format!("{monitor:?}"),
        Monitor::Metric(kind) if kind.build(1).sums().is_none() => kind.to_string(),
        _ => return Ok(()),
    };
    Err(Error::argument(format!("{name} as monitor needs validation data: there is none")))
}

/// The weights that training changes; the others are empty.
fn copy(network: &Network, changes: &[bool]) -> Vec<Vec<f32>> {
    let copied = |(weight, changes): (&crate::nn::Weight, &bool)| {
        if *changes { weight.values().to_vec() } else { Vec::new() }
    };
    network.weights().iter().zip(changes).map(copied).collect()
}

/// Gives a network the weights of a [`copy`].
fn put(network: &mut Network, copied: &[Vec<f32>]) {
    for (weight, values) in network.weights_mut().iter_mut().zip(copied).filter(|(_, values)| !values.is_empty()) {
        weight.values_mut().copy_from_slice(values);
    }
}
