//! What a model file says about its training.

use serde_json::{Value, json};

use super::{Fit, Fitted, Options};
use crate::files::decimals;

impl Fitted {
    /// The settings and the results of a training for [`Model::training`](crate::weights::Model::training). There is
    /// neither a date nor a time in it, so that the same training gives the same file. Options are there where they are
    /// not the default.
    pub fn record(&self, fit: &Fit) -> Value {
        let settings = &fit.settings;
        let best = self.best_epoch.and_then(|best| self.history.epochs.get(best - 1)).map(|record| {
            let mut best = json!(record);
            best.as_object_mut().map(|entries| entries.remove("seconds"));
            best
        });
        let mut options = json!(fit.options);
        let usual = json!(Options::default());
        if let Some(entries) = options.as_object_mut() {
            entries.retain(|name, value| *value != usual[name]);
        }
        decimals(json!({
            "epochs": settings.epochs,
            "completed_epochs": self.history.epochs.len(),
            "batch_size": settings.batch_size,
            "schedule": settings.schedule,
            "optimizer": settings.optimizer,
            "options": options,
            "seed": settings.seed,
            "monitor": fit.options.monitor,
            "weights": fit.options.ema.map_or("of the steps", |_| "exponential moving average"),
            "best": best,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::nn::{Optimizer, Schedule, zoo};
    use crate::train::{EpochRecord, History, Monitor, Settings};

    #[test]
    fn the_time_it_took_is_not_in_it() {
        let record = |seconds| record(&[0.25], 1, seconds);
        assert_eq!(record(1.0), record(2.0));
        assert_eq!(record(1.0)["completed_epochs"], 1);
        assert_eq!(record(1.0)["best"]["val_loss"], 0.25);
        assert_eq!(record(1.0)["optimizer"]["name"], "adam");
        // 32-bit numbers are written as they were given.
        assert_eq!(record(1.0)["optimizer"]["beta_1"], 0.9);
        assert_eq!(record(1.0)["options"], json!({"ema": 0.9, "monitor": "f1"}));
    }

    #[test]
    fn the_best_epoch_is_the_one_that_was_kept() {
        // As when it is judged by its accuracy: its loss is not the least.
        let record = record(&[0.25, 0.5, 0.75], 2, 1.0);
        assert_eq!((&record["best"]["epoch"], &record["best"]["val_loss"]), (&2.into(), &0.5.into()));
    }

    fn record(val_losses: &[f64], best: usize, seconds: f64) -> Value {
        let epoch = |(index, &val_loss): (usize, &f64)| EpochRecord {
            epoch: index + 1,
            loss: 0.5,
            accuracy: 0.75,
            val_loss: Some(val_loss),
            val_accuracy: None,
            learning_rate: 1e-3,
            seconds,
            ..EpochRecord::default()
        };
        let settings = Settings {
            epochs: 3,
            batch_size: 8,
            schedule: Schedule::constant(1e-3),
            optimizer: Optimizer::adam(),
            seed: 7,
            cpu: Cpu::detect(),
        };
        let options = Options { monitor: Monitor::F1, ema: Some(0.9), ..Options::default() };
        let history = History { epochs: val_losses.iter().enumerate().map(epoch).collect() };
        let last = zoo::mnist_cnn(0).unwrap();
        Fitted { history, best_epoch: Some(best), last, interrupted: true, stopped_early: false }
            .record(&Fit::new(settings).options(options))
    }
}
