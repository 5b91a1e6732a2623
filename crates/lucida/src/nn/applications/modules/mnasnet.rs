//! MNASNet.
//!
//! M. Tan, B. Chen, R. Pang, V. Vasudevan, M. Sandler, A. Howard, Q. Le, *MnasNet: Platform-Aware Neural Architecture Search
//! for Mobile*, 2018, <https://arxiv.org/abs/1807.11626>: its variant B1, the blocks of MobileNet V2 with ReLUs.

use super::{Conv, ModuleBuilder, TensorShapes, divisible};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::ActivationKind::Relu;

/// The stages: kernel, stride, expansion factor, output channels, blocks.
const STAGES: [(usize, usize, usize, usize, usize); 6] =
    [(3, 2, 3, 24, 3), (5, 2, 3, 40, 3), (5, 2, 6, 80, 3), (3, 1, 6, 96, 2), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)];

/// MNASNet; `alpha` scales the channels.
pub(super) fn mnasnet(name: &str, alpha: f64, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
    let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
    b.norm.momentum = 0.9997;
    let scaled = |channels: usize| divisible(channels as f64 * alpha);
    let first = scaled(32);
    x = conv(&mut b, 0, Conv::new(first, 3).stride(2), x)?;
    x = b.relu("layers.2", x)?;
    let first = b.channels(x);
    x = conv(&mut b, 3, Conv::new(first, 3).groups(first), x)?;
    x = b.relu("layers.5", x)?;
    x = conv(&mut b, 6, Conv::new(scaled(16), 1), x)?;
    for (index, (kernel, stride, widening, channels, blocks)) in (8..).zip(STAGES) {
        let module = |block: usize| format!("layers.{index}.{block}");
        for block in 0..b.count(0, |block| format!("{}.layers.0", module(block)), blocks) {
            let stride = if block == 0 { stride } else { 1 };
            let wide = widening * b.channels(x);
            let convs = [
                Conv::new(wide, 1),
                Conv::new(wide, kernel).stride(stride).groups(wide),
                Conv::new(scaled(channels), 1),
            ];
            x = inverted_residual(&mut b, &module(block), convs, block > 0, x)?;
        }
    }
    x = conv(&mut b, 14, Conv::new(1280, 1), x)?;
    x = b.relu("layers.16", x)?;
    if b.has_classifier("classifier.1") {
        x = b.pooled(x)?;
        x = b.predictions("classifier.1", 0.2, x)?;
    }
    b.build(x)
}

/// A convolution in the top-level module list, and its normalization.
fn conv(b: &mut ModuleBuilder, index: usize, conv: Conv, x: usize) -> Result<usize> {
    let x = b.conv(&format!("layers.{index}"), conv, x)?;
    b.norm(&format!("layers.{}", index + 1), x)
}

fn inverted_residual(
    b: &mut ModuleBuilder,
    module: &str,
    convs: [Conv; 3],
    residual: bool,
    input: usize,
) -> Result<usize> {
    let mut x = input;
    for (index, conv) in [0, 3, 6].into_iter().zip(convs) {
        x = b.conv(&format!("{module}.layers.{index}"), conv, x)?;
        x = b.norm(&format!("{module}.layers.{}", index + 1), x)?;
        if index < 6 {
            x = b.activation(&format!("{module}.layers.{}", index + 2), Relu, x)?;
        }
    }
    if residual { b.residual(module, 0.0, input, x) } else { Ok(x) }
}
