//! The training loop.

use std::time::Instant;

use crate::data::{Dataset, Loader, Mixed, batches, epoch_order};
use crate::nn::{Network, Optimizer, OptimizerState, Plan, Schedule, StepSeed};
use crate::weights::Model;
use crate::{Cpu, Error, Result};

use super::{Classifier, EpochRecord, History, evaluate};

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Passes over the training data.
    pub epochs: usize,
    /// Samples to a step. The last step of an epoch takes what is left.
    pub batch_size: usize,
    /// The learning rate.
    pub schedule: Schedule,
    /// The rule that changes the weights.
    pub optimizer: Optimizer,
    /// Decides the order of the samples and what dropout drops.
    pub seed: u64,
    /// What to run on.
    pub cpu: Cpu,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop cleanly, and keep what was done.
    Stop,
}

/// Where training is within an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps of this epoch that are done.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Mean loss of this epoch so far.
    pub loss: f64,
    /// Accuracy of this epoch so far.
    pub accuracy: f64,
}

/// Is told how training goes, and may stop it.
pub trait Observer {
    /// After each step.
    fn batch(&mut self, _report: &BatchReport) -> Flow {
        Flow::Continue
    }

    /// After each epoch, with its numbers, the network as it is, and whether it is the best epoch so far.
    ///
    /// # Errors
    /// An error ends the training: a checkpoint that cannot be written, say.
    fn epoch(&mut self, _record: &EpochRecord, _network: &Network, _best: bool) -> Result<Flow> {
        Ok(Flow::Continue)
    }
}

/// Watches without a word.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// What training leaves.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The numbers of the epochs that were completed.
    pub history: History,
    /// The number of the best epoch by validation loss, whose weights are in the model; none when no epoch was completed.
    pub best_epoch: Option<usize>,
    /// The network as the last step left it.
    pub last: Network,
    /// Whether an observer stopped the training.
    pub interrupted: bool,
}

/// Trains a model. Afterwards it has the weights of the best epoch by validation loss (by training loss, without
/// validation data), or of the last step when training was stopped within the first epoch.
///
/// The same model, data, settings and number of threads give the same weights to the bit.
///
/// # Errors
/// [`Error::Argument`] when settings or data do not fit the network, [`Error::Unsupported`] when it is no classifier, and
/// those of reading the data and of the observer. [`Error::Argument`] too when the loss is no longer a number.
pub fn fit(
    model: &mut Model,
    train: &dyn Dataset,
    validation: Option<&dyn Dataset>,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Fitted> {
    let mut trainer = Trainer::new(model, train, settings)?;
    if let Some(validation) = validation {
        trainer.classifier.fits(validation.class_names().len())?;
    }
    let mut history = History::default();
    let mut best: Option<(usize, f64, Vec<Vec<f32>>)> = None;
    let mut interrupted = false;
    for epoch in 1..=settings.epochs {
        let started = Instant::now();
        let Some((loss, accuracy)) = trainer.epoch(model, train, epoch, observer)? else {
            interrupted = true;
            break;
        };
        let evaluation = validation.map(|data| evaluate(model, data, settings.cpu)).transpose()?;
        let record = EpochRecord {
            epoch,
            loss,
            accuracy,
            val_loss: evaluation.as_ref().map(|evaluation| evaluation.loss),
            val_accuracy: evaluation.as_ref().map(|evaluation| evaluation.accuracy),
            learning_rate: settings.schedule.at(trainer.optimizer.steps().saturating_sub(1)),
            seconds: started.elapsed().as_secs_f64(),
        };
        history.epochs.push(record);
        let judged = record.val_loss.unwrap_or(loss);
        let improved = best.as_ref().is_none_or(|(_, least, _)| judged < *least);
        if improved {
            let weights = model.network.weights().iter().map(|weight| weight.values().to_vec()).collect();
            best = Some((epoch, judged, weights));
        }
        if observer.epoch(&record, &model.network, improved)? == Flow::Stop {
            interrupted = epoch < settings.epochs;
            break;
        }
    }
    let last = model.network.clone();
    let best_epoch = best.as_ref().map(|(epoch, ..)| *epoch);
    if let Some((_, _, weights)) = best {
        for (weight, values) in model.network.weights_mut().iter_mut().zip(weights) {
            weight.values_mut().copy_from_slice(&values);
        }
    }
    Ok(Fitted { history, best_epoch, last, interrupted })
}

/// A plan, an optimizer and what is allocated once for all steps.
struct Trainer<'a> {
    settings: &'a Settings,
    classifier: Classifier,
    plan: Plan,
    optimizer: OptimizerState,
    labels: Vec<usize>,
    targets: Vec<f32>,
    samples: u64,
}

