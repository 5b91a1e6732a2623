//! The image transformation network: J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
//! Super-Resolution" (2016), with instance normalization (D. Ulyanov, A. Vedaldi, V. Lempitsky, 2016).
//!
//! ```text
//! image -> 9x9 -> 3x3 / 2 -> 3x3 / 2 -> 5 residual blocks of two 3x3 -> resize x 2, 3x3 -> resize x 2, 3x3 -> 9x9 (5x5 of the small one) -> image
//! channels   c        2c         4c                4c                          2c               c         3
//! ```
//!
//! Upsampling is nearest-neighbor resizing followed by a convolution: the taps of a transposed convolution overlap unevenly
//! and cause checkerboard artifacts (Odena, Dumoulin, Olah, 2016). Borders use reflection padding: zero padding would show
//! as a frame.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, Add, Conv2D, GroupNormalization, Input, Pad2D, PadMode, Rescaling, UpSampling2D,
};
use crate::nn::{Network, NetworkBuilder};

/// The size of a [`transformation_network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum FeedForwardSize {
    /// 16 to 64 channels, 0.4 million parameters
    #[default]
    Small,
    /// 32 to 128 channels, 1.7 million parameters, as published by Johnson et al. (2016)
    Base,
}

impl FeedForwardSize {
    /// Number of channels at full resolution; twice and four times as many at half and quarter resolution.
    fn channels(self) -> usize {
        match self {
            Self::Small => 16,
            Self::Base => 32,
        }
    }

    /// Side of the last kernel in pixels. Three output channels fill a SIMD vector poorly, so a large kernel there takes a
    /// third of the small network's time.
    fn last_kernel(self) -> usize {
        match self {
            Self::Small => 5,
            Self::Base => 9,
        }
    }

    /// Name of the size, used in the name of the network.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Base => "base",
        }
    }
}

/// Number of residual blocks.
const BLOCKS: usize = 5;
/// Side of the first kernel in pixels.
const FIRST_KERNEL: usize = 9;
/// Amplitude of the output around middle gray. It exceeds 127.5 because tanh saturates: black and white would be reached
/// only where its gradient vanishes.
const OUTPUT_REACH: f32 = 150.0;
/// Middle gray, between black and white.
const MIDDLE: f32 = 127.5;

/// Creates an image transformation network with random weights. It maps images `[height, width, 3]` of red, green and blue
/// from 0 to 255 to images of the same kind, whose values may slightly exceed that range. Heights and widths that are
/// multiples of 4 pixels are preserved.
///
/// ```
/// use lucida::style::{FeedForwardSize, transformation_network};
///
/// let network = transformation_network(FeedForwardSize::Small, [64, 96], 42)?;
/// assert_eq!(network.output()?.shape().sizes(), [64, 96, 3]);
/// assert!(network.parameters().0 < 500_000);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Layer`](crate::Error::Layer) when the images are too small.
pub fn transformation_network(size: FeedForwardSize, [height, width]: [usize; 2], seed: u64) -> Result<Network> {
    let mut layers = Layers { builder: Network::builder(format!("style_{}", size.name())), last: 0 };
    let channels = size.channels();
    layers.add("input", Input::new([height, width, 3]))?;
    layers.add("from_pixels", Rescaling::new(1.0 / MIDDLE, -1.0))?;
    layers.block("down1", channels, FIRST_KERNEL, 1)?;
    layers.block("down2", 2 * channels, 3, 2)?;
    layers.block("down3", 4 * channels, 3, 2)?;
    for number in 1..=BLOCKS {
        layers.residual(&format!("residual{number}"), 4 * channels)?;
    }
    for (number, channels) in [(1, 2 * channels), (2, channels)] {
        layers.add(&format!("up{number}_resize"), UpSampling2D::new([2, 2]))?;
        layers.block(&format!("up{number}"), channels, 3, 1)?;
    }
    layers.pad("output", size.last_kernel())?;
    let last = Conv2D::new(3, [size.last_kernel(); 2]).activation(ActivationKind::Tanh);
    layers.add("output_conv", last)?;
    layers.add("to_pixels", Rescaling::new(OUTPUT_REACH, MIDDLE))?;
    let Layers { builder, last } = layers;
    builder.build(&[last], seed)
}

/// Builds a network layer by layer.
struct Layers {
    builder: NetworkBuilder,
    last: usize,
}

impl Layers {
    fn add(&mut self, name: &str, layer: impl Into<crate::nn::Layer>) -> Result<usize> {
        let inputs = [self.last];
        let inputs = if name == "input" { &[] } else { &inputs[..] };
        self.last = self.builder.add_named(name, layer, inputs)?;
        Ok(self.last)
    }

    /// Adds reflection padding for a kernel of this side.
    fn pad(&mut self, name: &str, kernel: usize) -> Result<usize> {
        let border = (kernel / 2) as i64;
        self.add(&format!("{name}_pad"), Pad2D { padding: [[border; 2]; 2], mode: PadMode::Reflect })
    }

    /// Adds padding, a convolution, and its instance normalization.
    fn convolution(&mut self, name: &str, filters: usize, kernel: usize, stride: usize) -> Result<usize> {
        self.pad(name, kernel)?;
        // The normalization cancels any bias.
        self.add(&format!("{name}_conv"), Conv2D::new(filters, [kernel; 2]).strides([stride; 2]).without_bias())?;
        self.add(&format!("{name}_norm"), GroupNormalization { epsilon: 1e-5, ..GroupNormalization::per_channel() })
    }

    fn block(&mut self, name: &str, filters: usize, kernel: usize, stride: usize) -> Result<usize> {
        self.convolution(name, filters, kernel, stride)?;
        self.add(&format!("{name}_relu"), Activation::new(ActivationKind::Relu))
    }

    fn residual(&mut self, name: &str, channels: usize) -> Result<usize> {
        let shortcut = self.last;
        self.block(&format!("{name}_1"), channels, 3, 1)?;
        let branch = self.convolution(&format!("{name}_2"), channels, 3, 1)?;
        self.last = self.builder.add_named(format!("{name}_add"), Add::new(), &[branch, shortcut])?;
        Ok(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let parameters = |size| transformation_network(size, [64, 64], 1).unwrap().parameters().0;
        assert_eq!([FeedForwardSize::Small, FeedForwardSize::Base].map(parameters), [421_411, 1_677_635]);
        let odd = transformation_network(FeedForwardSize::Small, [30, 41], 1).unwrap();
        assert_eq!(odd.output().unwrap().shape().sizes(), [32, 44, 3]);
        assert!(transformation_network(FeedForwardSize::Small, [0, 64], 1).is_err());
    }
}
