//! `lucida bench`

use clap::{Args, Subcommand};

use crate::arguments::ModelArguments;
use crate::numbers::whole;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time the layers of a network: which algorithm computes each, how fast, and how near to what the processor can do
    Plan(BenchPlan),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida bench plan mnist-cnn --training --batch 256
  lucida bench plan inception-v3 --size 150 --batch 32
  lucida bench plan vgg19 --size 512 --style --cut block5_conv2
  lucida bench plan mnist-cnn --json

Weights and images are random. A rate counts the multiplications and additions of a convolution by its \
definition; Winograd's algorithm does with a quarter of them, so its share of the processor's peak may exceed 100 %; what its \
matrix products reach by themselves, without the transforms around them, is in the last column. Layers joined by + are \
computed in one pass. With --training the backward pass to the weights is timed, with --style that to the image.")]
pub(crate) struct BenchPlan {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Images in a batch
    #[arg(long, visible_alias = "batch-size", alias = "bs", value_name = "N", default_value = "1", value_parser = whole::<u32>(1..=65_536))]
    pub(crate) batch: u32,

    /// Time a training step: forward, and back to the weights
    #[arg(long, conflicts_with = "style")]
    pub(crate) training: bool,

    /// Time a step of style transfer: forward and backward pass to the image
    #[arg(long)]
    pub(crate) style: bool,

    /// Leave out what comes after this layer
    #[arg(long, value_name = "LAYER")]
    pub(crate) cut: Option<String>,

    /// Runs; the table has the medians
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole::<u32>(1..=10_000))]
    pub(crate) rounds: u32,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}
