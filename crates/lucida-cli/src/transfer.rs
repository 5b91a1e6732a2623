//! How a download shows itself: a bar on a terminal, a line for each tenth when piped.

use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};
use lucida::weights::hub::{Event, megabytes};

use crate::interrupt;
use crate::output::Output;

const TEMPLATE: &str = "{wide_bar} {decimal_bytes}/{decimal_total_bytes} - {decimal_bytes_per_sec} - {eta} left";

/// Watches a download, shows it, and stops it on Ctrl-C.
pub(crate) struct Transfer {
    output: Output,
    bar: Option<ProgressBar>,
    /// The tenths that have been told, and the last wait.
    told: u64,
    waiting: String,
}

impl Transfer {
    pub(crate) fn new(output: Output) -> Self {
        let bar = (output.is_watched() && !output.quiet()).then(|| ProgressBar::no_length().with_style(style()));
        Self { output, bar, told: 0, waiting: String::new() }
    }

    /// Shows what has happened.
    pub(crate) fn show(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Progress { done, total } => {
                self.waiting.clear();
                self.progress(*done, *total);
            }
            Event::Waiting(why) if *why != self.waiting => {
                self.waiting.clone_from(why);
                let note = || self.output.note(why);
                self.bar.as_ref().map_or_else(note, |bar| bar.suspend(note));
            }
            _ => {}
        }
        if interrupt::is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn progress(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
                // What arrived in an earlier attempt is no part of the rate.
                bar.set_position(done);
                bar.reset_eta();
            }
            bar.set_position(done);
            return;
        }
        let tenths = 10 * done / total.max(1);
        if tenths != self.told && done > 0 {
            self.told = tenths;
            self.output.info(&format!("{} of {} ({} %)", megabytes(done), megabytes(total), 10 * tenths));
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }
}
