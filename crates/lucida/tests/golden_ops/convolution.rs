//! Convolutions of all kinds.

use lucida::nn::layers::{
    Conv2D, Conv2DTranspose, DepthwiseConv2D, Input, Layer, Pad2D, PadMode, Padding, SeparableConv2D,
};
use lucida::nn::{Network, Shape};
use serde_json::Value;

use crate::harness::{Case, WeightOf, cases};

/// Keras's kernels have the same layout.
const KERAS: [WeightOf; 4] = [
    WeightOf { recorded: "kernel", ours: "layer/kernel", axes: &[] },
    WeightOf { recorded: "depthwise_kernel", ours: "layer/depthwise_kernel", axes: &[] },
    WeightOf { recorded: "pointwise_kernel", ours: "layer/pointwise_kernel", axes: &[] },
    WeightOf { recorded: "bias", ours: "layer/bias", axes: &[] },
];
/// PyTorch's kernels are `[filters, channels, height, width]`, and those of transposed convolutions `[channels, filters,
/// height, width]`.
const TORCH: [WeightOf; 2] = [
    WeightOf { recorded: "weight", ours: "layer/kernel", axes: &[2, 3, 1, 0] },
    WeightOf { recorded: "bias", ours: "layer/bias", axes: &[] },
];

/// A network of one layer.
fn alone(layer: Layer, shapes: &[Shape]) -> lucida::Result<Network> {
    behind(None, layer, shapes)
}

/// A network of one layer after optional padding.
fn behind(border: Option<Pad2D>, layer: Layer, shapes: &[Shape]) -> lucida::Result<Network> {
    let mut builder = Network::builder("alone");
    let mut last = builder.add(Input::new(shapes[0].clone()), &[])?;
    if let Some(border) = border {
        last = builder.add(border, &[last])?;
    }
    last = builder.add_named("layer", layer, &[last])?;
    builder.build(&[last], 1)
}

/// Splits PyTorch's `Conv2d` with a `padding_mode` into padding, and a convolution without padding.
fn with_border(case: &Case) -> (Pad2D, Layer) {
    let mode = match case.config["padding_mode"].as_str() {
        Some("reflect") => PadMode::Reflect,
        Some("replicate") => PadMode::Replicate,
        Some("circular") => PadMode::Circular,
        mode => panic!("{}: padding_mode {mode:?}", case.name),
    };
    let Layer::Conv2D(conv) = torch(case) else { panic!("{}: another layer than Conv2d", case.name) };
    let padding = pair(case, "padding", 0).map(|border| [border as i64; 2]);
    (Pad2D { padding, mode }, conv.padding(Padding::Valid).into())
}

/// Reads a parameter with one number for both axes, or one each.
fn pair(case: &Case, name: &str, default: usize) -> [usize; 2] {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{}: {name} {value}", case.name)) as usize;
    match &case.config[name] {
        Value::Null => [default; 2],
        Value::Array(values) => [number(&values[0]), number(&values[1])],
        value => [number(value); 2],
    }
}

fn number(case: &Case, name: &str, default: usize) -> usize {
    pair(case, name, default)[0]
}

/// Padding of a convolution.
fn padding(case: &Case) -> Padding {
    if let Value::Array(border) = &case.config["pad_left_right_top_bottom"] {
        let [left, right, top, bottom] = [0, 1, 2, 3].map(|side| border[side].as_u64().unwrap() as usize);
        return Padding::Explicit([[top, bottom], [left, right]]);
    }
    match case.config["padding"].as_str() {
        Some("same") => Padding::Same,
        Some("valid") => Padding::Valid,
        Some(other) => panic!("{}: padding {other}", case.name),
        None if case.framework == "keras" => Padding::Valid,
        None => Padding::Explicit(pair(case, "padding", 0).map(|border| [border; 2])),
    }
}

fn has_bias(case: &Case, name: &str) -> bool {
    case.config[name].as_bool().unwrap_or(true)
}

