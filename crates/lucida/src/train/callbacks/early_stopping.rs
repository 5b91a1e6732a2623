//! Early stopping.

use serde_json::Value;

use super::{Callback, TrainingState};
use crate::Result;

/// Stops training after a number of epochs without improvement, like Keras's `EarlyStopping`. The model always keeps the
/// weights of the best epoch.
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
/// // With a learning rate of almost nothing, no epoch is better than the first.
/// let config = TrainConfig { epochs: 20, learning_rate: 1e-30.into(), ..TrainConfig::default() };
/// let result = Trainer::new(config).callback(EarlyStopping::new(3)).fit(&mut model, &train, Some(&validation))?;
/// assert!(result.stopped_early);
/// assert_eq!((result.best_epoch, result.history.epochs.len()), (Some(1), 1 + 3));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyStopping {
    patience: usize,
}

impl EarlyStopping {
    /// Stops after `patience` epochs without improvement; 0 counts as 1.
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
