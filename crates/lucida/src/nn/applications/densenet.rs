//! DenseNet.
//!
//! G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, *Densely Connected Convolutional Networks*, 2016,
//! <https://arxiv.org/abs/1608.06993>: each layer of a block takes the outputs of all layers before it. In torchvision's
//! version. The layers have Keras's names: `conv1_conv`, `conv2_block1_1_conv`, `conv2_block1_concat`, `pool2_conv`.

use super::Options;
use super::torchvision::{conv, normalization, padded, predictions};
use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, AveragePooling2D, Concatenate, Conv2D, GlobalAveragePooling2D, Input, MaxPooling2D,
};
use crate::nn::{Network, NetworkBuilder};

/// The epsilon of PyTorch's batch normalization.
const EPSILON: f32 = 1e-5;
/// Filters of the first convolution.
const FIRST: usize = 64;
/// The growth rate: channels added by each layer of a block.
const GROWTH: usize = 32;
/// The first convolution of a layer has this many times the growth rate as channels.
const BOTTLENECK: usize = 4;

/// DenseNet121: four blocks of 6, 12, 24 and 16 layers. 8,062,504 parameters for 1000 classes, 7,037,504 without the
/// classifier, including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn densenet121(options: &Options) -> Result<Network> {
    densenet("densenet121", [6, 12, 24, 16], options)
}

fn densenet(name: &str, blocks: [usize; 4], options: &Options) -> Result<Network> {
    let [height, width] = options.input(name, 224, 32)?;
    let mut builder = Network::builder(name);
    let mut x = builder.add(Input::new([height, width, 3]), &[])?;
    let first = Conv2D::new(FIRST, [7, 7]).strides([2, 2]).without_bias();
    x = conv(&mut builder, "conv1_conv", first, x)?;
    x = normalized(&mut builder, "conv1_bn", "conv1_relu", x)?;
    // After a ReLU, zero padding never exceeds the maximum, so it is equivalent to PyTorch's padding with minus infinity.
    x = padded(&mut builder, "pool1", MaxPooling2D::new([3, 3]).strides([2, 2]), 1, x)?;
    for (stage, &count) in (2..).zip(&blocks) {
        for number in 1..=count {
            x = layer(&mut builder, &format!("conv{stage}_block{number}"), x)?;
        }
        if stage < blocks.len() + 1 {
            x = transition(&mut builder, &format!("pool{stage}"), x)?;
        }
    }
    x = normalized(&mut builder, "bn", "relu", x)?;
    if options.top {
        x = builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        x = predictions(&mut builder, options, x)?;
    }
    options.build(builder, x)
}

/// A 1x1 and a 3x3 convolution, each after a normalization and a ReLU, concatenated to the input.
fn layer(builder: &mut NetworkBuilder, name: &str, x: usize) -> Result<usize> {
    let narrow = Conv2D::new(BOTTLENECK * GROWTH, [1, 1]).without_bias();
    let mut branch = normalized(builder, &format!("{name}_0_bn"), &format!("{name}_0_relu"), x)?;
    branch = conv(builder, &format!("{name}_1_conv"), narrow, branch)?;
    branch = normalized(builder, &format!("{name}_1_bn"), &format!("{name}_1_relu"), branch)?;
    branch = conv(builder, &format!("{name}_2_conv"), Conv2D::new(GROWTH, [3, 3]).without_bias(), branch)?;
    builder.add_named(format!("{name}_concat"), Concatenate::new(), &[x, branch])
}

/// Halves the channels with a 1x1 convolution, and the height and width by average pooling.
fn transition(builder: &mut NetworkBuilder, name: &str, x: usize) -> Result<usize> {
    let half = Conv2D::new(builder.shape(x).channels() / 2, [1, 1]).without_bias();
    let x = normalized(builder, &format!("{name}_bn"), &format!("{name}_relu"), x)?;
    let x = conv(builder, &format!("{name}_conv"), half, x)?;
    builder.add_named(format!("{name}_pool"), AveragePooling2D::new([2, 2]), &[x])
}

fn normalized(builder: &mut NetworkBuilder, norm: &str, relu: &str, x: usize) -> Result<usize> {
    let x = builder.add_named(norm, normalization(EPSILON), &[x])?;
    builder.add_named(relu, Activation::new(ActivationKind::Relu), &[x])
}
