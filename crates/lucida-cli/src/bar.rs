//! A bar for work of known length.

use std::fmt::Write;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::estimate::Estimate;
use crate::output::Output;

const TEMPLATE: &str = "{prefix} {wide_bar} {pos}/{len} - {rate} - {eta} left";

/// A bar on a terminal; when piped, a note on the time of long work, and a line at the end says what was done.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    estimate: Mutex<Estimate>,
}

impl Bar {
    /// For so many of `what`, as in "Steps".
    pub(crate) fn new(output: Output, what: &'static str) -> Self {
        let shown = output.is_watched() && !output.quiet();
        let bar = shown.then(|| ProgressBar::new(0).with_style(style(what)).with_prefix(what));
        Self { bar, estimate: Mutex::new(Estimate::new(output)) }
    }

    /// `done` of `total` are done.
    pub(crate) fn set(&self, done: usize, total: usize) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            // The threads that count wait for nobody.
            None => {
                if let Ok(estimate) = self.estimate.try_lock() {
                    estimate.at(done as f64 / total.max(1) as f64);
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(what: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", move |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.1} {}/s", state.per_sec(), what.to_lowercase());
        })
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }
}
