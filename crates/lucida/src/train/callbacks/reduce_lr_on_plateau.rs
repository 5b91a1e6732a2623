//! Lowers the learning rate on a plateau.

use serde_json::{Value, json};

use super::{Callback, TrainingState};
use crate::{Error, Result};

/// Lowers the learning rate after a number of epochs without a better one, as Keras's `ReduceLROnPlateau`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceLrOnPlateau {
    patience: usize,
    factor: f64,
}

impl ReduceLrOnPlateau {
    /// Multiplies the learning rate by `factor` after `patience` epochs without a better one; 0 counts as 1.
    ///
    /// # Errors
    /// [`Error::Argument`] when the factor is not between 0 and 1.
    pub fn new(patience: usize, factor: f64) -> Result<Self> {
        if !(factor > 0.0 && factor <= 1.0) {
            return Err(Error::argument(format!(
                "a factor for the learning rate is above 0 and at most 1, not {factor}"
            )));
        }
        Ok(Self { patience: patience.max(1), factor })
    }
}

impl Callback for ReduceLrOnPlateau {
    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
        if state.epochs_on_plateau >= self.patience {
            state.scale_learning_rate(self.factor);
        }
        Ok(())
    }

    fn config(&self) -> Option<(&'static str, Value)> {
        Some(("plateau", json!({ "patience": self.patience, "factor": self.factor })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_checked() {
        for factor in [0.0, -1.0, 2.0, f64::NAN] {
            assert!(ReduceLrOnPlateau::new(3, factor).is_err(), "{factor}");
        }
        assert!(ReduceLrOnPlateau::new(3, 0.5).is_ok());
    }
}
