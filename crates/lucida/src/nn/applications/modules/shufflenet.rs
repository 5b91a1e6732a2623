//! ShuffleNet V2.
//!
//! N. Ma, X. Zhang, H.-T. Zheng, J. Sun, *ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design*, 2018,
//! <https://arxiv.org/abs/1807.11164>: a block transforms one half of the channels, and then shuffles both halves.

use super::{Conv, ModuleBuilder, TensorShapes};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::Options;
use crate::nn::layers::{AxisSlice, ChannelShuffle, Concatenate, Slice};

/// Number of blocks per stage.
const BLOCKS: [usize; 3] = [4, 8, 4];

/// A network of the family: output channels of the three stages and of the last convolution.
pub(super) fn shufflenet_v2(
    name: &str,
    channels: [usize; 4],
    options: &Options,
    tensors: Option<&TensorShapes>,
) -> Result<Network> {
    let (mut b, mut x) = ModuleBuilder::new(name, 224, options, tensors)?;
    x = conv_norm(&mut b, ["conv1.0", "conv1.1"], Conv::new(24, 3).stride(2), x)?;
    x = b.relu("conv1.2", x)?;
    x = b.max_pool("maxpool", x)?;
    for (stage, (&blocks, &channels)) in (2..).zip(BLOCKS.iter().zip(&channels)) {
        let module = |block: usize| format!("stage{stage}.{block}");
        for block in 0..b.count(0, |block| format!("{}.branch2.0", module(block)), blocks) {
            x = self::block(&mut b, &module(block), channels / 2, block == 0, x)?;
        }
    }
    x = conv_norm(&mut b, ["conv5.0", "conv5.1"], Conv::new(channels[3], 1), x)?;
    x = b.relu("conv5.2", x)?;
    if b.has_classifier("fc") {
        x = b.pooled(x)?;
        x = b.predictions("fc", 0.0, x)?;
    }
    b.build(x)
}

/// A convolution and its normalization, with separate names.
fn conv_norm(b: &mut ModuleBuilder, [conv_name, norm_name]: [&str; 2], conv: Conv, x: usize) -> Result<usize> {
    let x = b.conv(conv_name, conv, x)?;
    b.norm(norm_name, x)
}

/// A downsampling block transforms all channels in two branches, other blocks transform one half of them.
fn block(b: &mut ModuleBuilder, module: &str, channels: usize, halves_image: bool, input: usize) -> Result<usize> {
    let (other, mut x) = if halves_image {
        let inputs = b.channels(input);
        let part = |index: usize| format!("{module}.branch1.{index}");
        let mut other = conv_norm(b, [&part(0), &part(1)], Conv::new(inputs, 3).stride(2).groups(inputs), input)?;
        other = conv_norm(b, [&part(2), &part(3)], Conv::new(channels, 1), other)?;
        (b.relu(&part(4), other)?, input)
    } else {
        let half = (b.channels(input) / 2) as i64;
        let mut slice = |name: &str, start: Option<i64>, stop: Option<i64>| {
            let slice = Slice::of_axis(2, AxisSlice::Range { start, stop, step: 1 });
            b.builder.add_named(format!("{module}.{name}"), slice, &[input])
        };
        (slice("chunk1", None, Some(half))?, slice("chunk2", Some(half), None)?)
    };
    let part = |index: usize| format!("{module}.branch2.{index}");
    x = conv_norm(b, [&part(0), &part(1)], Conv::new(channels, 1), x)?;
    x = b.relu(&part(2), x)?;
    let (wide, stride) = (b.channels(x), if halves_image { 2 } else { 1 });
    x = conv_norm(b, [&part(3), &part(4)], Conv::new(wide, 3).stride(stride).groups(wide), x)?;
    x = conv_norm(b, [&part(5), &part(6)], Conv::new(channels, 1), x)?;
    x = b.relu(&part(7), x)?;
    let joined = b.builder.add_named(format!("{module}.cat"), Concatenate::new(), &[other, x])?;
    b.builder.add_named(module, ChannelShuffle::new(2), &[joined])
}
