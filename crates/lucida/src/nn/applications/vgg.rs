//! VGG.
//!
//! K. Simonyan, A. Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, 2014,
//! <https://arxiv.org/abs/1409.1556>: five blocks of 3x3 convolutions, each followed by a pooling. The layers have Keras's
//! names, `block1_conv1` to `block5_pool`, `fc1`, `fc2`, `predictions`.
//!
//! VGG16 and VGG19 are Keras's, with dense layers whose size depends on the input size. The others are torchvision's, which
//! pool features to 7x7 pixels before the dense layers, so that these do not depend on the input size.

use super::Options;
use super::torchvision::{adapt, classifier, normalization, predictions};
use crate::Result;
use crate::nn::layers::{Activation, ActivationKind, Conv2D, Dense, Flatten, Input, MaxPooling2D, Padding};
use crate::nn::{Network, NetworkBuilder};

/// The filters of the convolutions of each block.
const FILTERS: [usize; 5] = [64, 128, 256, 512, 512];

/// VGG16: blocks of 2, 2, 3, 3 and 3 convolutions. 138,357,544 parameters for 224x224 pixels and 1000 classes,
/// 14,714,688 without the classifier.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn vgg16(options: &Options) -> Result<Network> {
    vgg("vgg16", [2, 2, 3, 3, 3], options)
}

/// VGG19: blocks of 2, 2, 4, 4 and 4 convolutions. 143,667,240 parameters for 224x224 pixels and 1000 classes,
/// 20,024,384 without the classifier.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn vgg19(options: &Options) -> Result<Network> {
    vgg("vgg19", [2, 2, 4, 4, 4], options)
}

fn vgg(name: &str, convolutions: [usize; 5], options: &Options) -> Result<Network> {
    let [height, width] = options.input(name, 224, 32)?;
    let input = [height, width, options.channels.unwrap_or(3)];
    let (mut builder, mut last) = blocks(name, input, &convolutions, false)?;
    if options.top {
        let dense = |units| Dense::new(units).activation(ActivationKind::Relu);
        last = builder.add_named("flatten", Flatten::new(), &[last])?;
        last = builder.add_named("fc1", dense(4096), &[last])?;
        last = builder.add_named("fc2", dense(4096), &[last])?;
        last = predictions(&mut builder, options, last)?;
    }
    options.build(builder, last)
}

macro_rules! torchvision {
    ($($(#[$doc:meta])* $function:ident: $spoken:literal, $convolutions:expr, $normalized:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
        pub fn $function(options: &Options) -> Result<Network> {
            let [height, width] = options.input($spoken, 224, 32)?;
            let input = [height, width, options.channels.unwrap_or(3)];
            let (mut builder, mut last) = blocks(stringify!($function), input, &$convolutions, $normalized)?;
            if options.top {
                last = adapt(&mut builder, [7, 7], last)?;
                last = classifier(&mut builder, false, options, last)?;
            }
            options.build(builder, last)
        }
    )*};
}

torchvision! {
    /// VGG11 in torchvision's version: blocks of 1, 1, 2, 2 and 2 convolutions. 132,863,336 parameters for 1000 classes,
    /// 9,220,480 without the classifier.
    vgg11: "vgg11", [1, 1, 2, 2, 2], false;
    /// VGG13 in torchvision's version: blocks of 2 convolutions. 133,047,848 parameters for 1000 classes, 9,404,992 without
    /// the classifier.
    vgg13: "vgg13", [2; 5], false;
    /// VGG11 with batch normalization after each convolution: 132,874,344 parameters for 1000 classes, 9,231,488 without
    /// the classifier.
    vgg11_bn: "vgg11-bn", [1, 1, 2, 2, 2], true;
    /// VGG13 with batch normalization after each convolution: 133,059,624 parameters for 1000 classes, 9,416,768 without
    /// the classifier.
    vgg13_bn: "vgg13-bn", [2; 5], true;
    /// VGG16 with batch normalization after each convolution: 138,374,440 parameters for 1000 classes, 14,731,584 without
    /// the classifier.
    vgg16_bn: "vgg16-bn", [2, 2, 3, 3, 3], true;
    /// VGG19 with batch normalization after each convolution: 143,689,256 parameters for 1000 classes, 20,046,400 without
    /// the classifier.
    vgg19_bn: "vgg19-bn", [2, 2, 4, 4, 4], true;
}

/// The first three blocks of VGG16, with zero weights.
pub(crate) fn vgg16_start([height, width]: [usize; 2]) -> Result<Network> {
    let options = Options::default().size(height, width);
    let [height, width] = options.input("vgg16-builtin", 224, 8)?;
    let input = [height, width, options.channels.unwrap_or(3)];
    let (builder, last) = blocks("vgg16_builtin", input, &[2, 2, 3], false)?;
    options.build(builder, last)
}

/// The first blocks, each with the given number of convolutions and a pooling; also returns the index of the last layer.
fn blocks(
    name: &str,
    [height, width, channels]: [usize; 3],
    convolutions: &[usize],
    normalized: bool,
) -> Result<(NetworkBuilder, usize)> {
    let mut builder = Network::builder(name);
    let mut last = builder.add(Input::new([height, width, channels]), &[])?;
    for (block, (&count, filters)) in (1..).zip(convolutions.iter().zip(FILTERS)) {
        for number in 1..=count {
            let conv = Conv2D::new(filters, [3, 3]).padding(Padding::Same);
            let name = format!("block{block}_conv{number}");
            if normalized {
                last = builder.add_named(name, conv, &[last])?;
                last = builder.add_named(format!("block{block}_bn{number}"), normalization(1e-5), &[last])?;
                let relu = Activation::new(ActivationKind::Relu);
                last = builder.add_named(format!("block{block}_relu{number}"), relu, &[last])?;
            } else {
                last = builder.add_named(name, conv.activation(ActivationKind::Relu), &[last])?;
            }
        }
        last = builder.add_named(format!("block{block}_pool"), MaxPooling2D::default(), &[last])?;
    }
    Ok((builder, last))
}
