//! Terms of the loss: layers and weights.

use crate::style::{ContentNorm, StyleLoss, StyleNorm, TotalVariation};
use crate::{Error, Result};

/// A content or style layer with its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeight {
    /// Name of the layer.
    pub name: String,
    /// Weight of the layer.
    pub weight: f32,
}

impl LayerWeight {
    /// Creates a layer with its weight.
    pub fn new(name: impl Into<String>, weight: f32) -> Self {
        Self { name: name.into(), weight }
    }
}

/// Terms of the total loss: `content_weight * sum w C + style_weight * sum w S + variation_weight * V`.
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
    /// Content layers.
    pub content: Vec<LayerWeight>,
    /// Normalization of the content loss.
    pub content_norm: ContentNorm,
    /// Weight of the content loss: alpha in the paper.
    pub content_weight: f32,
    /// Style layers.
    pub style: Vec<LayerWeight>,
    /// Feature statistics that the style loss compares.
    pub style_loss: StyleLoss,
    /// Normalization of the style loss.
    pub style_norm: StyleNorm,
    /// Weight of the style loss: beta in the paper.
    pub style_weight: f32,
    /// Total variation loss.
    pub variation: TotalVariation,
    /// Weight of the variation loss, for pixels from 0 to 255.
    pub variation_weight: f32,
}

impl LossConfig {
    /// Style and content layers, without duplicates.
    pub(in crate::style) fn layers(&self) -> Vec<&str> {
        let mut layers: Vec<&str> = Vec::new();
        for layer in self.style.iter().chain(&self.content) {
            if !layers.contains(&layer.name.as_str()) {
                layers.push(&layer.name);
            }
        }
        layers
    }

    /// Checks that there is at least one layer, and that all weights are valid.
    ///
    /// # Errors
    /// [`Error::Argument`] names the invalid value.
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
