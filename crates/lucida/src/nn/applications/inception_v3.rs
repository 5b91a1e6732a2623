//! InceptionV3.
//!
//! C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, *Rethinking the Inception Architecture for Computer Vision*,
//! 2016, <https://arxiv.org/abs/1512.00567>. Every convolution is followed by a batch normalization without a scale and a
//! ReLU, and a block is several parallel chains of them, whose outputs are concatenated. The layers are created in Keras's
//! order, so that they get Keras's names: `conv2d` to `conv2d_93`, `mixed0` to `mixed10`.

use super::Options;
use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, Dense,
    GlobalAveragePooling2D, Input, MaxPooling2D, Padding,
};
use crate::nn::{Network, NetworkBuilder};

/// A convolution of a chain: filters, rows, columns.
type Conv = (usize, usize, usize);

/// InceptionV3: 23,851,784 parameters for 299x299 pixels and 1000 classes, 21,802,784 without the classifier.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 75x75.
pub fn inception_v3(options: &Options) -> Result<Network> {
    let [height, width] = options.input("inception-v3", 299, 75)?;
    let mut net = Inception { builder: Network::builder("inception_v3"), mixed: 0 };
    let input = net.builder.add(Input::new([height, width, 3]), &[])?;
    let mut x = net.halving_conv(input, 32)?;
    x = net.conv(x, (32, 3, 3), Padding::Valid, 1)?;
    x = net.conv(x, (64, 3, 3), Padding::Same, 1)?;
    x = net.halving_pool(x)?;
    x = net.conv(x, (80, 1, 1), Padding::Valid, 1)?;
    x = net.conv(x, (192, 3, 3), Padding::Valid, 1)?;
    x = net.halving_pool(x)?;
    for pooled in [32, 64, 64] {
        let dense = [(64, 1, 1), (96, 3, 3), (96, 3, 3)];
        x = net.block(x, &[&[(64, 1, 1)], &[(48, 1, 1), (64, 5, 5)], &dense], pooled)?;
    }
    x = net.first_reduction(x)?;
    for narrow in [128, 160, 160, 192] {
        let seven = [(narrow, 1, 1), (narrow, 1, 7), (192, 7, 1)];
        let twice = [(narrow, 1, 1), (narrow, 7, 1), (narrow, 1, 7), (narrow, 7, 1), (192, 1, 7)];
        x = net.block(x, &[&[(192, 1, 1)], &seven, &twice], 192)?;
    }
    x = net.second_reduction(x)?;
    for number in 0..2 {
        x = net.wide_block(x, number)?;
    }
    if options.top {
        x = net.builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        let dense = Dense::new(options.classes.unwrap_or(1000)).activation(options.top_activation());
        x = net.builder.add_named("predictions", dense, &[x])?;
    }
    options.build(net.builder, x)
}

struct Inception {
    builder: NetworkBuilder,
    /// The index of the next block.
    mixed: usize,
}

impl Inception {
    /// Convolution, batch normalization, ReLU.
    fn conv(&mut self, x: usize, (filters, rows, columns): Conv, padding: Padding, stride: usize) -> Result<usize> {
        let conv = Conv2D::new(filters, [rows, columns]).strides([stride; 2]).padding(padding).without_bias();
        let x = self.builder.add(conv, &[x])?;
        let x = self.builder.add(BatchNormalization { scale: false, ..Default::default() }, &[x])?;
        self.builder.add(Activation::new(ActivationKind::Relu), &[x])
    }

    fn halving_conv(&mut self, x: usize, filters: usize) -> Result<usize> {
        self.conv(x, (filters, 3, 3), Padding::Valid, 2)
    }

    fn halving_pool(&mut self, x: usize) -> Result<usize> {
        self.builder.add(MaxPooling2D::new([3, 3]).strides([2, 2]), &[x])
    }

    fn chain(&mut self, mut x: usize, convs: &[Conv]) -> Result<usize> {
        for &conv in convs {
            x = self.conv(x, conv, Padding::Same, 1)?;
        }
        Ok(x)
    }

    /// A 3x3 average pooling with stride one, followed by a 1x1 convolution.
    fn pooled(&mut self, x: usize, filters: usize) -> Result<usize> {
        let pool = AveragePooling2D::new([3, 3]).strides([1, 1]).padding(Padding::Same);
        let pool = self.builder.add(pool, &[x])?;
        self.chain(pool, &[(filters, 1, 1)])
    }

    /// Concatenates the branches of a block.
    fn mix(&mut self, branches: &[usize]) -> Result<usize> {
        let name = format!("mixed{}", self.mixed);
        self.mixed += 1;
        self.builder.add_named(name, Concatenate::new(), branches)
    }

    /// A block of parallel chains and a pooling.
    fn block(&mut self, x: usize, chains: &[&[Conv]], pooled: usize) -> Result<usize> {
        let mut branches = Vec::with_capacity(chains.len() + 1);
        for chain in chains {
            branches.push(self.chain(x, chain)?);
        }
        branches.push(self.pooled(x, pooled)?);
        self.mix(&branches)
    }

    /// `mixed3`, which halves the image.
    fn first_reduction(&mut self, x: usize) -> Result<usize> {
        let one = self.halving_conv(x, 384)?;
        let two = self.chain(x, &[(64, 1, 1), (96, 3, 3)])?;
        let two = self.halving_conv(two, 96)?;
        let pool = self.halving_pool(x)?;
        self.mix(&[one, two, pool])
    }

    /// `mixed8`, which halves the image again.
    fn second_reduction(&mut self, x: usize) -> Result<usize> {
        let one = self.chain(x, &[(192, 1, 1)])?;
        let one = self.halving_conv(one, 320)?;
        let two = self.chain(x, &[(192, 1, 1), (192, 1, 7), (192, 7, 1)])?;
        let two = self.halving_conv(two, 192)?;
        let pool = self.halving_pool(x)?;
        self.mix(&[one, two, pool])
    }

    /// `mixed9` and `mixed10`, whose chains fork.
    fn wide_block(&mut self, x: usize, number: usize) -> Result<usize> {
        let one = self.chain(x, &[(320, 1, 1)])?;
        let two = self.chain(x, &[(384, 1, 1)])?;
        let fork = self.fork(two)?;
        let two = self.builder.add_named(format!("mixed9_{number}"), Concatenate::new(), &fork)?;
        let three = self.chain(x, &[(448, 1, 1), (384, 3, 3)])?;
        let fork = self.fork(three)?;
        let three = self.builder.add(Concatenate::new(), &fork)?;
        let pool = self.pooled(x, 192)?;
        self.mix(&[one, two, three, pool])
    }

    fn fork(&mut self, x: usize) -> Result<[usize; 2]> {
        Ok([self.chain(x, &[(384, 1, 3)])?, self.chain(x, &[(384, 3, 1)])?])
    }
}
