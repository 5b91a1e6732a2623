//! Writes the history after each epoch.

use std::path::PathBuf;

use super::{Callback, TrainingState};
use crate::Result;

/// Writes the [history](crate::train::History) to a CSV file after each epoch, like Keras's `CSVLogger`.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::train::History;
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// let path = folder.join("history.csv");
/// let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
/// let result = Trainer::new(config).callback(CsvLogger::new(&path)).fit(&mut model, &train, Some(&validation))?;
/// assert_eq!(History::load_csv(&path)?.epochs.len(), result.history.epochs.len());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLogger {
    path: PathBuf,
}

impl CsvLogger {
    /// Creates a logger; the file is replaced atomically after each epoch.
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
