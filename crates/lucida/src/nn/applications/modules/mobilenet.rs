//! MobileNet V2 and V3.
//!
//! M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, 2018,
//! <https://arxiv.org/abs/1801.04381>: a block expands its input with a 1x1 convolution, applies a depthwise convolution,
//! and projects the result without an activation. A. Howard et al., *Searching for MobileNetV3*, 2019,
//! <https://arxiv.org/abs/1905.02244>, adds squeeze-and-excitation and hard swish.

use super::{Conv, ModuleBuilder, TensorShapes, divisible};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::ActivationKind::{self, HardSigmoid, HardSilu, Relu, Relu6};

/// The stages of MobileNet V2: expansion factor, output channels, blocks, stride of the first block.
const V2: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

pub(super) fn mobilenet_v2(name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
    let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
    x = b.unit("features.0", Conv::new(32, 3).stride(2), Some(Relu6), x)?;
    let mut index = 1;
    for (widening, channels, blocks, stride) in V2 {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            x = inverted_residual(&mut b, &format!("features.{index}"), (widening, channels, stride), x)?;
            index += 1;
        }
    }
    x = b.unit("features.18", Conv::new(1280, 1), Some(Relu6), x)?;
    if b.has_classifier("classifier.1") {
        x = b.pooled(x)?;
        x = b.predictions("classifier.1", 0.2, x)?;
    }
    b.build(x)
}

fn inverted_residual(
    b: &mut ModuleBuilder,
    module: &str,
    (widening, channels, stride): (usize, usize, usize),
    input: usize,
) -> Result<usize> {
    let wide = widening * b.channels(input);
    let (mut x, mut next) = (input, 0);
    // Without expansion, the second module is the last convolution instead of a convolution with its normalization.
    if b.has(&format!("{module}.conv.1.0"), widening > 1) {
        x = b.unit(&format!("{module}.conv.0"), Conv::new(wide, 1), Some(Relu6), x)?;
        next = 1;
    }
    let wide = b.channels(x);
    x = b.unit(&format!("{module}.conv.{next}"), Conv::new(wide, 3).stride(stride).groups(wide), Some(Relu6), x)?;
    x = b.conv(&format!("{module}.conv.{}", next + 1), Conv::new(channels, 1), x)?;
    x = b.norm(&format!("{module}.conv.{}", next + 2), x)?;
    let same = stride == 1 && b.channels(x) == b.channels(input);
    if same { b.residual(module, 0.0, input, x) } else { Ok(x) }
}

/// A block of MobileNet V3.
struct Block {
    kernel: usize,
    widened: usize,
    channels: usize,
    squeezes: bool,
    activation: ActivationKind,
    stride: usize,
}

const fn block(
    kernel: usize,
    widened: usize,
    channels: usize,
    squeezes: bool,
    activation: ActivationKind,
    stride: usize,
) -> Block {
    Block { kernel, widened, channels, squeezes, activation, stride }
}

/// A MobileNet V3: its blocks, and the width of its hidden dense layer.
pub(super) struct V3 {
    name: &'static str,
    blocks: &'static [Block],
    hidden: usize,
}

pub(super) const V3_LARGE: V3 = V3 {
    name: "mobilenet-v3-large-torch",
    blocks: &[
        block(3, 16, 16, false, Relu, 1),
        block(3, 64, 24, false, Relu, 2),
        block(3, 72, 24, false, Relu, 1),
        block(5, 72, 40, true, Relu, 2),
        block(5, 120, 40, true, Relu, 1),
        block(5, 120, 40, true, Relu, 1),
        block(3, 240, 80, false, HardSilu, 2),
        block(3, 200, 80, false, HardSilu, 1),
        block(3, 184, 80, false, HardSilu, 1),
        block(3, 184, 80, false, HardSilu, 1),
        block(3, 480, 112, true, HardSilu, 1),
        block(3, 672, 112, true, HardSilu, 1),
        block(5, 672, 160, true, HardSilu, 2),
        block(5, 960, 160, true, HardSilu, 1),
        block(5, 960, 160, true, HardSilu, 1),
    ],
    hidden: 1280,
};

pub(super) const V3_SMALL: V3 = V3 {
    name: "mobilenet-v3-small-torch",
    blocks: &[
        block(3, 16, 16, true, Relu, 2),
        block(3, 72, 24, false, Relu, 2),
        block(3, 88, 24, false, Relu, 1),
        block(5, 96, 40, true, HardSilu, 2),
        block(5, 240, 40, true, HardSilu, 1),
        block(5, 240, 40, true, HardSilu, 1),
        block(5, 120, 48, true, HardSilu, 1),
        block(5, 144, 48, true, HardSilu, 1),
        block(5, 288, 96, true, HardSilu, 2),
        block(5, 576, 96, true, HardSilu, 1),
        block(5, 576, 96, true, HardSilu, 1),
    ],
    hidden: 1024,
};

impl V3 {
    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
        b.set_norm(1e-3, 0.99);
        x = b.unit("features.0", Conv::new(16, 3).stride(2), Some(HardSilu), x)?;
        for (index, block) in (1..).zip(self.blocks) {
            x = block.add(&mut b, &format!("features.{index}"), x)?;
        }
        let last = format!("features.{}", self.blocks.len() + 1);
        let channels = 6 * b.channels(x);
        x = b.unit(&last, Conv::new(channels, 1), Some(HardSilu), x)?;
        if b.has_classifier("classifier.3") {
            x = b.pooled(x)?;
            x = b.linear("classifier.0", self.hidden, x)?;
            x = b.activation("classifier.1", HardSilu, x)?;
            x = b.predictions("classifier.3", 0.2, x)?;
        }
        b.build(x)
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}

impl Block {
    fn add(&self, b: &mut ModuleBuilder, module: &str, input: usize) -> Result<usize> {
        let part = |index: usize| format!("{module}.block.{index}");
        let (mut x, mut next) = (input, 0);
        let widens = self.widened != b.channels(input);
        // The first convolution of a block without expansion is depthwise.
        let depthwise = b.weight(&format!("{}.0", part(0)))?.map(|shape| shape.get(1) == Some(&1));
        if depthwise.map_or(widens, |depthwise| !depthwise) {
            x = b.unit(&part(0), Conv::new(self.widened, 1), Some(self.activation), x)?;
            next = 1;
        }
        let wide = b.channels(x);
        let conv = Conv::new(wide, self.kernel).stride(self.stride).groups(wide);
        x = b.unit(&part(next), conv, Some(self.activation), x)?;
        next += 1;
        if b.has(&format!("{}.fc1", part(next)), self.squeezes) {
            let gate = HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };
            x = b.squeeze_excite(&part(next), divisible((wide / 4) as f64), [Relu, gate], x)?;
            next += 1;
        }
        x = b.unit(&part(next), Conv::new(self.channels, 1), None, x)?;
        let same = self.stride == 1 && b.channels(x) == b.channels(input);
        if same { b.residual(module, 0.0, input, x) } else { Ok(x) }
    }
}
