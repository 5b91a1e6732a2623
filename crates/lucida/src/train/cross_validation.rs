//! Cross-validation results.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Confusion, Evaluation, TargetEvaluation};
use crate::files::{self, decimals};
use crate::{Error, Result};

/// Results of a cross-validation: each fold is measured with a network that was trained without it.
///
/// ```
/// use lucida::train::{CrossValidation, FoldResult};
///
/// let fold = |accuracy: f64| FoldResult { metrics: [("accuracy".to_owned(), accuracy)].into(), ..FoldResult::default() };
/// let folds = CrossValidation { folds: vec![fold(0.5), fold(0.75), fold(1.0)], ..CrossValidation::default() };
/// assert_eq!((folds.mean("accuracy"), folds.deviation("accuracy")), (Some(0.75), Some(0.25)));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Total number of folds.
    pub count: usize,
    /// Settings and data that must match for it to resume.
    #[serde(default)]
    pub settings: Value,
    /// Notes on the data, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Completed folds.
    pub folds: Vec<FoldResult>,
}

/// Results of one fold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FoldResult {
    /// Number of the fold, from 1.
    pub fold: usize,
    /// Number of training images, and of validation images.
    pub images: [usize; 2],
    /// Epoch whose weights were kept.
    pub best_epoch: Option<usize>,
    /// Loss and metrics on the images of the fold, without undefined ones.
    pub metrics: BTreeMap<String, f64>,
}

impl From<&Evaluation> for FoldResult {
    /// Metrics of a classifier.
    fn from(evaluation: &Evaluation) -> Self {
        let metrics = [
            ("loss", Some(evaluation.loss)),
            ("accuracy", Some(evaluation.accuracy)),
            ("f1_score", evaluation.confusion.macro_mean(Confusion::f1)),
            ("roc_auc", evaluation.mean_roc_auc()),
        ];
        let metrics = metrics.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self { metrics: metrics.collect(), ..Self::default() }
    }
}

impl From<&TargetEvaluation> for FoldResult {
    /// Metrics of labels or values.
    fn from(evaluation: &TargetEvaluation) -> Self {
        let mut metrics = evaluation.metrics.clone();
        metrics.insert("loss".to_owned(), evaluation.loss);
        Self { metrics, ..Self::default() }
    }
}

impl CrossValidation {
    /// Names of the metrics, the loss first.
    pub fn names(&self) -> Vec<String> {
        let all = self.folds.iter().flat_map(|fold| fold.metrics.keys());
        let mut names: Vec<String> = all.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        names.sort_by_key(|name| name != "loss");
        names
    }

    /// Whether it belongs to `count` folds with these settings, and can be resumed.
    pub fn matches(&self, count: usize, settings: &Value) -> bool {
        // 32-bit numbers are stored in decimal.
        self.count == count && decimals(self.settings.clone()) == decimals(settings.clone())
    }

    fn values(&self, metric: &str) -> Vec<f64> {
        self.folds.iter().filter_map(|fold| fold.metrics.get(metric).copied()).collect()
    }

    /// Mean of a metric over the folds that have it.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let values = self.values(metric);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Sample standard deviation of a metric over the folds (divisor n - 1). `None` for fewer than two folds.
    pub fn deviation(&self, metric: &str) -> Option<f64> {
        let (values, mean) = (self.values(metric), self.mean(metric)?);
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
    }

    /// Mean and standard deviation of each metric, as JSON.
    pub fn summary(&self) -> Value {
        let entry = |name: String| {
            let value = serde_json::json!({ "mean": self.mean(&name), "std": self.deviation(&name) });
            (name, value)
        };
        Value::Object(self.names().into_iter().map(entry).collect())
    }

    /// Writes a CSV table: a row per fold, then mean and standard deviation.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let names = self.names();
        let cells = |value: &dyn Fn(&String) -> Option<f64>| -> String {
            names.iter().map(|name| value(name).map_or(",".to_owned(), |value| format!(",{value:.6}"))).collect()
        };
        files::write_atomic(path, |out| {
            let head: String = names.iter().map(|name| format!(",{name}")).collect();
            writeln!(out, "fold,training_images,validation_images,best_epoch{head}")?;
            for FoldResult { fold, images: [train, validation], best_epoch, metrics } in &self.folds {
                let best = best_epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
                writeln!(out, "{fold},{train},{validation},{best}{}", cells(&|name| metrics.get(name).copied()))?;
            }
            writeln!(out, "mean,,,{}", cells(&|name| self.mean(name)))?;
            writeln!(out, "std,,,{}", cells(&|name| self.deviation(name)))
        })
    }

    /// Writes the results to a file from which it resumes, and from which its report is generated.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = serde_json::to_value(self).and_then(|value| serde_json::to_string_pretty(&decimals(value)));
        let text = text.map_err(|problem| Error::Bug(format!("folds that cannot be written as JSON: {problem}")))?;
        files::write_bytes(path, format!("{text}\n").as_bytes())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when it is invalid.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = files::read_limited(path, 16 << 20)?;
        serde_json::from_slice(&bytes)
            .map_err(|problem| Error::file(path, format!("does not describe a cross-validation: {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_summed_up_and_come_back() {
        let fold = |number: usize, loss: f64, f1: Option<f64>| FoldResult {
            fold: number,
            images: [8, 4],
            best_epoch: Some(3),
            metrics: [("loss", Some(loss)), ("f1_score", f1)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
        };
        let all = CrossValidation {
            count: 3,
            settings: serde_json::json!({"seed": 1}),
            notes: Vec::new(),
            folds: vec![fold(1, 0.5, Some(0.5)), fold(2, 1.0, None), fold(3, 1.5, Some(1.0))],
        };
        assert_eq!(all.names(), ["loss", "f1_score"]);
        assert_eq!((all.mean("loss"), all.deviation("loss")), (Some(1.0), Some(0.5)));
        // Undefined in one fold: mean of the others.
        assert_eq!(all.mean("f1_score"), Some(0.75));
        assert_eq!((all.mean("mae"), CrossValidation::default().mean("loss")), (None, None));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folds.json");
        all.save(&path).unwrap();
        assert_eq!(CrossValidation::load(&path).unwrap(), all);
        all.save_csv(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "fold,training_images,validation_images,best_epoch,loss,f1_score");
        assert_eq!(lines[2], "2,8,4,3,1.000000,");
        assert_eq!(lines[4..], ["mean,,,,1.000000,0.750000", "std,,,,0.500000,0.353553"]);
    }
}
