//! Optimizers for pixels.

pub(super) mod adam;
pub(super) mod lbfgs;
pub(super) mod line_search;
