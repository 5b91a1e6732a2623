//! `lucida kernels`

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use lucida::plot::Colormap;

use super::place::FolderPlace;
use crate::arguments::{Amount, ModelArguments};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida kernels runs/mnist
  lucida kernels runs/mnist --layers conv2d_1 --filters all --channels all
  lucida kernels runs/mnist --layers conv2d --shared --colormap gray

A sheet for each layer, kernels_conv2d.png and so on. Kernels over three channels are shown in color; those over more have \
a row for each filter and a column for each of its input channels.")]
pub(crate) struct Kernels {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Layers, joined by commas [default: all with kernels]
    #[arg(long = "layers", value_name = "NAMES", alias = "layer")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Vec<String>,

    /// How many filters of each layer: a number, or all
    #[arg(long, value_name = "all|N", default_value = "32")]
    pub(crate) filters: Amount,

    /// How many input channels of each filter: a number, or all
    #[arg(long, value_name = "all|N", default_value = "16")]
    pub(crate) channels: Amount,

    /// One scale for all kernels of a layer: equal colors are equal weights
    #[arg(long)]
    pub(crate) shared: bool,

    /// Colors of kernels that are not over three channels: zero is in the middle
    #[arg(long, value_name = "NAME", default_value = "RdBu_r")]
    pub(crate) colormap: Colormap,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}
