//! Loss and metrics of each epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plot::{Curves, Panel};
use crate::{Error, Result, files};

/// Results of one epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean training loss, measured during the epoch.
    pub loss: f64,
    /// Training accuracy, measured during the epoch; for classes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Mean loss on the validation data after the epoch.
    pub val_loss: Option<f64>,
    /// Accuracy on the validation data after the epoch.
    pub val_accuracy: Option<f64>,
    /// Class-weighted mean loss on the validation data, if there are class weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_weighted_loss: Option<f64>,
    /// Macro F1 on the validation data, if it is the monitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_f1: Option<f64>,
    /// Area under the ROC curve on the validation data, if it is the monitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_auc: Option<f64>,
    /// [Metrics](super::metrics) on the training data, measured during the epoch, by Keras's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Metrics on the validation data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub val_metrics: BTreeMap<String, f64>,
    /// Decay of the moving average of the weights that the validation results are based on, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Duration in seconds, including validation.
    pub seconds: f64,
    /// Steps that were [left out](super::OnNan::Skip), as their loss or gradient was not finite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_steps: usize,
}

/// For what is written only where there is any.
pub(super) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A column of the table: its name, and its value for an epoch.
type Column<'a> = (String, Box<dyn Fn(&EpochRecord) -> Option<f64> + 'a>);

/// Results of all epochs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    /// The epoch with the lowest validation loss (class-weighted if there are class weights; the training loss without
    /// validation data); the first of equal ones.
    pub fn best(&self) -> Option<&EpochRecord> {
        let key = |record: &&EpochRecord| record.val_weighted_loss.or(record.val_loss).unwrap_or(record.loss);
        self.epochs.iter().filter(|record| key(record).is_finite()).min_by(|a, b| key(a).total_cmp(&key(b)))
    }

    /// Number of skipped steps in all epochs.
    pub fn skipped_steps(&self) -> usize {
        self.epochs.iter().map(|record| record.skipped_steps).sum()
    }

    /// Writes a CSV table with Keras's column names. Columns without values in any epoch are omitted (accuracy without
    /// classes, weighted loss, F1, ROC AUC, metrics, decay of the moving average, skipped steps).
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the file cannot be written.
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_atomic(path, |out| {
            let (first, more) = self.columns();
            let names = |columns: &[Column<'_>]| columns.iter().map(|(name, _)| format!(",{name}")).collect::<String>();
            writeln!(out, "epoch{},learning_rate,seconds{}", names(&first), names(&more))?;
            for record in &self.epochs {
                let values = |columns: &[Column<'_>]| {
                    let text =
                        |(_, value): &Column<'_>| value(record).map_or(",".to_owned(), |value| format!(",{value:.6}"));
                    columns.iter().map(text).collect::<String>()
                };
                let EpochRecord { epoch, learning_rate, seconds, .. } = record;
                writeln!(out, "{epoch}{},{learning_rate:e},{seconds:.3}{}", values(&first), values(&more))?;
            }
            Ok(())
        })
    }

    /// Columns before the learning rate, and columns after the seconds.
    fn columns(&self) -> (Vec<Column<'_>>, Vec<Column<'_>>) {
        type Value = fn(&EpochRecord) -> Option<f64>;
        let column = |(name, value): &(&str, Value)| -> Column<'_> { ((*name).to_owned(), Box::new(*value)) };
        let has =
            |value: &dyn Fn(&EpochRecord) -> Option<f64>| self.epochs.iter().any(|record| value(record).is_some());
        let classified = has(&|record| record.accuracy) || self.epochs.is_empty();
        let first: [(&str, Value); 4] = [
            ("accuracy", |record| record.accuracy),
            ("loss", |record| Some(record.loss)),
            ("val_accuracy", |record| record.val_accuracy),
            ("val_loss", |record| record.val_loss),
        ];
        let first = first.iter().filter(|(name, _)| classified || !name.ends_with("accuracy")).map(column).collect();
        let more: [(&str, Value); 5] = [
            ("val_weighted_loss", |record| record.val_weighted_loss),
            ("val_f1", |record| record.val_f1),
            ("val_auc", |record| record.val_auc),
            ("ema", |record| record.ema),
            ("skipped_steps", |record| (record.skipped_steps > 0).then_some(record.skipped_steps as f64)),
        ];
        let mut more: Vec<Column<'_>> = more.iter().filter(|(_, value)| has(value)).map(column).collect();
        let of = |values: fn(&EpochRecord) -> &BTreeMap<String, f64>| -> BTreeSet<String> {
            self.epochs.iter().flat_map(|record| values(record).keys().cloned()).collect()
        };
        for name in of(|record| &record.metrics) {
            more.push((name.clone(), Box::new(move |record| record.metrics.get(&name).copied())));
        }
        for name in of(|record| &record.val_metrics) {
            more.push((format!("val_{name}"), Box::new(move |record| record.val_metrics.get(&name).copied())));
        }
        (first, more)
    }

    /// Reads a table written by [`save_csv`](Self::save_csv).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be read, [`Error::File`](crate::Error::File) names the first invalid
    /// line.
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = files::read_limited(path, 64 << 20)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut epochs = Vec::new();
        let columns: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
        for (number, line) in text.lines().enumerate().skip(1) {
            let record = parse(&columns, line)
                .ok_or_else(|| Error::file(path, format!("line {} is not an epoch record", number + 1)))?;
            epochs.push(record);
        }
        Ok(Self { epochs })
    }

    /// Training and validation curves of accuracy and loss; for labels and values, those of their metrics.
    pub fn curves(&self) -> Curves {
        let series =
            |value: fn(&EpochRecord) -> Option<f64>| -> Vec<f64> { self.epochs.iter().filter_map(value).collect() };
        let curves = Curves::accuracy_and_loss(
            &series(|record| record.accuracy),
            &series(|record| record.val_accuracy),
            &series(|record| Some(record.loss)),
            &series(|record| record.val_loss),
        );
        // Without classes, metrics are more informative than the loss.
        let classified = self.epochs.iter().any(|record| record.accuracy.is_some());
        let names: BTreeSet<&String> = self.epochs.iter().flat_map(|record| record.val_metrics.keys()).collect();
        let metrics = names.into_iter().filter(|name| !classified && *name != "mean_squared_error");
        metrics.fold(curves, |curves, name| {
            let title = name.replace('_', " ");
            let values = |of: fn(&EpochRecord) -> &BTreeMap<String, f64>| -> Vec<f64> {
                self.epochs.iter().map(|record| of(record).get(name).copied().unwrap_or(f64::NAN)).collect()
            };
            let (training, validation) = (values(|record| &record.metrics), values(|record| &record.val_metrics));
            let panel = Panel::new(&title, &title);
            let trained = training.iter().any(|value| value.is_finite());
            let panel = if trained { panel.series("training", &training) } else { panel };
            curves.panel(panel.series("validation", &validation))
        })
    }
}

