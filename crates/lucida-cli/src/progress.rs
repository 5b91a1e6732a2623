//! Progress of a training run: a bar per epoch on a terminal, a line per epoch when piped.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use lucida::Result;
use lucida::core::{BatchReport, Detail, SkippedStep, Step};
use lucida::nn::counted;
use lucida::train::{Callback, EpochRecord, TrainingState};

use crate::estimate::Estimate;
use crate::interrupt;
use crate::output::Output;

const TEMPLATE: &str = "{prefix} {wide_bar} {pos}/{len} - {rate} - {msg}";

/// Shows the progress of a training run, and stops it on Ctrl-C.
pub(crate) struct TrainingBar {
    output: Output,
    epochs: usize,
    steps: usize,
    /// The epoch that the bar shows.
    shown: usize,
    /// Epochs completed before this process started.
    before: usize,
    started: Instant,
    bar: Option<ProgressBar>,
    estimate: Estimate,
}

impl TrainingBar {
    /// A bar for a training run of `epochs` epochs that starts now.
    pub(crate) fn new(output: Output, epochs: usize) -> Self {
        let bar = (output.is_terminal() && !output.quiet()).then(|| ProgressBar::new(0).with_style(style()));
        let (started, estimate) = (Instant::now(), Estimate::new(output));
        Self { output, epochs, steps: 0, shown: 0, before: 0, started, bar, estimate }
    }

    /// The time left for all epochs, at the average speed so far.
    fn time_left(&self, report: &BatchReport) -> Duration {
        let [done, all] = self.steps_done(report);
        self.started.elapsed().mul_f64(all.saturating_sub(done) as f64 / done.max(1) as f64)
    }

    /// The steps done by this process, and the total it has to do.
    fn steps_done(&self, report: &BatchReport) -> [usize; 2] {
        let done = (report.epoch - 1).saturating_sub(self.before) * report.steps + report.step;
        [done, self.epochs.saturating_sub(self.before) * report.steps]
    }

    fn show(&mut self, report: &BatchReport) {
        self.steps = report.steps;
        if let Some(bar) = &self.bar {
            // Its first step may have been left out.
            if report.epoch != std::mem::replace(&mut self.shown, report.epoch) {
                bar.reset();
                bar.set_length(report.steps as u64);
                bar.set_prefix(format!("Epoch {}/{}", report.epoch, self.epochs));
            }
            bar.set_position(report.step as u64);
            let (left, loss) = (clock(self.time_left(report)), report.loss);
            let accuracy = report.accuracy.map(|accuracy| format!(" - accuracy: {accuracy:.4}")).unwrap_or_default();
            bar.set_message(format!("{left} left - loss: {loss:.4}{accuracy}"));
        } else {
            let [done, all] = self.steps_done(report);
            self.estimate.at(done as f64 / all.max(1) as f64);
        }
    }
}

impl Callback for TrainingBar {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        match &step.detail {
            Detail::Training(report) => self.show(report),
            Detail::Skipped(SkippedStep { epoch, step, why, .. }) => {
                let note = || self.output.note(&format!("step {step} of epoch {epoch} is left out: {why}"));
                self.bar.as_ref().map_or_else(note, |bar| bar.suspend(note));
            }
            _ => {}
        }
        interrupt::flow()
    }

    fn resumed(&mut self, state: &mut TrainingState<'_>) {
        let epochs = state.history.epochs.len();
        let within = if state.steps > 0 { format!(" and {}", counted(state.steps, "step")) } else { String::new() };
        self.before = epochs;
        self.output.info(&format!("Resuming after {epochs} of {}{within}", counted(self.epochs, "epoch")));
    }

    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
        let Some(record) = state.record() else { return Ok(()) };
        let line = epoch_line(record, self.epochs, self.steps);
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.info(&line)),
            None => self.output.info(&line),
        }
        Ok(())
    }
}

impl Drop for TrainingBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0} steps/s", state.per_sec());
        })
        .progress_chars("━╸─")
}

/// Formats an epoch as one line, like Keras with `verbose=2`.
fn epoch_line(record: &EpochRecord, epochs: usize, steps: usize) -> String {
    let per_step = 1000.0 * record.seconds / steps.max(1) as f64;
    let mut line = format!(
        "Epoch {}/{epochs} - {:.0}s - {per_step:.0}ms/step - loss: {:.4}",
        record.epoch, record.seconds, record.loss
    );
    let values = [
        ("accuracy", record.accuracy),
        ("val_loss", record.val_loss),
        ("val_accuracy", record.val_accuracy),
        ("val_weighted_loss", record.val_weighted_loss),
        ("val_f1", record.val_f1),
        ("val_auc", record.val_auc),
    ];
    let values = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let metrics = record.metrics.iter().map(|(name, &value)| (name.clone(), value));
    let val_metrics = record.val_metrics.iter().map(|(name, &value)| (format!("val_{name}"), value));
    for (name, value) in values.chain(metrics).chain(val_metrics) {
        line += &format!(" - {name}: {value:.4}");
    }
    line
}

/// A duration as `0:07` or `1:02:07`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_epoch_is_that_of_keras() {
        let record = EpochRecord {
            epoch: 1,
            loss: 0.35214,
            accuracy: Some(0.89118),
            val_loss: Some(0.10111),
            val_accuracy: Some(0.97034),
            learning_rate: 1e-3,
            seconds: 2.632,
            ..EpochRecord::default()
        };
        assert_eq!(
            epoch_line(&record, 20, 188),
            "Epoch 1/20 - 3s - 14ms/step - loss: 0.3521 - accuracy: 0.8912 - val_loss: 0.1011 - val_accuracy: 0.9703"
        );
        let alone = EpochRecord { val_loss: None, val_accuracy: None, ..record.clone() };
        assert!(epoch_line(&alone, 20, 188).ends_with("accuracy: 0.8912"));
        let weighted = EpochRecord { val_weighted_loss: Some(0.25), val_f1: Some(0.5), ..record.clone() };
        assert!(epoch_line(&weighted, 20, 188).ends_with("val_weighted_loss: 0.2500 - val_f1: 0.5000"));
        let error = |value| [("mean_absolute_error".to_owned(), value)].into();
        let values =
            EpochRecord { accuracy: None, val_accuracy: None, metrics: error(0.5), val_metrics: error(0.25), ..record };
        assert!(epoch_line(&values, 20, 188).ends_with(
            "loss: 0.3521 - val_loss: 0.1011 - mean_absolute_error: 0.5000 - val_mean_absolute_error: 0.2500"
        ));
    }

    #[test]
    fn times_are_rounded_up() {
        let clock = |seconds| clock(Duration::from_secs_f64(seconds));
        assert_eq!([0.0, 6.2, 67.0, 3727.0].map(clock), ["0:00", "0:07", "1:07", "1:02:07"]);
    }

    #[test]
    fn the_bar_can_be_drawn() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }
}
