//! NASNet-A.
//!
//! B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le, *Learning Transferable Architectures for Scalable Image Recognition*, 2017,
//! <https://arxiv.org/abs/1707.07012>: two kinds of cells, found by architecture search, each of which takes the outputs of
//! the two cells before it. Layers have Keras's names: `normal_conv_1_0`, `separable_conv_1_normal_left1_0`; activations
//! (`activation`) are numbered.

use super::Options;
use super::keras::Chain;
use super::torchvision::predictions;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    Activation, ActivationKind, Add, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, Cropping2D,
    GlobalAveragePooling2D, Input, MaxPooling2D, Padding, SeparableConv2D, ZeroPadding2D,
};

/// The size of a network: filters of the first convolution, of the first normal cells, and normal cells per stage; whether
/// the cell after a reduction takes the output of the third cell before it instead of the second.
type Scale = (usize, usize, usize, bool);

/// NASNet Mobile, 4 @ 1056. 5,326,716 parameters for 1000 classes, 4,269,716 without the classifier, including moving
/// averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn nasnet_mobile(options: &Options) -> Result<Network> {
    nasnet(["nasnet-mobile", "nasnet_mobile"], 224, (32, 44, 4, false), options)
}

/// NASNet Large, 6 @ 4032. 88,949,818 parameters for 1000 classes, 84,916,818 without the classifier, including moving
/// averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn nasnet_large(options: &Options) -> Result<Network> {
    nasnet(["nasnet-large", "nasnet_large"], 331, (96, 168, 6, true), options)
}

fn nasnet([name, model]: [&str; 2], default: usize, scale: Scale, options: &Options) -> Result<Network> {
    let (stem, filters, cells, skip) = scale;
    let [height, width] = options.input(name, default, 32)?;
    let norm = BatchNormalization { momentum: 0.9997, epsilon: 1e-3, ..Default::default() };
    let mut net = Chain::new(model, norm);
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    let first = Conv2D::new(stem, [3, 3]).strides([2, 2]).without_bias();
    x = net.builder.add_named("stem_conv1", first, &[x])?;
    x = net.norm("stem_bn1", x)?;
    let start = x;
    let mut before = reduction_cell(&mut net, "stem_1", filters / 4, start, None)?;
    x = reduction_cell(&mut net, "stem_2", filters / 2, before, Some(start))?;
    for stage in 0..3 {
        let wide = filters << stage;
        if stage > 0 {
            let reduced = reduction_cell(&mut net, &format!("reduce_{}", stage * cells), wide, x, Some(before))?;
            if !skip {
                before = x;
            }
            x = reduced;
        }
        for number in 0..cells {
            // Keras skips a number between stages.
            let id = stage * cells + number + usize::from(stage > 0);
            (x, before) = (normal_cell(&mut net, &id.to_string(), wide, x, before)?, x);
        }
    }
    x = relu(&mut net, x)?;
    if options.top {
        x = net.builder.add(GlobalAveragePooling2D::new(), &[x])?;
        x = predictions(&mut net.builder, options, x)?;
    }
    options.build(net.builder, x)
}

fn relu(net: &mut Chain, x: usize) -> Result<usize> {
    net.builder.add(Activation::new(ActivationKind::Relu), &[x])
}

/// Two times a ReLU, a separable convolution and a normalization.
fn separable(net: &mut Chain, id: &str, filters: usize, size: usize, stride: usize, x: usize) -> Result<usize> {
    let mut x = relu(net, x)?;
    let conv = SeparableConv2D::new(filters, [size; 2]).without_bias();
    let mut first = conv.clone().padding(Padding::Same);
    if stride > 1 {
        x = net.halving_border(&format!("separable_conv_1_pad_{id}"), size, x)?;
        first = conv.clone().strides([stride; 2]);
    }
    x = net.builder.add_named(format!("separable_conv_1_{id}"), first, &[x])?;
    x = net.norm(&format!("separable_conv_1_bn_{id}"), x)?;
    x = relu(net, x)?;
    x = net.builder.add_named(format!("separable_conv_2_{id}"), conv.padding(Padding::Same), &[x])?;
    net.norm(&format!("separable_conv_2_bn_{id}"), x)
}

/// The output of the cell two before, adjusted to the shape of a cell's input.
fn adjusted(net: &mut Chain, id: &str, filters: usize, before: Option<usize>, input: usize) -> Result<usize> {
    let Some(before) = before else { return Ok(input) };
    let columns = |node: usize| net.builder.shape(node).sizes()[1];
    if columns(before) != columns(input) {
        return halved(net, id, filters, before);
    }
    if net.builder.shape(before).channels() == filters {
        return Ok(before);
    }
    let x = relu(net, before)?;
    let x = net.pointwise(&format!("adjust_conv_projection_{id}"), filters, x)?;
    net.norm(&format!("adjust_bn_{id}"), x)
}

