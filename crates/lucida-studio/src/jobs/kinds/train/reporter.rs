//! Reports the progress of a training.

use std::ops::ControlFlow;

use lucida::Cpu;
use lucida::core::{BatchReport, Detail, Step};
use lucida::nn::Network;
use lucida::train::{Callback, Samples, TrainingState, evaluate_samples};
use serde_json::{Value, json};

use super::epochs::SavedEpochs;
use crate::jobs::Handle;

/// Maximum number of curve points per epoch.
const POINTS: usize = 20;

pub(super) struct TrainingReporter<'a> {
    pub(super) job: &'a Handle<'a>,
    pub(super) epochs: usize,
    pub(super) validation: &'a dyn Samples,
    /// Indices of the validation samples whose predictions are published after each epoch.
    pub(super) samples: Vec<usize>,
    pub(super) cpu: Cpu,
    /// `None` if the weights of the epochs are not saved.
    pub(super) saved: Option<SavedEpochs<'a>>,
}

impl TrainingReporter<'_> {
    fn predictions(&self, network: &Network) -> lucida::Result<Value> {
        let found = evaluate_samples(network, self.validation, &self.samples, self.cpu)?;
        let each = found.predicted.iter().zip(&found.probabilities);
        Ok(each.map(|(&class, of)| json!({ "class": class, "probability": of.get(class) })).collect())
    }
}

impl Callback for TrainingReporter<'_> {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        let Detail::Training(report) = step.detail else { return self.job.flow() };
        let BatchReport { epoch, step, steps, loss, accuracy, .. } = report;
        if step.is_multiple_of(steps.div_ceil(POINTS)) {
            let at = (epoch - 1) as f64 + step as f64 / steps as f64;
            self.job.publish(json!({ "type": "batch", "at": at, "loss": loss, "accuracy": accuracy }));
        }
        let doing = format!("epoch {epoch} of {}", self.epochs);
        self.job.progress((epoch - 1) * steps + step, self.epochs * steps, &doing)
    }

    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> lucida::Result<()> {
        let Some(record) = state.record() else { return Ok(()) };
        let best = record.epoch - state.epochs_since_best;
        let saved = self.saved.as_ref();
        let kept = saved.map(|saved| saved.save(record.epoch, best, state.network)).transpose()?;
        self.job.publish(json!({
            "type": "epoch",
            "epoch": record.epoch,
            "loss": record.loss,
            "accuracy": record.accuracy,
            "val_loss": record.val_loss,
            "val_accuracy": record.val_accuracy,
            "seconds": record.seconds,
            "best": state.improved,
            "samples": self.predictions(state.network)?,
            "kept": kept,
        }));
        // Only now: pages that follow the run must not look for an epoch that is gone.
        saved.zip(kept.as_ref()).map_or(Ok(()), |(saved, kept)| saved.remove_all_but(kept))
    }
}
