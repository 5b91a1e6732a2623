//! The table of the epochs, as they end.

use std::path::PathBuf;

use super::{Callback, TrainingState};
use crate::Result;

/// Writes the [history](crate::train::History) as a table of comma-separated values after each epoch, as Keras's `CSVLogger`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLogger {
    path: PathBuf,
}

impl CsvLogger {
    /// Writes to this file, which is replaced as a whole after each epoch.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Callback for CsvLogger {
    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
        state.history.save_csv(&self.path)
    }
}
