//! The progress bar, which also stops long work on Ctrl-C.

use std::fmt::Write;
use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use lucida::core::{Detail, FeedForwardProgress, Progress, Step, StyleProgress, Unit};
use lucida::nn::counted;
use lucida::weights::hub::megabytes;

use crate::estimate::Estimate;
use crate::interrupt;
use crate::output::Output;

const COUNT: &str = "{prefix} {wide_bar} {pos}/{len} - {rate} - {eta} left";
const STAGES: &str = "{msg:20} {wide_bar} {pos}/{len} - {per_sec} - {eta} left";
const BYTES: &str = "{wide_bar} {decimal_bytes}/{decimal_total_bytes} - {decimal_bytes_per_sec} - {eta} left";
const STYLE: &str = "{prefix} {wide_bar} {percent}% - {msg} - {eta} left";
const PERCENT: &str = "{wide_bar} {percent}% - {eta} left";
const LOSSES: &str = "{wide_bar} {pos}/{len} - {msg} - {per_sec} - {eta} left";
/// Number of lines printed for the training of a feed-forward style when there is no bar.
const LINES: u64 = 20;
/// Resolution of the bar for style transfer.
const PARTS: f64 = 10_000.0;

/// Shows progress, and stops the work on Ctrl-C where that is caught. On a terminal this is a bar; elsewhere, a line for
/// each tenth of a download and each scale of a style transfer, and a note with the time left for other long work.
pub(crate) struct Bar {
    output: Output,
    bar: Option<ProgressBar>,
    /// The current stage and its time estimate.
    stage: Option<String>,
    estimate: Estimate,
    /// Tenths of the download printed so far, and the reason for the last wait.
    tenths: u64,
    waiting: String,
    /// Index of the current image and number of images to stylize.
    image: [usize; 2],
}

impl Bar {
    /// A bar for work that starts now.
    pub(crate) fn new(output: Output) -> Self {
        let bar = (output.is_terminal() && !output.quiet()).then(|| ProgressBar::new(0));
        Self {
            output,
            bar,
            stage: None,
            estimate: Estimate::new(output),
            tenths: 0,
            waiting: String::new(),
            image: [0, 1],
        }
    }

    /// Sets the image that the following updates are about: index `number` of `count`.
    pub(crate) fn begin_image(&mut self, number: usize, count: usize) {
        self.image = [number, count];
    }

