//! The course of a training: epochs of steps, and what is decided between them.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::core::{Detail, Step, Unit};
use crate::data::choose;
use crate::files::decimal;
use crate::nn::{Network, OptimizerState, ProcessGroup};
use crate::{Error, Result};

use super::checkpoint;
use super::distributed::{each, hand_round, range};
use super::evaluate::evaluate_weighted;
use super::stream::Stream;
use super::trainer::{Found, Trainer};
use super::{
    BatchReport, Callback, Checkpoints, Confusion, EpochRecord, Evaluation, Fit, Fitted, History, Monitor, Samples,
};

/// All that changes while a network trains, beside its weights.
pub(super) struct State {
    pub(super) numbers: Numbers,
    pub(super) optimizer: OptimizerState,
    /// The weights of the best epoch; empty ones where training changes nothing.
    pub(super) best: Option<Vec<Vec<f32>>>,
    /// The running mean of the weights, likewise, where it is wanted.
    pub(super) mean: Option<Vec<Vec<f32>>>,
}

/// The part of the state that a checkpoint holds as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// Steps of the epoch at hand, and their sums.
    pub(super) sums: Sums,
    pub(super) history: History,
    pub(super) best_epoch: Option<usize>,
    /// What the best epoch was judged by: the less the better.
    pub(super) least: Option<f64>,
    /// Epochs since the best one, and since the rate was lowered for the last time.
    pub(super) worse: usize,
    pub(super) stuck: usize,
    /// What plateaus have made of the rate.
    pub(super) rate_factor: f64,
}

/// The sums over an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Sums {
    loss: f64,
    correct: usize,
    seen: usize,
    pub(super) steps: usize,
    /// The time it took before the training was interrupted.
    seconds: f64,
}

impl Sums {
    fn add(&mut self, found: Found) {
        self.loss += found.loss * found.samples as f64;
        self.correct += found.correct;
        self.seen += found.samples;
        self.steps += 1;
    }

    /// Mean loss and accuracy.
    fn means(&self) -> (f64, f64) {
        (self.loss / self.seen as f64, self.correct as f64 / self.seen as f64)
    }
}

