//! EfficientNet.
//!
//! M. Tan, Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, 2019,
//! <https://arxiv.org/abs/1905.11946>: the blocks of MobileNetV2 with squeeze-and-excitation, in eight sizes with width,
//! depth and input scaled together. The network takes raw pixels and scales them, like Keras's with its published weights.
//! Layers have Keras's names: `block2a_expand_conv`, `block2a_se_reduce`.

use super::Options;
use super::keras::{Chain, divisible_by_8};
use super::torchvision::predictions;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    ActivationKind, Add, BatchNormalization, Conv2D, Dropout, GlobalAveragePooling2D, Input, Rescaling, StochasticDepth,
};

/// A stage: kernel size, blocks, filters, expansion, stride of the first block.
type Stage = (usize, usize, usize, usize, usize);

const STAGES: [Stage; 7] = [
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
];
/// The maximum rate of stochastic depth.
const DROP: f32 = 0.2;
/// The standard deviations of ImageNet.
const DEVIATIONS: [f32; 3] = [0.229, 0.224, 0.225];

/// The size of an EfficientNet: width and depth factors, input size, dropout rate before the classifier.
type Scale = (f64, f64, usize, f32);

macro_rules! efficientnets {
    ($($function:ident, $name:literal, $model:literal, $scale:expr, $parameters:literal, $without:literal;)*) => {
        $(
            #[doc = concat!("EfficientNet ", $name, ": ", $parameters, " parameters for 1000 classes, ", $without)]
            /// without the classifier, including moving averages; Keras counts one more, the number of images its
            /// normalization was adapted to.
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
            pub fn $function(options: &Options) -> Result<Network> {
                efficientnet([concat!("efficientnet-", $name), $model], $scale, options)
            }
        )*
    };
}

efficientnets! {
    efficientnet_b0, "b0", "efficientnetb0", (1.0, 1.0, 224, 0.2), "5,330,570", "4,049,570";
    efficientnet_b1, "b1", "efficientnetb1", (1.0, 1.1, 240, 0.2), "7,856,238", "6,575,238";
    efficientnet_b2, "b2", "efficientnetb2", (1.1, 1.2, 260, 0.3), "9,177,568", "7,768,568";
    efficientnet_b3, "b3", "efficientnetb3", (1.2, 1.4, 300, 0.3), "12,320,534", "10,783,534";
    efficientnet_b4, "b4", "efficientnetb4", (1.4, 1.8, 380, 0.4), "19,466,822", "17,673,822";
    efficientnet_b5, "b5", "efficientnetb5", (1.6, 2.2, 456, 0.4), "30,562,526", "28,513,526";
    efficientnet_b6, "b6", "efficientnetb6", (1.8, 2.6, 528, 0.5), "43,265,142", "40,960,142";
    efficientnet_b7, "b7", "efficientnetb7", (2.0, 3.1, 600, 0.5), "66,658,686", "64,097,686";
}

fn efficientnet([name, model]: [&str; 2], scale: Scale, options: &Options) -> Result<Network> {
    let (widths, depths, default, dropout) = scale;
    let filters = |filters: usize| divisible_by_8(widths * filters as f64);
    let repeats = |blocks: usize| (depths * blocks as f64).ceil() as usize;
    let [height, width] = options.input(name, default, 32)?;
    let mut net = Chain::new(model, BatchNormalization::default());
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    x = pixels(&mut net, x)?;
    x = net.halving_border("stem_conv_pad", 3, x)?;
    let stem = Conv2D::new(filters(32), [3, 3]).strides([2, 2]).without_bias();
    x = net.builder.add_named("stem_conv", stem, &[x])?;
    x = normalized(&mut net, "stem_", x)?;
    let blocks: usize = STAGES.iter().map(|stage| repeats(stage.1)).sum();
    let mut done = 0;
    for (number, (size, count, wide, expansion, stride)) in (1..).zip(STAGES) {
        for at in 0..repeats(count) {
            let stage = (size, count, filters(wide), expansion, if at == 0 { stride } else { 1 });
            let name = format!("block{number}{}_", char::from(b'a' + at as u8));
            x = block(&mut net, &name, stage, DROP * done as f32 / blocks as f32, x)?;
            done += 1;
        }
    }
    x = net.pointwise("top_conv", filters(1280), x)?;
    x = normalized(&mut net, "top_", x)?;
    if options.top {
        x = net.builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        x = net.builder.add_named("top_dropout", Dropout::new(dropout), &[x])?;
        x = predictions(&mut net.builder, options, x)?;
    }
    let mut network = options.build(net.builder, x)?;
    // Its statistics are ImageNet's, which come with the published weights; training does not change them.
    network.set_trainable("normalization", false)?;
    Ok(network)
}

/// Scales the pixels. The published weights were trained with the standard deviation where Keras's normalization uses its
/// square root: the last layer compensates for it.
fn pixels(net: &mut Chain, x: usize) -> Result<usize> {
    let x = net.builder.add(Rescaling::new(1.0 / 255.0, 0.0), &[x])?;
    let norm = BatchNormalization { epsilon: 1e-14, center: false, scale: false, ..Default::default() };
    let x = net.builder.add_named("normalization", norm, &[x])?;
    let scale = DEVIATIONS.map(|deviation| 1.0 / deviation.sqrt()).to_vec();
    net.builder.add(Rescaling { scale, offset: vec![0.0] }, &[x])
}

/// A normalization and a SiLU.
fn normalized(net: &mut Chain, name: &str, x: usize) -> Result<usize> {
    let x = net.norm(&format!("{name}bn"), x)?;
    net.act(&format!("{name}activation"), ActivationKind::Silu, x)
}

fn block(net: &mut Chain, name: &str, stage: Stage, drop: f32, input: usize) -> Result<usize> {
    let (size, _, filters, expansion, stride) = stage;
    let channels = net.builder.shape(input).channels();
    let mut x = input;
    if expansion > 1 {
        x = net.pointwise(&format!("{name}expand_conv"), expansion * channels, x)?;
        x = normalized(net, &format!("{name}expand_"), x)?;
    }
    x = net.depthwise([&format!("{name}dwconv_pad"), &format!("{name}dwconv")], size, stride, x)?;
    x = normalized(net, name, x)?;
    x = net.squeeze_excite(name, (channels / 4).max(1), ActivationKind::Silu, x)?;
    x = net.pointwise(&format!("{name}project_conv"), filters, x)?;
    x = net.norm(&format!("{name}project_bn"), x)?;
    if stride > 1 || channels != filters {
        return Ok(x);
    }
    residual(net, name, drop, [x, input])
}

/// Adds the input to a block's output, with stochastic depth in training.
pub(super) fn residual(net: &mut Chain, name: &str, drop: f32, [mut x, input]: [usize; 2]) -> Result<usize> {
    if drop > 0.0 {
        x = net.builder.add_named(format!("{name}drop"), StochasticDepth::new(drop), &[x])?;
    }
    net.builder.add_named(format!("{name}add"), Add::new(), &[x, input])
}
