//! Reduces the learning rate on a plateau.

use serde_json::{Value, json};

use super::{Callback, TrainingState};
use crate::{Error, Result};

/// Reduces the learning rate after a number of epochs without improvement, like Keras's `ReduceLROnPlateau`.
///
/// ```
/// use lucida::prelude::*;
///
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// let config = TrainConfig { epochs: 3, learning_rate: 1e-30.into(), ..TrainConfig::default() };
/// let reduce = ReduceLrOnPlateau::new(1, 0.5)?;
/// let result = Trainer::new(config).callback(reduce).fit(&mut model, &train, Some(&validation))?;
/// let rates: Vec<f64> = result.history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
/// assert_eq!(rates, [1e-30, 1e-30, 0.5e-30]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceLrOnPlateau {
    patience: usize,
    factor: f64,
}

impl ReduceLrOnPlateau {
    /// Multiplies the learning rate by `factor` after `patience` epochs without improvement; 0 counts as 1.
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
