//! ResNet in Keras's version, and ResNetV2.
//!
//! K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*, 2015,
//! <https://arxiv.org/abs/1512.03385>, and *Identity Mappings in Deep Residual Networks*, 2016,
//! <https://arxiv.org/abs/1603.05027>. Unlike in torchvision's ResNet, convolutions have biases, and a stage downsamples in
//! the first 1x1 convolution of its first block. In the second version, normalization and ReLU come before the
//! convolutions, and the last block of a stage downsamples.

use super::Options;
use super::keras::Chain;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{ActivationKind, Add, BatchNormalization, Conv2D, Input, MaxPooling2D, Padding, ZeroPadding2D};

macro_rules! resnets {
    ($($function:ident, $name:literal, $model:literal, $build:ident, $blocks:expr, $parameters:literal, $without:literal;)*) => {
        $(
            #[doc = concat!("Keras's `", $model, "`: ", $parameters, " parameters for 1000 classes, ", $without)]
            /// without the classifier, including moving averages.
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
            pub fn $function(options: &Options) -> Result<Network> {
                $build([$name, $model], $blocks, options)
            }
        )*
    };
}

resnets! {
    resnet50_keras, "resnet50-keras", "resnet50", resnet, [3, 4, 6, 3], "25,636,712", "23,587,712";
    resnet101_keras, "resnet101-keras", "resnet101", resnet, [3, 4, 23, 3], "44,707,176", "42,658,176";
    resnet152_keras, "resnet152-keras", "resnet152", resnet, [3, 8, 36, 3], "60,419,944", "58,370,944";
    resnet50v2, "resnet50v2", "resnet50v2", resnet_v2, [3, 4, 6, 3], "25,613,800", "23,564,800";
    resnet101v2, "resnet101v2", "resnet101v2", resnet_v2, [3, 4, 23, 3], "44,675,560", "42,626,560";
    resnet152v2, "resnet152v2", "resnet152v2", resnet_v2, [3, 8, 36, 3], "60,380,648", "58,331,648";
}

fn resnet([name, model]: [&str; 2], blocks: [usize; 4], options: &Options) -> Result<Network> {
    let (mut net, mut x) = start(name, model, options)?;
    x = norm_and_relu(&mut net, "conv1", x)?;
    x = halved(&mut net, x)?;
    for (stage, &count) in blocks.iter().enumerate() {
        for number in 1..=count {
            let stride = if stage > 0 && number == 1 { 2 } else { 1 };
            let name = format!("conv{}_block{number}", stage + 2);
            x = block(&mut net, &name, 64 << stage, stride, number == 1, x)?;
        }
    }
    net.finish(options, x)
}

fn resnet_v2([name, model]: [&str; 2], blocks: [usize; 4], options: &Options) -> Result<Network> {
    let (mut net, mut x) = start(name, model, options)?;
    x = halved(&mut net, x)?;
    for (stage, &count) in blocks.iter().enumerate() {
        for number in 1..=count {
            let stride = if stage < 3 && number == count { 2 } else { 1 };
            let name = format!("conv{}_block{number}", stage + 2);
            x = block_v2(&mut net, &name, 64 << stage, stride, number == 1, x)?;
        }
    }
    x = norm_and_relu(&mut net, "post", x)?;
    net.finish(options, x)
}

/// The stem with the 7x7 convolution.
fn start(name: &str, model: &str, options: &Options) -> Result<(Chain, usize)> {
    let [height, width] = options.input(name, 224, 32)?;
    let norm = BatchNormalization { epsilon: 1.001e-5, ..Default::default() };
    let mut net = Chain::new(model, norm);
    let x = net.builder.add(Input::new([height, width, 3]), &[])?;
    let x = net.builder.add_named("conv1_pad", ZeroPadding2D::new(3), &[x])?;
    let x = net.builder.add_named("conv1_conv", Conv2D::new(64, [7, 7]).strides([2, 2]), &[x])?;
    Ok((net, x))
}

fn halved(net: &mut Chain, x: usize) -> Result<usize> {
    let x = net.builder.add_named("pool1_pad", ZeroPadding2D::new(1), &[x])?;
    net.builder.add_named("pool1_pool", MaxPooling2D::new([3, 3]).strides([2, 2]), &[x])
}

/// A normalization and a ReLU: `name_bn`, `name_relu`.
fn norm_and_relu(net: &mut Chain, name: &str, x: usize) -> Result<usize> {
    let x = net.norm(&format!("{name}_bn"), x)?;
    net.act(&format!("{name}_relu"), ActivationKind::Relu, x)
}

/// Three convolutions, added to the input, or at the start of a stage to a 1x1 convolution of it.
fn block(net: &mut Chain, name: &str, filters: usize, stride: usize, first: bool, input: usize) -> Result<usize> {
    let layer = |part: &str| format!("{name}_{part}");
    let mut shortcut = input;
    if first {
        let conv = Conv2D::new(4 * filters, [1, 1]).strides([stride; 2]);
        shortcut = net.builder.add_named(layer("0_conv"), conv, &[input])?;
        shortcut = net.norm(&layer("0_bn"), shortcut)?;
    }
    let mut x = net.builder.add_named(layer("1_conv"), Conv2D::new(filters, [1, 1]).strides([stride; 2]), &[input])?;
    x = norm_and_relu(net, &layer("1"), x)?;
    x = net.builder.add_named(layer("2_conv"), Conv2D::new(filters, [3, 3]).padding(Padding::Same), &[x])?;
    x = norm_and_relu(net, &layer("2"), x)?;
    x = net.builder.add_named(layer("3_conv"), Conv2D::new(4 * filters, [1, 1]), &[x])?;
    x = net.norm(&layer("3_bn"), x)?;
    x = net.builder.add_named(layer("add"), Add::new(), &[shortcut, x])?;
    net.act(&layer("out"), ActivationKind::Relu, x)
}

/// As [`block`], with normalization and ReLU before the convolutions. If it downsamples, the shortcut does so by max
/// pooling with a 1x1 window.
fn block_v2(net: &mut Chain, name: &str, filters: usize, stride: usize, first: bool, input: usize) -> Result<usize> {
    let layer = |part: &str| format!("{name}_{part}");
    let before = norm_and_relu(net, &layer("preact"), input)?;
    let shortcut = if first {
        net.builder.add_named(layer("0_conv"), Conv2D::new(4 * filters, [1, 1]).strides([stride; 2]), &[before])?
    } else if stride > 1 {
        net.builder.add(MaxPooling2D::new([1, 1]).strides([stride; 2]), &[input])?
    } else {
        input
    };
    let mut x = net.pointwise(&layer("1_conv"), filters, before)?;
    x = norm_and_relu(net, &layer("1"), x)?;
    x = net.builder.add_named(layer("2_pad"), ZeroPadding2D::new(1), &[x])?;
    let conv = Conv2D::new(filters, [3, 3]).strides([stride; 2]).without_bias();
    x = net.builder.add_named(layer("2_conv"), conv, &[x])?;
    x = norm_and_relu(net, &layer("2"), x)?;
    x = net.builder.add_named(layer("3_conv"), Conv2D::new(4 * filters, [1, 1]), &[x])?;
    net.builder.add_named(layer("out"), Add::new(), &[shortcut, x])
}
