//! RegNet.
//!
//! I. Radosavovic, R. P. Kosaraju, R. Girshick, K. He, P. Dollár, *Designing Network Design Spaces*, 2020,
//! <https://arxiv.org/abs/2003.13678>: residual blocks of grouped convolutions (X), with squeeze-and-excitation (Y).

use super::{Conv, ModuleBuilder, TensorShapes};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::ActivationKind::{Relu, Sigmoid};

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegNet {
    pub(super) name: &'static str,
    /// For each stage: blocks, channels.
    stages: [(usize, usize); 4],
    /// The maximum number of channels per group.
    group: usize,
    squeezes: bool,
}

const fn y(name: &'static str, stages: [(usize, usize); 4], group: usize) -> RegNet {
    RegNet { name, stages, group, squeezes: true }
}

const fn x(name: &'static str, stages: [(usize, usize); 4], group: usize) -> RegNet {
    RegNet { name, stages, group, squeezes: false }
}

/// All networks of torchvision except the largest.
pub(super) const ALL: [RegNet; 14] = [
    y("regnet-y-400mf", [(1, 48), (3, 104), (6, 208), (6, 440)], 8),
    y("regnet-y-800mf", [(1, 64), (3, 144), (8, 320), (2, 784)], 16),
    y("regnet-y-1-6gf", [(2, 48), (6, 120), (17, 336), (2, 888)], 24),
    y("regnet-y-3-2gf", [(2, 72), (5, 216), (13, 576), (1, 1512)], 24),
    y("regnet-y-8gf", [(2, 224), (4, 448), (10, 896), (1, 2016)], 56),
    y("regnet-y-16gf", [(2, 224), (4, 448), (11, 1232), (1, 3024)], 112),
    y("regnet-y-32gf", [(2, 232), (5, 696), (12, 1392), (1, 3712)], 232),
    x("regnet-x-400mf", [(1, 32), (2, 64), (7, 160), (12, 400)], 16),
    x("regnet-x-800mf", [(1, 64), (3, 128), (7, 288), (5, 672)], 16),
    x("regnet-x-1-6gf", [(2, 72), (4, 168), (10, 408), (2, 912)], 24),
    x("regnet-x-3-2gf", [(2, 96), (6, 192), (15, 432), (2, 1008)], 48),
    x("regnet-x-8gf", [(2, 80), (5, 240), (15, 720), (1, 1920)], 120),
    x("regnet-x-16gf", [(2, 256), (6, 512), (13, 896), (1, 2048)], 128),
    x("regnet-x-32gf", [(2, 336), (7, 672), (13, 1344), (1, 2520)], 168),
];

impl RegNet {
    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
        x = b.unit("stem", Conv::new(32, 3).stride(2), Some(Relu), x)?;
        let module = |stage: usize, block: usize| format!("trunk_output.block{stage}.block{stage}-{block}");
        for stage in 1..=b.count(1, |stage| format!("{}.f.a.0", module(stage, 0)), self.stages.len()) {
            let (blocks, channels) = self.stages.get(stage - 1).copied().unwrap_or_default();
            for block in 0..b.count(0, |block| format!("{}.f.a.0", module(stage, block)), blocks) {
                let stride = if block == 0 { 2 } else { 1 };
                x = self.block(&mut b, &module(stage, block), (channels, stride), x)?;
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
        (channels, stride): (usize, usize),
        input: usize,
    ) -> Result<usize> {
        let part = |name: &str| format!("{module}.{name}");
        let mut shortcut = input;
        if b.has(&part("proj.0"), stride > 1 || b.channels(input) != channels) {
            shortcut = b.unit(&part("proj"), Conv::new(channels, 1).stride(stride), None, input)?;
        }
        let groups = channels / self.group.min(channels).max(1);
        let mut x = b.unit(&part("f.a"), Conv::new(channels, 1), Some(Relu), input)?;
        x = b.unit(&part("f.b"), Conv::new(channels, 3).stride(stride).groups(groups), Some(Relu), x)?;
        if b.has(&part("f.se.fc1"), self.squeezes) {
            // A quarter of the block's input channels; halves are rounded to even, as in Python.
            let squeezed = (b.channels(input) as f64 * 0.25).round_ties_even() as usize;
            x = b.squeeze_excite(&part("f.se"), squeezed, [Relu, Sigmoid], x)?;
        }
        x = b.unit(&part("f.c"), Conv::new(channels, 1), None, x)?;
        let sum = b.residual(&part("add"), 0.0, shortcut, x)?;
        b.relu(module, sum)
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}
