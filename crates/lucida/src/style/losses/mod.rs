//! Loss functions of style transfer.

pub(super) mod config;
pub(super) mod content;
pub(super) mod gram;
pub(super) mod masked;
pub(super) mod objective;
pub(super) mod style;
pub(super) mod variation;
pub(super) mod wasserstein;
