//! The end of a training: what is written and said.

use anyhow::Result;
use lucida::data::{Augment, Dataset};
use lucida::nn::thousands;
use lucida::train::{EpochRecord, Evaluation, Fit, Fitted, RunFolder, evaluate};
use lucida::weights::Model;
use serde_json::{Value, json};

use super::super::Context;
use crate::output::percent;

/// A training that has ended.
pub(super) struct Ending<'a> {
    pub(super) run: &'a RunFolder,
    pub(super) fitted: &'a Fitted,
    pub(super) fit: &'a Fit,
    pub(super) augment: Option<&'a Augment>,
    /// What is frozen of the network, for a training that continues from it.
    pub(super) base: Option<Value>,
    /// Whether a finished run keeps the file to resume from.
    pub(super) keep_checkpoint: bool,
    /// Whether one JSON object is all that is printed.
    pub(super) json: bool,
    /// What is classified: digits or images.
    pub(super) samples: &'a str,
}

impl Ending<'_> {
    /// Writes the run, and tests the model on `test` if there is any.
    ///
    /// # Errors
    /// [`lucida::Error::Interrupted`] when it was interrupted: all is written then, but nothing tested.
    pub(super) fn finish(&self, model: &mut Model, test: Option<&dyn Dataset>, context: Context) -> Result<()> {
        let Self { run, fitted, fit, .. } = self;
        let output = context.output;
        if fitted.interrupted && run.has_earlier() {
            let path = run.path().display();
            output.info(&format!("Stopped within the first epoch: {path} keeps the run that was there before"));
            return Err(lucida::Error::Interrupted.into());
        }
        model.training = fitted.record(fit);
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
        self.report_best(context);
        let epochs = fitted.history.epochs.len();
        if fitted.stopped_early {
            output.info(&format!("Stopped early, after {epochs} epochs"));
        }
        let files: Vec<&str> = RunFolder::FILES.into_iter().filter(|name| run.path().join(name).exists()).collect();
        let written = format!("Written to {}: {}", run.path().display(), files.join(", "));
        let tested = test.filter(|test| !test.is_empty() && !fitted.interrupted);
        let tested =
            tested.map(|test| Ok::<_, anyhow::Error>((evaluate(model, test, context.cpu)?, test.len()))).transpose()?;
        if self.json {
            output.json(&self.answer(&files, tested.as_ref()))?;
        }
        if fitted.interrupted {
            output.info(&format!("Stopped after {epochs} of {} epochs", fit.settings().epochs));
            output.info(&written);
            output.info("Resume with the same command line and --resume");
            return Err(lucida::Error::Interrupted.into());
        }
        if let Some((result, count)) = tested.filter(|_| !self.json) {
            let (accuracy, loss, count) = (percent(result.accuracy), result.loss, thousands(count));
            output.result(&format!("Test accuracy {accuracy}, loss {loss:.4} on {count} {}", self.samples))?;
        }
        output.info(&written);
        Ok(())
    }

    /// What `--json` prints.
    fn answer(&self, files: &[&str], tested: Option<&(Evaluation, usize)>) -> Value {
        let fitted = self.fitted;
        json!({
            "run": self.run.path().display().to_string(),
            "best_epoch": fitted.best_epoch,
            "stopped_early": fitted.stopped_early,
            "interrupted": fitted.interrupted,
            "epochs": fitted.history.epochs,
            "test": tested.map(|(result, count)| {
                json!({ "images": count, "accuracy": result.accuracy, "loss": result.loss })
            }),
            "files": files,
        })
    }

    /// Says which epoch is the best, by what, and with which weights.
    fn report_best(&self, context: Context) {
        let Self { fitted, fit, .. } = self;
        let best = fitted.best_epoch.and_then(|best| fitted.history.epochs.get(best - 1));
        let Some(best) = best else { return };
        let options = fit.chosen();
        let by = options.monitor.best(!options.class_weights.is_empty());
        context.output.info(&format!("Best epoch {} ({by}): {}", best.epoch, measured(best)));
        if let Some(decay) = options.ema {
            context.output.info(&format!(
                "The validation values, model.safetensors and last.safetensors are of the moving average of the weights \
                 (decay {decay})"
            ));
        }
    }
}

/// The numbers of an epoch.
fn measured(record: &EpochRecord) -> String {
    let (Some(loss), Some(accuracy)) = (record.val_loss, record.val_accuracy) else {
        return format!("loss {:.4}, accuracy {}", record.loss, percent(record.accuracy));
    };
    let more = [
        record.val_weighted_loss.map(|loss| format!(", class-weighted loss {loss:.4}")),
        record.val_f1.map(|f1| format!(", macro F1 {}", percent(f1))),
        record.val_auc.map(|auc| format!(", ROC AUC {auc:.4}")),
    ];
    let more: String = more.into_iter().flatten().collect();
    format!("validation loss {loss:.4}, accuracy {}{more}", percent(accuracy))
}
