//! Neural style transfer: an image with the content of one and the style of others.
//!
//! The method of Gatys, Ecker and Bethge ("Image Style Transfer Using Convolutional Neural Networks", 2016): a network
//! that was trained to recognize things looks at the image, and the pixels are changed until it sees in them the
//! arrangement of the content, as the features of a deep layer tell it, and the textures of the style, as the
//! correlations between the features of several layers tell them.
//!
//! - what is asked of the image: [`content`](ContentNorm), [`StyleLoss`] on Gram matrices or on Gaussians, [`Variation`],
//!   put together by an [`Objective`];
//! - how the image gets there: [`Adam`] or [`Lbfgs`], through a pyramid of sizes ([`Settings`]);
//! - [`transfer`] does it all for a [`Job`].

mod adam;
mod brushwork;
mod canvas;
mod choose;
mod colours;
mod content;
mod features;
mod fill;
mod film;
mod flow;
mod frames;
mod geometry;
mod lbfgs;
mod line_search;
mod look;
mod mask;
mod network;
mod objective;
mod parts;
mod preset;
mod pyramid;
mod run;
mod save;
mod scene;
mod sight;
mod style_loss;
#[cfg(test)]
mod tests;
mod tiles;
mod transfer;
mod variation;
mod wasserstein;

pub use adam::Adam;
pub use brushwork::{BRUSHWORK, brushwork};
pub use canvas::Canvas;
pub use choose::{NETWORKS, choose};
pub use colours::Colours;
pub use content::ContentNorm;
pub use film::Film;
pub use frames::{Sequence, paint_frames};
pub use lbfgs::Lbfgs;
pub use look::{Layer, Look};
pub use network::{Pooling, StyleNetwork};
pub use objective::{Losses, Objective};
pub use preset::{Optimizer, Preset, Settings, Start};
pub use save::{Original, Painted};
pub use style_loss::{StyleLoss, StyleNorm};
pub use transfer::{Job, Transferred, transfer};
pub use variation::Variation;
