//! EfficientNet-Lite.
//!
//! EfficientNets for mobile devices (R. Liu, *Higher accuracy on vision models with EfficientNet-Lite*, TensorFlow blog,
//! 2020): without squeeze-and-excitation, with ReLU6, and with an unscaled first and last stage. With TensorFlow's padding.
//! Layers have the names of the PyTorch ports: `_conv_stem`, `_blocks.0._depthwise_conv`.

use super::{Conv, ModuleBuilder, TensorShapes, divisible};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::ActivationKind::Relu6;

/// The stages: expansion factor, kernel, stride, output channels, blocks.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
];

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct EfficientNetLite {
    pub(super) name: &'static str,
    /// Height and width of the input.
    pub(super) size: usize,
    width: f64,
    depth: f64,
    dropout: f32,
}

pub(super) const ALL: [EfficientNetLite; 5] = [
    EfficientNetLite { name: "efficientnet-lite0", size: 224, width: 1.0, depth: 1.0, dropout: 0.2 },
    EfficientNetLite { name: "efficientnet-lite1", size: 240, width: 1.0, depth: 1.1, dropout: 0.2 },
    EfficientNetLite { name: "efficientnet-lite2", size: 260, width: 1.1, depth: 1.2, dropout: 0.3 },
    EfficientNetLite { name: "efficientnet-lite3", size: 280, width: 1.2, depth: 1.4, dropout: 0.3 },
    EfficientNetLite { name: "efficientnet-lite4", size: 300, width: 1.4, depth: 1.8, dropout: 0.3 },
];

impl EfficientNetLite {
    pub(super) fn build(&self, name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
        let (mut b, mut x) = ModuleBuilder::new(name, self.size, options, tensors)?;
        (b.norm.epsilon, b.norm.momentum, b.tensorflow) = (1e-3, 0.99, true);
        x = conv(&mut b, ["_conv_stem", "_bn0"], Conv::new(32, 3).stride(2), x)?;
        x = b.activation("_conv_stem_activation", Relu6, x)?;
        let mut index = 0;
        for (stage, (widening, kernel, stride, channels, blocks)) in STAGES.into_iter().enumerate() {
            let scaled = (blocks as f64 * self.depth).ceil() as usize;
            let blocks = if stage == 0 || stage + 1 == STAGES.len() { blocks } else { scaled };
            let channels = divisible(channels as f64 * self.width);
            for block in 0..blocks {
                let depthwise = Conv::new(0, kernel).stride(if block == 0 { stride } else { 1 });
                x = self::block(&mut b, &format!("_blocks.{index}"), (widening, depthwise, channels), x)?;
                index += 1;
            }
        }
        x = conv(&mut b, ["_conv_head", "_bn1"], Conv::new(1280, 1), x)?;
        x = b.activation("_conv_head_activation", Relu6, x)?;
        if b.has_classifier("_fc") {
            x = b.pooled(x)?;
            x = b.predictions("_fc", self.dropout, x)?;
        }
        b.build(x)
    }

    pub(super) fn published(&self, options: &Options) -> Result<Network> {
        self.build(self.name, options, None)
    }
}

/// A convolution and its normalization, with separate names.
fn conv(b: &mut ModuleBuilder, [conv_name, norm_name]: [&str; 2], conv: Conv, x: usize) -> Result<usize> {
    let x = b.conv(conv_name, conv, x)?;
    b.norm(norm_name, x)
}

fn block(
    b: &mut ModuleBuilder,
    module: &str,
    (widening, depthwise, channels): (usize, Conv, usize),
    input: usize,
) -> Result<usize> {
    let part = |name: &str| format!("{module}.{name}");
    let mut x = input;
    if b.has(&part("_expand_conv"), widening > 1) {
        let wide = widening * b.channels(input);
        x = conv(b, [&part("_expand_conv"), &part("_bn0")], Conv::new(wide, 1), x)?;
        x = b.activation(&part("_expand_activation"), Relu6, x)?;
    }
    let wide = b.channels(x);
    let depthwise = Conv { filters: wide, groups: wide, ..depthwise };
    x = conv(b, [&part("_depthwise_conv"), &part("_bn1")], depthwise, x)?;
    x = b.activation(&part("_depthwise_activation"), Relu6, x)?;
    x = conv(b, [&part("_project_conv"), &part("_bn2")], Conv::new(channels, 1), x)?;
    let same = depthwise.stride == 1 && b.channels(x) == b.channels(input);
    if same { b.residual(module, 0.0, input, x) } else { Ok(x) }
}
