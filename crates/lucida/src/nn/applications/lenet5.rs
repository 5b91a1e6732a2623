//! LeNet-5.

use super::Options;
use crate::Result;
use crate::nn::layers::{ActivationKind, AveragePooling2D, Conv2D, Dense, Flatten, Input, Padding};
use crate::nn::{Layer, Network};

/// The common textbook version of LeNet-5: two 5x5 convolutions, each followed by a 2x2 average pooling, and three dense
/// layers, with tanh activations: 61,706 parameters for digits of 28x28 pixels. The first convolution pads by two pixels,
/// equivalent to the paper's input of 32x32.
///
/// Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-based learning applied to document recognition*, 1998. (In the
/// paper, sub-sampling has weights, the second convolution is sparsely connected, and the last layer computes distances.)
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 16x16.
pub fn lenet5(options: &Options) -> Result<Network> {
    let [height, width] = options.input("lenet5", 28, 16)?;
    let tanh = ActivationKind::Tanh;
    let layers: [Layer; 8] = [
        Conv2D::new(6, [5, 5]).padding(Padding::Same).activation(tanh).into(),
        AveragePooling2D::default().into(),
        Conv2D::new(16, [5, 5]).activation(tanh).into(),
        AveragePooling2D::default().into(),
        Flatten::new().into(),
        Dense::new(120).activation(tanh).into(),
        Dense::new(84).activation(tanh).into(),
        Dense::new(options.classes.unwrap_or(10)).activation(options.top_activation()).into(),
    ];
    let mut builder = Network::builder("lenet5");
    let mut last = builder.add(Input::new([height, width, options.channels.unwrap_or(1)]), &[])?;
    for layer in layers {
        last = builder.add(layer, &[last])?;
    }
    options.build(builder, last)
}