/// A training on its way.
pub(super) struct Course<'a> {
    fit: &'a Fit,
    train: &'a dyn Samples,
    validation: Option<(&'a dyn Samples, Vec<usize>)>,
    stream: Stream,
    trainer: Trainer<'a>,
    group: Option<&'a dyn ProcessGroup>,
    /// The callback's wish to stop, which the next step tells the group.
    stop: bool,
    /// Whether training changes a weight: those of layers that are not frozen, statistics too.
    changes: Vec<bool>,
    state: State,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        fit: &'a Fit,
        network: &Network,
        group: Option<&'a dyn ProcessGroup>,
        train: &'a dyn Samples,
        validation: Option<&'a dyn Samples>,
    ) -> Result<Self> {
        let Fit { settings, options, .. } = fit;
        settings.schedule.check()?;
        if settings.batch_size == 0 || settings.epochs == 0 {
            let (epochs, batch_size) = (settings.epochs, settings.batch_size);
            return Err(Error::argument(format!(
                "training takes at least one epoch and one sample a step, not {epochs} and {batch_size}"
            )));
        }
        if train.is_empty() {
            return Err(Error::argument("there is no data to train on"));
        }
        let trainer = Trainer::new(fit, network, settings.batch_size.min(train.len()), group)?;
        let classifier = &trainer.classifier;
        classifier.fits(train.class_names().len())?;
        options.check(classifier.classes())?;
        let validation = validation.filter(|samples| !samples.is_empty());
        if validation.is_none() && matches!(options.monitor, Monitor::F1 | Monitor::Auc) {
            return Err(Error::argument(format!(
                "{:?} as monitor needs validation data: there is none",
                options.monitor
            )));
        }
        if let Some(validation) = validation {
            classifier.fits(validation.class_names().len())?;
        }
        let validation = validation.map(|samples| {
            let all = samples.len();
            let some = options.validation_steps.map_or(all, |steps| steps.saturating_mul(settings.batch_size).min(all));
            (samples, choose(all, some, settings.seed))
        });
        let mut changes = vec![false; network.weights().len()];
        for node in network.nodes() {
            let weights = node.weights();
            let any = network.weights()[weights.clone()].iter().any(|weight| weight.trainable());
            changes[weights].fill(any);
        }
        let state = State {
            numbers: Numbers {
                sums: Sums::default(),
                history: History::default(),
                best_epoch: None,
                least: None,
                worse: 0,
                stuck: 0,
                rate_factor: 1.0,
            },
            optimizer: OptimizerState::new(settings.optimizer, network),
            best: None,
            mean: options.ema.map(|_| copy(network, &changes)),
        };
        let stream = Stream::new(train.len(), settings.batch_size, options.steps_per_epoch, settings.seed);
        Ok(Self { fit, train, validation, stream, trainer, group, stop: false, changes, state })
    }

    pub(super) fn run(mut self, network: &mut Network, callback: &mut dyn Callback) -> Result<Fitted> {
        if let Some(checkpoints) = self.fit.checkpoints.as_ref().filter(|checkpoints| checkpoints.resume)
            && self.load(checkpoints, network)?
        {
            callback.resumed(&self.state.numbers.history, self.state.numbers.sums.steps);
        }
        let mut interrupted = false;
        let mut stopped_early = false;
        loop {
            let epoch = self.state.numbers.history.epochs.len() + 1;
            stopped_early =
                stopped_early || self.fit.options.early_stopping.is_some_and(|n| self.state.numbers.worse >= n);
            if epoch > self.fit.settings.epochs || stopped_early || interrupted {
                break;
            }
            let started = Instant::now();
            let complete = self.epoch(network, epoch, started, callback)?;
            let flow = if complete { self.between(network, epoch, started, callback)? } else { ControlFlow::Break(()) };
            if !complete {
                self.state.numbers.sums.seconds += started.elapsed().as_secs_f64();
            }
            self.save(network)?;
            callback.saved(&self.state.numbers.history)?;
            interrupted = flow.is_break() && (!complete || epoch < self.fit.settings.epochs);
        }
        let mut last = network.clone();
        // The history's validation values are those of the mean of the weights: the network of the last epoch has them.
        if let Some(mean) = &self.state.mean {
            put(&mut last, mean);
        }
        if let Some(best) = &self.state.best {
            put(network, best);
        } else if let Some(mean) = &self.state.mean {
            put(network, mean);
        }
        let Numbers { history, best_epoch, .. } = self.state.numbers;
        Ok(Fitted { history, best_epoch, last, interrupted, stopped_early: stopped_early && !interrupted })
    }

    /// The steps of an epoch that are left; whether all were made.
    fn epoch(
        &mut self,
        network: &mut Network,
        epoch: usize,
        started: Instant,
        callback: &mut dyn Callback,
    ) -> Result<bool> {
        let Self { fit, train, group, stream, .. } = *self;
        let steps = stream.steps_per_epoch();
        for part in stream.parts(epoch, self.state.numbers.sums.steps) {
            let batches = (&part.order[..], fit.settings.batch_size);
            let go_on = each(group, train, Some(part.pass), batches, &mut |part| {
                let State { numbers, optimizer, .. } = &mut self.state;
                let step = optimizer.steps();
                let rate = fit.settings.schedule.at(step) * numbers.rate_factor;
                let found =
                    self.trainer.step(network, optimizer, part, stream.samples_before(step), rate, self.stop)?;
                numbers.sums.add(found);
                if !found.loss.is_finite() {
                    let (step, rate) = (numbers.sums.steps, fit.settings.schedule.rate);
                    return Err(Error::argument(format!(
                        "the loss is no longer a number in step {step} of epoch {epoch}: try a learning rate below \
                         {rate}"
                    )));
                }
                self.follow(network);
                let sums = self.state.numbers.sums;
                let (loss, accuracy) = sums.means();
                let report = BatchReport {
                    epoch,
                    step: sums.steps,
                    steps,
                    loss,
                    accuracy,
                    step_loss: found.loss,
                    learning_rate: rate,
                    samples: found.samples,
                };
                let (done, total) = ((epoch - 1) * steps + sums.steps, fit.settings.epochs * steps);
                let wish = callback.update(&Step::new(Unit::Steps, done, total).detail(Detail::Training(report)));
                // A group stops together, a step after one of it wants to.
                let go_on = if group.is_some() { !found.stop } else { wish.is_continue() };
                self.stop |= wish.is_break();
                let every = fit.checkpoints.as_ref().and_then(|checkpoints| checkpoints.every);
                let done = self.state.optimizer.steps();
                // At the end of an epoch one is written anyway.
                if go_on && sums.steps < steps && every.is_some_and(|every| done.is_multiple_of(every as u64)) {
                    let before = sums.seconds;
                    self.state.numbers.sums.seconds += started.elapsed().as_secs_f64();
                    self.save(network)?;
                    self.state.numbers.sums.seconds = before;
                }
                Ok(go_on)
            })?;
            if !go_on {
                break;
            }
        }
        // Stopped after its last step, an epoch is complete all the same.
        Ok(self.state.numbers.sums.steps >= steps)
    }

    /// Brings the running mean of the weights up to date: young ones forget faster.
    fn follow(&mut self, network: &Network) {
        let (Some(decay), Some(mean)) = (self.fit.options.ema, &mut self.state.mean) else { return };
        let steps = self.state.optimizer.steps() as f32;
        let part = 1.0 - decay.min((1.0 + steps) / (10.0 + steps));
        for (mean, weight) in mean.iter_mut().zip(network.weights()) {
            mean.iter_mut().zip(weight.values()).for_each(|(mean, &value)| *mean += part * (value - *mean));
        }
    }

    /// Tries the network, tells about the epoch, and decides what follows from it.
    fn between(
        &mut self,
        network: &mut Network,
        epoch: usize,
        started: Instant,
        callback: &mut dyn Callback,
    ) -> Result<ControlFlow<()>> {
        let Fit { settings, options, .. } = self.fit;
        // What is tried and kept is the mean of the weights, where there is one.
        let current = self.state.mean.as_ref().map(|mean| {
            let current = copy(network, &self.changes);
            put(network, mean);
            current
        });
        let evaluation = match &self.validation {
            Some((samples, order)) => Some(self.evaluate(network, *samples, order)?),
            None => None,
        };
        let numbers = &mut self.state.numbers;
        let (loss, accuracy) = numbers.sums.means();
        let last_step = self.state.optimizer.steps().saturating_sub(1);
        let record = EpochRecord {
            epoch,
            loss,
            accuracy,
            val_loss: evaluation.map(|tried| tried.loss),
            val_accuracy: evaluation.map(|tried| tried.accuracy),
            val_weighted_loss: evaluation.map(|tried| tried.weighted).filter(|_| !options.class_weights.is_empty()),
            val_f1: evaluation.and_then(|tried| tried.f1),
            val_auc: evaluation.and_then(|tried| tried.auc),
            ema: evaluation.and(options.ema).map(decimal),
            learning_rate: settings.schedule.at(last_step) * numbers.rate_factor,
            seconds: numbers.sums.seconds + started.elapsed().as_secs_f64(),
        };
        numbers.history.epochs.push(record);
        numbers.sums = Sums::default();
        let judged = match options.monitor {
            Monitor::Loss => record.val_weighted_loss.or(record.val_loss).unwrap_or(loss),
            Monitor::Accuracy => -record.val_accuracy.unwrap_or(accuracy),
            Monitor::F1 => -record.val_f1.unwrap_or(0.0),
            // Undefined where all samples are of one class.
            Monitor::Auc => -record.val_auc.unwrap_or(0.0),
        };
        let improved = numbers.least.is_none_or(|least| judged < least);
        numbers.worse += 1;
        numbers.stuck += 1;
        if improved {
            (numbers.least, numbers.best_epoch) = (Some(judged), Some(epoch));
            (numbers.worse, numbers.stuck) = (0, 0);
            self.state.best = Some(copy(network, &self.changes));
        } else if let Some(plateau) = options.plateau.filter(|plateau| numbers.stuck >= plateau.patience) {
            numbers.rate_factor *= plateau.factor;
            numbers.stuck = 0;
        }
        callback.epoch_end(&record, network, improved)?;
        let mut flow = callback.update(&Step::new(Unit::Epochs, epoch, settings.epochs));
        if let Some(group) = self.group {
            let mut stop = [f64::from(u8::from(self.stop || flow.is_break()))];
            group.sum(&mut stop);
            flow = if stop[0] > 0.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        if let Some(current) = current {
            put(network, &current);
        }
        Ok(flow)
    }

    /// Tries the network on the samples of an order; the members of a group try their parts.
    fn evaluate(&self, network: &Network, samples: &dyn Samples, order: &[usize]) -> Result<Tried> {
        let Fit { settings, options, .. } = self.fit;
        let Some(group) = self.group else {
            let (found, weighted) = evaluate_weighted(network, samples, order, &options.class_weights, settings.cpu)?;
            return Ok(Tried::of(&found, weighted, options.monitor));
        };
        let part = range(order.len(), group.rank(), group.size());
        let classes = self.trainer.classifier.classes();
        let probabilities = if options.monitor == Monitor::Auc { order.len() * classes } else { 0 };
        // Loss, weighted loss, the confusion matrix, and the probabilities if they matter: in sums over all members.
        let mut sums = vec![0.0; 2 + classes * classes + probabilities];
        if !part.is_empty() {
            let (found, weighted) =
                evaluate_weighted(network, samples, &order[part.clone()], &options.class_weights, settings.cpu)?;
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
        Ok(Tried::of(&found, sums[1] / order.len() as f64, options.monitor))
    }

    /// Reads the checkpoint, if there is one; of a group the first member does, and tells the others.
    fn load(&mut self, checkpoints: &Checkpoints, network: &mut Network) -> Result<bool> {
        let Self { fit, changes, state, group, .. } = self;
        let reads = group.is_none_or(|group| group.rank() == 0);
        let found = reads && checkpoint::load(checkpoints, fit, network, changes, state)?;
        group.map_or(Ok(found), |group| hand_round(group, network, changes, state, found))
    }

    fn save(&self, network: &Network) -> Result<()> {
        match &self.fit.checkpoints {
            _ if self.group.is_some_and(|group| group.rank() > 0) => Ok(()),
            Some(checkpoints) => checkpoint::save(checkpoints, self.fit, network, &self.changes, &self.state),
            None => Ok(()),
        }
    }
}

/// What an epoch is judged by.
#[derive(Debug, Clone, Copy)]
struct Tried {
    loss: f64,
    accuracy: f64,
    /// With the class weights.
    weighted: f64,
    f1: Option<f64>,
    auc: Option<f64>,
}

impl Tried {
    fn of(found: &Evaluation, weighted: f64, monitor: Monitor) -> Self {
        let f1 = || found.confusion.macro_mean(Confusion::f1);
        Self {
            loss: found.loss,
            accuracy: found.accuracy,
            weighted,
            f1: if monitor == Monitor::F1 { f1() } else { None },
            auc: if monitor == Monitor::Auc { found.mean_roc_auc() } else { None },
        }
    }
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
