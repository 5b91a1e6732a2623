//! The commands about known networks and files of weights.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Args, Subcommand, ValueHint};
use lucida::weights::hub;

use crate::arguments::{MeaningArguments, Size, known_networks};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida zoo
  lucida zoo --json")]
pub(crate) struct Zoo {
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Weights {
    /// Download the weights that Keras publishes for a network, once: they are kept in a cache folder
    Fetch(WeightsFetch),

    /// List the weights that can be fetched, and which of them are there
    List(WeightsList),

    /// Remove the fetched weights of a network from the cache
    Remove(WeightsRemove),

    /// Remove all fetched weights from the cache, unfinished downloads too
    Clean(WeightsClean),

    /// Say what is in a file: tensors with their types and shapes, attributes, the network if it has one
    Inspect(WeightsInspect),

    /// Write a model in another format, which the ending of the new file's name means
    Convert(WeightsConvert),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights fetch vgg19
  lucida weights fetch inception-v3 --with-top

A download that was cut off resumes where it ended. The checksum is that which Keras publishes.

Environment:
  LUCIDA_CACHE   folder of the cache [default: as the platform has it]
  LUCIDA_HUB     address of a mirror, as in https://mirror.example/keras
  SSL_CERT_FILE  file of the certificates to trust, as for other programs")]
pub(crate) struct WeightsFetch {
    /// Network
    #[arg(value_parser = PossibleValuesParser::new(hub::networks()))]
    pub(crate) network: String,

    /// With the classifier of the 1000 classes of ImageNet
    #[arg(long)]
    pub(crate) with_top: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights list
  lucida weights list --json")]
pub(crate) struct WeightsList {
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights remove vgg19 --dry-run
      what would be removed, and how much that frees
  lucida weights remove vgg19

Removes the weights with the classifier and those without it, and what has arrived of an unfinished download.")]
pub(crate) struct WeightsRemove {
    /// Network
    #[arg(value_parser = PossibleValuesParser::new(hub::networks()))]
    pub(crate) network: String,

    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights clean --dry-run
      what would be removed, and how much that frees
  lucida weights clean

Files of other names or sizes stay: they were not fetched.")]
pub(crate) struct WeightsClean {
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights inspect runs/mnist/model.safetensors
  lucida weights inspect model.keras --json")]
pub(crate) struct WeightsInspect {
    /// File of any format, whose name does not matter, or folder of a run
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights convert runs/mnist digits.keras
  lucida weights convert model.keras model.safetensors --force
  lucida weights convert vgg16_notop.h5 vgg16.safetensors --network vgg16
  lucida weights convert vgg16-builtin start-of-vgg16.keras
  lucida weights convert resnet18.onnx resnet18.keras
  lucida weights convert mine.keras mine.onnx --preprocessing torch \\
      --classes labels.txt")]
pub(crate) struct WeightsConvert {
    /// Model file, folder of a run, name of a network whose weights are in the cache, or vgg16-builtin
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) input: String,

    /// File to write: .safetensors, .keras, .h5, .weights.h5, .onnx, .pth or .pt; - is standard output, as safetensors
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// If IN has weights but no network: the network that they belong to
    #[arg(long, value_name = "NAME", value_parser = known_networks())]
    pub(crate) network: Option<String>,

    /// Size of the network's input in pixels, as in 224, or HEIGHTxWIDTH as in 480x640 [default: the model's own]
    #[arg(long)]
    pub(crate) size: Option<Size>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,

    /// Overwrite OUT
    #[arg(long)]
    pub(crate) force: bool,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}
