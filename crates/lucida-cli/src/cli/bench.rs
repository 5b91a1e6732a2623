//! `lucida bench`

use clap::{Args, Subcommand};

use crate::arguments::ModelArguments;
use crate::numbers::whole;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time each layer of a network: algorithm, GFLOP/s, share of the processor's peak
    Plan(BenchPlan),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida bench plan mnist-cnn --training --batch 256
  lucida bench plan inception-v3 --size 150 --batch 32
  lucida bench plan vgg19 --size 512 --style --cut block5_conv2
  lucida bench plan mnist-cnn --json

Weights and images are random. GFLOP/s count the multiplications and additions of a convolution by its definition; \
Winograd's algorithm needs a quarter of them, so its share of the peak may exceed 100 %. The last column has the share that its \
matrix products reach without the transforms. Layers joined by + are computed in one pass.")]
pub(crate) struct BenchPlan {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Batch size
    #[arg(long, visible_alias = "batch-size", alias = "bs", value_name = "N", default_value = "1", value_parser = whole::<u32>(1..=65_536))]
    pub(crate) batch: u32,

    /// Time a training step: forward pass and backward pass to the weights
    #[arg(long, conflicts_with = "style")]
    pub(crate) training: bool,

    /// Time a style transfer step: forward pass and backward pass to the image
    #[arg(long)]
    pub(crate) style: bool,

    /// Cut the network after this layer
    #[arg(long, value_name = "LAYER")]
    pub(crate) cut: Option<String>,

    /// Number of rounds; the table has the medians
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole::<u32>(1..=10_000))]
    pub(crate) rounds: u32,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}
