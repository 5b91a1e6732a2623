//! What a model file says about its training.

use serde_json::{Value, json};

use super::{Fitted, Settings};

impl Fitted {
    /// The settings and the results of a training for [`Model::training`](crate::weights::Model::training). There is
    /// neither a date nor a time in it, so that the same training gives the same file.
    pub fn record(&self, settings: &Settings) -> Value {
        let best = self.history.best().map(|record| {
            json!({
                "epoch": record.epoch,
                "loss": record.loss,
                "accuracy": record.accuracy,
                "val_loss": record.val_loss,
                "val_accuracy": record.val_accuracy,
            })
        });
        json!({
            "epochs": settings.epochs,
            "completed_epochs": self.history.epochs.len(),
            "batch_size": settings.batch_size,
            "schedule": settings.schedule,
            "optimizer": settings.optimizer,
            "seed": settings.seed,
            "best": best,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::nn::{Optimizer, Schedule, zoo};
    use crate::train::{EpochRecord, History};

    #[test]
    fn the_time_it_took_is_not_in_it() {
        let epoch = |seconds| EpochRecord {
            epoch: 1,
            loss: 0.5,
            accuracy: 0.75,
            val_loss: Some(0.25),
            val_accuracy: None,
            learning_rate: 1e-3,
            seconds,
        };
        let settings = Settings {
            epochs: 3,
            batch_size: 8,
            schedule: Schedule::constant(1e-3),
            optimizer: Optimizer::adam(),
            seed: 7,
            cpu: Cpu::detect(),
        };
        let record = |seconds| {
            let last = zoo::mnist_cnn(0).unwrap();
            let history = History { epochs: vec![epoch(seconds)] };
            Fitted { history, best_epoch: Some(1), last, interrupted: true, stopped_early: false }.record(&settings)
        };
        assert_eq!(record(1.0), record(2.0));
        assert_eq!(record(1.0)["completed_epochs"], 1);
        assert_eq!(record(1.0)["best"]["val_loss"], 0.25);
        assert_eq!(record(1.0)["optimizer"]["name"], "adam");
    }
}
