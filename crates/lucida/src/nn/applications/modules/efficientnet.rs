//! EfficientNet and EfficientNetV2.
//!
//! M. Tan, Q. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, 2019,
//! <https://arxiv.org/abs/1905.11946>: the blocks of MobileNet V2 with squeeze-and-excitation, with width and depth scaled
//! together. *EfficientNetV2: Smaller Models and Faster Training*, 2021, <https://arxiv.org/abs/2104.00298>, has plain
//! convolutions in the first stages. In torchvision's version, with equal padding on all sides.

use super::{Conv, ModuleBuilder, TensorShapes, divisible};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::ActivationKind::{Sigmoid, Silu};

/// A stage: whether the first two convolutions of a block are fused, expansion factor, kernel, output channels, blocks.
#[derive(Debug, Clone, Copy)]
struct Stage {
    fused: bool,
    widening: usize,
    kernel: usize,
    channels: usize,
    blocks: usize,
}

const fn stage(fused: bool, widening: usize, kernel: usize, channels: usize, blocks: usize) -> Stage {
    Stage { fused, widening, kernel, channels, blocks }
}

/// The strides of the stages of all networks.
const STRIDES: [usize; 7] = [1, 2, 2, 2, 1, 2, 1];
/// The rate of stochastic depth of the last block; it decreases toward the first.
const STOCHASTIC_DEPTH: f32 = 0.2;

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct EfficientNet {
    pub(super) name: &'static str,
    /// Height and width of the input.
    pub(super) size: usize,
    stages: &'static [Stage],
    width: f64,
    depth: f64,
    /// Output channels of the last convolution, if not four times its input channels.
    last: Option<usize>,
    dropout: f32,
    epsilon: f32,
    momentum: f32,
}

const B0: [Stage; 7] = [
    stage(false, 1, 3, 16, 1),
    stage(false, 6, 3, 24, 2),
    stage(false, 6, 5, 40, 2),
    stage(false, 6, 3, 80, 3),
    stage(false, 6, 5, 112, 3),
    stage(false, 6, 5, 192, 4),
    stage(false, 6, 3, 320, 1),
];

/// A network of the first version: from B5 on, they were converted from TensorFlow.
const fn v1(name: &'static str, size: usize, width: f64, depth: f64, dropout: f32) -> EfficientNet {
    let (epsilon, momentum) = if size >= 456 { (1e-3, 0.99) } else { (1e-5, 0.9) };
    EfficientNet { name, size, stages: &B0, width, depth, last: None, dropout, epsilon, momentum }
}

const fn v2(name: &'static str, size: usize, stages: &'static [Stage], dropout: f32) -> EfficientNet {
    let (width, depth, last) = (1.0, 1.0, Some(1280));
    EfficientNet { name, size, stages, width, depth, last, dropout, epsilon: 1e-3, momentum: 0.9 }
}

/// All networks of torchvision.
pub(super) const ALL: [EfficientNet; 11] = [
    v1("efficientnet-b0-torch", 224, 1.0, 1.0, 0.2),
    v1("efficientnet-b1-torch", 240, 1.0, 1.1, 0.2),
    v1("efficientnet-b2-torch", 288, 1.1, 1.2, 0.3),
    v1("efficientnet-b3-torch", 300, 1.2, 1.4, 0.3),
    v1("efficientnet-b4-torch", 380, 1.4, 1.8, 0.4),
    v1("efficientnet-b5-torch", 456, 1.6, 2.2, 0.4),
    v1("efficientnet-b6-torch", 528, 1.8, 2.6, 0.5),
    v1("efficientnet-b7-torch", 600, 2.0, 3.1, 0.5),
    v2(
        "efficientnet-v2-s-torch",
        384,
        &[
            stage(true, 1, 3, 24, 2),
            stage(true, 4, 3, 48, 4),
            stage(true, 4, 3, 64, 4),
            stage(false, 4, 3, 128, 6),
            stage(false, 6, 3, 160, 9),
            stage(false, 6, 3, 256, 15),
        ],
        0.2,
    ),
    v2(
        "efficientnet-v2-m-torch",
        480,
        &[
            stage(true, 1, 3, 24, 3),
            stage(true, 4, 3, 48, 5),
            stage(true, 4, 3, 80, 5),
            stage(false, 4, 3, 160, 7),
            stage(false, 6, 3, 176, 14),
            stage(false, 6, 3, 304, 18),
            stage(false, 6, 3, 512, 5),
        ],
        0.3,
    ),
    v2(
        "efficientnet-v2-l-torch",
        480,
        &[
            stage(true, 1, 3, 32, 4),
            stage(true, 4, 3, 64, 7),
            stage(true, 4, 3, 96, 7),
            stage(false, 4, 3, 192, 10),
            stage(false, 6, 3, 224, 19),
            stage(false, 6, 3, 384, 25),
            stage(false, 6, 3, 640, 7),
        ],
        0.4,
    ),
];

