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
        let ([height, width], [number, scales]) = (report.size, report.scale);
        match &self.bar {
            Some(bar) => draw(bar, format!("{width}x{height} ({number}/{scales})"), report),
            None if report.step[0] == report.step[1] => {
                let (losses, style) = (report.losses, style_loss(report));
                let line = format!("{width}x{height}: {} steps - loss {:.4}", report.step[1], losses.total);
                self.output.info(&format!("{line} - content {:.4} - style {style:.4}", losses.content));
            }
            None => self.estimate.at(report.done),
        }
    }

    /// A step was made for frame `number`, from 1, of `count`; the report's `done` is that of the sequence.
    pub(crate) fn show_frame(&self, [number, count]: [usize; 2], report: &Report) {
        let [height, width] = report.size;
        match &self.bar {
            Some(bar) => draw(bar, format!("frame {number}/{count}, {width}x{height}"), report),
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

fn draw(bar: &ProgressBar, prefix: String, report: &Report) {
    let (losses, style) = (report.losses, style_loss(report));
    bar.set_prefix(prefix);
    bar.set_message(format!("loss {:.4} (content {:.4}, style {style:.4})", losses.total, losses.content));
    bar.set_position((PARTS * report.done) as u64);
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
