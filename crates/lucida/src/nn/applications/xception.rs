//! Xception.
//!
//! F. Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, 2016, <https://arxiv.org/abs/1610.02357>:
//! modules of separable convolutions, each added to its input. Layers have Keras's names: `block2_sepconv1`; the 1x1
//! convolutions of shortcuts (`conv2d`) and the sums (`add`) are numbered.

use super::Options;
use super::keras::Chain;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    ActivationKind, Add, BatchNormalization, Conv2D, Input, MaxPooling2D, Padding, SeparableConv2D,
};

/// Xception. 22,910,480 parameters for 1000 classes, 20,861,480 without the classifier, including moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 71x71.
pub fn xception(options: &Options) -> Result<Network> {
    let [height, width] = options.input("xception", 299, 71)?;
    let mut net = Chain::new("xception", BatchNormalization::default());
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    for (number, filters, stride) in [(1, 32, 2), (2, 64, 1)] {
        let name = format!("block1_conv{number}");
        let conv = Conv2D::new(filters, [3, 3]).strides([stride; 2]).without_bias();
        x = net.builder.add_named(name.as_str(), conv, &[x])?;
        x = net.norm(&format!("{name}_bn"), x)?;
        x = net.act(&format!("{name}_act"), ActivationKind::Relu, x)?;
    }
    for (number, filters) in [(2, 128), (3, 256), (4, 728)] {
        x = halving(&mut net, number, [filters; 2], x)?;
    }
    for number in 5..13 {
        let input = x;
        for at in 1..=3 {
            x = relu(&mut net, number, at, x)?;
            x = separable(&mut net, number, at, 728, x)?;
        }
        x = net.builder.add(Add::new(), &[x, input])?;
    }
    x = halving(&mut net, 13, [728, 1024], x)?;
    for (at, filters) in [(1, 1536), (2, 2048)] {
        x = separable(&mut net, 14, at, filters, x)?;
        x = relu(&mut net, 14, at, x)?;
    }
    net.finish(options, x)
}

fn relu(net: &mut Chain, block: usize, number: usize, x: usize) -> Result<usize> {
    net.act(&format!("block{block}_sepconv{number}_act"), ActivationKind::Relu, x)
}

/// A separable convolution and its normalization.
fn separable(net: &mut Chain, block: usize, number: usize, filters: usize, x: usize) -> Result<usize> {
    let name = format!("block{block}_sepconv{number}");
    let conv = SeparableConv2D::new(filters, [3, 3]).padding(Padding::Same).without_bias();
    let x = net.builder.add_named(name.as_str(), conv, &[x])?;
    net.norm(&format!("{name}_bn"), x)
}

/// A downsampling module: two separable convolutions and a pooling, added to a 1x1 convolution of the input.
fn halving(net: &mut Chain, block: usize, filters: [usize; 2], input: usize) -> Result<usize> {
    let short = Conv2D::new(filters[1], [1, 1]).strides([2, 2]).padding(Padding::Same).without_bias();
    let short = net.builder.add(short, &[input])?;
    let short = net.builder.add(net.norm, &[short])?;
    let mut x = input;
    for (number, filters) in (1..).zip(filters) {
        // The input of the second block comes from a ReLU.
        if block > 2 || number > 1 {
            x = relu(net, block, number, x)?;
        }
        x = separable(net, block, number, filters, x)?;
    }
    let pool = MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Same);
    x = net.builder.add_named(format!("block{block}_pool"), pool, &[x])?;
    net.builder.add(Add::new(), &[x, short])
}
