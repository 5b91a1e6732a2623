//! The kernels that are bound by memory: one pass over slices.

mod reduce;

pub use reduce::{sum_parts, sum_rows, sum_rows_workspace};
