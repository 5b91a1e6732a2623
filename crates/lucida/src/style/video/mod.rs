//! Frames that hold together in time.

pub(super) mod fill;
pub(super) mod flow;
pub(super) mod frames;
pub(super) mod gif;
