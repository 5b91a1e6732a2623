//! What the networks of torchvision have in common.

use super::Options;
use crate::Result;
use crate::nn::layers::{
    ActivationKind, AdaptiveAveragePooling2D, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Padding,
    ZeroPadding2D,
};
use crate::nn::{Layer, NetworkBuilder};

/// PyTorch's normalization: it keeps 0.9 of the moving averages in a step, and adds this to the variance.
pub(super) fn normalization(epsilon: f32) -> BatchNormalization {
    BatchNormalization { momentum: 0.9, epsilon, ..Default::default() }
}

/// A layer over an image with a border of zeros. With a stride, the padding `same` of TensorFlow would put
/// more of it to the bottom and right; PyTorch has as much on all sides.
pub(super) fn padded(
    builder: &mut NetworkBuilder,
    name: &str,
    layer: impl Into<Layer>,
    border: usize,
    x: usize,
) -> Result<usize> {
    let x = builder.add_named(format!("{name}_pad"), ZeroPadding2D::new(border), &[x])?;
    builder.add_named(name, layer, &[x])
}

/// A convolution that keeps the size of the image, or divides it by the stride.
pub(super) fn conv(builder: &mut NetworkBuilder, name: &str, conv: Conv2D, x: usize) -> Result<usize> {
    if conv.strides == [1, 1] {
        return builder.add_named(name, conv.padding(Padding::Same), &[x]);
    }
    match conv.kernel_size[0] / 2 {
        0 => builder.add_named(name, conv, &[x]),
        border => padded(builder, name, conv, border, x),
    }
}

/// Brings an image to a size, if it has another.
pub(super) fn adapt(builder: &mut NetworkBuilder, size: [usize; 2], x: usize) -> Result<usize> {
    match builder.shape(x).as_image() {
        Some([height, width, _]) if [height, width] == size => Ok(x),
        _ => builder.add_named("avg_pool", AdaptiveAveragePooling2D::new(size), &[x]),
    }
}

/// The dense layers of AlexNet, whose dropouts come before the layers, and of VGG, whose come after.
pub(super) fn classifier(builder: &mut NetworkBuilder, before: bool, options: &Options, x: usize) -> Result<usize> {
    let mut x = builder.add_named("flatten", Flatten::new(), &[x])?;
    for name in ["fc1", "fc2"] {
        if before {
            x = builder.add(Dropout::new(0.5), &[x])?;
        }
        x = builder.add_named(name, Dense::new(4096).activation(ActivationKind::Relu), &[x])?;
        if !before {
            x = builder.add(Dropout::new(0.5), &[x])?;
        }
    }
    predictions(builder, options, x)
}

/// The last layer.
pub(super) fn predictions(builder: &mut NetworkBuilder, options: &Options, x: usize) -> Result<usize> {
    let dense = Dense::new(options.classes.unwrap_or(1000)).activation(options.top_activation());
    builder.add_named("predictions", dense, &[x])
}
