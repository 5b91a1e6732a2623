//! Shared code of the networks of torchvision.

use super::Options;
use crate::Result;
use crate::nn::layers::{
    ActivationKind, AdaptiveAveragePooling2D, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Padding,
    ZeroPadding2D,
};
use crate::nn::{Layer, NetworkBuilder};

/// PyTorch's batch normalization: a momentum of 0.9 in Keras's convention, and this epsilon.
pub(super) fn normalization(epsilon: f32) -> BatchNormalization {
    BatchNormalization { momentum: 0.9, epsilon, ..Default::default() }
}

/// A layer after zero padding. With a stride, TensorFlow's padding `same` would add more of it at the bottom and right;
/// PyTorch pads equally on all sides.
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

/// Pools an image to a size, if it has a different one.
pub(super) fn adapt(builder: &mut NetworkBuilder, size: [usize; 2], x: usize) -> Result<usize> {
    match builder.shape(x).as_image() {
        Some([height, width, _]) if [height, width] == size => Ok(x),
        _ => builder.add_named("avg_pool", AdaptiveAveragePooling2D::new(size), &[x]),
    }
}

/// The dense layers of AlexNet, with dropout before each layer, and of VGG, with dropout after.
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

/// The classification layer.
pub(super) fn predictions(builder: &mut NetworkBuilder, options: &Options, x: usize) -> Result<usize> {
    let dense = Dense::new(options.classes.unwrap_or(1000)).activation(options.top_activation());
    builder.add_named("predictions", dense, &[x])
}
