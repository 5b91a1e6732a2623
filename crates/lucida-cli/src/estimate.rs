//! How long work will take that shows no bar: a note, once, as soon as its first steps tell.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::output::{Output, seconds};

/// The first steps are waited for so long; where one takes longer, it is enough.
const FIRST: Duration = Duration::from_secs(2);
/// Shorter work needs no note.
const LONG: Duration = Duration::from_secs(20);

/// Tells how much time is left of some work.
pub(crate) struct Estimate {
    output: Output,
    /// The stage of the work that is meant, empty for all of it.
    stage: String,
    /// The first report: when, and what was done. Before it lies what is done once, as reading a model.
    first: Cell<Option<(Instant, f64)>>,
    told: Cell<bool>,
}

impl Estimate {
    /// For work that begins now.
    pub(crate) fn new(output: Output) -> Self {
        Self::of(output, "")
    }

    /// For a stage of some work, which begins now.
    pub(crate) fn of(output: Output, stage: &str) -> Self {
        Self { output, stage: stage.to_owned(), first: Cell::new(None), told: Cell::new(false) }
    }

    /// Of the work, this part is done: from 0 to 1.
    pub(crate) fn at(&self, done: f64) {
        if self.told.get() {
            return;
        }
        let Some((started, before)) = self.first.get() else {
            return self.first.set(Some((Instant::now(), done)));
        };
        let passed = started.elapsed();
        if passed < FIRST || done <= before {
            return;
        }
        self.told.set(true);
        if let Some(left) = left(passed, before, done) {
            let stage = if self.stage.is_empty() { String::new() } else { format!("{}: ", self.stage) };
            self.output.note(&format!("{stage}about {} left", seconds(left.as_secs_f64())));
        }
    }
}

/// The time left, where it is long: in the time that has passed, the work went from `before` to `done`.
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
        // What was done at the first report tells nothing of the speed.
        assert_eq!(left(Duration::from_secs(4), 0.5, 0.6), None);
        assert_eq!(left(Duration::from_secs(9), 0.1, 0.2), Some(Duration::from_secs(72)));
    }
}
