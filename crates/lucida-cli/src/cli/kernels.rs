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

Writes one contact sheet per layer (kernels_conv2d.png, ...). Kernels over three channels are shown in color; others have one \
row per filter and one column per input channel.")]
pub(crate) struct Kernels {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Layers, separated by commas [default: all with kernels]
    #[arg(long = "layers", value_name = "NAMES", alias = "layer")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Vec<String>,

    /// Filters to show per layer: a number, or all
    #[arg(long, value_name = "all|N", default_value = "32")]
    pub(crate) filters: Amount,

    /// Input channels to show per filter: a number, or all
    #[arg(long, value_name = "all|N", default_value = "16")]
    pub(crate) channels: Amount,

    /// One color scale for all kernels of a layer: equal colors are equal weights
    #[arg(long)]
    pub(crate) shared: bool,

    /// Colormap of kernels that are not over three channels; zero is in the middle
    #[arg(long, value_name = "NAME", default_value = "RdBu_r")]
    pub(crate) colormap: Colormap,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}
