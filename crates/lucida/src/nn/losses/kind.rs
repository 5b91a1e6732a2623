//! Losses by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::binary_crossentropy::BinaryCrossentropy;
use super::categorical_crossentropy::CategoricalCrossentropy;
use super::huber::Huber;
use super::loss::Loss;
use super::mean_absolute_error::MeanAbsoluteError;
use super::mean_squared_error::MeanSquaredError;
use super::sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
use crate::{Error, Result};

/// One of the [losses](super), for configurations; in text and in files by Keras's name.
///
/// ```
/// use lucida::nn::losses::LossKind;
///
/// assert_eq!("mse".parse::<LossKind>()?, LossKind::MeanSquaredError);
/// assert_eq!("huber:0.5".parse::<LossKind>()?.to_string(), "huber:0.5");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LossKind {
    /// [`CategoricalCrossentropy`].
    CategoricalCrossentropy,
    /// [`SparseCategoricalCrossentropy`].
    SparseCategoricalCrossentropy,
    /// [`BinaryCrossentropy`].
    BinaryCrossentropy,
    /// [`MeanSquaredError`], `mse` for short.
    MeanSquaredError,
    /// [`MeanAbsoluteError`], `mae` for short.
    MeanAbsoluteError,
    /// [`Huber`]; in text `huber`, or `huber:DELTA` for a delta other than 1.
    Huber {
        /// The error from which the loss grows linearly, above 0.
        delta: f32,
    },
}

impl LossKind {
    /// One of each; Huber's has a delta of 1.
    pub const ALL: [Self; 6] = [
        Self::CategoricalCrossentropy,
        Self::SparseCategoricalCrossentropy,
        Self::BinaryCrossentropy,
        Self::MeanSquaredError,
        Self::MeanAbsoluteError,
        Self::Huber { delta: 1.0 },
    ];

    /// Keras's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::CategoricalCrossentropy => "categorical_crossentropy",
            Self::SparseCategoricalCrossentropy => "sparse_categorical_crossentropy",
            Self::BinaryCrossentropy => "binary_crossentropy",
            Self::MeanSquaredError => "mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::Huber { .. } => "huber",
        }
    }

    /// Whether the loss supports label smoothing.
    pub fn smooths_labels(self) -> bool {
        matches!(self, Self::CategoricalCrossentropy | Self::BinaryCrossentropy)
    }

    /// Creates the loss; one that [smooths labels](Self::smooths_labels) uses this fraction.
    pub fn build(self, label_smoothing: f32) -> Box<dyn Loss> {
        match self {
            Self::CategoricalCrossentropy => Box::new(CategoricalCrossentropy { label_smoothing }),
            Self::SparseCategoricalCrossentropy => Box::new(SparseCategoricalCrossentropy),
            Self::BinaryCrossentropy => Box::new(BinaryCrossentropy { label_smoothing }),
            Self::MeanSquaredError => Box::new(MeanSquaredError),
            Self::MeanAbsoluteError => Box::new(MeanAbsoluteError),
            Self::Huber { delta } => Box::new(Huber { delta }),
        }
    }

    /// Checks the parameters of the loss.
    ///
    /// # Errors
    /// [`Error::Argument`] when Huber's delta is not a positive number.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Huber { delta } if !(delta.is_finite() && delta > 0.0) => {
                Err(Error::argument(format!("huber: the delta is a positive number, not {delta}")))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Huber { delta } if *delta != 1.0 => write!(f, "huber:{delta}"),
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for LossKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let kind = match text {
            "mse" => Some(Self::MeanSquaredError),
            "mae" => Some(Self::MeanAbsoluteError),
            _ => Self::ALL.into_iter().find(|kind| kind.name() == text),
        };
        if let Some(kind) = kind {
            return Ok(kind);
        }
        if let Some(delta) = text.strip_prefix("huber:") {
            let delta = delta.parse().map_err(|_| Error::argument(format!("huber: {delta:?} is not a number")))?;
            let kind = Self::Huber { delta };
            return kind.check().map(|()| kind);
        }
        let names = Self::ALL.map(Self::name).join(", ");
        Err(Error::argument(format!("loss {text:?} is unknown; expected {names}, or huber:DELTA")))
    }
}

impl From<LossKind> for String {
    fn from(kind: LossKind) -> Self {
        kind.to_string()
    }
}

impl TryFrom<String> for LossKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}
