//! Metrics of the quality of outputs, one per file.
//!
//! [`MetricKind`] selects one of them in a configuration.

mod binary_accuracy;
mod categorical_accuracy;
mod f1_score;
mod kind;
mod mean_absolute_error;
mod mean_average_precision;
mod mean_squared_error;
mod measure;
mod metric;
mod r2_score;
mod top_k_categorical_accuracy;

#[cfg(test)]
mod tests;

pub use binary_accuracy::BinaryAccuracy;
pub use categorical_accuracy::CategoricalAccuracy;
pub use f1_score::F1Score;
pub use kind::MetricKind;
pub use mean_absolute_error::MeanAbsoluteError;
pub use mean_average_precision::MeanAveragePrecision;
pub(super) use mean_average_precision::average_precision;
pub use mean_squared_error::MeanSquaredError;
pub(super) use measure::{MetricChoice, RunningMetrics};
pub use metric::Metric;
pub use r2_score::R2Score;
pub use top_k_categorical_accuracy::TopKCategoricalAccuracy;
