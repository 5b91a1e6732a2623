//! The end of a training run: writes and prints the results.

use anyhow::Result;
use lucida::data::{Augment, Dataset};
use lucida::nn::{counted, thousands};
use lucida::train::{EpochRecord, Evaluation, RunFolder, TrainConfig, TrainResult, evaluate};
use lucida::weights::Model;
use serde_json::{Value, json};

use super::super::{Context, shell_word};
use crate::output::percent;

/// A completed or interrupted training run.
pub(super) struct FinishRun<'a> {
    pub(super) run: &'a RunFolder,
    pub(super) result: &'a TrainResult,
    pub(super) config: &'a TrainConfig,
    pub(super) augment: Option<&'a Augment>,
    /// The frozen part of the network, for a later run that continues from this one.
    pub(super) base: Option<Value>,
    /// Whether a finished run keeps its checkpoint.
    pub(super) keep_checkpoint: bool,
    /// Whether to print a single JSON object only.
    pub(super) json: bool,
    /// Noun for the samples: digits or images.
    pub(super) samples: &'a str,
    /// Number of validation samples per class.
    pub(super) validation: Vec<usize>,
    /// Options to suggest if the training went badly.
    pub(super) remedies: Vec<&'static str>,
    /// Whether this is a fold of a cross-validation, which prints the rest itself.
    pub(super) of_fold: bool,
}

impl FinishRun<'_> {
    /// Writes the results, and evaluates the model on `test`, if given.
    ///
    /// # Errors [`lucida::Error::Interrupted`] if the run was interrupted: everything is written, but the model is not
    /// tested.
    pub(super) fn finish(&self, model: &mut Model, test: Option<&dyn Dataset>, context: Context) -> Result<()> {
        let Self { run, result, config, .. } = self;
        let output = context.output;
        if result.interrupted && run.has_earlier() {
            let path = run.path().display();
            output.info(&format!("Stopped within the first epoch: {path} keeps the run that was there before"));
            return Err(lucida::Error::Interrupted.into());
        }
        model.training = result.record.clone();
        if let Some(record) = model.training.as_object_mut() {
            record.extend(self.augment.map(|augment| ("augment".to_owned(), augment.to_string().into())));
            record.extend(self.base.clone().map(|base| ("base".to_owned(), base)));
        }
        run.save_best(model)?;
        run.save_last(model, &result.last)?;
        run.save_history(&result.history)?;
        if !(result.interrupted || self.keep_checkpoint) {
            run.remove_checkpoint()?;
        }
        self.report_best(context);
        let epochs = result.history.epochs.len();
        self.report_interruptions(context);
        let files: Vec<&str> = RunFolder::FILES.into_iter().filter(|name| run.path().join(name).exists()).collect();
        let written = format!("Written to {}: {}", run.path().display(), files.join(", "));
        let tested = test.filter(|test| !test.is_empty() && !result.interrupted);
        let tested =
            tested.map(|test| Ok::<_, anyhow::Error>((evaluate(model, test, context.cpu)?, test.len()))).transpose()?;
        if self.of_fold && !result.interrupted {
            return Ok(());
        }
        if self.json {
            output.json(&self.answer(&files, tested.as_ref()))?;
        }
        if result.interrupted {
            output.info(&format!("Stopped after {epochs} of {}", counted(config.epochs, "epoch")));
            output.info(&written);
            output.info("Resume with the same command line and --resume");
            return Err(lucida::Error::Interrupted.into());
        }
        if let Some((tested, count)) = tested.filter(|_| !self.json) {
            let (accuracy, loss, count) = (percent(tested.accuracy), tested.loss, thousands(count));
            output.result(&format!("Test accuracy {accuracy}, loss {loss:.4} on {count} {}", self.samples))?;
        }
        output.info(&written);
        let images: usize = self.validation.iter().sum();
        if (1..FEW).contains(&images) {
            let images = counted(images, "validation image");
            output.info(&format!("The accuracy is of {images} alone, and says little"));
        }
        if let Some(advice) = advice(result, &self.validation, &self.remedies) {
            output.info(&advice);
        }
        let run = shell_word(&run.path().display().to_string());
        output.info(&format!("Next: lucida predict {run} IMAGE, or lucida report {run}"));
        Ok(())
    }

    /// Says whether it stopped early, and whether steps were left out.
    fn report_interruptions(&self, context: Context) {
        let (output, history) = (context.output, &self.result.history);
        if self.result.stopped_early {
            output.info(&format!("Stopped early, after {}", counted(history.epochs.len(), "epoch")));
        }
        let skipped = history.skipped_steps();
        if skipped > 0 {
            let steps = counted(skipped, "step");
            output.info(&format!(
                "Left out {steps} whose loss or gradient was not finite: see skipped_steps in history.csv"
            ));
        }
    }

    /// Output of `--json`.
    fn answer(&self, files: &[&str], tested: Option<&(Evaluation, usize)>) -> Value {
        let result = self.result;
        json!({
            "run": self.run.path().display().to_string(),
            "loss": self.config.loss,
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped_early,
            "interrupted": result.interrupted,
            "epochs": result.history.epochs,
            "skipped_steps": result.history.skipped_steps(),
            "test": tested.map(|(tested, count)| {
                json!({ "images": count, "accuracy": tested.accuracy, "loss": tested.loss })
            }),
            "files": files,
        })
    }

    /// Prints the best epoch, its metrics, and the monitored quantity.
    fn report_best(&self, context: Context) {
        let Self { result, config, .. } = self;
        let best = result.best_epoch.and_then(|best| result.history.epochs.get(best - 1));
        let Some(best) = best else { return };
        let by = config.monitor.best(!config.class_weights.is_empty());
        context.output.info(&format!("Best epoch {} ({by}): {}", best.epoch, measured(best)));
        if let Some(decay) = config.ema {
            context.output.info(&format!(
                "The validation values, model.safetensors and last.safetensors are of the moving average of the weights \
                 (decay {decay})"
            ));
        }
    }
}

