//! The kernels that are bound by memory: one pass over slices.
//!
//! They are plain loops; the compiler vectorizes them for each instruction set.

mod activation;
mod elementwise;
mod functions;
mod normalize;
mod optimize;
mod reduce;
#[cfg(test)]
mod tests;

pub use activation::{
    Pointwise, log_softmax, log_softmax_backward, pointwise, pointwise_backward, sigmoid, softmax, softmax_backward,
};
pub use elementwise::{Columns, multiply, transfer, transfer_columns};
pub use normalize::{affine, channel_workspace, combine, gradient_moments, moments};
pub(crate) use optimize::SharedUpdate;
pub use optimize::{AdamStep, RmspropStep, SgdStep, Update, adam};
pub use reduce::{sum_parts, sum_rows, sum_rows_workspace};

/// Floats below which a second thread costs more than it saves.
const MIN_PART: usize = 1 << 13;
