//! Early stopping.

use serde_json::Value;

use super::{Callback, TrainingState};
use crate::Result;

/// Ends a training after a number of epochs without a better one, as Keras's `EarlyStopping`. The model always keeps the
/// weights of the best epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyStopping {
    patience: usize,
}

impl EarlyStopping {
    /// Stops after `patience` epochs without a better one; 0 counts as 1.
    #[must_use]
    pub fn new(patience: usize) -> Self {
        Self { patience: patience.max(1) }
    }

    fn decide(self, state: &mut TrainingState<'_>) {
        if state.epochs_since_best >= self.patience {
            state.stop();
        }
    }
}

impl Callback for EarlyStopping {
    fn resumed(&mut self, state: &mut TrainingState<'_>) {
        self.decide(state);
    }

    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
        self.decide(state);
        Ok(())
    }

    fn config(&self) -> Option<(&'static str, Value)> {
        Some(("early_stopping", self.patience.into()))
    }
}
