//! Configuration and presets of style transfer.

use super::{
    Adam, Canvas, ContentNorm, LayerWeight, Lbfgs, LossConfig, Pooling, StyleLoss, StyleNetwork, StyleNorm,
    TotalVariation,
};
use crate::data::Image;
use crate::{Cpu, Error, Result};

/// The optimizer over pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StyleOptimizer {
    /// Adam: steps of similar size.
    Adam(Adam),
    /// L-BFGS: uses curvature information, needs fewer steps and more memory.
    Lbfgs(Lbfgs),
}

/// The initial image of the optimization.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum InitialImage {
    /// The content image.
    #[default]
    Content,
    /// Uniform noise from 0 to 255.
    Noise,
    /// Another image of any size.
    Image(Image),
    /// Another float image.
    Canvas(Canvas),
}

/// A preset of [`StyleConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Preset {
    /// Coarse to fine; settings chosen by eye from many results
    ///
    /// Its losses do not depend on network and size, and the result is the mean of the last images.
    #[default]
    Best,
    /// Gatys, Ecker and Bethge (2016)
    ///
    /// The optimization starts from the content image.
    Gatys,
    /// TensorFlow's tutorial, including its gray haze from 512 pixels on
    #[cfg_attr(feature = "clap", value(name = "tensorflow"))]
    TensorFlow,
}

/// Configuration of style transfer.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{StyleLoss, choose_network};
///
/// # let network = StyleNetwork::new(choose_network(Some("vgg16-builtin"), None)?, Pooling::Max)?;
/// let mut config = Preset::Gatys.config(&network, Cpu::detect())?;
/// config.size = 256;
/// config.loss.style_loss = StyleLoss::Wasserstein;
/// config.check()?;
/// assert!(StyleConfig { averaging: 2.0, ..config }.check().is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StyleConfig {
    /// Losses.
    pub loss: LossConfig,
    /// The optimizer over pixels.
    pub optimizer: StyleOptimizer,
    /// Longer side of the result in pixels.
    pub size: usize,
    /// Longer side of the first, smallest scale in pixels; each scale is larger than the previous one by a factor of the
    /// square root of 2. If none, there is a single scale.
    pub smallest: Option<usize>,
    /// Steps at each scale but the first.
    pub steps: usize,
    /// Steps at the first scale.
    pub first_steps: usize,
    /// Decay of the running mean of the images, from 0 (the result is the last image) to below 1.
    pub averaging: f32,
    /// Whether values are clipped to 0 to 255 after each step of Adam.
    pub clip: bool,
    /// The initial image.
    pub start: InitialImage,
    /// Amplitude of the gray noise, in levels of 0 to 255, that is added to [`InitialImage::Content`], since flat areas have
    /// no texture to start from.
    pub dither: f32,
    /// Longer side of a style image, relative to that of the result.
    pub style_scale: f32,
    /// Random seed.
    pub seed: u64,
    /// Approximate memory limit in bytes; images that do not fit are processed in tiles.
    pub memory: Option<u64>,
    /// CPU to run on.
    pub cpu: Cpu,
}

impl Preset {
    /// Pooling of the preset.
    pub fn pooling(self) -> Pooling {
        Pooling::Max
    }

    /// Returns the configuration for a network: all five blocks of a VGG, or those that it has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the network is not a VGG.
    pub fn config(self, network: &StyleNetwork, cpu: Cpu) -> Result<StyleConfig> {
        let has = |layer: &str| network.network().find(layer).is_ok();
        let blocks = (1..=5).take_while(|block| has(&format!("block{block}_conv1"))).count();
        if blocks < 3 {
            let name = network.name();
            return Err(Error::Unsupported(format!("network {name} is not a VGG: its layers have to be named")));
        }
        Ok(match self {
            Self::Gatys => gatys(blocks, cpu),
            Self::TensorFlow => tensorflow(blocks, cpu),
            Self::Best => best(blocks, cpu),
        })
    }
}

/// The first convolution of each block, with these weights.
fn first_convolutions(weights: &[f32]) -> Vec<LayerWeight> {
    let layer = |(block, &weight): (usize, &f32)| LayerWeight::new(format!("block{block}_conv1"), weight);
    (1..).zip(weights).map(layer).collect()
}

