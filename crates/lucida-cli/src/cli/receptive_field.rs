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

For each layer: how many pixels a unit sees (size), how far apart the fields of neighboring units lie (stride), how many rows \
and columns of padding before the image the first unit's field takes in (padding), and where the center of that field lies. \
Two numbers are height and width. With --effective the gradient of the unit in the middle is measured, over noise or the \
images of a data set (Luo et al., 2016): effective.png shows how much each pixel matters, and the table has the side of a \
square as large as the area that does.")]
pub(crate) struct ReceptiveField {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Layers, joined by commas [default: all; for --effective the convolutions]
    #[arg(long, alias = "layer", value_name = "NAMES", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layers: Vec<String>,

    /// Measure the effective field
    #[arg(long)]
    pub(crate) effective: bool,

    /// Data set to measure with: mnist:DIR, mnist, or a folder of images [default: noise]
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", requires = "effective", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// Images to measure with
    #[arg(long, alias = "sample", value_name = "N", default_value = "32", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) samples: u32,

    /// Seed of the noise
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Colors
    #[arg(long, value_name = "NAME", default_value = "inferno")]
    pub(crate) colormap: Colormap,

    #[command(flatten)]
    pub(crate) place: FolderPlace,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}