    /// Runs a closure that may print, with the bar hidden.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Clears the bar, so that its line can be printed on.
    pub(crate) fn hide(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Starts a new stage if `step` belongs to another one than before.
    fn begin(&mut self, step: &Step<'_>) {
        if self.stage.as_deref() == Some(step.stage) {
            return;
        }
        self.stage = Some(step.stage.to_owned());
        self.estimate = Estimate::of(self.output, step.stage);
        if let Some(bar) = &self.bar {
            let (template, label) = match (step.unit, step.stage) {
                (Unit::Bytes, _) => (BYTES, ""),
                (Unit::Pixels, _) if matches!(step.detail, Detail::Style(_)) => (STYLE, ""),
                (Unit::Pixels, _) => (PERCENT, ""),
                (unit, "") => (COUNT, label(unit)),
                _ => (STAGES, ""),
            };
            bar.reset();
            bar.set_style(style(template, label));
            bar.set_prefix(label);
            bar.set_message(step.stage.to_owned());
        }
    }

    fn show(&self, step: &Step<'_>) {
        match &self.bar {
            Some(bar) => {
                // The same stage starts again, for another image.
                if step.done == 0 {
                    bar.reset();
                }
                step.total.into_iter().for_each(|total| bar.set_length(total));
                bar.set_position(step.done);
            }
            None => step.fraction().into_iter().for_each(|fraction| self.estimate.at(fraction)),
        }
    }

    /// Shows the bytes of a download so far.
    fn show_bytes(&mut self, done: u64, total: u64) {
        self.waiting.clear();
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
                // Bytes from an earlier attempt do not count toward the speed.
                bar.set_position(done);
                bar.reset_eta();
            }
            bar.set_position(done);
            return;
        }
        let tenths = 10 * done / total.max(1);
        if tenths != self.tenths && done > 0 {
            self.tenths = tenths;
            self.output.info(&format!("{} of {} ({} %)", megabytes(done), megabytes(total), 10 * tenths));
        }
    }

    /// Prints the reason for a wait, once.
    fn show_wait(&mut self, why: &str) {
        if why != self.waiting {
            why.clone_into(&mut self.waiting);
            self.suspend(|| self.output.note(why));
        }
    }

    /// Shows a step of style transfer.
    fn show_style(&self, done: f64, style: &StyleProgress<'_>) {
        let [image, images] = self.image;
        let done = (image as f64 + done) / images as f64;
        let StyleProgress { size: [height, width], scale: [number, scales], step: [step, steps], .. } = *style;
        let (loss, content, style_loss) = (style.loss, style.content_loss, style.style_loss);
        match (&self.bar, style.frame) {
            (Some(bar), frame) => {
                bar.set_prefix(match frame {
                    Some([frame, frames]) => format!("frame {frame}/{frames}, {width}x{height}"),
                    None if images > 1 => {
                        format!("image {}/{images}, {width}x{height} ({number}/{scales})", image + 1)
                    }
                    None => format!("{width}x{height} ({number}/{scales})"),
                });
                bar.set_message(format!("loss {loss:.4} (content {content:.4}, style {style_loss:.4})"));
                bar.set_length(PARTS as u64);
                bar.set_position((PARTS * done) as u64);
            }
            (None, None) if step == steps => {
                let line = format!("{width}x{height}: {} - loss {loss:.4}", counted(steps, "step"));
                self.output.info(&format!("{line} - content {content:.4} - style {style_loss:.4}"));
            }
            (None, _) => self.estimate.at(done),
        }
    }
}

impl Bar {
    /// Shows a step of training a feed-forward style.
    fn show_training(&self, step: &Step<'_>, losses: &FeedForwardProgress) {
        let FeedForwardProgress { loss, content_loss, style_loss, .. } = *losses;
        let (done, total) = (step.done, step.total.unwrap_or(0));
        let words = format!("loss {loss:.4} (content {content_loss:.4}, style {style_loss:.4})");
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(LOSSES, ""));
                bar.set_message(words);
                bar.set_length(total);
                if bar.position() == 0 && done > 1 {
                    // Steps before a resume do not count toward the speed.
                    bar.set_position(done - 1);
                    bar.reset_eta();
                }
                bar.set_position(done);
            }
            None => {
                if done.is_multiple_of((total / LINES).max(1)) {
                    self.output.info(&format!("{done}/{total}: {words}"));
                }
                step.fraction().into_iter().for_each(|fraction| self.estimate.at(fraction));
            }
        }
    }
}

impl Progress for Bar {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        match (step.detail, step.unit) {
            (Detail::Waiting(why), _) => self.show_wait(why),
            (Detail::Style(style), _) => {
                self.begin(step);
                self.show_style(step.fraction().unwrap_or(0.0), &style);
            }
            (Detail::FeedForward(losses), _) => {
                self.begin(step);
                self.show_training(step, &losses);
            }
            // Computing a checksum is quick compared with the download.
            (_, Unit::Bytes) if !step.stage.is_empty() => {}
            (_, Unit::Bytes) => {
                self.begin(step);
                self.show_bytes(step.done, step.total.unwrap_or(0));
            }
            _ => {
                self.begin(step);
                self.show(step);
            }
        }
        interrupt::flow()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.hide();
    }
}

/// The label of a unit on the bar.
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
        for template in [COUNT, STAGES, BYTES, STYLE, PERCENT, LOSSES] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
