//! The end of a training: what is written and said.

use anyhow::Result;
use lucida::data::{Augment, Dataset};
use lucida::nn::thousands;
use lucida::train::{Fitted, RunFolder, Settings, evaluate};
use lucida::weights::Model;
use serde_json::Value;

use super::super::Context;
use crate::output::percent;

/// A training that has ended.
pub(super) struct Ending<'a> {
    pub(super) run: &'a RunFolder,
    pub(super) fitted: &'a Fitted,
    pub(super) settings: &'a Settings,
    pub(super) augment: Option<&'a Augment>,
    /// What is frozen of the network, for a training that continues from it.
    pub(super) base: Option<Value>,
    /// Whether a finished run keeps the file to resume from.
    pub(super) keep_checkpoint: bool,
    /// What is classified: digits or images.
    pub(super) samples: &'a str,
}

impl Ending<'_> {
    /// Writes the run, and tests the model on `test` if there is any.
    ///
    /// # Errors
    /// [`lucida::Error::Interrupted`] when it was interrupted: all is written then, but nothing tested.
    pub(super) fn finish(&self, model: &mut Model, test: Option<&dyn Dataset>, context: Context) -> Result<()> {
        let Self { run, fitted, settings, .. } = self;
        let output = context.output;
        model.training = fitted.record(settings);
        if let Some(record) = model.training.as_object_mut() {
            record.extend(self.augment.map(|augment| ("augment".to_owned(), augment.to_string().into())));
            record.extend(self.base.clone().map(|base| ("base".to_owned(), base)));
        }
        run.save_best(model)?;
        run.save_last(model, &fitted.last)?;
        run.save_history(&fitted.history)?;
        if !(fitted.interrupted || self.keep_checkpoint) {
            run.remove_checkpoint()?;
        }
        report_best(fitted, context);
        let epochs = fitted.history.epochs.len();
        if fitted.stopped_early {
            output.info(&format!("Stopped early, after {epochs} epochs"));
        }
        let files: Vec<&str> = RunFolder::FILES.into_iter().filter(|name| run.path().join(name).exists()).collect();
        let written = format!("Written to {}: {}", run.path().display(), files.join(", "));
        if fitted.interrupted {
            output.info(&format!("Stopped after {epochs} of {} epochs", settings.epochs));
            output.info(&written);
            output.info("Resume with the same command line and --resume");
            return Err(lucida::Error::Interrupted.into());
        }
        if let Some(test) = test.filter(|test| !test.is_empty()) {
            let result = evaluate(model, test, context.cpu)?;
            let (accuracy, loss, count) = (percent(result.accuracy), result.loss, thousands(test.len()));
            output.result(&format!("Test accuracy {accuracy}, loss {loss:.4} on {count} {}", self.samples))?;
        }
        output.info(&written);
        Ok(())
    }
}

/// Says which epoch is the best.
fn report_best(fitted: &Fitted, context: Context) {
    let best = fitted.best_epoch.and_then(|best| fitted.history.epochs.get(best - 1));
    let Some(best) = best else { return };
    let measured = match (best.val_loss, best.val_accuracy) {
        (Some(loss), Some(accuracy)) => format!("validation loss {loss:.4}, accuracy {}", percent(accuracy)),
        _ => format!("loss {:.4}, accuracy {}", best.loss, percent(best.accuracy)),
    };
    context.output.info(&format!("Best epoch {}: {measured}", best.epoch));
}
