//! ConvNeXt.
//!
//! Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie, *A ConvNet for the 2020s*, 2022,
//! <https://arxiv.org/abs/2201.03545>: residual blocks of a 7x7 depthwise convolution and two pointwise layers, with layer
//! normalization and GELU.

use super::{Conv, ModuleBuilder, TensorShapes, missing};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::Flatten;
use crate::nn::layers::{ActivationKind::Gelu, GlobalAveragePooling2D, LayerScale};

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvNeXt {
    pub(super) name: &'static str,
    blocks: [usize; 4],
    /// Channels of the first stage; they double in each stage.
    channels: usize,
    /// The rate of stochastic depth of the last block; it decreases toward the first.
    stochastic_depth: f32,
}

pub(super) const ALL: [ConvNeXt; 4] = [
    ConvNeXt { name: "convnext-tiny-torch", blocks: [3, 3, 9, 3], channels: 96, stochastic_depth: 0.1 },
    ConvNeXt { name: "convnext-small-torch", blocks: [3, 3, 27, 3], channels: 96, stochastic_depth: 0.4 },
    ConvNeXt { name: "convnext-base-torch", blocks: [3, 3, 27, 3], channels: 128, stochastic_depth: 0.5 },
    ConvNeXt { name: "convnext-large-torch", blocks: [3, 3, 27, 3], channels: 192, stochastic_depth: 0.5 },
];

impl ConvNeXt {
    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
        x = b.patches("features.0.0", Conv::new(self.channels, 4).with_bias(), x)?;
        x = b.layer_norm("features.0.1", x)?;
        let last_block = self.blocks.iter().sum::<usize>() - 1;
        let mut done = 0;
        for stage in 0..b.count(0, |stage| format!("features.{}.0.block.0", 2 * stage + 1), self.blocks.len()) {
            if stage > 0 {
                let module = format!("features.{}", 2 * stage);
                x = b.layer_norm(&format!("{module}.0"), x)?;
                x = b.patches(&format!("{module}.1"), Conv::new(self.channels << stage, 2).with_bias(), x)?;
            }
            let module = |block: usize| format!("features.{}.{block}", 2 * stage + 1);
            let published = self.blocks.get(stage).copied().unwrap_or(0);
            for block in 0..b.count(0, |block| format!("{}.block.0", module(block)), published) {
                let dropped = self.stochastic_depth * (done as f32 / last_block as f32).min(1.0);
                x = self::block(&mut b, &module(block), dropped, x)?;
                done += 1;
            }
        }
        if b.has_classifier("classifier.2") {
            // The normalization takes the means as an image of one pixel.
            x = b.builder.add_named("avgpool", GlobalAveragePooling2D::keeping_dims(), &[x])?;
            x = b.layer_norm("classifier.0", x)?;
            x = b.builder.add_named("classifier.1", Flatten::new(), &[x])?;
            x = b.predictions("classifier.2", 0.0, x)?;
        }
        b.build(x)
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}

fn block(b: &mut ModuleBuilder, module: &str, dropped: f32, input: usize) -> Result<usize> {
    let channels = b.channels(input);
    let part = |index: usize| format!("{module}.block.{index}");
    let mut x = b.conv(&part(0), Conv::new(channels, 7).groups(channels).with_bias(), input)?;
    x = b.layer_norm(&part(2), x)?;
    x = b.conv(&part(3), Conv::new(4 * channels, 1).with_bias(), x)?;
    x = b.activation(&part(4), Gelu, x)?;
    x = b.conv(&part(5), Conv::new(channels, 1).with_bias(), x)?;
    let scale = format!("{module}.layer_scale");
    if b.tensors.is_some_and(|tensors| !tensors.contains_key(&scale)) {
        return Err(missing(&scale));
    }
    x = b.builder.add_named(scale, LayerScale::new(1e-6, channels), &[x])?;
    b.residual(module, dropped, input, x)
}