/// Every second pixel, and every second pixel shifted by a row and a column, each with its own convolution.
fn halved(net: &mut Chain, id: &str, filters: usize, x: usize) -> Result<usize> {
    let x = net.act(&format!("adjust_relu_1_{id}"), ActivationKind::Relu, x)?;
    let thin = AveragePooling2D::new([1, 1]).strides([2, 2]);
    let one = net.builder.add_named(format!("adjust_avg_pool_1_{id}"), thin.clone(), &[x])?;
    let one = net.pointwise(&format!("adjust_conv_1_{id}"), filters / 2, one)?;
    let two = net.builder.add(ZeroPadding2D { padding: [[0, 1], [0, 1]] }, &[x])?;
    let two = net.builder.add(Cropping2D::new([[1, 0], [1, 0]]), &[two])?;
    let two = net.builder.add_named(format!("adjust_avg_pool_2_{id}"), thin, &[two])?;
    let two = net.pointwise(&format!("adjust_conv_2_{id}"), filters / 2, two)?;
    let x = net.builder.add(Concatenate::new(), &[one, two])?;
    net.norm(&format!("adjust_bn_{id}"), x)
}

/// The ReLU, 1x1 convolution and normalization at the start of a cell.
fn squeezed(net: &mut Chain, kind: &str, id: &str, filters: usize, x: usize) -> Result<usize> {
    let x = relu(net, x)?;
    let x = net.pointwise(&format!("{kind}_conv_1_{id}"), filters, x)?;
    net.norm(&format!("{kind}_bn_1_{id}"), x)
}

/// A 3x3 average pooling that keeps the size.
fn mean(net: &mut Chain, name: String, x: usize) -> Result<usize> {
    net.builder.add_named(name, AveragePooling2D::new([3, 3]).strides([1, 1]).padding(Padding::Same), &[x])
}

fn normal_cell(net: &mut Chain, id: &str, filters: usize, input: usize, before: usize) -> Result<usize> {
    let name = |part: &str| format!("normal_{part}_{id}");
    let p = adjusted(net, id, filters, Some(before), input)?;
    let h = squeezed(net, "normal", id, filters, input)?;
    let left = separable(net, &name("left1"), filters, 5, 1, h)?;
    let right = separable(net, &name("right1"), filters, 3, 1, p)?;
    let one = net.builder.add_named(name("add_1"), Add::new(), &[left, right])?;
    let left = separable(net, &name("left2"), filters, 5, 1, p)?;
    let right = separable(net, &name("right2"), filters, 3, 1, p)?;
    let two = net.builder.add_named(name("add_2"), Add::new(), &[left, right])?;
    let left = mean(net, name("left3"), h)?;
    let three = net.builder.add_named(name("add_3"), Add::new(), &[left, p])?;
    let left = mean(net, name("left4"), p)?;
    let right = mean(net, name("right4"), p)?;
    let four = net.builder.add_named(name("add_4"), Add::new(), &[left, right])?;
    let left = separable(net, &name("left5"), filters, 3, 1, h)?;
    let five = net.builder.add_named(name("add_5"), Add::new(), &[left, h])?;
    net.builder.add_named(name("concat"), Concatenate::new(), &[p, one, two, three, four, five])
}

fn reduction_cell(net: &mut Chain, id: &str, filters: usize, input: usize, before: Option<usize>) -> Result<usize> {
    let name = |part: &str| format!("reduction_{part}_{id}");
    let p = adjusted(net, id, filters, before, input)?;
    let h = squeezed(net, "reduction", id, filters, input)?;
    let padded = net.halving_border(&name("pad_1"), 3, h)?;
    let left = separable(net, &name("left1"), filters, 5, 2, h)?;
    let right = separable(net, &name("right1"), filters, 7, 2, p)?;
    let one = net.builder.add_named(name("add_1"), Add::new(), &[left, right])?;
    let largest = MaxPooling2D::new([3, 3]).strides([2, 2]);
    let left = net.builder.add_named(name("left2"), largest.clone(), &[padded])?;
    let right = separable(net, &name("right2"), filters, 7, 2, p)?;
    let two = net.builder.add_named(name("add_2"), Add::new(), &[left, right])?;
    let left = net.builder.add_named(name("left3"), AveragePooling2D::new([3, 3]).strides([2, 2]), &[padded])?;
    let right = separable(net, &name("right3"), filters, 5, 2, p)?;
    let three = net.builder.add_named(name("add3"), Add::new(), &[left, right])?;
    let right = mean(net, name("left4"), one)?;
    let four = net.builder.add(Add::new(), &[two, right])?;
    let left = separable(net, &name("left4"), filters, 3, 1, one)?;
    let right = net.builder.add_named(name("right5"), largest, &[padded])?;
    let five = net.builder.add_named(name("add4"), Add::new(), &[left, right])?;
    net.builder.add_named(name("concat"), Concatenate::new(), &[two, three, four, five])
}
