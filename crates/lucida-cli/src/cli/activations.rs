//! `lucida activations`

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use lucida::explain::MapScale;
use lucida::plot::Colormap;

use super::Subject;
use super::place::FolderPlace;
use crate::arguments::{Amount, ModelArguments};

#[derive(Debug, Args)]
#[command(
    override_usage = "lucida activations [OPTIONS] [MODEL] <IMAGE>\n       lucida activations [OPTIONS] [MODEL] --data <DATA> --index <INDICES>"
)]
#[command(after_help = "\
Examples:
  lucida activations runs/mnist --data mnist --index 51
  lucida activations runs/mnist seven.png --layers conv2d,dense_1 --npy
  lucida activations runs/mnist seven.png --channels 8 --colormap magma \\
      --normalize minmax

Writes one contact sheet per layer (01_conv2d.png, ...) and overview.png with the first maps of every layer. A map that is \
zero everywhere is dead, and hatched. --normalize notebook standardizes each map and shows two standard deviations to either \
side; minmax stretches each map from its minimum to its maximum; none has one scale for all maps of a layer. Input, dropout \
and flatten layers are left out unless you name them.")]
pub(crate) struct Activations {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    #[command(flatten)]
    pub(crate) subject: Subject,

    /// Layers, separated by commas [default: all]
    #[arg(long, alias = "layer", value_name = "NAMES", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layers: Vec<String>,

    /// Channels to show per layer: a number, or all
    #[arg(long, value_name = "all|N", default_value = "all")]
    pub(crate) channels: Amount,

    /// Colormap: viridis, magma, inferno, plasma, cividis, turbo, gray, RdBu or RdBu_r
    #[arg(long, value_name = "NAME", default_value = "viridis")]
    pub(crate) colormap: Colormap,

    /// How the values of a map are scaled to colors
    #[arg(long, value_enum, value_name = "SCALE", default_value = "notebook")]
    pub(crate) normalize: Scale,

    /// Also write the raw values as NumPy arrays: 01_conv2d.npy, ...
    #[arg(long)]
    pub(crate) npy: bool,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}

/// The scales of feature maps by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Each map minus its mean, divided by its standard deviation
    Notebook,
    /// Each map from its minimum to its maximum
    Minmax,
    /// All maps of a layer on one scale
    None,
}

impl From<Scale> for MapScale {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Notebook => Self::Notebook,
            Scale::Minmax => Self::MinMax,
            Scale::None => Self::None,
        }
    }
}
