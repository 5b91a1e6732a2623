//! DenseNets of any depth and width, in torchvision's version.
//!
//! G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, *Densely Connected Convolutional Networks*, 2016,
//! <https://arxiv.org/abs/1608.06993>: each layer of a block takes the outputs of all layers before it.

use super::{Conv, ModuleBuilder, TensorShapes};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::{AveragePooling2D, Concatenate};

/// The first convolution of a layer has this many times the growth rate as channels.
const BOTTLENECK: usize = 4;

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct DenseNet {
    pub(super) name: &'static str,
    /// Filters of the first convolution.
    first: usize,
    /// The growth rate: channels added by each layer of a block.
    growth: usize,
    blocks: [usize; 4],
}

pub(super) const ALL: [DenseNet; 3] = [
    DenseNet { name: "densenet161", first: 96, growth: 48, blocks: [6, 12, 36, 24] },
    DenseNet { name: "densenet169", first: 64, growth: 32, blocks: [6, 12, 32, 32] },
    DenseNet { name: "densenet201", first: 64, growth: 32, blocks: [6, 12, 48, 32] },
];

impl DenseNet {
    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
        x = b.conv("features.conv0", Conv::new(self.first, 7).stride(2), x)?;
        x = b.norm("features.norm0", x)?;
        x = b.relu("features.relu0", x)?;
        x = b.max_pool("features.pool0", x)?;
        let stages = b.count(1, |stage| format!("features.denseblock{stage}.denselayer1.conv1"), self.blocks.len());
        for stage in 1..=stages {
            let module = format!("features.denseblock{stage}");
            let published = self.blocks.get(stage - 1).copied().unwrap_or(0);
            for number in 1..=b.count(1, |number| format!("{module}.denselayer{number}.conv1"), published) {
                let new = self.layer(&mut b, &format!("{module}.denselayer{number}"), x)?;
                x = b.builder.add_named(format!("{module}.cat{number}"), Concatenate::new(), &[x, new])?;
            }
            let module = format!("features.transition{stage}");
            if b.has(&format!("{module}.conv"), stage < stages) {
                let half = Conv::new(b.channels(x) / 2, 1);
                x = b.norm(&format!("{module}.norm"), x)?;
                x = b.relu(&format!("{module}.relu"), x)?;
                x = b.conv(&format!("{module}.conv"), half, x)?;
                x = b.builder.add_named(format!("{module}.pool"), AveragePooling2D::new([2, 2]), &[x])?;
            }
        }
        x = b.norm("features.norm5", x)?;
        x = b.relu("relu", x)?;
        if b.has_classifier("classifier") {
            x = b.pooled(x)?;
            x = b.predictions("classifier", 0.0, x)?;
        }
        b.build(x)
    }

    /// A 1x1 and a 3x3 convolution, each after a normalization and a ReLU.
    fn layer(&self, b: &mut ModuleBuilder, module: &str, mut x: usize) -> Result<usize> {
        for (number, conv) in [(1, Conv::new(BOTTLENECK * self.growth, 1)), (2, Conv::new(self.growth, 3))] {
            x = b.norm(&format!("{module}.norm{number}"), x)?;
            x = b.relu(&format!("{module}.relu{number}"), x)?;
            x = b.conv(&format!("{module}.conv{number}"), conv, x)?;
        }
        Ok(x)
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}
