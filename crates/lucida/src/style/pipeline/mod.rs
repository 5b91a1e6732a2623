//! The optimization pipeline: image pyramid, tiles, features, and steps.

pub(super) mod colors;
pub(super) mod constrained_objective;
pub(super) mod feature_extractor;
pub(super) mod geometry;
pub(super) mod mask;
pub(super) mod pyramid;
pub(super) mod run;
pub(super) mod tiles;
pub(super) mod transfer;
