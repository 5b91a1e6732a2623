//! The terms of the loss: which layers, and their weights.

use crate::style::{ContentNorm, StyleLoss, StyleNorm, TotalVariation};
use crate::{Error, Result};

/// A layer and its weight among the content or style layers.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeight {
    /// The layer's name.
    pub name: String,
    /// Its weight.
    pub weight: f32,
}

impl LayerWeight {
    /// A layer with its weight.
    pub fn new(name: impl Into<String>, weight: f32) -> Self {
        Self { name: name.into(), weight }
    }
}

/// The terms of the total loss: `content_weight * sum w C + style_weight * sum w S + variation_weight * V`.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{LayerWeight, LossConfig, choose_network};
///
/// # let network = StyleNetwork::new(choose_network(Some("vgg16-builtin"), None)?, Pooling::Max)?;
/// let preset = Preset::Gatys.config(&network, Cpu::detect())?.loss;
/// let loss = LossConfig { style: vec![LayerWeight::new("block1_conv1", 1.0)], ..preset };
/// loss.check()?;
/// assert!(LossConfig { style_weight: f32::NAN, ..loss }.check().is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LossConfig {
    /// The content layers.
    pub content: Vec<LayerWeight>,
    /// The normalization of the content loss.
    pub content_norm: ContentNorm,
    /// The weight of all of them: alpha in the paper.
    pub content_weight: f32,
    /// The style layers.
    pub style: Vec<LayerWeight>,
    /// The statistics that the style loss compares.
    pub style_loss: StyleLoss,
    /// The normalization of the style loss.
    pub style_norm: StyleNorm,
    /// The weight of all of them: beta in the paper.
    pub style_weight: f32,
    /// The total variation loss.
    pub variation: TotalVariation,
    /// Its weight, for pixels from 0 to 255.
    pub variation_weight: f32,
}

impl LossConfig {
    /// The layers of both kinds, each once.
    pub(in crate::style) fn layers(&self) -> Vec<&str> {
        let mut layers: Vec<&str> = Vec::new();
        for layer in self.style.iter().chain(&self.content) {
            if !layers.contains(&layer.name.as_str()) {
                layers.push(&layer.name);
            }
        }
        layers
    }

    /// Checks that there is something to do, and with numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] names what is wrong.
    pub fn check(&self) -> Result<()> {
        if self.style.is_empty() && self.content.is_empty() {
            return Err(Error::argument("neither a content layer nor a style layer is given"));
        }
        let weights =
            [("content", self.content_weight), ("style", self.style_weight), ("variation", self.variation_weight)];
        let layers = self.content.iter().chain(&self.style).map(|layer| (layer.name.as_str(), layer.weight));
        for (name, weight) in weights.into_iter().chain(layers) {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::argument(format!("the weight of {name} is {weight}; it must be 0 or more")));
            }
        }
        Ok(())
    }
}
