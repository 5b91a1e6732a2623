//! EfficientNetV2.
//!
//! M. Tan, Q. V. Le, *EfficientNetV2: Smaller Models and Faster Training*, 2021, <https://arxiv.org/abs/2104.00298>: like
//! EfficientNet, but with a single convolution in place of a 1x1 and a depthwise one in the first stages. The network takes
//! raw pixels. Layers have Keras's names: `block2a_expand_conv`, `block4a_dwconv2`.

use super::Options;
use super::efficientnet::residual;
use super::keras::Chain;
use super::torchvision::predictions;
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    ActivationKind, BatchNormalization, Conv2D, DepthwiseConv2D, Dropout, GlobalAveragePooling2D, Input, Padding,
    Rescaling,
};

/// A stage: blocks, filters, expansion, stride of the first block, and whether blocks are fused, with a single 3x3
/// convolution and without squeeze-and-excitation.
type Stage = (usize, usize, usize, usize, bool);

const BASE: &[Stage] = &[
    (1, 16, 1, 1, true),
    (2, 32, 4, 2, true),
    (2, 48, 4, 2, true),
    (3, 96, 4, 2, false),
    (5, 112, 6, 1, false),
    (8, 192, 6, 2, false),
];
const SMALL: &[Stage] = &[
    (2, 24, 1, 1, true),
    (4, 48, 4, 2, true),
    (4, 64, 4, 2, true),
    (6, 128, 4, 2, false),
    (9, 160, 6, 1, false),
    (15, 256, 6, 2, false),
];
const MEDIUM: &[Stage] = &[
    (3, 24, 1, 1, true),
    (5, 48, 4, 2, true),
    (5, 80, 4, 2, true),
    (7, 160, 4, 2, false),
    (14, 176, 6, 1, false),
    (18, 304, 6, 2, false),
    (5, 512, 6, 1, false),
];
const LARGE: &[Stage] = &[
    (4, 32, 1, 1, true),
    (7, 64, 4, 2, true),
    (7, 96, 4, 2, true),
    (10, 192, 4, 2, false),
    (19, 224, 6, 1, false),
    (25, 384, 6, 2, false),
    (7, 640, 6, 1, false),
];
/// The maximum rate of stochastic depth.
const DROP: f32 = 0.2;

