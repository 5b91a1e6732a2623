//! VGG16 and VGG19.
//!
//! K. Simonyan, A. Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, 2014,
//! <https://arxiv.org/abs/1409.1556>: five blocks of 3x3 convolutions, each ended by a pooling. The layers have Keras's
//! names, `block1_conv1` to `block5_pool`, `fc1`, `fc2`, `predictions`.

use super::Options;
use crate::Result;
use crate::nn::layers::{ActivationKind, Conv2D, Dense, Flatten, Input, MaxPooling2D, Padding};
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
    let (mut builder, mut last) = blocks(name, [height, width], &convolutions)?;
    if options.top {
        let dense = |units, activation| Dense::new(units).activation(activation);
        last = builder.add_named("flatten", Flatten {}, &[last])?;
        last = builder.add_named("fc1", dense(4096, ActivationKind::Relu), &[last])?;
        last = builder.add_named("fc2", dense(4096, ActivationKind::Relu), &[last])?;
        let classes = options.classes.unwrap_or(1000);
        last = builder.add_named("predictions", dense(classes, ActivationKind::Softmax), &[last])?;
    }
    options.build(builder, last)
}

/// The first three blocks of VGG16, with weights of zero.
pub(crate) fn vgg16_start([height, width]: [usize; 2]) -> Result<Network> {
    let options = Options::default().size(height, width);
    let size = options.input("vgg16-builtin", 224, 8)?;
    let (builder, last) = blocks("vgg16_builtin", size, &[2, 2, 3])?;
    options.build(builder, last)
}

/// The first blocks, each of so many convolutions and a pooling; returns the index of the last layer as well.
fn blocks(name: &str, [height, width]: [usize; 2], convolutions: &[usize]) -> Result<(NetworkBuilder, usize)> {
    let mut builder = Network::builder(name);
    let mut last = builder.add(Input::new([height, width, 3]), &[])?;
    for (block, (&count, filters)) in (1..).zip(convolutions.iter().zip(FILTERS)) {
        for number in 1..=count {
            let conv = Conv2D::new(filters, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu);
            last = builder.add_named(format!("block{block}_conv{number}"), conv, &[last])?;
        }
        last = builder.add_named(format!("block{block}_pool"), MaxPooling2D::default(), &[last])?;
    }
    Ok((builder, last))
}
