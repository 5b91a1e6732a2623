//! U-Net, for segmentation.
//!
//! O. Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical Image Segmentation*, 2015,
//! <https://arxiv.org/abs/1505.04597>: four downsampling and four upsampling stages, with a skip connection from the first
//! half to the second at each size. Unlike in the paper, convolutions keep the size of the image (padding `same`), so that
//! each input pixel is classified.

use super::Options;
use crate::nn::layers::{ActivationKind, Concatenate, Conv2D, Conv2DTranspose, Dropout, Input, MaxPooling2D, Padding};
use crate::nn::{Initializer, Network, NetworkBuilder};
use crate::{Error, Result};

/// Filters at the full size of the image; each halving doubles them.
const FILTERS: usize = 64;
/// Number of downsampling stages.
const DEPTH: usize = 4;

/// U-Net. 31,031,745 parameters. The output is `[height, width, classes]`: class probabilities for each pixel. One class,
/// the default, stands for two: one sigmoid per pixel.
///
/// # Errors
/// [`Error::Argument`] when the height or the width of the input is not a multiple of 16.
pub fn unet(options: &Options) -> Result<Network> {
    let [height, width] = options.input("unet", 256, 16)?;
    let factor = 1 << DEPTH;
    if height % factor != 0 || width % factor != 0 {
        return Err(Error::argument(format!(
            "unet takes images of multiples of {factor} pixels, not {height}x{width}"
        )));
    }
    let mut builder = Network::builder("unet");
    let mut x = builder.add(Input::new([height, width, options.channels.unwrap_or(3)]), &[])?;
    let mut skips = Vec::with_capacity(DEPTH);
    for level in 0..DEPTH {
        x = convolutions(&mut builder, &format!("down{}", level + 1), FILTERS << level, x)?;
        skips.push(x);
        x = builder.add_named(format!("down{}_pool", level + 1), MaxPooling2D::default(), &[x])?;
    }
    x = convolutions(&mut builder, "bottom", FILTERS << DEPTH, x)?;
    x = builder.add_named("dropout", Dropout::new(0.5), &[x])?;
    for (level, skip) in skips.into_iter().enumerate().rev() {
        let name = format!("up{}", level + 1);
        let double = Conv2DTranspose::new(FILTERS << level, [2, 2]).strides([2, 2]);
        x = builder.add_named(format!("{name}_conv_transpose"), double, &[x])?;
        x = builder.add_named(format!("{name}_concat"), Concatenate::new(), &[skip, x])?;
        x = convolutions(&mut builder, &name, FILTERS << level, x)?;
    }
    let activation = match options.classes {
        None | Some(1) => ActivationKind::Sigmoid,
        Some(_) => ActivationKind::Softmax,
    };
    let last = Conv2D::new(options.classes.unwrap_or(1), [1, 1]).activation(activation);
    x = builder.add_named("predictions", last, &[x])?;
    options.build(builder, x)
}

/// Two 3x3 convolutions with ReLUs, initialized as in the paper.
fn convolutions(builder: &mut NetworkBuilder, name: &str, filters: usize, mut x: usize) -> Result<usize> {
    for number in 1..=2 {
        let conv = Conv2D::new(filters, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu);
        let conv = Conv2D { kernel_initializer: Initializer::HeNormal, ..conv };
        x = builder.add_named(format!("{name}_conv{number}"), conv, &[x])?;
    }
    Ok(x)
}
