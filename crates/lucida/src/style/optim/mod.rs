//! How pixels are changed: optimizers over an image.

pub(super) mod adam;
pub(super) mod lbfgs;
pub(super) mod line_search;
