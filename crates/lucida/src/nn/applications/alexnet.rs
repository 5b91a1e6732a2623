//! AlexNet.
//!
//! A. Krizhevsky, *One weird trick for parallelizing convolutional neural networks*, 2014,
//! <https://arxiv.org/abs/1404.5997>: the network of 2012 without the split into two halves, as in torchvision.

use super::Options;
use super::torchvision::{adapt, classifier, padded};
use crate::Result;
use crate::nn::layers::{ActivationKind, Conv2D, Input, MaxPooling2D, Padding};
use crate::nn::{Layer, Network};

/// AlexNet: five convolutions and three dense layers, `conv1` to `conv5`, `fc1`, `fc2`, `predictions`; 61,100,840
/// parameters for 1000 classes at any input size, since features are pooled to 6x6 pixels before the dense layers.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 63x63.
pub fn alexnet(options: &Options) -> Result<Network> {
    let [height, width] = options.input("alexnet", 224, 63)?;
    let mut builder = Network::builder("alexnet");
    let mut last = builder.add(Input::new([height, width, options.channels.unwrap_or(3)]), &[])?;
    let conv = |filters, size| Conv2D::new(filters, [size, size]).activation(ActivationKind::Relu);
    let same = |filters, size| -> Layer { conv(filters, size).padding(Padding::Same).into() };
    let pool = || -> Layer { MaxPooling2D::new([3, 3]).strides([2, 2]).into() };
    last = padded(&mut builder, "conv1", conv(64, 11).strides([4, 4]), 2, last)?;
    for (name, layer) in [
        ("pool1", pool()),
        ("conv2", same(192, 5)),
        ("pool2", pool()),
        ("conv3", same(384, 3)),
        ("conv4", same(256, 3)),
        ("conv5", same(256, 3)),
        ("pool5", pool()),
    ] {
        last = builder.add_named(name, layer, &[last])?;
    }
    if options.top {
        last = adapt(&mut builder, [6, 6], last)?;
        last = classifier(&mut builder, true, options, last)?;
    }
    options.build(builder, last)
}
