//! Memory-bound kernels: one pass over slices.
//!
//! They are plain loops; the compiler vectorizes them for each instruction set.

mod activation;
mod broadcast;
mod elementwise;
mod finite;
mod functions;
mod local_response;
mod normalize;
mod optimize;
mod reduce;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use activation::activate;
pub use activation::{
    Pointwise, log_softmax, log_softmax_backward, pointwise, pointwise_backward, sigmoid, sloped, softmax,
    softmax_backward,
};
pub use broadcast::{Arithmetic, Broadcast, arithmetic, clear_where, merge, sum_broadcast};
pub use elementwise::{Columns, multiply, transfer, transfer_columns};
pub use finite::max_abs;
pub use local_response::{LocalResponse, local_response, local_response_backward};
pub use normalize::{affine, block_moments, block_workspace, channel_workspace, combine, gradient_moments, moments};
pub(crate) use optimize::SharedUpdate;
pub use optimize::{AdamStep, RmspropStep, SgdStep, Update, adam};
pub use reduce::{sum_parts, sum_rows, sum_rows_workspace};
pub use rows::{
    RowNorm, RowNormBackward, normalize_rows, normalize_rows_backward, normalize_rows_gradients,
    normalize_rows_workspace,
};

/// Minimum floats per thread: below, another thread costs more than it saves.
const MIN_PART: usize = 1 << 13;
