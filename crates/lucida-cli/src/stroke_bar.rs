//! How a painting shows itself: a bar with its losses on a terminal, a line for each size when piped.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressStyle};
use lucida::nn::counted;
use lucida::style::Report;

use crate::estimate::Estimate;
use crate::output::Output;

const TEMPLATE: &str = "{prefix} {wide_bar} {percent}% - {msg} - {eta} left";
/// Parts of the work that the bar tells apart.
const PARTS: f64 = 10_000.0;

/// Shows how far a painting has come.
pub(crate) struct StrokeBar {
    output: Output,
    bar: Option<ProgressBar>,
    estimate: Estimate,
    /// The number of the image, from 0, and of how many.
    image: Cell<[usize; 2]>,
}

impl StrokeBar {
    /// For one image.
    pub(crate) fn new(output: Output) -> Self {
        let shown = output.is_watched() && !output.quiet();
        let bar = shown.then(|| ProgressBar::new(PARTS as u64).with_style(style()));
        Self { output, bar, estimate: Estimate::new(output), image: Cell::new([0, 1]) }
    }

    /// What follows is about image `number`, from 0, of `count`.
    pub(crate) fn begin(&self, number: usize, count: usize) {
        self.image.set([number, count]);
    }

    /// A step was made.
    pub(crate) fn show(&self, report: &Report) {
        let [image, images] = self.image.get();
        let done = (image as f64 + report.done) / images as f64;
        let ([height, width], [number, scales]) = (report.size, report.scale);
        match &self.bar {
            Some(bar) => {
                let image = if images > 1 { format!("image {}/{images}, ", image + 1) } else { String::new() };
                draw(bar, format!("{image}{width}x{height} ({number}/{scales})"), report, done);
            }
            None if report.step[0] == report.step[1] => {
                let (losses, style) = (report.losses, style_loss(report));
                let line = format!("{width}x{height}: {} - loss {:.4}", counted(report.step[1], "step"), losses.total);
                self.output.info(&format!("{line} - content {:.4} - style {style:.4}", losses.content));
            }
            None => self.estimate.at(done),
        }
    }

    /// A step was made for frame `number`, from 1, of `count`; the report's `done` is that of the sequence.
    pub(crate) fn show_frame(&self, [number, count]: [usize; 2], report: &Report) {
        let [height, width] = report.size;
        match &self.bar {
            Some(bar) => draw(bar, format!("frame {number}/{count}, {width}x{height}"), report, report.done),
            None => self.estimate.at(report.done),
        }
    }

    /// Does something that may print.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

impl Drop for StrokeBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows a step, after which `done` of all the work is done, from 0 to 1.
fn draw(bar: &ProgressBar, prefix: String, report: &Report, done: f64) {
    let (losses, style) = (report.losses, style_loss(report));
    bar.set_prefix(prefix);
    bar.set_message(format!("loss {:.4} (content {:.4}, style {style:.4})", losses.total, losses.content));
    bar.set_position((PARTS * done) as u64);
}

/// That of all layers.
fn style_loss(report: &Report) -> f64 {
    report.losses.style.iter().sum()
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bar_can_be_drawn() {
        indicatif::ProgressStyle::with_template(super::TEMPLATE).unwrap();
    }
}
