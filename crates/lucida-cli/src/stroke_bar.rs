//! How a painting shows itself: a bar with its losses on a terminal, a line for each size when piped.

use indicatif::{ProgressBar, ProgressStyle};
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
}

impl StrokeBar {
    pub(crate) fn new(output: Output) -> Self {
        let shown = output.is_watched() && !output.quiet();
        let bar = shown.then(|| ProgressBar::new(PARTS as u64).with_style(style()));
        Self { output, bar, estimate: Estimate::new(output) }
    }

    /// A step was made.
    pub(crate) fn show(&self, report: &Report) {
        let losses = report.losses;
        let ([height, width], [number, scales]) = (report.size, report.scale);
        let style: f64 = losses.style.iter().sum();
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(format!("{width}x{height} ({number}/{scales})"));
                bar.set_message(format!("loss {:.4} (content {:.4}, style {style:.4})", losses.total, losses.content));
                bar.set_position((PARTS * report.done) as u64);
            }
            None if report.step[0] == report.step[1] => {
                let line = format!("{width}x{height}: {} steps - loss {:.4}", report.step[1], losses.total);
                self.output.info(&format!("{line} - content {:.4} - style {style:.4}", losses.content));
            }
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