impl EfficientNet {
    fn scaled(&self, channels: usize) -> usize {
        divisible(channels as f64 * self.width)
    }

    fn blocks(&self, stage: Stage) -> usize {
        (stage.blocks as f64 * self.depth).ceil() as usize
    }

    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, self.size, options, tensors)?;
        b.set_norm(self.epsilon, self.momentum);
        let first = match self.stages[0] {
            // The first stage of the second version keeps the number of channels.
            Stage { fused: true, channels, .. } => channels,
            _ => self.scaled(32),
        };
        x = b.unit("features.0", Conv::new(first, 3).stride(2), Some(Silu), x)?;
        let stages = b.count(1, |index| format!("features.{index}.0.block.0.0"), self.stages.len());
        let all: usize = self.stages.iter().map(|&stage| self.blocks(stage)).sum();
        let mut done = 0;
        for index in 0..stages {
            let stage = self.stages[index.min(self.stages.len() - 1)];
            let module = |block: usize| format!("features.{}.{block}", index + 1);
            let blocks = b.count(0, |block| format!("{}.block.0.0", module(block)), self.blocks(stage));
            for block in 0..blocks {
                let stride = if block == 0 { STRIDES.get(index).copied().unwrap_or(1) } else { 1 };
                let dropped = STOCHASTIC_DEPTH * (done as f32 / all as f32).min(1.0);
                x = self.block(&mut b, &module(block), (stage, stride, dropped), x)?;
                done += 1;
            }
        }
        let last = self.last.unwrap_or(4 * b.channels(x));
        x = b.unit(&format!("features.{}", stages + 1), Conv::new(last, 1), Some(Silu), x)?;
        if b.has_classifier("classifier.1") {
            x = b.pooled(x)?;
            x = b.predictions("classifier.1", self.dropout, x)?;
        }
        b.build(x)
    }

    fn block(
        &self,
        b: &mut ModuleBuilder,
        module: &str,
        (stage, stride, dropped): (Stage, usize, f32),
        input: usize,
    ) -> Result<usize> {
        let part = |index: usize| format!("{module}.block.{index}");
        let inputs = b.channels(input);
        let (wide, channels) = (divisible((stage.widening * inputs) as f64), self.scaled(stage.channels));
        // A fused block has no depthwise convolution: its second convolution is 1x1, or does not exist.
        let kernels =
            [0, 1].map(|index| b.tensors.and_then(|tensors| tensors.get(&format!("{}.0.weight", part(index)))));
        let depthwise = |shape: Option<&Vec<usize>>| shape.is_some_and(|shape| shape.len() == 4 && shape[1] == 1);
        let fused = if b.tensors.is_some() { !kernels.into_iter().any(depthwise) } else { stage.fused };
        let x = if fused && !b.has(&format!("{}.0", part(1)), stage.widening > 1) {
            b.unit(&part(0), Conv::new(channels, stage.kernel).stride(stride), Some(Silu), input)?
        } else if fused {
            let x = b.unit(&part(0), Conv::new(wide, stage.kernel).stride(stride), Some(Silu), input)?;
            b.unit(&part(1), Conv::new(channels, 1), None, x)?
        } else {
            let (mut x, mut next) = (input, 0);
            if if b.tensors.is_some() { !depthwise(kernels[0]) } else { stage.widening > 1 } {
                x = b.unit(&part(0), Conv::new(wide, 1), Some(Silu), x)?;
                next = 1;
            }
            let wide = b.channels(x);
            x = b.unit(&part(next), Conv::new(wide, stage.kernel).stride(stride).groups(wide), Some(Silu), x)?;
            x = b.squeeze_excite(&part(next + 1), (inputs / 4).max(1), [Silu, Sigmoid], x)?;
            b.unit(&part(next + 2), Conv::new(channels, 1), None, x)?
        };
        let same = stride == 1 && b.channels(x) == inputs;
        if same { b.residual(module, dropped, input, x) } else { Ok(x) }
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}
