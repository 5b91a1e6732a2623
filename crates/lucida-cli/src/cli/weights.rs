//! The commands about known networks and files of weights.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Args, Subcommand, ValueHint};
use lucida::weights::hub;

use super::MixedStyle;
use crate::arguments::{MeaningArguments, Size, known_networks};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida models
  lucida models resnet
      the networks of a family
  lucida models resnet50
      one network: its input, and where its weights come from
  lucida models --json")]
pub(crate) struct Models {
    /// Family or network to describe [default: a line for each family]
    pub(crate) name: Option<String>,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Weights {
    /// Download the weights that Keras or torchvision publishes for a network into the cache folder
    Fetch(WeightsFetch),

    /// List the weights in the cache, and all that can be downloaded
    List(WeightsList),

    /// Remove the weights of a network from the cache
    Remove(WeightsRemove),

    /// Remove all weights and unfinished downloads from the cache
    Clean(WeightsClean),

    /// Print the contents of a model file: tensors, attributes, network
    Inspect(WeightsInspect),

    /// Convert a model to another format, chosen by the extension of the new file
    Convert(WeightsConvert),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights fetch vgg19
  lucida weights fetch inception-v3 --with-top
  lucida weights fetch resnet50
      torchvision's files have the classifier; then: lucida predict resnet50 photo.jpg

An interrupted download resumes. A file is accepted only if its checksum matches the published one. Keras publishes no \
checksum for MobileNet and MobileNetV2: their size alone is checked, and a note says so.

Environment:
  LUCIDA_CACHE   cache folder [default: the platform's]
  LUCIDA_HUB     URL of a mirror, such as https://mirror.example/keras
  SSL_CERT_FILE  file with the certificates to trust")]
pub(crate) struct WeightsFetch {
    /// Network: `lucida models` lists them
    #[arg(value_parser = PossibleValuesParser::new(hub::networks()), hide_possible_values = true)]
    pub(crate) network: String,

    /// Include the classifier of ImageNet's 1000 classes (torchvision's files always have it)
    #[arg(long)]
    pub(crate) with_top: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights list
  lucida weights list --all
  lucida weights list --json")]
pub(crate) struct WeightsList {
    /// Also list the weights that are not in the cache, as JSON always does
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights remove vgg19 --dry-run
      print what would be removed, and its size
  lucida weights remove vgg19

Removes the weights with and without the classifier, and unfinished downloads of them.")]
pub(crate) struct WeightsRemove {
    /// Network
    #[arg(value_parser = PossibleValuesParser::new(hub::networks()), hide_possible_values = true)]
    pub(crate) network: String,

    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights clean --dry-run
      print what would be removed, and its size
  lucida weights clean

Files with other names or sizes were not downloaded by Lucida and stay.")]
pub(crate) struct WeightsClean {
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida weights inspect runs/mnist/model.safetensors
  lucida weights inspect model.keras --json")]
pub(crate) struct WeightsInspect {
    /// Model file of any format (whatever its extension), run folder, or - for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Print JSON only
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
    /// Model file, run folder, or name of a network with downloaded or built-in weights
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) input: String,

    /// File to write: .safetensors, .keras, .h5, .weights.h5, .onnx, .pth or .pt; - is standard output, as safetensors
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Name of the network, if IN is a file with weights only (see `lucida models`)
    #[arg(long, value_name = "NAME", value_parser = known_networks(), hide_possible_values = true)]
    pub(crate) network: Option<String>,

    /// Input size in pixels: 224, or HEIGHTxWIDTH such as 480x640 [default: the model's]
    #[arg(long)]
    pub(crate) size: Option<Size>,

    /// Styles of a .lucida file to mix, such as waves=0.7,night=0.3 [default: the first]. As ONNX the network takes images
    /// of any size
    #[arg(long, value_name = "NAME=WEIGHT", value_delimiter = ',')]
    pub(crate) mix: Vec<MixedStyle>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}
