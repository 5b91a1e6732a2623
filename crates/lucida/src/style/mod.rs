//! Neural style transfer: combines the content of one image with the style of others.
//!
//! The method of Gatys, Ecker and Bethge ("Image Style Transfer Using Convolutional Neural Networks", 2016): the pixels of
//! an image are optimized until a pretrained classification network responds to its content (the features of a deep layer)
//! as to the content image, and to its textures (the correlations between the features of several layers) as to the style
//! image.
//!
//! - `losses`: [content](ContentNorm), [style](StyleLoss) on Gram matrices or on Gaussians, and [`TotalVariation`], summed
//!   by an [`Objective`];
//! - `optim`: [`Adam`] and [`Lbfgs`] over pixels;
//! - `pipeline`: [`transfer`] runs a [`StyleRequest`] through a pyramid of sizes, in tiles where memory is short;
//! - `video`: [`stylize_frames`] with temporal consistency;
//! - `feed_forward`: [`FeedForwardStyle`], a network that stylizes in one pass, and its training.

mod brushwork;
mod canvas;
mod choose_network;
mod feed_forward;
mod losses;
mod network;
mod optim;
mod pipeline;
mod preset;
mod save;
#[cfg(test)]
mod tests;
mod video;

pub use brushwork::{BRUSHWORK, brushwork};
pub use canvas::Canvas;
pub use choose_network::{NETWORKS, choose_network};
pub use feed_forward::apply::{FeedForwardStylizer, StylizerConfig};
pub use feed_forward::network::{FeedForwardSize, transformation_network};
pub use feed_forward::training::{
    FeedForwardConfig, FeedForwardEvent, FeedForwardLosses, FeedForwardResult, FeedForwardTraining, LossRecord, Photos,
    StylePreview,
};
pub use feed_forward::transfer::{FeedForwardMasks, FeedForwardRequest, FeedForwardTransfer};
pub use feed_forward::{FeedForwardStyle, PixelRange};
pub use losses::config::{LayerWeight, LossConfig};
pub use losses::content::ContentNorm;
pub use losses::objective::{Losses, Objective};
pub use losses::style::{StyleLoss, StyleNorm};
pub use losses::variation::TotalVariation;
pub use network::{Pooling, StyleNetwork};
pub use optim::adam::Adam;
pub use optim::lbfgs::Lbfgs;
pub use pipeline::colors::ColorSource;
pub use pipeline::pyramid::LEAST_SIDE;
pub use pipeline::transfer::{StyleRequest, StyleResult, transfer};
pub use preset::{InitialImage, Preset, StyleConfig, StyleOptimizer};
pub use save::{ContentFile, StyledImage};
pub use video::animation::{Animation, AnimationKind, write_animation};
pub use video::conversion::{FastFrames, FrameStore, FrameStylizer, OptimizedFrames, stylize_video};
pub use video::ffmpeg::{VideoEncoding, VideoFile, VideoReader, write_video};
pub use video::frame::{FrameTiming, VideoFrame};
pub use video::frames::{FrameSequence, stylize_frames};
pub use video::gif::GifRecorder;
pub use video::source::VideoSource;
