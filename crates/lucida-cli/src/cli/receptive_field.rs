//! `lucida receptive-field`

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};
use lucida::plot::Colormap;

use super::place::FolderPlace;
use crate::arguments::{ModelArguments, Source};
use crate::numbers::whole;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida receptive-field vgg16
  lucida receptive-field inception-v3 --json
  lucida receptive-field runs/mnist --effective
  lucida receptive-field runs/mnist --effective --data mnist \\
      --layers conv2d_1,conv2d_2

For each layer: size of the receptive field in pixels, stride between the fields of neighboring units, padding rows and \
columns in the first unit's field, and the center of that field. Two numbers are height and width. --effective measures the \
effective receptive field (Luo et al., 2016), the gradient of the central unit over noise or the images of a data set: \
effective.png shows it, and the table has the side of a square of the same area.")]
pub(crate) struct ReceptiveField {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Layers, separated by commas [default: all; the convolutions with --effective]
    #[arg(long, alias = "layer", value_name = "NAMES", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layers: Vec<String>,

    /// Measure effective receptive fields
    #[arg(long)]
    pub(crate) effective: bool,

    /// Data set to measure with: mnist:DIR, mnist, or a folder of images [default: noise]
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", requires = "effective", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// Number of images to measure with
    #[arg(long, alias = "sample", value_name = "N", default_value = "32", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) samples: u32,

    /// Random seed of the noise
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Colormap
    #[arg(long, value_name = "NAME", default_value = "inferno")]
    pub(crate) colormap: Colormap,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}
