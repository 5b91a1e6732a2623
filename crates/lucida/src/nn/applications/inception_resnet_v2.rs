//! InceptionResNetV2.
//!
//! C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi, *Inception-v4, Inception-ResNet and the Impact of Residual Connections on
//! Learning*, 2016, <https://arxiv.org/abs/1602.07261>: blocks of parallel convolutions whose scaled output is added to
//! their input. The layers are created in Keras's order, so that they get Keras's names: `conv2d` to `conv2d_202`,
//! `block35_1_mixed`. Keras's `custom_scale_layer` is split into a scaling, `block35_1_scale`, and a sum with that layer's
//! name.

use super::Options;
use super::keras::Chain;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    Activation, ActivationKind, Add, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, Input, MaxPooling2D,
    Padding, Rescaling,
};

/// A convolution of a chain: filters, rows, columns.
type Conv = (usize, usize, usize);

/// InceptionResNetV2. 55,873,736 parameters for 1000 classes, 54,336,736 without the classifier, including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 75x75.
pub fn inception_resnet_v2(options: &Options) -> Result<Network> {
    let [height, width] = options.input("inception-resnet-v2", 299, 75)?;
    let norm = BatchNormalization { scale: false, ..Default::default() };
    let mut net = Chain::new("inception_resnet_v2", norm);
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    x = stem(&mut net, x)?;
    for number in 1..=10 {
        let chains: [&[Conv]; 3] = [&[(32, 1, 1)], &[(32, 1, 1), (32, 3, 3)], &[(32, 1, 1), (48, 3, 3), (64, 3, 3)]];
        x = residual(&mut net, &format!("block35_{number}"), &chains, 0.17, x)?;
    }
    x = first_reduction(&mut net, x)?;
    for number in 1..=20 {
        let chains: [&[Conv]; 2] = [&[(192, 1, 1)], &[(128, 1, 1), (160, 1, 7), (192, 7, 1)]];
        x = residual(&mut net, &format!("block17_{number}"), &chains, 0.1, x)?;
    }
    x = second_reduction(&mut net, x)?;
    for number in 1..=10 {
        let chains: [&[Conv]; 2] = [&[(192, 1, 1)], &[(192, 1, 1), (224, 1, 3), (256, 3, 1)]];
        x = residual(&mut net, &format!("block8_{number}"), &chains, if number == 10 { 1.0 } else { 0.2 }, x)?;
    }
    x = net.pointwise("conv_7b", 1536, x)?;
    x = net.norm("conv_7b_bn", x)?;
    x = net.act("conv_7b_ac", ActivationKind::Relu, x)?;
    net.finish(options, x)
}

/// Convolution, batch normalization, ReLU.
fn conv(net: &mut Chain, x: usize, (filters, rows, columns): Conv, padding: Padding, stride: usize) -> Result<usize> {
    let conv = Conv2D::new(filters, [rows, columns]).strides([stride; 2]).padding(padding).without_bias();
    let x = net.builder.add(conv, &[x])?;
    let x = net.builder.add(net.norm, &[x])?;
    net.builder.add(Activation::new(ActivationKind::Relu), &[x])
}

fn halving_conv(net: &mut Chain, x: usize, filters: usize) -> Result<usize> {
    conv(net, x, (filters, 3, 3), Padding::Valid, 2)
}

fn halving_pool(net: &mut Chain, x: usize) -> Result<usize> {
    net.builder.add(MaxPooling2D::new([3, 3]).strides([2, 2]), &[x])
}

fn chain(net: &mut Chain, mut x: usize, convs: &[Conv]) -> Result<usize> {
    for &layer in convs {
        x = conv(net, x, layer, Padding::Same, 1)?;
    }
    Ok(x)
}

/// Up to `mixed_5b`.
fn stem(net: &mut Chain, x: usize) -> Result<usize> {
    let mut x = halving_conv(net, x, 32)?;
    x = conv(net, x, (32, 3, 3), Padding::Valid, 1)?;
    x = conv(net, x, (64, 3, 3), Padding::Same, 1)?;
    x = halving_pool(net, x)?;
    x = conv(net, x, (80, 1, 1), Padding::Valid, 1)?;
    x = conv(net, x, (192, 3, 3), Padding::Valid, 1)?;
    x = halving_pool(net, x)?;
    let one = chain(net, x, &[(96, 1, 1)])?;
    let two = chain(net, x, &[(48, 1, 1), (64, 5, 5)])?;
    let three = chain(net, x, &[(64, 1, 1), (96, 3, 3), (96, 3, 3)])?;
    let pool = AveragePooling2D::new([3, 3]).strides([1, 1]).padding(Padding::Same);
    let pool = net.builder.add(pool, &[x])?;
    let pool = chain(net, pool, &[(64, 1, 1)])?;
    net.builder.add_named("mixed_5b", Concatenate::new(), &[one, two, three, pool])
}

/// `mixed_6a`, which halves the image.
fn first_reduction(net: &mut Chain, x: usize) -> Result<usize> {
    let one = halving_conv(net, x, 384)?;
    let two = chain(net, x, &[(256, 1, 1), (256, 3, 3)])?;
    let two = halving_conv(net, two, 384)?;
    let pool = halving_pool(net, x)?;
    net.builder.add_named("mixed_6a", Concatenate::new(), &[one, two, pool])
}

/// `mixed_7a`, which halves the image again.
fn second_reduction(net: &mut Chain, x: usize) -> Result<usize> {
    let one = chain(net, x, &[(256, 1, 1)])?;
    let one = halving_conv(net, one, 384)?;
    let two = chain(net, x, &[(256, 1, 1)])?;
    let two = halving_conv(net, two, 288)?;
    let three = chain(net, x, &[(256, 1, 1), (288, 3, 3)])?;
    let three = halving_conv(net, three, 320)?;
    let pool = halving_pool(net, x)?;
    net.builder.add_named("mixed_7a", Concatenate::new(), &[one, two, three, pool])
}

/// Adds `scale` times parallel chains, projected to the channels of the input, to the input. The last block, whose scale is
/// one, has no ReLU after it.
fn residual(net: &mut Chain, name: &str, chains: &[&[Conv]], scale: f32, input: usize) -> Result<usize> {
    let mut branches = Vec::with_capacity(chains.len());
    for convs in chains {
        branches.push(chain(net, input, convs)?);
    }
    let mut x = net.builder.add_named(format!("{name}_mixed"), Concatenate::new(), &branches)?;
    let channels = net.builder.shape(input).channels();
    x = net.builder.add_named(format!("{name}_conv"), Conv2D::new(channels, [1, 1]), &[x])?;
    x = net.builder.add_named(format!("{name}_scale"), Rescaling::new(scale, 0.0), &[x])?;
    let mut sums = (1_usize..).map(|number| format!("custom_scale_layer_{number}"));
    let first = Some("custom_scale_layer".to_owned());
    let sum = first.into_iter().chain(&mut sums).find(|sum| !net.builder.has_name(sum)).unwrap_or_default();
    x = net.builder.add_named(sum, Add::new(), &[input, x])?;
    if scale < 1.0 { net.act(&format!("{name}_ac"), ActivationKind::Relu, x) } else { Ok(x) }
}
