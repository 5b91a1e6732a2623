//! A basic network for photos of two classes.

use super::Options;
use crate::Result;
use crate::nn::layers::{ActivationKind, Conv2D, Dense, Flatten, Input, MaxPooling2D};
use crate::nn::{Layer, Network};

/// Convolutions of 32, 64 and 128 filters, each followed by a pooling, then dense layers of 128 and 512 units, and one
/// sigmoid for two classes (or a softmax for more): 4,894,913 parameters for photos of 150x150 pixels.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 22x22.
pub fn basic_cnn(options: &Options) -> Result<Network> {
    let [height, width] = options.input("basic-cnn", 150, 22)?;
    let relu = ActivationKind::Relu;
    let conv = |filters| -> Layer { Conv2D::new(filters, [3, 3]).activation(relu).into() };
    let pool = || -> Layer { MaxPooling2D::default().into() };
    let last = match options.classes {
        None | Some(1 | 2) => Dense::new(1).activation(ActivationKind::Sigmoid),
        Some(classes) => Dense::new(classes).activation(ActivationKind::Softmax),
    };
    let layers: [Layer; 10] = [
        conv(32),
        pool(),
        conv(64),
        pool(),
        conv(128),
        pool(),
        Flatten::new().into(),
        Dense::new(128).activation(relu).into(),
        Dense::new(512).activation(relu).into(),
        last.into(),
    ];
    let mut builder = Network::builder("basic_cnn");
    let mut last = builder.add(Input::new([height, width, options.channels.unwrap_or(3)]), &[])?;
    for layer in layers {
        last = builder.add(layer, &[last])?;
    }
    options.build(builder, last)
}
