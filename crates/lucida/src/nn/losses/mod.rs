//! Losses, one file each.
//!
//! | loss | targets | values |
//! | --- | --- | --- |
//! | [`CategoricalCrossentropy`] | one-hot rows | logits of a softmax |
//! | [`SparseCategoricalCrossentropy`] | class indices | logits of a softmax |
//! | [`BinaryCrossentropy`] | rows of 0 and 1 | logits of sigmoids |
//! | [`MeanSquaredError`], [`MeanAbsoluteError`], [`Huber`] | rows of numbers | outputs |
//!
//! [`LossKind`] names one of them in a configuration or on the command line.

mod binary_crossentropy;
mod categorical_crossentropy;
mod huber;
mod kind;
mod loss;
mod mean_absolute_error;
mod mean_squared_error;
mod sparse_categorical_crossentropy;

#[cfg(test)]
mod tests;

pub use binary_crossentropy::BinaryCrossentropy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub use huber::Huber;
pub use kind::LossKind;
pub use loss::Loss;
pub use mean_absolute_error::MeanAbsoluteError;
pub use mean_squared_error::MeanSquaredError;
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
