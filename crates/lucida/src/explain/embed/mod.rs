//! Embeddings: the features of many images at a layer, and two-dimensional maps of them.
//!
//! Images that are similar to a network have features that are close to each other. [`features`] computes them, [`Pca`]
//! finds the directions of largest variance, [`Tsne`] computes a map that preserves neighborhoods, and
//! [`Features::nearest`] finds the images most similar to a given one.

mod features;
mod matrix;
mod pca;
mod tsne;

#[cfg(test)]
mod tests;

pub use features::{FeatureReader, Features, features, features_of, features_of_inputs, last_features};
pub use pca::Pca;
pub use tsne::Tsne;
