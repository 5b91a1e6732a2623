//! Time estimates for work without a progress bar: one note, printed after the first steps.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::output::{Output, seconds};

/// Minimum time before an estimate is made.
const FIRST: Duration = Duration::from_secs(2);
/// Minimum time left that is worth a note.
const LONG: Duration = Duration::from_secs(20);

/// Prints a note on the time left, once.
pub(crate) struct Estimate {
    output: Output,
    /// The stage that is estimated; empty for the whole work.
    stage: String,
    /// Time and progress of the first report. One-time costs, such as reading the model, come before it.
    first: Cell<Option<(Instant, f64)>>,
    printed: Cell<bool>,
}

impl Estimate {
    /// An estimate for work that starts now.
    pub(crate) fn new(output: Output) -> Self {
        Self::of(output, "")
    }

    /// An estimate for a stage that starts now.
    pub(crate) fn of(output: Output, stage: &str) -> Self {
        Self { output, stage: stage.to_owned(), first: Cell::new(None), printed: Cell::new(false) }
    }

    /// Reports the fraction of the work that is done, 0 to 1.
    pub(crate) fn at(&self, done: f64) {
        if self.printed.get() {
            return;
        }
        let Some((started, before)) = self.first.get() else {
            return self.first.set(Some((Instant::now(), done)));
        };
        let passed = started.elapsed();
        if passed < FIRST || done <= before {
            return;
        }
        self.printed.set(true);
        if let Some(left) = left(passed, before, done) {
            let stage = if self.stage.is_empty() { String::new() } else { format!("{}: ", self.stage) };
            self.output.note(&format!("{stage}about {} left", seconds(left.as_secs_f64())));
        }
    }
}

/// The time left, if it is at least [`LONG`], given that the work progressed from `before` to `done` in the time `passed`.
fn left(passed: Duration, before: f64, done: f64) -> Option<Duration> {
    let left = Duration::try_from_secs_f64(passed.as_secs_f64() * (1.0 - done).max(0.0) / (done - before)).ok()?;
    (left >= LONG).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_told() {
        let of = |passed, done| left(Duration::from_secs(passed), 0.0, done);
        assert_eq!(of(3, 0.01), Some(Duration::from_secs(297)));
        assert_eq!(of(3, 0.5), None);
        assert_eq!(of(3, 1.0), None);
        assert_eq!(of(3, f64::MIN_POSITIVE), None);
        // Progress at the first report says nothing about the speed.
        assert_eq!(left(Duration::from_secs(4), 0.5, 0.6), None);
        assert_eq!(left(Duration::from_secs(9), 0.1, 0.2), Some(Duration::from_secs(72)));
    }
}
