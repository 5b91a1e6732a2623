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
    override_usage = "lucida activations [OPTIONS] <MODEL> <IMAGE>\n       lucida activations [OPTIONS] <MODEL> --data <DATA> --index <INDICES>"
)]
#[command(after_help = "\
Examples:
  lucida activations runs/mnist --data mnist --index 51
  lucida activations runs/mnist seven.png --layers conv2d,dense_1 --npy
  lucida activations runs/mnist seven.png --channels 8 --colormap magma \\
      --normalize minmax

A sheet for each layer, 01_conv2d.png and so on, and overview.png with the first maps of all. A map that is zero everywhere \
is hatched, and called dead. Scales: notebook takes the mean of each map from it, divides by its deviation and shows two \
deviations to both sides; minmax goes from the least value of each map to the greatest; none has one scale for all maps of a \
layer. Inputs, dropout and flattening show their input and are left out, unless they are named.")]
pub(crate) struct Activations {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    #[command(flatten)]
    pub(crate) subject: Subject,

    /// Layers, joined by commas [default: all]
    #[arg(long, alias = "layer", value_name = "NAMES", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layers: Vec<String>,

    /// How many channels of each layer: a number, or all
    #[arg(long, value_name = "all|N", default_value = "all")]
    pub(crate) channels: Amount,

    /// Colors: viridis, magma, inferno, plasma, cividis, turbo, gray, RdBu or RdBu_r
    #[arg(long, value_name = "NAME", default_value = "viridis")]
    pub(crate) colormap: Colormap,

    /// Color map
    #[arg(long, value_enum, value_name = "SCALE", default_value = "notebook")]
    pub(crate) normalize: Scale,

    /// Write the raw values too, as NumPy's arrays: 01_conv2d.npy and so on
    #[arg(long)]
    pub(crate) npy: bool,

    #[command(flatten)]
    pub(crate) place: FolderPlace,

    /// Print JSON and nothing else, statistics of each layer and its dead channels: an object, or an array with one for each
    /// image
    #[arg(long)]
    pub(crate) json: bool,
}

/// The scales of feature maps by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Each map less its mean, over its deviation
    Notebook,
    /// Each map from its least value to its greatest
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
