//! SqueezeNet.
//!
//! F. Iandola et al., *SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size*, 2016,
//! <https://arxiv.org/abs/1602.07360>. A fire module is a 1x1 convolution to few channels (`fire2_squeeze`), followed by a
//! parallel 1x1 and 3x3 convolution (`fire2_expand1x1`, `fire2_expand3x3`), whose outputs are concatenated (`fire2`).

use super::Options;
use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, Concatenate, Conv2D, Dropout, GlobalAveragePooling2D, Input, MaxPooling2D, Padding,
    ZeroPadding2D,
};
use crate::nn::{Network, NetworkBuilder};

/// Channels of the fire modules: of the squeeze, and of each expand convolution.
const FIRES: [(usize, usize); 8] =
    [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];

/// SqueezeNet 1.0: 1,248,424 parameters for 1000 classes.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 21x21.
pub fn squeezenet1_0(options: &Options) -> Result<Network> {
    let size = options.input("squeezenet1-0", 224, 21)?;
    squeezenet("squeezenet1_0", size, Conv2D::new(96, [7, 7]), &[4, 8], options)
}

/// SqueezeNet 1.1, with 2.4 times less computation: 1,235,496 parameters for 1000 classes.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 17x17.
pub fn squeezenet1_1(options: &Options) -> Result<Network> {
    let size = options.input("squeezenet1-1", 224, 17)?;
    squeezenet("squeezenet1_1", size, Conv2D::new(64, [3, 3]), &[3, 5], options)
}

/// `poolings` are the fire modules, numbered from two, that are followed by a pooling; `conv1` always is.
fn squeezenet(
    name: &str,
    [height, width]: [usize; 2],
    first: Conv2D,
    poolings: &[usize],
    options: &Options,
) -> Result<Network> {
    let mut builder = Network::builder(name);
    let input = builder.add(Input::new([height, width, options.channels.unwrap_or(3)]), &[])?;
    let relu = ActivationKind::Relu;
    let mut x = builder.add_named("conv1", first.strides([2, 2]).activation(relu), &[input])?;
    x = pool(&mut builder, 1, x)?;
    for (number, (squeezed, expanded)) in (2..).zip(FIRES) {
        let conv = |filters, size| Conv2D::new(filters, [size, size]).padding(Padding::Same).activation(relu);
        let squeeze = builder.add_named(format!("fire{number}_squeeze"), conv(squeezed, 1), &[x])?;
        let one = builder.add_named(format!("fire{number}_expand1x1"), conv(expanded, 1), &[squeeze])?;
        let three = builder.add_named(format!("fire{number}_expand3x3"), conv(expanded, 3), &[squeeze])?;
        x = builder.add_named(format!("fire{number}"), Concatenate::new(), &[one, three])?;
        if poolings.contains(&number) {
            x = pool(&mut builder, number, x)?;
        }
    }
    if options.top {
        let conv = Conv2D::new(options.classes.unwrap_or(1000), [1, 1]).activation(relu);
        x = builder.add(Dropout::new(0.5), &[x])?;
        x = builder.add_named("conv10", conv, &[x])?;
        x = builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        x = builder.add_named("predictions", Activation::new(options.top_activation()), &[x])?;
    }
    options.build(builder, x)
}

/// A 3x3 max pooling with a stride of 2 that covers all pixels (`ceil_mode`): its last windows may extend beyond the bottom
/// and right by a pixel. The zeros there never exceed the maximum, since the input comes from a ReLU.
fn pool(builder: &mut NetworkBuilder, number: usize, x: usize) -> Result<usize> {
    let [height, width, _] = builder.shape(x).as_image().unwrap_or_default();
    let missing = |size: usize| if size < 3 { 3 - size } else { (size - 3) % 2 };
    let padding = [[0, missing(height)], [0, missing(width)]];
    let mut x = x;
    if padding != [[0; 2]; 2] {
        x = builder.add_named(format!("pool{number}_pad"), ZeroPadding2D { padding }, &[x])?;
    }
    builder.add_named(format!("pool{number}"), MaxPooling2D::new([3, 3]).strides([2, 2]), &[x])
}
