//! ConvNeXt in Keras's version.
//!
//! Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie, *A ConvNet for the 2020s*, 2022,
//! <https://arxiv.org/abs/2201.03545>: blocks of a 7x7 depthwise convolution, a layer normalization, and two dense layers.
//! The network takes raw pixels. Layers of nested Keras models have their names there, without the model's name:
//! `convnext_tiny_stem_conv`, `convnext_tiny_stage_0_block_0_depthwise_conv`.

use super::Options;
use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, Add, Conv2D, Dense, GlobalAveragePooling2D, Input, LayerNormalization, LayerScale,
    Padding, Rescaling,
};
use crate::nn::{Network, NetworkBuilder};

/// The means and standard deviations of ImageNet.
const STATISTICS: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
/// The initial value of layer scale.
const FIRST_SCALE: f32 = 1e-6;

macro_rules! convnexts {
    ($($function:ident, $size:literal, $depths:expr, $filters:literal, $parameters:literal, $without:literal;)*) => {
        $(
            #[doc = concat!("Keras's ConvNeXt ", $size, ": ", $parameters, " parameters for 1000 classes, ", $without)]
            /// without the classifier.
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
            pub fn $function(options: &Options) -> Result<Network> {
                let names = [concat!("convnext-", $size, "-keras"), concat!("convnext_", $size)];
                convnext(names, $depths, $filters, options)
            }
        )*
    };
}

convnexts! {
    convnext_tiny_keras, "tiny", [3, 3, 9, 3], 96, "28,589,128", "27,820,128";
    convnext_small_keras, "small", [3, 3, 27, 3], 96, "50,223,688", "49,454,688";
    convnext_base_keras, "base", [3, 3, 27, 3], 128, "88,591,464", "87,566,464";
    convnext_large_keras, "large", [3, 3, 27, 3], 192, "197,767,336", "196,230,336";
    convnext_xlarge_keras, "xlarge", [3, 3, 27, 3], 256, "350,196,968", "348,147,968";
}

fn convnext([name, model]: [&str; 2], depths: [usize; 4], filters: usize, options: &Options) -> Result<Network> {
    let [height, width] = options.input(name, 224, 32)?;
    let mut builder = Network::builder(model);
    let x = builder.add(Input::new([height, width, 3]), &[])?;
    let scale = STATISTICS.map(|(_, deviation)| 1.0 / (255.0 * deviation)).to_vec();
    let offset = STATISTICS.map(|(mean, deviation)| -mean / deviation).to_vec();
    let mut x = builder.add_named(format!("{model}_prestem_normalization"), Rescaling { scale, offset }, &[x])?;
    for (stage, &depth) in depths.iter().enumerate() {
        x = downsampled(&mut builder, model, stage, filters << stage, x)?;
        for number in 0..depth {
            x = block(&mut builder, &format!("{model}_stage_{stage}_block_{number}"), x)?;
        }
    }
    if !options.top {
        x = builder.add(normalization(), &[x])?;
        return options.build(builder, x);
    }
    x = builder.add_named(format!("{model}_head_gap"), GlobalAveragePooling2D::new(), &[x])?;
    x = builder.add_named(format!("{model}_head_layernorm"), normalization(), &[x])?;
    let dense = Dense::new(options.classes.unwrap_or(1000)).activation(options.top_activation());
    x = builder.add_named(format!("{model}_head_dense"), dense, &[x])?;
    options.build(builder, x)
}

fn normalization() -> LayerNormalization {
    LayerNormalization { epsilon: 1e-6, ..Default::default() }
}

/// The downsampling convolution at the start of a stage: the stem, or one after a normalization.
fn downsampled(builder: &mut NetworkBuilder, model: &str, stage: usize, filters: usize, x: usize) -> Result<usize> {
    let conv = |size: usize| Conv2D::new(filters, [size; 2]).strides([size; 2]);
    let Some(number) = stage.checked_sub(1) else {
        let x = builder.add_named(format!("{model}_stem_conv"), conv(4), &[x])?;
        return builder.add_named(format!("{model}_stem_layernorm"), normalization(), &[x]);
    };
    let x = builder.add_named(format!("{model}_downsampling_layernorm_{number}"), normalization(), &[x])?;
    builder.add_named(format!("{model}_downsampling_conv_{number}"), conv(2), &[x])
}

fn block(builder: &mut NetworkBuilder, name: &str, input: usize) -> Result<usize> {
    let channels = builder.shape(input).channels();
    let layer = |part: &str| format!("{name}_{part}");
    let conv = Conv2D::new(channels, [7, 7]).padding(Padding::Same).groups(channels);
    let x = builder.add_named(layer("depthwise_conv"), conv, &[input])?;
    let x = builder.add_named(layer("layernorm"), normalization(), &[x])?;
    let x = builder.add_named(layer("pointwise_conv_1"), Dense::new(4 * channels), &[x])?;
    let x = builder.add_named(layer("gelu"), Activation::new(ActivationKind::Gelu), &[x])?;
    let x = builder.add_named(layer("pointwise_conv_2"), Dense::new(channels), &[x])?;
    let x = builder.add_named(layer("layer_scale"), LayerScale::new(FIRST_SCALE, channels), &[x])?;
    let x = builder.add_named(layer("identity"), Activation::new(ActivationKind::Linear), &[x])?;
    builder.add(Add::new(), &[input, x])
}
