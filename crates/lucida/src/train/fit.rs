//! Training: what it is told, what it tells, and what it leaves.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::Value;

use crate::core::{Progress, Step};
use crate::data::Dataset;
use crate::nn::{Network, Optimizer, ProcessGroup, Schedule};
use crate::weights::Model;
use crate::{Cpu, Result};

pub use crate::core::BatchReport;

use super::course::Course;
use super::{EpochRecord, History, Options, Pictures, Samples};

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

impl Default for Settings {
    /// 10 epochs of batches of 32 samples by Adam, at a learning rate of 0.001.
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 32,
            schedule: Schedule::constant(1e-3),
            optimizer: Optimizer::adam(),
            seed: 42,
            cpu: Cpu::detect(),
        }
    }
}

/// What a training reports beyond its [`Progress`], which alone can stop it.
///
/// As [`Progress`], it gets a step in [`Unit::Steps`](crate::core::Unit::Steps) of all epochs after each training step, with
/// a [`Detail::Training`](crate::core::Detail::Training); and one in [`Unit::Epochs`](crate::core::Unit::Epochs) after each
/// [`epoch_end`](Self::epoch_end). A training that is stopped keeps what was done.
///
/// Implemented for closures, which get the progress alone, and for `()`, which ignores all.
pub trait Callback: Progress {
    /// Before the first step of a training that resumes from a checkpoint: what was done before, and how many steps of the
    /// epoch at hand.
    fn resumed(&mut self, _history: &History, _steps: usize) {}

    /// After each epoch, with its metrics, the network as it is, and whether it is the best epoch so far.
    ///
    /// # Errors
    /// An error ends the training: a checkpoint that cannot be written, say.
    fn epoch_end(&mut self, _record: &EpochRecord, _network: &Network, _best: bool) -> Result<()> {
        Ok(())
    }

    /// When the checkpoint is written, if there is to be one, after an epoch or where the training is stopped; with the
    /// metrics of the complete epochs.
    ///
    /// # Errors
    /// An error ends the training.
    fn saved(&mut self, _history: &History) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(&Step<'_>) -> ControlFlow<()>> Callback for F {}

impl Callback for () {}

/// What training leaves.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The numbers of the epochs that were completed.
    pub history: History,
    /// The number of the best epoch, whose weights are in the model; none when no epoch was completed.
    pub best_epoch: Option<usize>,
    /// The network as the last step left it: with the running mean of its weights, where there is one, as the history's
    /// validation values are of that.
    pub last: Network,
    /// Whether the callback stopped the training.
    pub interrupted: bool,
    /// Whether it ended because epochs got no better.
    pub stopped_early: bool,
}

/// Where a training leaves off and goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoints {
    /// The file. It is written whole or not at all, after each epoch and when training is stopped.
    pub path: PathBuf,
    /// Write it after so many steps, too.
    pub every: Option<usize>,
    /// Go on from the file, if there is one.
    pub resume: bool,
    /// What else must be the same for a training to go on: the data, say. An object, each entry with a name for people.
    pub identity: Value,
}

/// A training to be done: its settings, and what else it should do.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    pub(super) settings: Settings,
    pub(super) options: Options,
    pub(super) checkpoints: Option<Checkpoints>,
}

impl Fit {
    /// The plain loop.
    pub fn new(settings: Settings) -> Self {
        Self { settings, options: Options::default(), checkpoints: None }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The conveniences.
    pub fn chosen(&self) -> &Options {
        &self.options
    }

    /// With these conveniences.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// With a checkpoint file, from which a training that was interrupted, or killed, goes on: to the same weights, to the
    /// bit, as if nothing had happened.
    #[must_use]
    pub fn checkpoints(self, checkpoints: Checkpoints) -> Self {
        Self { checkpoints: Some(checkpoints), ..self }
    }

    /// Trains a model on images. Afterwards it has the weights of the best epoch, or of the last step when training was
    /// stopped within the first epoch.
    ///
    /// The same model, data, settings and number of threads give the same weights to the bit.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when settings, options or data do not fit the network, when the loss is no
    /// longer a number, or when a checkpoint is of another training; [`Error::Unsupported`](crate::Error::Unsupported) when it
    /// is no classifier; those of reading the data and of the callback.
    pub fn run(
        &self,
        model: &mut Model,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
        callback: &mut dyn Callback,
    ) -> Result<Fitted> {
        self.run_in(None, model, train, validation, callback)
    }

    /// Trains a network on any samples, as [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_on(
        &self,
        network: &mut Network,
        train: &dyn Samples,
        validation: Option<&dyn Samples>,
        callback: &mut dyn Callback,
    ) -> Result<Fitted> {
        self.run_on_in(None, network, train, validation, callback)
    }

    /// As [`run`](Self::run), as a member of a [group](super::distributed): all members call it with the same model, data,
    /// settings and options, and get the same weights. The first one writes checkpoints, and reads them. Each member has an
    /// callback of its own; when one wants to stop, all do, a step later.
    ///
    /// # Errors
    /// As [`run`](Self::run). A member that returns an error leaves the others waiting for it: see to it that they end.
    pub fn run_in(
        &self,
        group: Option<&dyn ProcessGroup>,
        model: &mut Model,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
        callback: &mut dyn Callback,
    ) -> Result<Fitted> {
        model.check()?;
        let preprocessing = model.preprocessing()?.clone();
        let pictures = |set| Pictures::new(set, &preprocessing, self.settings.cpu.threads());
        let (train, validation) = (pictures(train), validation.map(pictures));
        let validation = validation.as_ref().map(|samples| samples as &dyn Samples);
        self.run_on_in(group, &mut model.network, &train, validation, callback)
    }

    /// Trains a network on any samples, as [`run_in`](Self::run_in).
    ///
    /// # Errors
    /// As [`run_in`](Self::run_in).
    pub fn run_on_in(
        &self,
        group: Option<&dyn ProcessGroup>,
        network: &mut Network,
        train: &dyn Samples,
        validation: Option<&dyn Samples>,
        callback: &mut dyn Callback,
    ) -> Result<Fitted> {
        Course::new(self, network, group, train, validation)?.run(network, callback)
    }
}

/// Trains a model without conveniences: [`Fit::run`].
///
/// # Errors
/// As [`Fit::run`].
pub fn fit(
    model: &mut Model,
    train: &dyn Dataset,
    validation: Option<&dyn Dataset>,
    settings: &Settings,
    callback: &mut dyn Callback,
) -> Result<Fitted> {
    Fit::new(*settings).run(model, train, validation, callback)
}

#[cfg(test)]
mod tests;