/// Columns of the table that are not metrics.
pub(super) const COLUMNS: [&str; 12] = [
    "epoch",
    "accuracy",
    "loss",
    "val_accuracy",
    "val_loss",
    "learning_rate",
    "seconds",
    "val_weighted_loss",
    "val_f1",
    "val_auc",
    "ema",
    "skipped_steps",
];

/// Parses a line of a table with these columns, in any order; unknown columns are metrics.
fn parse(columns: &[&str], line: &str) -> Option<EpochRecord> {
    let fields: Vec<&str> = line.split(',').collect();
    if fields.len() != columns.len() {
        return None;
    }
    let text = |name: &str| columns.iter().position(|column| *column == name).map(|at| fields[at]);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    // Outer option: valid or not; inner option: the value, if there is one.
    let optional = |name: &str| match text(name) {
        None | Some("") => Some(None),
        Some(text) => text.parse::<f64>().ok().map(Some),
    };
    let metrics = |prefix: &str| -> Option<BTreeMap<String, f64>> {
        let mut found = BTreeMap::new();
        let own = |column: &&&str| !COLUMNS.contains(column) && column.starts_with("val_") != prefix.is_empty();
        for name in columns.iter().filter(own).filter_map(|column| column.strip_prefix(prefix)) {
            if let Some(value) = optional(&format!("{prefix}{name}"))? {
                found.insert(name.to_owned(), value);
            }
        }
        Some(found)
    };
    Some(EpochRecord {
        epoch: text("epoch")?.parse().ok()?,
        loss: number("loss")?,
        accuracy: optional("accuracy")?,
        val_loss: optional("val_loss")?,
        val_accuracy: optional("val_accuracy")?,
        val_weighted_loss: optional("val_weighted_loss")?,
        val_f1: optional("val_f1")?,
        val_auc: optional("val_auc")?,
        metrics: metrics("")?,
        val_metrics: metrics("val_")?,
        ema: optional("ema")?,
        learning_rate: number("learning_rate")?,
        seconds: number("seconds")?,
        skipped_steps: optional("skipped_steps")?.unwrap_or(0.0) as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of every table for classes.
    const HEAD: &str = "epoch,accuracy,loss,val_accuracy,val_loss,learning_rate,seconds";

    fn record(epoch: usize, val_loss: Option<f64>) -> EpochRecord {
        EpochRecord {
            epoch,
            loss: 1.0 / epoch as f64,
            accuracy: Some(0.5),
            val_loss,
            val_accuracy: val_loss.map(|_| 0.75),
            learning_rate: 1e-3,
            seconds: 1.25,
            ..EpochRecord::default()
        }
    }

    #[test]
    fn the_best_epoch_is_that_of_least_validation_loss() {
        let epochs = [Some(0.5), Some(0.2), Some(f64::NAN), Some(0.2)];
        let history = History { epochs: epochs.iter().enumerate().map(|(i, v)| record(i + 1, *v)).collect() };
        assert_eq!(history.best().unwrap().epoch, 2);
        let without = History { epochs: vec![record(1, None), record(2, None)] };
        assert_eq!(without.best().unwrap().epoch, 2);
        assert!(History::default().best().is_none());
    }

    #[test]
    fn the_table_has_a_row_for_each_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let history = History { epochs: vec![record(1, Some(0.5)), record(2, None)] };
        history.save_csv(&path).unwrap();
        assert_eq!(History::load_csv(&path).unwrap(), history);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "epoch,accuracy,loss,val_accuracy,val_loss,learning_rate,seconds\n\
             1,0.500000,1.000000,0.750000,0.500000,1e-3,1.250\n\
             2,0.500000,0.500000,,,1e-3,1.250\n"
        );
        // Optional columns appear with their first value, and are read by name.
        let weighted = EpochRecord { val_weighted_loss: Some(0.25), val_f1: Some(0.5), ..record(2, Some(0.75)) };
        let averaged = EpochRecord { val_auc: Some(1.0), ema: Some(0.999), skipped_steps: 2, ..record(4, None) };
        let history = History { epochs: vec![record(1, Some(0.5)), weighted, averaged] };
        history.save_csv(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("{HEAD},val_weighted_loss,val_f1,val_auc,ema,skipped_steps\n")), "{text}");
        assert_eq!(History::load_csv(&path).unwrap(), history);
        assert_eq!(history.best().unwrap().epoch, 2);
        std::fs::write(&path, "head\n1,2,3\n").unwrap();
        assert!(History::load_csv(&path).unwrap_err().to_string().ends_with("line 2 is not an epoch record"));
    }
    #[test]
    fn metrics_have_columns_and_what_is_not_classified_has_no_accuracy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let of = |value: f64| BTreeMap::from([("mean_absolute_error".to_owned(), value)]);
        let record = |epoch: usize| EpochRecord {
            accuracy: None,
            val_accuracy: None,
            metrics: of(0.25),
            val_metrics: if epoch == 1 { of(0.5) } else { BTreeMap::new() },
            ..record(epoch, Some(0.75))
        };
        let history = History { epochs: vec![record(1), record(2)] };
        history.save_csv(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "epoch,loss,val_loss,learning_rate,seconds,mean_absolute_error,val_mean_absolute_error\n\
             1,1.000000,0.750000,1e-3,1.250,0.250000,0.500000\n\
             2,0.500000,0.750000,1e-3,1.250,0.250000,\n"
        );
        assert_eq!(History::load_csv(&path).unwrap(), history);
        // The JSON of checkpoints and records round-trips too.
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
        assert!(!text.contains("\"accuracy\""), "{text}");
    }
}