/// The size of a network: stages, filters of the first convolution, width and depth factors, input size.
type Scale = (&'static [Stage], usize, f64, f64, usize);

macro_rules! efficientnets {
    ($($function:ident, $name:literal, $scale:expr, $parameters:literal, $without:literal;)*) => {
        $(
            #[doc = concat!("EfficientNetV2 ", $name, ": ", $parameters, " parameters for 1000 classes, ", $without)]
            /// without the classifier, including moving averages.
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
            pub fn $function(options: &Options) -> Result<Network> {
                efficientnet_v2([concat!("efficientnet-v2-", $name), concat!("efficientnetv2-", $name)], $scale, options)
            }
        )*
    };
}

efficientnets! {
    efficientnet_v2_b0, "b0", (BASE, 32, 1.0, 1.0, 224), "7,200,312", "5,919,312";
    efficientnet_v2_b1, "b1", (BASE, 32, 1.0, 1.1, 240), "8,212,124", "6,931,124";
    efficientnet_v2_b2, "b2", (BASE, 32, 1.1, 1.2, 260), "10,178,374", "8,769,374";
    efficientnet_v2_b3, "b3", (BASE, 32, 1.2, 1.4, 300), "14,467,622", "12,930,622";
    efficientnet_v2_s, "s", (SMALL, 24, 1.0, 1.0, 384), "21,612,360", "20,331,360";
    efficientnet_v2_m, "m", (MEDIUM, 24, 1.0, 1.0, 480), "54,431,388", "53,150,388";
    efficientnet_v2_l, "l", (LARGE, 32, 1.0, 1.0, 480), "119,027,848", "117,746,848";
}

fn efficientnet_v2([name, model]: [&str; 2], scale: Scale, options: &Options) -> Result<Network> {
    let (stages, stem, widths, depths, default) = scale;
    let [height, width] = options.input(name, default, 32)?;
    // Rounded to the nearest multiple of 8, even if that is much smaller.
    let filters = |filters: usize| (8 * ((widths * filters as f64 + 4.0) / 8.0) as usize).max(8);
    let norm = BatchNormalization { momentum: 0.9, ..Default::default() };
    let mut net = Chain::new(model, norm);
    let mut x = net.builder.add(Input::new([height, width, 3]), &[])?;
    x = pixels(&mut net, name.contains("-b"), x)?;
    x = conv(&mut net, "stem_conv", filters(stem), 3, 2, x)?;
    x = normalized(&mut net, "stem_", x)?;
    // Keras counts the blocks before depth scaling.
    let blocks: usize = stages.iter().map(|stage| stage.0).sum();
    let mut done = 0;
    for (number, &(count, wide, expansion, stride, fused)) in (1..).zip(stages) {
        for at in 0..(depths * count as f64).ceil() as usize {
            let stage = (count, filters(wide), expansion, if at == 0 { stride } else { 1 }, fused);
            let name = format!("block{number}{}_", char::from(b'a' + at as u8));
            x = block(&mut net, &name, stage, DROP * done as f32 / blocks as f32, x)?;
            done += 1;
        }
    }
    x = net.pointwise("top_conv", filters(1280), x)?;
    x = normalized(&mut net, "top_", x)?;
    if options.top {
        x = net.builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        x = net.builder.add_named("top_dropout", Dropout::new(0.2), &[x])?;
        x = predictions(&mut net.builder, options, x)?;
    }
    options.build(net.builder, x)
}

/// Scales the pixels: the small networks standardize with ImageNet's statistics, the others scale to -1 to 1.
fn pixels(net: &mut Chain, standardized: bool, x: usize) -> Result<usize> {
    if !standardized {
        return net.builder.add(Rescaling::new(1.0 / 128.0, -1.0), &[x]);
    }
    let x = net.builder.add(Rescaling::new(1.0 / 255.0, 0.0), &[x])?;
    let statistics = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
    let scale = statistics.map(|(_, deviation): (f32, f32)| 1.0 / deviation).to_vec();
    let offset = statistics.map(|(mean, deviation)| -mean / deviation).to_vec();
    net.builder.add_named("normalization", Rescaling { scale, offset }, &[x])
}

fn conv(net: &mut Chain, name: &str, filters: usize, size: usize, stride: usize, x: usize) -> Result<usize> {
    let conv = Conv2D::new(filters, [size; 2]).strides([stride; 2]).padding(Padding::Same).without_bias();
    net.builder.add_named(name, conv, &[x])
}

/// A normalization and a SiLU.
fn normalized(net: &mut Chain, name: &str, x: usize) -> Result<usize> {
    let x = net.norm(&format!("{name}bn"), x)?;
    net.act(&format!("{name}activation"), ActivationKind::Silu, x)
}

fn block(net: &mut Chain, name: &str, stage: Stage, drop: f32, input: usize) -> Result<usize> {
    let (_, filters, expansion, stride, fused) = stage;
    let channels = net.builder.shape(input).channels();
    let (expand, project) = (format!("{name}expand_conv"), format!("{name}project_conv"));
    let mut x = input;
    if expansion > 1 {
        let (size, stride) = if fused { (3, stride) } else { (1, 1) };
        x = conv(net, &expand, expansion * channels, size, stride, x)?;
        x = normalized(net, &format!("{name}expand_"), x)?;
    }
    if !fused {
        let depthwise = DepthwiseConv2D::new([3, 3]).strides([stride; 2]).padding(Padding::Same).without_bias();
        x = net.builder.add_named(format!("{name}dwconv2"), depthwise, &[x])?;
        x = normalized(net, name, x)?;
        x = net.squeeze_excite(name, (channels / 4).max(1), ActivationKind::Silu, x)?;
    }
    // A fused block without expansion has its only convolution here.
    let narrow = fused && expansion == 1;
    let (size, last_stride) = if narrow { (3, stride) } else { (1, 1) };
    x = conv(net, &project, filters, size, last_stride, x)?;
    x = net.norm(&format!("{name}project_bn"), x)?;
    if narrow {
        x = net.act(&format!("{name}project_activation"), ActivationKind::Silu, x)?;
    }
    if stride > 1 || channels != filters {
        return Ok(x);
    }
    residual(net, name, drop, [x, input])
}
