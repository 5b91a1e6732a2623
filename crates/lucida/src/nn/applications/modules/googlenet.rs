//! GoogLeNet.
//!
//! C. Szegedy et al., *Going Deeper with Convolutions*, 2014, <https://arxiv.org/abs/1409.4842>: nine blocks of parallel
//! convolutions. In torchvision's version: with batch normalization, and with 3x3 in place of 5x5 convolutions.

use super::{Conv, ModuleBuilder, TensorShapes};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::{Concatenate, MaxPooling2D, Padding};

/// A block: its name, the filters of its six convolutions, and the name and size of the pooling after it, if any.
type Block = (&'static str, [usize; 6], Option<(&'static str, usize)>);

const BLOCKS: [Block; 9] = [
    ("inception3a", [64, 96, 128, 16, 32, 32], None),
    ("inception3b", [128, 128, 192, 32, 96, 64], Some(("maxpool3", 3))),
    ("inception4a", [192, 96, 208, 16, 48, 64], None),
    ("inception4b", [160, 112, 224, 24, 64, 64], None),
    ("inception4c", [128, 128, 256, 24, 64, 64], None),
    ("inception4d", [112, 144, 288, 32, 64, 64], None),
    ("inception4e", [256, 160, 320, 32, 128, 128], Some(("maxpool4", 2))),
    ("inception5a", [256, 160, 320, 32, 128, 128], None),
    ("inception5b", [384, 192, 384, 48, 128, 128], None),
];

pub(super) fn googlenet(name: &str, options: &Options, tensors: Option<&TensorShapes>) -> Result<Network> {
    let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
    b.norm.epsilon = 1e-3;
    x = conv(&mut b, "conv1", Conv::new(64, 7).stride(2), x)?;
    x = pool(&mut b, "maxpool1", 3, x)?;
    x = conv(&mut b, "conv2", Conv::new(64, 1), x)?;
    x = conv(&mut b, "conv3", Conv::new(192, 3), x)?;
    x = pool(&mut b, "maxpool2", 3, x)?;
    for (module, filters, pooled) in BLOCKS {
        x = inception(&mut b, module, filters, x)?;
        if let Some((name, size)) = pooled {
            x = pool(&mut b, name, size, x)?;
        }
    }
    if b.has_classifier("fc") {
        x = b.pooled(x)?;
        x = b.predictions("fc", 0.2, x)?;
    }
    b.build(x)
}

/// A convolution, its normalization, and a ReLU.
fn conv(b: &mut ModuleBuilder, module: &str, conv: Conv, x: usize) -> Result<usize> {
    let x = b.conv(&format!("{module}.conv"), conv, x)?;
    let x = b.norm(&format!("{module}.bn"), x)?;
    b.relu(module, x)
}

/// A max pooling with stride two; the last window may extend beyond the image.
fn pool(b: &mut ModuleBuilder, name: &str, size: usize, x: usize) -> Result<usize> {
    let pool = MaxPooling2D { ceil_mode: true, ..MaxPooling2D::new([size; 2]).strides([2, 2]) };
    b.builder.add_named(name, pool, &[x])
}

fn inception(b: &mut ModuleBuilder, module: &str, filters: [usize; 6], x: usize) -> Result<usize> {
    let part = |branch: &str| format!("{module}.{branch}");
    let [one, narrow3, three, narrow5, five, pooled] = filters;
    let first = conv(b, &part("branch1"), Conv::new(one, 1), x)?;
    let mut second = conv(b, &part("branch2.0"), Conv::new(narrow3, 1), x)?;
    second = conv(b, &part("branch2.1"), Conv::new(three, 3), second)?;
    let mut third = conv(b, &part("branch3.0"), Conv::new(narrow5, 1), x)?;
    third = conv(b, &part("branch3.1"), Conv::new(five, 3), third)?;
    let pool = MaxPooling2D::new([3, 3]).strides([1, 1]).padding(Padding::Explicit([[1; 2]; 2]));
    let mut fourth = b.builder.add_named(part("branch4.0"), pool, &[x])?;
    fourth = conv(b, &part("branch4.1"), Conv::new(pooled, 1), fourth)?;
    b.builder.add_named(module, Concatenate::new(), &[first, second, third, fourth])
}
