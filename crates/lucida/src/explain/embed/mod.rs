//! How a layer arranges images: its features of many images, as a map that a person can look at.
//!
//! Images that are similar to a layer have features that lie close together. [`features`] collects them, [`Pca`] finds
//! the directions in which they differ most, [`Tsne`] draws a map that keeps neighbors together, and
//! [`Features::nearest`] names the images that are most like a given one.

mod features;
mod matrix;
mod pca;
mod tsne;

#[cfg(test)]
mod tests;

pub use features::{FeatureReader, Features, features, features_of, features_of_inputs, last_features};
pub use pca::Pca;
pub use tsne::Tsne;