impl<'a> Trainer<'a> {
    fn new(model: &Model, train: &dyn Dataset, settings: &'a Settings) -> Result<Self> {
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
        let classifier = Classifier::of(&model.network)?;
        classifier.fits(train.class_names().len())?;
        model.check()?;
        let batch = settings.batch_size.min(train.len());
        let plan = Plan::builder(&model.network)
            .cpu(settings.cpu)
            .batch_size(batch)
            .training()
            .output(classifier.logits.clone())
            .seed(classifier.logits.clone())
            .weight_gradients()
            .build()?;
        let optimizer = OptimizerState::new(settings.optimizer, &model.network);
        let (labels, targets) = (vec![0; batch], vec![0.0; batch * classifier.units]);
        Ok(Self { settings, classifier, plan, optimizer, labels, targets, samples: 0 })
    }

    /// One pass over the data: mean loss and accuracy, or nothing when the observer stopped it.
    fn epoch(
        &mut self,
        model: &mut Model,
        train: &dyn Dataset,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<(f64, f64)>> {
        let order = epoch_order(train.len(), self.settings.seed, epoch as u32);
        let steps = batches(&order, self.settings.batch_size)?.len();
        let mut sums = Sums::default();
        let mut go_on = |trainer: &mut Self, model: &mut Model, count: usize, mixed: &[Option<Mixed>]| {
            let (loss, correct) = trainer.step(model, count, mixed)?;
            sums.add(loss, correct, count);
            if !loss.is_finite() {
                let (step, rate) = (sums.steps, trainer.settings.schedule.rate);
                return Err(Error::argument(format!(
                    "the loss is no longer a number in step {step} of epoch {epoch}: try a learning rate below {rate}"
                )));
            }
            let (loss, accuracy) = sums.means();
            Ok(observer.batch(&BatchReport { epoch, step: sums.steps, steps, loss, accuracy }) == Flow::Continue)
        };
        let preprocessing = model.preprocessing()?.clone();
        let mut complete = true;
        if train.is_slow() {
            // Pictures are decoded and augmented while the step before computes.
            let loader = Loader::new(train, &preprocessing).training(epoch as u32).threads(self.settings.cpu.threads());
            complete = loader.each(&order, self.settings.batch_size, |batch| {
                let count = batch.labels.len();
                self.plan.set_batch(count);
                self.plan.input_mut().copy_from_slice(batch.images);
                self.labels[..count].copy_from_slice(batch.labels);
                go_on(self, model, count, batch.mixed)
            })?;
        } else {
            for batch in batches(&order, self.settings.batch_size)? {
                self.plan.set_batch(batch.len());
                let labels = &mut self.labels[..batch.len()];
                train.fill_batch(batch, &preprocessing, self.plan.input_mut(), labels)?;
                if !go_on(self, model, batch.len(), &[])? {
                    complete = false;
                    break;
                }
            }
        }
        Ok(complete.then(|| sums.means()))
    }

    /// Forward, loss, backward, optimizer on the batch that the plan holds: the loss, and how many samples were classified
    /// correctly on the way.
    fn step(&mut self, model: &mut Model, count: usize, mixed: &[Option<Mixed>]) -> Result<(f64, usize)> {
        let Self { settings, classifier, plan, optimizer, .. } = self;
        let labels = &self.labels[..count];
        let targets = &mut self.targets[..count * classifier.units];
        classifier.targets(labels, targets);
        classifier.mix_targets(mixed, targets);
        plan.forward_training(&mut model.network, StepSeed { seed: settings.seed, first_sample: self.samples })?;
        let (logits, gradient) = plan.output_and_seed_mut(0, 0);
        let loss = classifier.loss.evaluate(classifier.units, logits, targets, Some(gradient));
        let rows = logits.chunks_exact(classifier.units).zip(labels);
        let correct = rows.filter(|(row, label)| classifier.class_of(row, 0.0) == **label).count();
        plan.backward(&model.network);
        let rate = settings.schedule.at(optimizer.steps());
        optimizer.apply(settings.cpu, &mut model.network, plan.weight_gradients(), rate);
        self.samples += count as u64;
        Ok((loss, correct))
    }
}

/// The sums over an epoch.
#[derive(Default)]
struct Sums {
    loss: f64,
    correct: usize,
    seen: usize,
    steps: usize,
}

impl Sums {
    fn add(&mut self, loss: f64, correct: usize, count: usize) {
        self.loss += loss * count as f64;
        self.correct += correct;
        self.seen += count;
        self.steps += 1;
    }

    /// Mean loss and accuracy.
    fn means(&self) -> (f64, f64) {
        (self.loss / self.seen as f64, self.correct as f64 / self.seen as f64)
    }
}

#[cfg(test)]
mod tests;
