//! The built-in classifier of [Lucida](https://docs.rs/lucida): EfficientNet-Lite0, trained on the 1,000 classes of
//! ImageNet. `README.md` has the source, the license, and how the weights are stored.

use lucida_assets::Asset;

/// The weights: safetensors, kernels of many values as integers of a few bits.
pub const WEIGHTS: Asset = lucida_assets::asset!("efficientnet-lite0.safetensors");
/// The names of the 1,000 classes in order, one per line.
pub const CLASS_NAMES: &str = include_str!("../imagenet-classes.txt");
