//! MobileNet.
//!
//! A. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, M. Andreetto, H. Adam, *MobileNets: Efficient
//! Convolutional Neural Networks for Mobile Vision Applications*, 2017, <https://arxiv.org/abs/1704.04861>: each 3x3
//! convolution is replaced by a depthwise one followed by a 1x1 convolution. Layers have Keras's names: `conv_dw_1`,
//! `conv_pw_1_bn`.

use super::Options;
use super::keras::Chain;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    Activation, ActivationKind, BatchNormalization, Conv2D, Dropout, GlobalAveragePooling2D, Input, Padding, Reshape,
};

/// The blocks: filters, stride.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// MobileNet of full width (alpha 1). 4,253,864 parameters for 1000 classes, 3,228,864 without the classifier, including
/// moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn mobilenet(options: &Options) -> Result<Network> {
    let [height, width] = options.input("mobilenet", 224, 32)?;
    let mut net = Chain::new(&format!("mobilenet_1.00_{height}"), BatchNormalization::default());
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    let first = Conv2D::new(32, [3, 3]).strides([2, 2]).padding(Padding::Same).without_bias();
    x = net.builder.add_named("conv1", first, &[x])?;
    x = normalized(&mut net, "conv1", x)?;
    for (number, (filters, stride)) in (1..).zip(BLOCKS) {
        let depthwise = format!("conv_dw_{number}");
        x = net.depthwise([&format!("conv_pad_{number}"), &depthwise], 3, stride, x)?;
        x = normalized(&mut net, &depthwise, x)?;
        let pointwise = format!("conv_pw_{number}");
        x = net.pointwise(&pointwise, filters, x)?;
        x = normalized(&mut net, &pointwise, x)?;
    }
    if options.top {
        x = top(&mut net, options, x)?;
    }
    options.build(net.builder, x)
}

/// A normalization and a ReLU6.
fn normalized(net: &mut Chain, name: &str, x: usize) -> Result<usize> {
    let x = net.norm(&format!("{name}_bn"), x)?;
    net.act(&format!("{name}_relu"), ActivationKind::Relu6, x)
}

/// The classifier, a 1x1 convolution after global average pooling.
fn top(net: &mut Chain, options: &Options, x: usize) -> Result<usize> {
    let classes = options.classes.unwrap_or(1000);
    let x = net.builder.add(GlobalAveragePooling2D::keeping_dims(), &[x])?;
    let x = net.builder.add_named("dropout", Dropout::new(1e-3), &[x])?;
    let x = net.builder.add_named("conv_preds", Conv2D::new(classes, [1, 1]), &[x])?;
    let x = net.builder.add_named("reshape_2", Reshape::new([classes as i64]), &[x])?;
    net.builder.add_named("predictions", Activation::new(options.top_activation()), &[x])
}
