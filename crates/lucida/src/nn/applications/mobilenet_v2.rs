//! MobileNetV2.
//!
//! M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, 2018,
//! <https://arxiv.org/abs/1801.04381>: a block expands its input with a 1x1 convolution, applies a depthwise convolution,
//! and projects the result without an activation. Layers have Keras's names: `block_1_expand`, `block_1_depthwise_BN`.

use super::Options;
use super::keras::Chain;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    ActivationKind, Add, BatchNormalization, Conv2D, Dense, GlobalAveragePooling2D, Input, Padding,
};

/// The stages: filters, blocks, stride of the first block.
const STAGES: [(usize, usize, usize); 7] =
    [(16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)];
/// The expansion factor of all blocks except the first.
const EXPANSION: usize = 6;
/// Filters of the last convolution.
const LAST: usize = 1280;

/// MobileNetV2 of full width (alpha 1). 3,538,984 parameters for 1000 classes, 2,257,984 without the classifier, including
/// moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn mobilenet_v2(options: &Options) -> Result<Network> {
    let [height, width] = options.input("mobilenet-v2", 224, 32)?;
    let norm = BatchNormalization { momentum: 0.999, epsilon: 1e-3, ..Default::default() };
    let mut net = Chain::new(&format!("mobilenetv2_1.00_{height}"), norm);
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    let first = Conv2D::new(32, [3, 3]).strides([2, 2]).padding(Padding::Same).without_bias();
    x = net.builder.add_named("Conv1", first, &[x])?;
    x = net.norm("bn_Conv1", x)?;
    x = net.act("Conv1_relu", ActivationKind::Relu6, x)?;
    let mut number = 0;
    for (filters, blocks, first_stride) in STAGES {
        for at in 0..blocks {
            x = block(&mut net, number, filters, if at == 0 { first_stride } else { 1 }, x)?;
            number += 1;
        }
    }
    x = net.pointwise("Conv_1", LAST, x)?;
    x = net.norm("Conv_1_bn", x)?;
    x = net.act("out_relu", ActivationKind::Relu6, x)?;
    if options.top {
        x = net.builder.add(GlobalAveragePooling2D::new(), &[x])?;
        let dense = Dense::new(options.classes.unwrap_or(1000)).activation(options.top_activation());
        x = net.builder.add_named("predictions", dense, &[x])?;
    }
    options.build(net.builder, x)
}

fn block(net: &mut Chain, number: usize, filters: usize, stride: usize, input: usize) -> Result<usize> {
    let channels = net.builder.shape(input).channels();
    let prefix = if number == 0 { "expanded_conv_".to_owned() } else { format!("block_{number}_") };
    let name = |part: &str| format!("{prefix}{part}");
    let mut x = input;
    if number > 0 {
        x = net.pointwise(&name("expand"), EXPANSION * channels, x)?;
        x = net.norm(&name("expand_BN"), x)?;
        x = net.act(&name("expand_relu"), ActivationKind::Relu6, x)?;
    }
    x = net.depthwise([&name("pad"), &name("depthwise")], 3, stride, x)?;
    x = net.norm(&name("depthwise_BN"), x)?;
    x = net.act(&name("depthwise_relu"), ActivationKind::Relu6, x)?;
    x = net.pointwise(&name("project"), filters, x)?;
    x = net.norm(&name("project_BN"), x)?;
    if channels != filters || stride > 1 {
        return Ok(x);
    }
    net.builder.add_named(name("add"), Add::new(), &[input, x])
}