fn gatys(blocks: usize, cpu: Cpu) -> StyleConfig {
    let deepest = if blocks == 5 { "block5_conv2" } else { "block3_conv3" };
    let loss = LossConfig {
        content: vec![LayerWeight::new(deepest, 1.0)],
        content_norm: ContentNorm::HalfSum,
        content_weight: 1.0,
        style: first_convolutions(&vec![1.0 / blocks as f32; blocks]),
        style_loss: StyleLoss::Gram,
        style_norm: StyleNorm::Gatys,
        style_weight: 1e3,
        variation: TotalVariation::Squared,
        variation_weight: 0.0,
    };
    StyleConfig {
        loss,
        optimizer: StyleOptimizer::Lbfgs(Lbfgs { history: 10 }),
        size: 512,
        smallest: None,
        steps: 300,
        first_steps: 300,
        averaging: 0.0,
        clip: false,
        start: InitialImage::Content,
        dither: 0.0,
        style_scale: 1.0,
        seed: 42,
        memory: None,
        cpu,
    }
}

/// The tutorial uses pixels from 0 to 1: learning rate 0.02, epsilon 0.1, and a total variation weight of 30.
fn tensorflow(blocks: usize, cpu: Cpu) -> StyleConfig {
    let config = gatys(blocks, cpu);
    StyleConfig {
        loss: LossConfig {
            content_norm: ContentNorm::Mean,
            content_weight: 1e4,
            style_norm: StyleNorm::Mean,
            style_weight: 1e-2,
            variation: TotalVariation::Absolute,
            variation_weight: 30.0 / 255.0,
            ..config.loss
        },
        optimizer: StyleOptimizer::Adam(Adam { rate: 0.02 * 255.0, beta_1: 0.99, beta_2: 0.999, epsilon: 0.1 / 255.0 }),
        steps: 1000,
        first_steps: 1000,
        clip: true,
        ..config
    }
}

fn best(blocks: usize, cpu: Cpu) -> StyleConfig {
    let config = gatys(blocks, cpu);
    let (content, content_weight, weights): (_, _, &[f32]) = match blocks {
        5 => ("block4_conv2", 0.035, &[0.2, 0.2, 0.2, 0.2, 0.2]),
        _ => ("block3_conv3", 0.01, &[0.33, 0.33, 0.34]),
    };
    StyleConfig {
        loss: LossConfig {
            content: vec![LayerWeight::new(content, 1.0)],
            content_norm: ContentNorm::Relative,
            content_weight,
            style: first_convolutions(weights),
            style_norm: StyleNorm::Relative,
            style_weight: 1.0,
            variation: TotalVariation::MeanSquared,
            variation_weight: 0.3,
            ..config.loss
        },
        optimizer: StyleOptimizer::Adam(Adam { rate: 5.0, beta_1: 0.9, beta_2: 0.99, epsilon: 1e-8 }),
        // At small sizes, deep layers dissolve small objects: windows, houses, a face.
        smallest: Some(if blocks == 5 { 256 } else { 64 }),
        steps: 50,
        first_steps: 100,
        averaging: 0.9,
        clip: true,
        dither: 8.0,
        ..config
    }
}

impl StyleConfig {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Argument`] names the invalid value.
    pub fn check(&self) -> Result<()> {
        self.loss.check()?;
        let refuse = |problem: String| Err(Error::argument(problem));
        if !(32..=16_384).contains(&self.size) {
            return refuse(format!("a size of {} pixels; it must be 32 to 16384", self.size));
        }
        if self.steps == 0 || self.first_steps == 0 {
            return refuse("at least one step is needed".into());
        }
        if !(0.0..1.0).contains(&self.averaging) {
            return refuse(format!("an averaging of {}; it must be 0 or more and below 1", self.averaging));
        }
        if !(0.0..=255.0).contains(&self.dither) {
            return refuse(format!("a dither of {}; it must be 0 to 255", self.dither));
        }
        if !(0.05..=20.0).contains(&self.style_scale) {
            return refuse(format!("a style scale of {}; it must be 0.05 to 20", self.style_scale));
        }
        Ok(())
    }
}
