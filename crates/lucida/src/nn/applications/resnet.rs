//! ResNet.
//!
//! K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*, 2015,
//! <https://arxiv.org/abs/1512.03385>: each block adds the output of a few convolutions to its input. In torchvision's
//! version: blocks downsample in their 3x3 convolution (Keras's ResNet50 does in the 1x1 before it), and convolutions have
//! no bias. The layers have Keras's names: `conv1_conv`, `conv2_block1_1_conv`, `conv2_block1_out`.

use super::Options;
use super::torchvision::{conv, normalization, padded, predictions};
use crate::Result;
use crate::nn::layers::{Activation, ActivationKind, Add, Conv2D, GlobalAveragePooling2D, Input, MaxPooling2D};
use crate::nn::{Network, NetworkBuilder};

/// The epsilon of PyTorch's batch normalization.
const EPSILON: f32 = 1e-5;

/// ResNet18: eight blocks of two 3x3 convolutions. 11,699,112 parameters for 1000 classes, 11,186,112 without the
/// classifier, including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn resnet18(options: &Options) -> Result<Network> {
    resnet("resnet18", [2, 2, 2, 2], basic, options)
}

/// ResNet34: sixteen blocks of two 3x3 convolutions. 21,814,696 parameters for 1000 classes, 21,301,696 without the
/// classifier, including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn resnet34(options: &Options) -> Result<Network> {
    resnet("resnet34", [3, 4, 6, 3], basic, options)
}

/// ResNet50: sixteen blocks of a 1x1, a 3x3 and a 1x1 convolution. 25,610,152 parameters for 1000 classes, 23,561,152
/// without the classifier, including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn resnet50(options: &Options) -> Result<Network> {
    resnet("resnet50", [3, 4, 6, 3], bottleneck, options)
}

/// ResNet101: 33 blocks like those of ResNet50. 44,654,504 parameters for 1000 classes, 42,605,504 without the classifier,
/// including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn resnet101(options: &Options) -> Result<Network> {
    resnet("resnet101", [3, 4, 23, 3], bottleneck, options)
}

/// ResNet152: 50 blocks like those of ResNet50. 60,344,232 parameters for 1000 classes, 58,295,232 without the classifier,
/// including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn resnet152(options: &Options) -> Result<Network> {
    resnet("resnet152", [3, 8, 36, 3], bottleneck, options)
}

/// A convolution of a block: filters, size, stride.
type Conv = (usize, usize, usize);

/// The convolutions of a block of ResNet18 and ResNet34, of this width and stride.
fn basic(width: usize, stride: usize) -> Vec<Conv> {
    vec![(width, 3, stride), (width, 3, 1)]
}

/// The convolutions of a block of the deeper networks.
fn bottleneck(width: usize, stride: usize) -> Vec<Conv> {
    vec![(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
}

fn resnet(name: &str, blocks: [usize; 4], convs: fn(usize, usize) -> Vec<Conv>, options: &Options) -> Result<Network> {
    let [height, width] = options.input(name, 224, 32)?;
    let mut builder = Network::builder(name);
    let mut x = builder.add(Input::new([height, width, 3]), &[])?;
    x = normalized(&mut builder, "conv1", (64, 7, 2), x)?;
    x = builder.add_named("conv1_relu", Activation::new(ActivationKind::Relu), &[x])?;
    // After a ReLU, zero padding never exceeds the maximum, so it is equivalent to PyTorch's padding with minus infinity.
    x = padded(&mut builder, "pool1", MaxPooling2D::new([3, 3]).strides([2, 2]), 1, x)?;
    for (stage, &count) in blocks.iter().enumerate() {
        for number in 1..=count {
            let stride = if stage > 0 && number == 1 { 2 } else { 1 };
            let name = format!("conv{}_block{number}", stage + 2);
            x = block(&mut builder, &name, &convs(64 << stage, stride), x)?;
        }
    }
    if options.top {
        x = builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        x = predictions(&mut builder, options, x)?;
    }
    options.build(builder, x)
}

/// Convolutions with ReLUs between, added to the input, and a ReLU. If the shape changes, a 1x1 convolution projects the
/// input (`_0_conv`).
fn block(builder: &mut NetworkBuilder, name: &str, convs: &[Conv], x: usize) -> Result<usize> {
    let relu = || Activation::new(ActivationKind::Relu);
    let mut branch = x;
    for (number, &conv) in (1..).zip(convs) {
        branch = normalized(builder, &format!("{name}_{number}"), conv, branch)?;
        if number < convs.len() {
            branch = builder.add_named(format!("{name}_{number}_relu"), relu(), &[branch])?;
        }
    }
    let mut shortcut = x;
    if builder.shape(x) != builder.shape(branch) {
        let filters = builder.shape(branch).channels();
        let stride = convs.iter().map(|&(_, _, stride)| stride).product();
        shortcut = normalized(builder, &format!("{name}_0"), (filters, 1, stride), x)?;
    }
    let sum = builder.add_named(format!("{name}_add"), Add::new(), &[shortcut, branch])?;
    builder.add_named(format!("{name}_out"), relu(), &[sum])
}

/// A convolution without a bias and its normalization: `name_conv`, `name_bn`.
fn normalized(builder: &mut NetworkBuilder, name: &str, (filters, size, stride): Conv, x: usize) -> Result<usize> {
    let layer = Conv2D::new(filters, [size, size]).strides([stride; 2]).without_bias();
    let x = conv(builder, &format!("{name}_conv"), layer, x)?;
    builder.add_named(format!("{name}_bn"), normalization(EPSILON), &[x])
}
