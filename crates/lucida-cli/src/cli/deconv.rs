//! `lucida deconv`

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};

use super::place::FolderPlace;
use crate::arguments::{Indices, ModelArguments, Position, Selection, Source};
use crate::numbers::whole;

#[derive(Debug, Args)]
#[command(
    override_usage = "lucida deconv [OPTIONS] [MODEL] <IMAGE>\n       lucida deconv [OPTIONS] [MODEL] --data <DATA>"
)]
#[command(after_help = "\
Examples:
  lucida deconv photo.jpg
      the nine strongest filters of the built-in classifier
  lucida deconv runs/mnist seven.png --layer conv2d_2
      the nine strongest filters
  lucida deconv runs/mnist seven.png --layer conv2d_2 --filter 12
      the strongest activation of one filter
  lucida deconv runs/mnist seven.png --layer conv2d_2 --filter 12 --position 3,4
  lucida deconv runs/mnist --data mnist --index 51 --layer conv2d_1
  lucida deconv runs/mnist --data mnist:DIR --layer conv2d_2 --filters 0..8
  lucida deconv vgg16 --data ./photos --sample 500 --layer block3_conv3 \\
      --filters random:8

The deconvnet of Zeiler and Fergus (2014) keeps one activation and projects it down to the pixels: unpooling with the \
recorded switches, ReLU, and transposed convolution, layer by layer. For an IMAGE, deconv.png shows each projection next to \
its receptive field in the image, and fields.png where these lie. For a data set without --index, deconv.png is the paper's \
figure: the images with the top activations of each filter, cropped to the receptive field, next to their projections.")]
pub(crate) struct Deconv {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Image (JPEG, PNG, BMP, GIF, TIFF or WebP), or - for standard input
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    #[arg(required_unless_present = "data", conflicts_with = "data")]
    pub(crate) image: Option<PathBuf>,

    /// Data set: mnist:DIR (MNIST's test digits in a folder), mnist (the built-in digits), or a folder of images, with or
    /// without a sub-folder per class
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// Indices of images in the data set, from 0: 3, 0..10 (10 excluded), 0,5,9; of several, each gets its own folder in --out
    #[arg(long, alias = "indices", value_name = "INDICES", requires = "data", conflicts_with = "image")]
    pub(crate) index: Option<Indices>,

    /// Only the first N images of the data set
    #[arg(long, value_name = "N", requires = "data", conflicts_with_all = ["index", "image"])]
    #[arg(value_parser = whole::<u32>(1..))]
    pub(crate) first: Option<u32>,

    /// A random subset of this size
    #[arg(long, value_name = "N", requires = "data", conflicts_with_all = ["first", "index", "image"])]
    #[arg(value_parser = whole::<u32>(1..))]
    pub(crate) sample: Option<u32>,

    /// Layer whose activations are projected [default: the last convolution, sum or concatenation; _blocks.4 of
    /// the built-in classifier]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Filters: 3, 0..8 (8 excluded), 0,3,11, all, random:8 [default: the most active ones for an image; the first 8 for a data
    /// set]
    #[arg(long, value_name = "FILTERS", visible_alias = "filter")]
    pub(crate) filters: Option<Selection>,

    /// Number of top activations: images per filter of a data set; filters of an image, or with --filters positions of each
    /// [default: 9; 1 with IMAGE and --filters]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=400))]
    pub(crate) top: Option<u16>,

    /// Row and column of the activation in its feature map, from 0, or middle [default: the maximum]
    #[arg(long, value_name = "POSITION", requires = "filters", conflicts_with = "top")]
    pub(crate) position: Option<Position>,

    /// Random seed of --filters random:N and --sample
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}
