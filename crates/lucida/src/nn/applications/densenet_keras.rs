//! DenseNet in Keras's version.
//!
//! G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, *Densely Connected Convolutional Networks*, 2016,
//! <https://arxiv.org/abs/1608.06993>. The layers are those of torchvision, except for epsilon, which is 1.001e-5 instead
//! of 1e-5, and the padding layers: weights of one fit the other, with slightly different outputs.

use super::Options;
use super::keras::Chain;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    ActivationKind, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, Input, MaxPooling2D, Padding,
    ZeroPadding2D,
};

/// The growth rate: channels added by each layer of a block.
const GROWTH: usize = 32;

/// DenseNet121 of Keras. 8,062,504 parameters for 1000 classes, 7,037,504 without the classifier, including moving
/// averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn densenet121_keras(options: &Options) -> Result<Network> {
    densenet(["densenet121-keras", "densenet121"], [6, 12, 24, 16], options)
}

/// DenseNet169 of Keras. 14,307,880 parameters for 1000 classes, 12,642,880 without the classifier, including moving
/// averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn densenet169_keras(options: &Options) -> Result<Network> {
    densenet(["densenet169-keras", "densenet169"], [6, 12, 32, 32], options)
}

/// DenseNet201 of Keras. 20,242,984 parameters for 1000 classes, 18,321,984 without the classifier, including moving
/// averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn densenet201_keras(options: &Options) -> Result<Network> {
    densenet(["densenet201-keras", "densenet201"], [6, 12, 48, 32], options)
}

fn densenet([name, model]: [&str; 2], blocks: [usize; 4], options: &Options) -> Result<Network> {
    let [height, width] = options.input(name, 224, 32)?;
    let mut net = Chain::new(model, BatchNormalization { epsilon: 1.001e-5, ..Default::default() });
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    x = net.builder.add(ZeroPadding2D::new(3), &[x])?;
    x = net.builder.add_named("conv1_conv", Conv2D::new(64, [7, 7]).strides([2, 2]).without_bias(), &[x])?;
    x = normalized(&mut net, "conv1_", x)?;
    x = net.builder.add(ZeroPadding2D::new(1), &[x])?;
    x = net.builder.add_named("pool1", MaxPooling2D::new([3, 3]).strides([2, 2]), &[x])?;
    for (stage, &count) in (2..).zip(&blocks) {
        for number in 1..=count {
            x = layer(&mut net, &format!("conv{stage}_block{number}"), x)?;
        }
        if stage < blocks.len() + 1 {
            x = transition(&mut net, &format!("pool{stage}"), x)?;
        }
    }
    x = normalized(&mut net, "", x)?;
    net.finish(options, x)
}

/// A 1x1 and a 3x3 convolution, each after a normalization and a ReLU, concatenated to the input.
fn layer(net: &mut Chain, name: &str, input: usize) -> Result<usize> {
    let mut x = normalized(net, &format!("{name}_0_"), input)?;
    x = net.pointwise(&format!("{name}_1_conv"), 4 * GROWTH, x)?;
    x = normalized(net, &format!("{name}_1_"), x)?;
    let conv = Conv2D::new(GROWTH, [3, 3]).padding(Padding::Same).without_bias();
    x = net.builder.add_named(format!("{name}_2_conv"), conv, &[x])?;
    net.builder.add_named(format!("{name}_concat"), Concatenate::new(), &[input, x])
}

/// Halves the channels with a 1x1 convolution, and the height and width by average pooling.
fn transition(net: &mut Chain, name: &str, x: usize) -> Result<usize> {
    let half = net.builder.shape(x).channels() / 2;
    let x = normalized(net, &format!("{name}_"), x)?;
    let x = net.pointwise(&format!("{name}_conv"), half, x)?;
    net.builder.add_named(format!("{name}_pool"), AveragePooling2D::new([2, 2]), &[x])
}

fn normalized(net: &mut Chain, name: &str, x: usize) -> Result<usize> {
    let x = net.norm(&format!("{name}bn"), x)?;
    net.act(&format!("{name}relu"), ActivationKind::Relu, x)
}
