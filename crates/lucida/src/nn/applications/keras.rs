//! Shared code of the networks of Keras's applications.

use super::Options;
use super::torchvision::predictions;
use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, BatchNormalization, Conv2D, DepthwiseConv2D, GlobalAveragePooling2D, Multiply, Padding,
    Reshape, ZeroPadding2D,
};
use crate::nn::{Network, NetworkBuilder};

/// A network under construction: layers are added in sequence, with Keras's names.
pub(super) struct Chain {
    pub(super) builder: NetworkBuilder,
    /// The normalization after convolutions.
    pub(super) norm: BatchNormalization,
}

impl Chain {
    pub(super) fn new(name: &str, norm: BatchNormalization) -> Self {
        Self { builder: Network::builder(name), norm }
    }

    /// A batch normalization.
    pub(super) fn norm(&mut self, name: &str, x: usize) -> Result<usize> {
        self.builder.add_named(name, self.norm, &[x])
    }

    /// An activation.
    pub(super) fn act(&mut self, name: &str, kind: ActivationKind, x: usize) -> Result<usize> {
        self.builder.add_named(name, Activation::new(kind), &[x])
    }

    /// A 1x1 convolution without a bias.
    pub(super) fn pointwise(&mut self, name: &str, filters: usize, x: usize) -> Result<usize> {
        self.builder.add_named(name, Conv2D::new(filters, [1, 1]).without_bias(), &[x])
    }

    /// A depthwise convolution without a bias that keeps the size of the image, or, with a stride of 2, has its padding in
    /// a separate layer.
    pub(super) fn depthwise(&mut self, names: [&str; 2], size: usize, stride: usize, x: usize) -> Result<usize> {
        let [pad, name] = names;
        let conv = DepthwiseConv2D::new([size; 2]).strides([stride; 2]).without_bias();
        if stride == 1 {
            return self.builder.add_named(name, conv.padding(Padding::Same), &[x]);
        }
        let x = self.halving_border(pad, size, x)?;
        self.builder.add_named(name, conv, &[x])
    }

    /// The padding that a kernel of this size needs with a stride of 2: one less at the top and left if the size is even,
    /// like TensorFlow's padding `same`.
    pub(super) fn halving_border(&mut self, name: &str, size: usize, x: usize) -> Result<usize> {
        let padding = self.halving_padding(size, x);
        self.builder.add_named(name, ZeroPadding2D { padding }, &[x])
    }

    fn halving_padding(&self, size: usize, x: usize) -> [[usize; 2]; 2] {
        let sizes = self.builder.shape(x).sizes();
        [sizes[0], sizes[1]].map(|len| [size / 2 - (1 - len % 2), size / 2])
    }

    /// Squeeze-and-excitation (Hu, Shen and Sun, 2018), as in the EfficientNets: each channel times a gate computed from
    /// the means of all channels.
    pub(super) fn squeeze_excite(
        &mut self,
        name: &str,
        squeezed: usize,
        kind: ActivationKind,
        x: usize,
    ) -> Result<usize> {
        let channels = self.builder.shape(x).channels();
        let layer = |part: &str| format!("{name}se_{part}");
        let se = self.builder.add_named(layer("squeeze"), GlobalAveragePooling2D::new(), &[x])?;
        let se = self.builder.add_named(layer("reshape"), Reshape::new([1, 1, channels as i64]), &[se])?;
        let reduce = Conv2D::new(squeezed, [1, 1]).activation(kind);
        let se = self.builder.add_named(layer("reduce"), reduce, &[se])?;
        let expand = Conv2D::new(channels, [1, 1]).activation(ActivationKind::Sigmoid);
        let se = self.builder.add_named(layer("expand"), expand, &[se])?;
        self.builder.add_named(format!("{name}se_excite"), Multiply::new(), &[x, se])
    }

    /// Adds the classifier, if requested, and builds the network.
    pub(super) fn finish(mut self, options: &Options, mut x: usize) -> Result<Network> {
        if options.top {
            x = self.builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
            x = predictions(&mut self.builder, options, x)?;
        }
        options.build(self.builder, x)
    }
}

/// Rounds a number of channels to the nearest multiple of 8, but not down by more than a tenth.
pub(super) fn divisible_by_8(channels: f64) -> usize {
    let rounded = 8 * (((channels + 4.0) / 8.0) as usize).max(1);
    if (rounded as f64) < 0.9 * channels { rounded + 8 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_as_in_keras() {
        // `keras.src.applications.mobilenet_v3._depth`.
        let expected = [
            (1.0, 8),
            (4.0, 8),
            (12.0, 16),
            (18.0, 24),
            (88.0, 88),
            (96.0 * 0.75, 72),
            (33.0, 32),
            (200.0 * 0.92, 184),
        ];
        for (channels, rounded) in expected {
            assert_eq!(divisible_by_8(channels), rounded, "{channels}");
        }
    }
}