/// Below this many validation images, accuracies 10 percentage points apart cannot be distinguished.
const FEW: usize = 20;

/// Advice for a training run that overfits or hardly learns. `counts` are the validation images per class, `remedies` the
/// options not yet used.
fn advice(result: &TrainResult, counts: &[usize], remedies: &[&str]) -> Option<String> {
    let epochs = &result.history.epochs;
    let (best, last) = (result.history.best()?, epochs.last()?);
    let accuracy = epochs.get(result.best_epoch? - 1)?.val_accuracy?;
    if remedies.is_empty() {
        return None;
    }
    let help = remedies.join(", or ");
    let chance = counts.iter().copied().max()? as f64 / counts.iter().sum::<usize>().max(1) as f64;
    // The validation loss rises while the training loss keeps falling.
    let overfits = last.val_loss? > 1.1 * best.val_loss? && last.loss < best.loss;
    if overfits {
        return Some(format!(
            "Overfitting: after epoch {} the validation loss rose from {:.4} to {:.4} while the training loss fell to {:.4}. \
             What may help: {help}",
            best.epoch, best.val_loss?, last.val_loss?, last.loss
        ));
    }
    // Less than 40 % of the way from majority-class accuracy to perfect accuracy.
    let learned = (accuracy - chance) / (1.0 - chance).max(f64::MIN_POSITIVE);
    (learned < 0.4 && chance < 1.0).then(|| {
        format!(
            "Low accuracy: {} on the validation images, where always predicting the largest class gives {}. What may help: {help}",
            percent(accuracy),
            percent(chance)
        )
    })
}

/// Formats the metrics of an epoch.
fn measured(record: &EpochRecord) -> String {
    if let (Some(loss), None, false) = (record.val_loss, record.val_accuracy, record.val_metrics.is_empty()) {
        let metrics = record.val_metrics.iter().map(|(name, value)| format!(", {} {value:.4}", name.replace('_', " ")));
        return format!("validation loss {loss:.4}{}", metrics.collect::<String>());
    }
    let (Some(loss), Some(accuracy)) = (record.val_loss, record.val_accuracy) else {
        let accuracy = record.accuracy.map(|accuracy| format!(", accuracy {}", percent(accuracy)));
        return format!("loss {:.4}{}", record.loss, accuracy.unwrap_or_default());
    };
    let more = [
        record.val_weighted_loss.map(|loss| format!(", class-weighted loss {loss:.4}")),
        record.val_f1.map(|f1| format!(", macro F1 {}", percent(f1))),
        record.val_auc.map(|auc| format!(", ROC AUC {auc:.4}")),
    ];
    let more: String = more.into_iter().flatten().collect();
    format!("validation loss {loss:.4}, accuracy {}{more}", percent(accuracy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::train::History;

    fn history(epochs: &[[f64; 3]]) -> TrainResult {
        let record = |(index, &[loss, val_loss, val_accuracy]): (usize, &[f64; 3])| EpochRecord {
            epoch: index + 1,
            loss,
            val_loss: Some(val_loss),
            val_accuracy: Some(val_accuracy),
            ..EpochRecord::default()
        };
        let history = History { epochs: epochs.iter().enumerate().map(record).collect() };
        let best_epoch = history.best().map(|best| best.epoch);
        let last = lucida::nn::applications::mnist_cnn(0).unwrap();
        TrainResult { history, best_epoch, last, interrupted: false, stopped_early: false, record: Value::Null }
    }

    #[test]
    fn a_training_that_overfits_or_stalls_is_told_what_helps() {
        let overfits = history(&[[0.6, 0.6, 0.7], [0.4, 0.5, 0.75], [0.1, 0.9, 0.74]]);
        let text = advice(&overfits, &[50, 50], &["--augment flip", "--model vgg16"]).unwrap();
        assert!(text.starts_with("Overfitting: after epoch 2") && text.contains("--augment"), "{text}");
        assert!(text.contains("--model vgg16"), "{text}");
        assert!(!advice(&overfits, &[50, 50], &["--model vgg16"]).unwrap().contains("--augment"));
        assert_eq!(advice(&overfits, &[50, 50], &[]), None);
        let stalls = history(&[[0.69, 0.69, 0.55], [0.66, 0.66, 0.6]]);
        assert!(
            advice(&stalls, &[50, 50], &["--augment flip", "--model vgg16"])
                .unwrap()
                .starts_with("Low accuracy: 60.00 %")
        );
        // No better than always predicting the class with nine tenths of the images.
        assert!(advice(&history(&[[0.3, 0.3, 0.9]]), &[90, 10], &["--augment flip", "--model vgg16"]).is_some());
        assert_eq!(advice(&history(&[[0.2, 0.2, 0.93]]), &[50, 50], &["--augment flip", "--model vgg16"]), None);
        assert_eq!(advice(&history(&[]), &[50, 50], &["--augment flip", "--model vgg16"]), None);
    }
}
