//! The options of `lucida filters`, `lucida classes` and `lucida dream`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, ValueHint};
use lucida::weights::CLASSIFIER;

use super::place::{FilePlace, result_folder};
use crate::arguments::{ClassChoice, Direction, Indices, MeaningArguments, ModelArguments, Position, Selection};
use crate::numbers::{positive, whole};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida filters                               16 of the built-in classifier
  lucida filters runs/mnist --layer conv2d_1   every filter of a layer
  lucida filters runs/mnist --layer conv2d_1 --filters 0,3,11
  lucida filters runs/mnist --layer conv2d_2 --filters random:8 \\
      --method keras-vis
  lucida filters runs/mnist --layer conv2d --filters 5 --diversity 4
  lucida filters runs/mnist --layer conv2d_2 --direction 3:1,7:-0.5
  lucida filters vgg16-builtin --layer block3_conv1 --filters random:8

A filter's synthetic image activates it more than real images do; the activation of a dead filter stays 0. For a known \
network without a fixed input size, images have 128x128 pixels by default (--size).")]
pub(crate) struct Filters {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Layer (see `lucida summary MODEL`) [default: the last convolution, sum or concatenation; _blocks.10 of the
    /// built-in classifier]
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Filters: all, 0,3,11, 0..16 (16 excluded), or random:8 [default: all; without --layer, random:16 of more]
    #[arg(long, alias = "filter", value_name = "FILTERS", conflicts_with = "direction")]
    pub(crate) filters: Option<Selection>,

    /// Maximize one position of each filter instead of the mean over all: ROW,COLUMN, or middle
    #[arg(long, alias = "position", value_name = "POSITION", conflicts_with = "direction")]
    pub(crate) neuron: Option<Position>,

    /// Maximize a weighted sum of filters: FILTER:WEIGHT,FILTER:WEIGHT,...
    #[arg(long, value_name = "DIRECTION", allow_hyphen_values = true)]
    pub(crate) direction: Option<Direction>,

    #[command(flatten)]
    pub(crate) options: MaximizeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida classes                        16 of the built-in classifier
  lucida classes --class tabby,goldfinch
  lucida classes runs/mnist
  lucida classes runs/mnist --class 3,5,8 --diversity 4
  lucida classes runs/mnist --method keras-vis --out classes.png")]
pub(crate) struct Classes {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Classes (or labels or outputs) by index or name: all, 0,3,8, 0..5 (5 excluded), random:8, or tabby,goldfinch [default:
    /// all; random:16 of more than 100]
    #[arg(long, value_name = "CLASSES")]
    pub(crate) class: Option<ClassChoice>,

    #[command(flatten)]
    pub(crate) options: MaximizeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida dream photo.jpg
      with the built-in classifier: animals and buildings
  lucida dream photo.jpg --model vgg16-builtin
      with the built-in blocks of VGG16: textures
  lucida dream photo.jpg --model vgg16 --layer block4_conv2
      with the whole network: see `lucida weights`
  lucida dream photo.jpg --filters 12,55 --octaves 6 --steps 40")]
pub(crate) struct DreamArguments {
    /// Image to start from, or - for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) image: PathBuf,

    /// Model file, run folder, or name of a known network (see `lucida models`); vgg16-builtin, the first blocks of VGG16, gives
    /// textures
    #[arg(long, value_name = "MODEL", default_value = CLASSIFIER, value_hint = ValueHint::AnyPath)]
    pub(crate) model: String,

    /// Weights file, if MODEL is the name of a network [default: the downloaded weights]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) weights: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,

    /// Layer whose activations are amplified [default: the last convolution, sum or concatenation; _blocks.10
    /// of the built-in classifier]
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Only these filters of the layer: 12, or 12,55
    #[arg(long, alias = "filter", value_name = "FILTERS")]
    pub(crate) filters: Option<Indices>,

    /// Number of octaves, from small to large sizes
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole::<u32>(1..=32))]
    pub(crate) octaves: u32,

    /// Ratio of the sizes of two octaves
    #[arg(long, value_name = "FACTOR", default_value = "1.4", value_parser = positive)]
    pub(crate) octave_scale: f64,

    /// Gradient ascent steps per octave
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) steps: u32,

    /// Step size, for pixels from 0 to 1 [default: 0.002; 0.01 for the built-in classifier]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    pub(crate) rate: Option<f64>,

    /// Longer side of the result, in pixels; smaller images are not enlarged. The shorter side needs at least 48 pixels
    #[arg(long, value_name = "PIXELS", default_value = "640", value_parser = whole::<u32>(48..=8192))]
    pub(crate) size: u32,

    /// Random seed
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

    /// Optimization steps from each start [default: 256; for digits 512 (filters) or 320 (classes); for keras-vis 600, half of
    /// them without total variation]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) steps: Option<u32>,

    /// Images per filter or class, with a diversity term between them (fourier only)
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole::<u32>(1..=64))]
    pub(crate) diversity: u32,

    /// Random seed: the same seed gives the same images
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Images per row [default: 8; 4 for keras-vis]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1000))]
    pub(crate) columns: Option<u32>,

    #[command(flatten)]
    pub(crate) place: FilePlace,

    /// Also write each image to this folder, at the network's input size
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) each: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    /// Fourier parameterization with random jitter, rotation and scale (Olah et al., 2017)
    Fourier,
    /// Pixels with Lp-norm and total-variation penalties, as in keras-vis
    KerasVis,
}
