//! ResNeXt and wide ResNets, and ResNets of any depth and width.
//!
//! S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He, *Aggregated Residual Transformations for Deep Neural Networks*, 2016,
//! <https://arxiv.org/abs/1611.05431>: ResNets with 3x3 convolutions in 32 groups. S. Zagoruyko, N. Komodakis, *Wide
//! Residual Networks*, 2016, <https://arxiv.org/abs/1605.07146>: with more channels in them instead.

use super::{Conv, ModuleBuilder, TensorShapes};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResNet {
    pub(super) name: &'static str,
    blocks: [usize; 4],
    groups: usize,
    /// Channels of the 3x3 convolutions of the first stage.
    width: usize,
}

pub(super) const ALL: [ResNet; 4] = [
    ResNet { name: "resnext50-32x4d", blocks: [3, 4, 6, 3], groups: 32, width: 128 },
    ResNet { name: "resnext101-32x8d", blocks: [3, 4, 23, 3], groups: 32, width: 256 },
    ResNet { name: "wide-resnet50-2", blocks: [3, 4, 6, 3], groups: 1, width: 128 },
    ResNet { name: "wide-resnet101-2", blocks: [3, 4, 23, 3], groups: 1, width: 128 },
];

impl ResNet {
    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
        x = b.conv("conv1", Conv::new(64, 7).stride(2), x)?;
        x = b.norm("bn1", x)?;
        x = b.relu("relu", x)?;
        x = b.max_pool("maxpool", x)?;
        let stages = b.count(1, |stage| format!("layer{stage}.0.conv1"), 4);
        for stage in 0..stages {
            let module = |block: usize| format!("layer{}.{block}", stage + 1);
            let published = self.blocks.get(stage).copied().unwrap_or(0);
            for block in 0..b.count(0, |block| format!("{}.conv1", module(block)), published) {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(&mut b, &module(block), (stage, stride), x)?;
            }
        }
        if b.has_classifier("fc") {
            x = b.pooled(x)?;
            x = b.predictions("fc", 0.0, x)?;
        }
        b.build(x)
    }

    fn block(
        &self,
        b: &mut ModuleBuilder,
        module: &str,
        (stage, stride): (usize, usize),
        input: usize,
    ) -> Result<usize> {
        let (width, channels) = (self.width << stage, 256 << stage);
        let part = |name: &str| format!("{module}.{name}");
        let mut x = input;
        if b.has(&part("conv3"), true) {
            x = b.conv(&part("conv1"), Conv::new(width, 1), x)?;
            x = b.norm(&part("bn1"), x)?;
            x = b.relu(&part("relu"), x)?;
            x = b.conv(&part("conv2"), Conv::new(width, 3).stride(stride).groups(self.groups), x)?;
            x = b.norm(&part("bn2"), x)?;
            x = b.relu(&part("relu_2"), x)?;
            x = b.conv(&part("conv3"), Conv::new(channels, 1), x)?;
            x = b.norm(&part("bn3"), x)?;
        } else {
            x = b.conv(&part("conv1"), Conv::new(width, 3).stride(stride), x)?;
            x = b.norm(&part("bn1"), x)?;
            x = b.relu(&part("relu"), x)?;
            x = b.conv(&part("conv2"), Conv::new(width, 3), x)?;
            x = b.norm(&part("bn2"), x)?;
        }
        let mut shortcut = input;
        if b.has(&part("downsample.0"), stride > 1 || b.channels(x) != b.channels(input)) {
            shortcut = b.conv(&part("downsample.0"), Conv::new(channels, 1).stride(stride), input)?;
            shortcut = b.norm(&part("downsample.1"), shortcut)?;
        }
        let sum = b.residual(&part("add"), 0.0, shortcut, x)?;
        b.relu(module, sum)
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}