fn keras(case: &Case) -> Layer {
    let (filters, size) = (number(case, "filters", 0), pair(case, "kernel_size", 0));
    let (strides, dilation) = (pair(case, "strides", 1), pair(case, "dilation_rate", 1));
    let (use_bias, multiplier) = (has_bias(case, "use_bias"), number(case, "depth_multiplier", 1));
    let padding = padding(case);
    match case.op.as_str() {
        "Conv2D" => {
            let conv = Conv2D::new(filters, size).strides(strides).padding(padding).dilation_rate(dilation);
            Conv2D { use_bias, ..conv.groups(number(case, "groups", 1)) }.into()
        }
        "DepthwiseConv2D" => {
            let conv = DepthwiseConv2D::new(size).strides(strides).padding(padding).dilation_rate(dilation);
            DepthwiseConv2D { use_bias, ..conv.depth_multiplier(multiplier) }.into()
        }
        "SeparableConv2D" => {
            let conv = SeparableConv2D::new(filters, size).strides(strides).padding(padding).dilation_rate(dilation);
            SeparableConv2D { use_bias, ..conv.depth_multiplier(multiplier) }.into()
        }
        "Conv2DTranspose" => {
            let given = !case.config["output_padding"].is_null();
            let output_padding = given.then(|| pair(case, "output_padding", 0));
            let conv = Conv2DTranspose::new(filters, size).strides(strides).padding(padding).dilation_rate(dilation);
            Conv2DTranspose { use_bias, output_padding, ..conv }.into()
        }
        op => panic!("{}: unknown operation {op}", case.name),
    }
}

fn torch(case: &Case) -> Layer {
    let (filters, size) = (number(case, "out_channels", 0), pair(case, "kernel_size", 0));
    let (strides, dilation) = (pair(case, "stride", 1), pair(case, "dilation", 1));
    let (use_bias, groups) = (has_bias(case, "bias"), number(case, "groups", 1));
    let padding = padding(case);
    match case.op.as_str() {
        "Conv2d" => {
            let conv = Conv2D::new(filters, size).strides(strides).padding(padding).dilation_rate(dilation);
            Conv2D { use_bias, ..conv.groups(groups) }.into()
        }
        "ConvTranspose2d" => {
            let conv = Conv2DTranspose::new(filters, size).strides(strides).padding(padding).dilation_rate(dilation);
            let output_padding = Some(pair(case, "output_padding", 0));
            Conv2DTranspose { use_bias, output_padding, ..conv.groups(groups) }.into()
        }
        op => panic!("{}: unknown operation {op}", case.name),
    }
}

/// Compares all cases of a file; PyTorch's depthwise convolutions with both layers that can represent them.
fn check(file: &str) {
    for case in cases(file) {
        if !case.config["padding_mode"].is_null() {
            let (border, layer) = with_border(&case);
            case.check(&TORCH, |shapes| behind(Some(border), layer, shapes));
            continue;
        }
        match case.framework.as_str() {
            "keras" => case.check(&KERAS, |shapes| alone(keras(&case), shapes)),
            "torch" => case.check(&TORCH, |shapes| alone(torch(&case), shapes)),
            other => panic!("{}: recorded by {other}", case.name),
        }
        let channels = number(&case, "in_channels", 0);
        if case.op == "Conv2d" && channels > 0 && number(&case, "groups", 1) == channels {
            check_as_depthwise(&case, channels);
        }
    }
}

fn check_as_depthwise(case: &Case, channels: usize) {
    let multiplier = number(case, "out_channels", 0) / channels;
    let conv = DepthwiseConv2D::new(pair(case, "kernel_size", 0)).strides(pair(case, "stride", 1));
    let conv = conv.padding(padding(case)).dilation_rate(pair(case, "dilation", 1)).depth_multiplier(multiplier);
    let layer = DepthwiseConv2D { use_bias: has_bias(case, "bias"), ..conv };
    // Kernels `[height, width, 1, filters]` and `[height, width, channels, multiplier]` hold the same values.
    case.check(&TORCH, |shapes| alone(layer.into(), shapes));
}

#[test]
fn conv2d() {
    check("conv2d");
}

#[test]
fn depthwise_conv2d() {
    check("depthwise_conv2d");
}

#[test]
fn separable_conv2d() {
    check("separable_conv2d");
}

#[test]
fn conv2d_transpose() {
    check("conv2d_transpose");
}
