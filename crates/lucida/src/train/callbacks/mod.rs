//! Training callbacks, one per file.
//!
//! A [`Callback`] is notified of each step, epoch and checkpoint, and can stop training or lower the learning rate.

use std::ops::ControlFlow;

use serde_json::Value;

use crate::Result;
use crate::core::{Progress, Step};
use crate::nn::Network;

use super::{EpochRecord, History};

mod csv_logger;
mod early_stopping;
mod reduce_lr_on_plateau;
mod tensorboard;

pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use reduce_lr_on_plateau::ReduceLrOnPlateau;
pub use tensorboard::TensorBoard;

/// Observes and controls training. Every [`Progress`] is a callback, such as a closure or `()`.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::train::TrainingState;
///
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// /// Ends a training that is good enough.
/// struct GoodEnough(f64);
///
/// impl Callback for GoodEnough {
///     fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
///         if state.record().is_some_and(|record| record.loss < self.0) {
///             state.stop();
///         }
///         Ok(())
///     }
/// }
///
/// let config = TrainConfig { epochs: 50, ..TrainConfig::default() };
/// let result = Trainer::new(config).callback(GoodEnough(1.5)).fit(&mut model, &train, Some(&validation))?;
/// assert!(result.stopped_early && result.history.epochs.len() < 50);
/// # Ok::<(), lucida::Error>(())
/// ```
pub trait Callback {
    /// Reports progress: after each step a [`Step`] in [`Unit::Steps`](crate::core::Unit::Steps) of all epochs with a
    /// [`Detail::Training`](crate::core::Detail::Training), and after each [`epoch_end`](Self::epoch_end) one in
    /// [`Unit::Epochs`](crate::core::Unit::Epochs). [`ControlFlow::Break`] interrupts training; what was trained so far is
    /// kept.
    fn update(&mut self, _step: &Step<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called before the first step of a run that resumes from a checkpoint.
    fn resumed(&mut self, _state: &mut TrainingState<'_>) {}

    /// Called after each epoch.
    ///
    /// # Errors
    /// An error ends training, such as a file that cannot be written.
    fn epoch_end(&mut self, _state: &mut TrainingState<'_>) -> Result<()> {
        Ok(())
    }

    /// Called after an epoch, or when training is stopped, once the checkpoint (if any) is on disk.
    ///
    /// # Errors
    /// An error ends training.
    fn checkpoint_written(&mut self, _history: &History) -> Result<()> {
        Ok(())
    }

    /// Name and configuration of a callback that affects the result of training: part of the training record in the model
    /// file, and of the settings that must match for a run to resume. `None` for a callback that only observes.
    fn config(&self) -> Option<(&'static str, Value)> {
        None
    }
}

impl<P: Progress> Callback for P {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        Progress::update(self, step)
    }
}

/// Training state after an epoch, and the controls of a callback.
#[derive(Debug)]
pub struct TrainingState<'a> {
    /// Records of the completed epochs.
    pub history: &'a History,
    /// The network, with the moving average of its weights if there is one.
    pub network: &'a Network,
    /// Completed steps of the next epoch, for a run that resumes within one.
    pub steps: usize,
    /// Whether the last epoch is the best so far.
    pub improved: bool,
    /// Epochs since the best one.
    pub epochs_since_best: usize,
    /// Epochs since the best one, or since the learning rate was last scaled.
    pub epochs_on_plateau: usize,
    pub(super) stopped: bool,
    pub(super) learning_rate_factor: f64,
}

impl<'a> TrainingState<'a> {
    pub(super) fn new(history: &'a History, network: &'a Network) -> Self {
        Self {
            history,
            network,
            steps: 0,
            improved: false,
            epochs_since_best: 0,
            epochs_on_plateau: 0,
            stopped: false,
            learning_rate_factor: 1.0,
        }
    }

    /// The record of the last epoch.
    pub fn record(&self) -> Option<&EpochRecord> {
        self.history.epochs.last()
    }

    /// Stops training: the goal is reached, or there is no further improvement.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Multiplies the learning rate of all following steps by a factor.
    pub fn scale_learning_rate(&mut self, factor: f64) {
        self.learning_rate_factor *= factor;
    }
}

/// The callbacks of a trainer, in order.
#[derive(Default)]
pub(super) struct Callbacks<'a>(pub(super) Vec<Box<dyn Callback + 'a>>);

impl Callbacks<'_> {
    pub(super) fn resumed(&mut self, state: &mut TrainingState<'_>) {
        self.0.iter_mut().for_each(|callback| callback.resumed(state));
    }

    pub(super) fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        // Call all of them, even after one interrupts.
        for callback in &mut self.0 {
            if callback.update(step).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        flow
    }

    pub(super) fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
        self.0.iter_mut().try_for_each(|callback| callback.epoch_end(state))
    }

    pub(super) fn checkpoint_written(&mut self, history: &History) -> Result<()> {
        self.0.iter_mut().try_for_each(|callback| callback.checkpoint_written(history))
    }

    pub(super) fn configs(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.iter().filter_map(|callback| callback.config())
    }
}
