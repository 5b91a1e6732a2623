//! Metrics by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::{
    BinaryAccuracy, CategoricalAccuracy, F1Score, MeanAbsoluteError, MeanAveragePrecision, MeanSquaredError, R2Score,
    TopKCategoricalAccuracy,
};
use crate::data::Targets;
use crate::{Error, Result};

/// A [metric](super) in a configuration; Keras's name in text and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum MetricKind {
    /// [`CategoricalAccuracy`].
    CategoricalAccuracy,
    /// [`TopKCategoricalAccuracy`] with this k; in text `top_k_categorical_accuracy` for 5, `top_3_categorical_accuracy` for
    /// 3.
    TopKCategoricalAccuracy(usize),
    /// [`BinaryAccuracy`].
    BinaryAccuracy,
    /// [`F1Score`], `f1` for short.
    F1Score,
    /// [`MeanAveragePrecision`], `map` for short.
    MeanAveragePrecision,
    /// [`MeanAbsoluteError`], `mae` for short.
    MeanAbsoluteError,
    /// [`MeanSquaredError`], `mse` for short.
    MeanSquaredError,
    /// [`R2Score`], `r2` for short.
    R2Score,
}

impl MetricKind {
    /// One of each, with Keras's default k of 5.
    pub const ALL: [Self; 8] = [
        Self::CategoricalAccuracy,
        Self::TopKCategoricalAccuracy(5),
        Self::BinaryAccuracy,
        Self::F1Score,
        Self::MeanAveragePrecision,
        Self::MeanAbsoluteError,
        Self::MeanSquaredError,
        Self::R2Score,
    ];

    /// Default metrics of the targets. For classes, accuracy is always measured.
    pub fn defaults(targets: Targets) -> &'static [Self] {
        match targets {
            Targets::Classes(_) => &[],
            Targets::Labels(_) => &[Self::BinaryAccuracy, Self::F1Score, Self::MeanAveragePrecision],
            Targets::Values(_) => &[Self::MeanAbsoluteError, Self::MeanSquaredError, Self::R2Score],
        }
    }

    /// Creates the metric for a number of outputs.
    pub fn build(self, units: usize) -> Box<dyn Metric> {
        match self {
            Self::CategoricalAccuracy => Box::new(CategoricalAccuracy::default()),
            Self::TopKCategoricalAccuracy(k) => Box::new(TopKCategoricalAccuracy::new(k)),
            Self::BinaryAccuracy => Box::new(BinaryAccuracy::default()),
            Self::F1Score => Box::new(F1Score::new(units)),
            Self::MeanAveragePrecision => Box::new(MeanAveragePrecision::new(units)),
            Self::MeanAbsoluteError => Box::new(MeanAbsoluteError::default()),
            Self::MeanSquaredError => Box::new(MeanSquaredError::default()),
            Self::R2Score => Box::new(R2Score::new(units)),
        }
    }

    fn fits(self, targets: Targets, units: usize) -> bool {
        match self {
            Self::CategoricalAccuracy | Self::TopKCategoricalAccuracy(_) => {
                matches!(targets, Targets::Classes(_)) && units > 1
            }
            Self::BinaryAccuracy => {
                matches!(targets, Targets::Labels(_)) || targets == Targets::Classes(2) && units == 1
            }
            Self::F1Score | Self::MeanAveragePrecision => matches!(targets, Targets::Labels(_)),
            Self::MeanAbsoluteError | Self::MeanSquaredError => true,
            Self::R2Score => matches!(targets, Targets::Values(_)),
        }
    }

    /// Checks that the metric applies to outputs for these targets.
    ///
    /// # Errors
    /// [`Error::Argument`] names the metrics that apply.
    pub(in crate::train) fn check(self, targets: Targets, units: usize) -> Result<()> {
        if self.fits(targets, units) {
            return Ok(());
        }
        let what = match targets {
            Targets::Classes(_) if units == 1 => "two classes with one output",
            Targets::Classes(_) => "classes",
            Targets::Labels(_) => "several labels",
            Targets::Values(_) => "values",
        };
        let fitting: Vec<String> =
            Self::ALL.into_iter().filter(|kind| kind.fits(targets, units)).map(|kind| kind.to_string()).collect();
        Err(Error::argument(format!("metric {self} is not defined for {what}; use {}", fitting.join(", "))))
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TopKCategoricalAccuracy(5) => f.write_str("top_k_categorical_accuracy"),
            Self::TopKCategoricalAccuracy(k) => write!(f, "top_{k}_categorical_accuracy"),
            kind => f.write_str(&kind.build(1).name()),
        }
    }
}

impl FromStr for MetricKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = match text {
            "f1" => Some(Self::F1Score),
            "map" => Some(Self::MeanAveragePrecision),
            "mae" => Some(Self::MeanAbsoluteError),
            "mse" => Some(Self::MeanSquaredError),
            "r2" => Some(Self::R2Score),
            _ => Self::ALL.into_iter().find(|kind| kind.to_string() == text),
        };
        let top_k = || {
            let k = text.strip_prefix("top_")?.strip_suffix("_categorical_accuracy")?.parse().ok()?;
            (k > 0).then_some(Self::TopKCategoricalAccuracy(k))
        };
        known.or_else(top_k).ok_or_else(|| {
            let names = Self::ALL.map(|kind| kind.to_string()).join(", ");
            Error::argument(format!("metric {text:?} is unknown; expected {names}"))
        })
    }
}

impl From<MetricKind> for String {
    fn from(kind: MetricKind) -> Self {
        kind.to_string()
    }
}

impl TryFrom<String> for MetricKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}
