//! InceptionV3 in torchvision's version.
//!
//! The same blocks as [`inception_v3`](super::inception_v3()), after the same paper, with two differences: the
//! normalizations have scales, and the average poolings include zero padding. The layers have torchvision's names in lower
//! case, `conv2d_1a_3x3_conv`, `mixed_5b_branch1x1_conv`; the outputs of the blocks have Keras's, `mixed0` to `mixed10`.

use super::Options;
use super::torchvision::{normalization, predictions};
use crate::Result;
use crate::nn::layers::{
    Activation, ActivationKind, AveragePooling2D, Concatenate, Conv2D, Dropout, GlobalAveragePooling2D, Input,
    MaxPooling2D, Padding, ZeroPadding2D,
};
use crate::nn::{Network, NetworkBuilder};

/// A convolution of a branch: its name within the branch, filters, rows, columns.
type Conv = (&'static str, usize, usize, usize);

/// InceptionV3 for torchvision's weights: 23,869,000 parameters for 1000 classes, 21,820,000 without the classifier,
/// including moving averages. torchvision's auxiliary classifier for training (`AuxLogits`) is omitted.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 75x75.
pub fn inception_v3_torch(options: &Options) -> Result<Network> {
    let [height, width] = options.input("inception-v3-torch", 299, 75)?;
    let mut net = Inception { builder: Network::builder("inception_v3_torch"), block: String::new(), mixed: 0 };
    let mut x = net.builder.add(Input::new([height, width, options.channels.unwrap_or(3)]), &[])?;
    x = net.conv("conv2d_1a_3x3", Conv2D::new(32, [3, 3]).strides([2, 2]), x)?;
    x = net.conv("conv2d_2a_3x3", Conv2D::new(32, [3, 3]), x)?;
    x = net.conv("conv2d_2b_3x3", Conv2D::new(64, [3, 3]).padding(Padding::Same), x)?;
    x = net.halving_pool("maxpool1", x)?;
    x = net.conv("conv2d_3b_1x1", Conv2D::new(80, [1, 1]), x)?;
    x = net.conv("conv2d_4a_3x3", Conv2D::new(192, [3, 3]), x)?;
    x = net.halving_pool("maxpool2", x)?;
    for (block, pooled) in [("5b", 32), ("5c", 64), ("5d", 64)] {
        net.begin(block);
        let double = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3)];
        let branches = [
            net.chain(x, &[("branch1x1", 64, 1, 1)])?,
            net.chain(x, &[("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 5)])?,
            net.chain(x, &double)?,
            net.pooled(x, pooled)?,
        ];
        x = net.mix(&branches)?;
    }
    x = net.first_reduction(x)?;
    for (block, narrow) in [("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)] {
        net.begin(block);
        let seven = [("branch7x7_1", narrow, 1, 1), ("branch7x7_2", narrow, 1, 7), ("branch7x7_3", 192, 7, 1)];
        let double = [
            ("branch7x7dbl_1", narrow, 1, 1),
            ("branch7x7dbl_2", narrow, 7, 1),
            ("branch7x7dbl_3", narrow, 1, 7),
            ("branch7x7dbl_4", narrow, 7, 1),
            ("branch7x7dbl_5", 192, 1, 7),
        ];
        let branches = [
            net.chain(x, &[("branch1x1", 192, 1, 1)])?,
            net.chain(x, &seven)?,
            net.chain(x, &double)?,
            net.pooled(x, 192)?,
        ];
        x = net.mix(&branches)?;
    }
    x = net.second_reduction(x)?;
    for block in ["7b", "7c"] {
        x = net.wide_block(block, x)?;
    }
    if options.top {
        x = net.builder.add_named("avg_pool", GlobalAveragePooling2D::new(), &[x])?;
        x = net.builder.add(Dropout::new(0.5), &[x])?;
        x = predictions(&mut net.builder, options, x)?;
    }
    options.build(net.builder, x)
}

struct Inception {
    builder: NetworkBuilder,
    /// The name prefix of the current block: `mixed_5b`.
    block: String,
    /// The index of the next block.
    mixed: usize,
}

impl Inception {
    fn begin(&mut self, block: &str) {
        self.block = format!("mixed_{block}");
    }

    /// Convolution, batch normalization, ReLU.
    fn conv(&mut self, name: &str, conv: Conv2D, x: usize) -> Result<usize> {
        let x = self.builder.add_named(format!("{name}_conv"), conv.without_bias(), &[x])?;
        let x = self.builder.add_named(format!("{name}_bn"), normalization(1e-3), &[x])?;
        self.builder.add_named(format!("{name}_relu"), Activation::new(ActivationKind::Relu), &[x])
    }

    fn halving_conv(&mut self, name: &str, filters: usize, x: usize) -> Result<usize> {
        let name = format!("{}_{name}", self.block);
        self.conv(&name, Conv2D::new(filters, [3, 3]).strides([2, 2]), x)
    }

    fn halving_pool(&mut self, name: &str, x: usize) -> Result<usize> {
        self.builder.add_named(name, MaxPooling2D::new([3, 3]).strides([2, 2]), &[x])
    }

    fn chain(&mut self, mut x: usize, convs: &[Conv]) -> Result<usize> {
        for &(name, filters, rows, columns) in convs {
            let name = format!("{}_{name}", self.block);
            x = self.conv(&name, Conv2D::new(filters, [rows, columns]).padding(Padding::Same), x)?;
        }
        Ok(x)
    }

    /// A 3x3 average pooling with stride one that includes zero padding, followed by a 1x1 convolution.
    fn pooled(&mut self, x: usize, filters: usize) -> Result<usize> {
        let name = format!("{}_avg_pool", self.block);
        let x = self.builder.add_named(format!("{name}_pad"), ZeroPadding2D::new(1), &[x])?;
        let x = self.builder.add_named(name, AveragePooling2D::new([3, 3]).strides([1, 1]), &[x])?;
        self.chain(x, &[("branch_pool", filters, 1, 1)])
    }

    /// Concatenates the branches of a block.
    fn mix(&mut self, branches: &[usize]) -> Result<usize> {
        let name = format!("mixed{}", self.mixed);
        self.mixed += 1;
        self.builder.add_named(name, Concatenate::new(), branches)
    }

    /// `mixed3`, which halves the image.
    fn first_reduction(&mut self, x: usize) -> Result<usize> {
        self.begin("6a");
        let one = self.halving_conv("branch3x3", 384, x)?;
        let two = self.chain(x, &[("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 3)])?;
        let two = self.halving_conv("branch3x3dbl_3", 96, two)?;
        let pool = self.halving_pool("mixed_6a_max_pool", x)?;
        self.mix(&[one, two, pool])
    }

    /// `mixed8`, which halves the image again.
    fn second_reduction(&mut self, x: usize) -> Result<usize> {
        self.begin("7a");
        let one = self.chain(x, &[("branch3x3_1", 192, 1, 1)])?;
        let one = self.halving_conv("branch3x3_2", 320, one)?;
        let two = [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, 1, 7), ("branch7x7x3_3", 192, 7, 1)];
        let two = self.chain(x, &two)?;
        let two = self.halving_conv("branch7x7x3_4", 192, two)?;
        let pool = self.halving_pool("mixed_7a_max_pool", x)?;
        self.mix(&[one, two, pool])
    }

    /// `mixed9` and `mixed10`, whose branches fork.
    fn wide_block(&mut self, block: &str, x: usize) -> Result<usize> {
        self.begin(block);
        let one = self.chain(x, &[("branch1x1", 320, 1, 1)])?;
        let two = self.chain(x, &[("branch3x3_1", 384, 1, 1)])?;
        let two = self.fork([("branch3x3_2a", 384, 1, 3), ("branch3x3_2b", 384, 3, 1)], "branch3x3", two)?;
        let three = self.chain(x, &[("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 3)])?;
        let fork = [("branch3x3dbl_3a", 384, 1, 3), ("branch3x3dbl_3b", 384, 3, 1)];
        let three = self.fork(fork, "branch3x3dbl", three)?;
        let pool = self.pooled(x, 192)?;
        self.mix(&[one, two, three, pool])
    }

    fn fork(&mut self, [left, right]: [Conv; 2], name: &str, x: usize) -> Result<usize> {
        let fork = [self.chain(x, &[left])?, self.chain(x, &[right])?];
        self.builder.add_named(format!("{}_{name}", self.block), Concatenate::new(), &fork)
    }
}
