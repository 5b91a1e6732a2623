//! The progress bar: how long work shows itself, and where Ctrl-C stops it.

use std::fmt::Write;
use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use lucida::core::{Progress, Step, Unit};

use crate::estimate::Estimate;
use crate::interrupt;
use crate::output::Output;

const COUNT: &str = "{prefix} {wide_bar} {pos}/{len} - {rate} - {eta} left";
const STAGES: &str = "{msg:20} {wide_bar} {pos}/{len} - {per_sec} - {eta} left";

/// Shows the progress of work, and stops it on Ctrl-C where that is caught: a bar on a terminal; elsewhere a note on the
/// time that is left, where that is long.
pub(crate) struct Bar {
    output: Output,
    bar: Option<ProgressBar>,
    /// The stage at hand, and its time.
    stage: Option<String>,
    estimate: Estimate,
}

impl Bar {
    /// For work that begins now.
    pub(crate) fn new(output: Output) -> Self {
        let bar = (output.is_watched() && !output.quiet()).then(|| ProgressBar::new(0));
        Self { output, bar, stage: None, estimate: Estimate::new(output) }
    }

    /// Clears the line, for something to be printed there.
    pub(crate) fn hide(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Begins a stage, where `step` is of another one than before.
    fn begin(&mut self, step: &Step<'_>) {
        if self.stage.as_deref() == Some(step.stage) {
            return;
        }
        self.stage = Some(step.stage.to_owned());
        self.estimate = Estimate::of(self.output, step.stage);
        if let Some(bar) = &self.bar {
            let (template, label) = if step.stage.is_empty() { (COUNT, label(step.unit)) } else { (STAGES, "") };
            bar.reset();
            bar.set_style(style(template, label));
            bar.set_prefix(label);
            bar.set_message(step.stage.to_owned());
        }
    }

    fn show(&self, step: &Step<'_>) {
        match &self.bar {
            Some(bar) => {
                // A stage that comes again, for another image.
                if step.done == 0 {
                    bar.reset();
                }
                step.total.into_iter().for_each(|total| bar.set_length(total));
                bar.set_position(step.done);
            }
            None => step.fraction().into_iter().for_each(|fraction| self.estimate.at(fraction)),
        }
    }
}

impl Progress for Bar {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        self.begin(step);
        self.show(step);
        interrupt::flow()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.hide();
    }
}

/// What a bar calls a unit.
fn label(unit: Unit) -> &'static str {
    match unit {
        Unit::Images => "Images",
        Unit::Files => "Files",
        Unit::Features => "Features",
        Unit::Passes => "Passes",
        _ => "Steps",
    }
}

fn style(template: &str, label: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", move |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.1} {}/s", state.per_sec(), label.to_lowercase());
        })
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        for template in [COUNT, STAGES] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
