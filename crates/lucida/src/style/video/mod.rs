//! Style transfer for video and animated images.

pub(super) mod animation;
pub(super) mod conversion;
pub(super) mod ffmpeg;
pub(super) mod fill;
pub(super) mod flow;
pub(super) mod frame;
pub(super) mod frames;
pub(super) mod gif;
pub(super) mod source;
