//! Taking networks apart: one file for each question.
//!
//! All of it works on any network that the tool can load, and takes pictures as the network takes them: prepared by the
//! model's own [`Preprocessing`](crate::data::Preprocessing), in batches of (batch, height, width, channels).

pub mod embed;
pub mod maximize;
mod score;

pub use score::ClassScore;
