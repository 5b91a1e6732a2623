//! The training targets of a data set.

use serde::{Deserialize, Serialize};

/// The kind of targets of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// One of this number of classes: [`Dataset::label`](super::Dataset::label) is its index.
    Classes(usize),
    /// This number of labels, which are not exclusive: [`Dataset::target`](super::Dataset::target) is a row of 0 and 1.
    Labels(usize),
    /// This number of regression values: [`Dataset::target`](super::Dataset::target) is the row of values.
    Values(usize),
}

impl Targets {
    /// The length of an image's target row, 0 for classes.
    pub fn row_len(self) -> usize {
        match self {
            Self::Classes(_) => 0,
            Self::Labels(count) | Self::Values(count) => count,
        }
    }

    /// The kind without the number.
    pub fn kind(self) -> TargetKind {
        match self {
            Self::Classes(_) => TargetKind::Classes,
            Self::Labels(_) => TargetKind::Labels,
            Self::Values(_) => TargetKind::Values,
        }
    }
}

/// The kind of [`Targets`], without their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// One of several classes.
    #[default]
    Classes,
    /// Any number of labels.
    Labels,
    /// Values of a regression.
    Values,
}

impl TargetKind {
    /// Targets of this kind and number.
    pub fn of(self, count: usize) -> Targets {
        match self {
            Self::Classes => Targets::Classes(count),
            Self::Labels => Targets::Labels(count),
            Self::Values => Targets::Values(count),
        }
    }
}
