//! The options of `lucida filters`, `lucida classes` and `lucida dream`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, ValueHint};

use super::place::{FilePlace, result_folder};
use crate::arguments::{Choice, Direction, Indices, MeaningArguments, ModelArguments, Position};
use crate::numbers::{positive, whole};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida filters runs/mnist --layer conv2d_1   every filter of a layer
  lucida filters runs/mnist --layer conv2d_1 --filters 0,3,11
  lucida filters runs/mnist --layer conv2d_2 --filters random:8 \\
      --method keras-vis
  lucida filters runs/mnist --layer conv2d --filters 5 --diversity 4
  lucida filters runs/mnist --layer conv2d_2 --direction 3:1,7:-0.5
  lucida filters vgg16-builtin --layer block3_conv1 --filters random:8

A live filter has a higher activation for its image than for any real one; that of a dead filter stays 0. \
Where a known network takes any size, images have 128x128 pixels unless --size says otherwise.")]
pub(crate) struct Filters {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// The layer: see `lucida summary MODEL`
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: String,

    /// Which filters: all, 0,3,11, 0..16 (without 16), or random:8
    #[arg(long, alias = "filter", value_name = "FILTERS", default_value = "all", conflicts_with = "direction")]
    pub(crate) filters: Choice,

    /// One position of each filter rather than the mean of all: ROW,COLUMN, or middle
    #[arg(long, alias = "position", value_name = "POSITION", conflicts_with = "direction")]
    pub(crate) neuron: Option<Position>,

    /// A weighted sum of filters: FILTER:WEIGHT,FILTER:WEIGHT,...
    #[arg(long, value_name = "DIRECTION", allow_hyphen_values = true)]
    pub(crate) direction: Option<Direction>,

    #[command(flatten)]
    pub(crate) making: MaximizeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida classes runs/mnist
  lucida classes runs/mnist --class 3,5,8 --diversity 4
  lucida classes runs/mnist --method keras-vis --out classes.png")]
pub(crate) struct Classes {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Which classes, labels, or values, by number: all, 0,3,8, 0..5 (without 5), or random:8
    #[arg(long, value_name = "CLASSES", default_value = "all")]
    pub(crate) class: Choice,

    #[command(flatten)]
    pub(crate) making: MaximizeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida dream photo.jpg
      the built-in blocks of VGG16
  lucida dream photo.jpg --model vgg16 --layer block4_conv2
      all of it: see `lucida weights`
  lucida dream photo.jpg --filters 12,55 --octaves 6 --steps 40")]
pub(crate) struct DreamArguments {
    /// Image to start from
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) image: PathBuf,

    /// Model file, folder of a run, or name of a known network
    #[arg(long, value_name = "MODEL", default_value = "vgg16-builtin", value_hint = ValueHint::AnyPath)]
    pub(crate) model: String,

    /// If MODEL is the name of a network: the file with its weights [default: that in the cache]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) weights: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,

    /// The layer whose activations are to grow [default: the last one that sees positions]
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Only these filters of the layer: 12, or 12,55
    #[arg(long, alias = "filter", value_name = "FILTERS")]
    pub(crate) filters: Option<Indices>,

    /// Sizes to go through
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole::<u32>(1..=32))]
    pub(crate) octaves: u32,

    /// How much larger each size is than the one before
    #[arg(long, value_name = "FACTOR", default_value = "1.4", value_parser = positive)]
    pub(crate) octave_scale: f64,

    /// Steps for each size
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) steps: u32,

    /// How far a step goes, where pixels go from 0 to 1
    #[arg(long, value_name = "RATE", default_value = "0.002", value_parser = positive)]
    pub(crate) rate: f64,

    /// Longer side of the result in pixels; a smaller image is not enlarged. The shorter side needs at least 48: layers have
    /// too few positions for less
    #[arg(long, value_name = "PIXELS", default_value = "640", value_parser = whole::<u32>(48..=8192))]
    pub(crate) size: u32,

    /// Seed of all random numbers
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) place: FilePlace,
}

/// How images are synthesized, and where they are written.
#[derive(Debug, Args)]
pub(crate) struct MaximizeArgs {
    /// Optimization method
    #[arg(long, value_name = "METHOD", value_enum, default_value_t = MethodName::Fourier)]
    pub(crate) method: MethodName,

    /// Steps, from each of the starts
    /// [default: 256, for filters of digits 512, for their classes 320; for keras-vis 600, half of them without the variation]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) steps: Option<u32>,

    /// Images of each filter or class, pushed apart to show different things (fourier only)
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole::<u32>(1..=64))]
    pub(crate) diversity: u32,

    /// Seed of all random numbers: equal seeds give equal images
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Images in a row [default: 8; for keras-vis 4]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1000))]
    pub(crate) columns: Option<u32>,

    #[command(flatten)]
    pub(crate) place: FilePlace,

    /// Also write each image alone into this folder, in the size of the network's input
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) each: Option<PathBuf>,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    /// By spatial frequencies, seen through small movements (Olah et al., 2017)
    Fourier,
    /// By pixels, with penalties, as the package keras-vis does
    KerasVis,
}
