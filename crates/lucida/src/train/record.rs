//! The training record in a model file.

use serde_json::{Value, json};

use super::{History, TrainConfig};
use crate::files::decimals;

/// Configuration and results of a training run; optional settings (`options`) only if they differ from the default.
pub(super) fn record(config: &TrainConfig, options: &Value, history: &History, best_epoch: Option<usize>) -> Value {
    let best = best_epoch.and_then(|best| history.epochs.get(best - 1)).map(|record| {
        let mut best = json!(record);
        best.as_object_mut().map(|entries| entries.remove("seconds"));
        best
    });
    let mut options = options.clone();
    let usual = json!(TrainConfig::default());
    if let Some(entries) = options.as_object_mut() {
        entries.retain(|name, value| *value != usual[name]);
    }
    let mut record = json!({
        "epochs": config.epochs,
        "completed_epochs": history.epochs.len(),
        "batch_size": config.batch_size,
        "schedule": config.learning_rate,
        "optimizer": config.optimizer,
        "options": options,
        "seed": config.seed,
        "monitor": config.monitor,
        "weights": config.ema.map_or("of the steps", |_| "exponential moving average"),
        "best": best,
    });
    let skipped = history.skipped_steps();
    if let Some(entries) = record.as_object_mut().filter(|_| skipped > 0) {
        entries.insert("skipped_steps".to_owned(), skipped.into());
    }
    decimals(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{EpochRecord, Monitor};

    #[test]
    fn the_time_it_took_is_not_in_it() {
        let record = |seconds| record(&[0.25], 1, seconds);
        assert_eq!(record(1.0), record(2.0));
        assert_eq!(record(1.0)["completed_epochs"], 1);
        assert_eq!(record(1.0)["best"]["val_loss"], 0.25);
        assert_eq!(record(1.0)["optimizer"]["name"], "adam");
        // 32-bit numbers are written as they were specified.
        assert_eq!(record(1.0)["optimizer"]["beta_1"], 0.9);
        assert_eq!(record(1.0)["options"], json!({"ema": 0.9, "monitor": "f1"}));
    }

    #[test]
    fn the_best_epoch_is_the_one_that_was_kept() {
        // The best epoch by accuracy need not have the lowest loss.
        let record = record(&[0.25, 0.5, 0.75], 2, 1.0);
        assert_eq!((&record["best"]["epoch"], &record["best"]["val_loss"]), (&2.into(), &0.5.into()));
    }

    fn record(val_losses: &[f64], best: usize, seconds: f64) -> Value {
        let epoch = |(index, &val_loss): (usize, &f64)| EpochRecord {
            epoch: index + 1,
            loss: 0.5,
            accuracy: Some(0.75),
            val_loss: Some(val_loss),
            val_accuracy: None,
            learning_rate: 1e-3,
            seconds,
            ..EpochRecord::default()
        };
        let config = TrainConfig {
            epochs: 3,
            batch_size: 8,
            seed: 7,
            monitor: Monitor::F1,
            ema: Some(0.9),
            ..Default::default()
        };
        let history = History { epochs: val_losses.iter().enumerate().map(epoch).collect() };
        super::record(&config, &json!(config), &history, Some(best))
    }
}
