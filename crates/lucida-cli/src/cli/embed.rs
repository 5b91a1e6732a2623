//! The options of `lucida embed`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, ValueHint};

use super::Bulk;
use super::place::FolderPlace;
use crate::arguments::{ModelArguments, Source};
use crate::numbers::{perplexity, whole};

#[derive(Debug, Args)]
#[command(
    override_usage = "lucida embed [OPTIONS] [MODEL] <FOLDER>\n       lucida embed [OPTIONS] [MODEL] --data <DATA>"
)]
#[command(after_help = "\
Examples:
  lucida embed photos                    with the built-in classifier
  lucida embed runs/mnist --data mnist   the features before the output layer
  lucida embed runs/mnist --data mnist:DIR --layer conv2d_2 --sample 2000
  lucida embed vgg16 --data ./photos --layer block5_conv3 --method pca
  lucida embed runs/mnist --data mnist --neighbors 7.png --count 12
  lucida embed runs/mnist --data mnist --csv --out runs/features
  lucida embed vgg16 --data ./photos --layer block5_pool --distributed mpi \\
      --out runs/all

Writes a scatter plot by principal components (pca.png, pca.svg) and one by t-SNE (tsne.png, tsne.svg), points.csv with the \
coordinates, and features.npy; with --neighbors, neighbors.png.")]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    #[command(flatten)]
    pub(crate) bulk: Bulk,

    /// Folder of images, with or without a sub-folder per class
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    #[arg(required_unless_present = "data", conflicts_with = "data")]
    folder: Option<PathBuf>,

    /// Data set: mnist:DIR (MNIST's test digits in a folder), mnist (the built-in digits), or a folder of images
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    data: Option<Source>,

    /// Layer whose activations are the features; feature maps are averaged (see `lucida summary MODEL`) [default: the last
    /// layer before the output]
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Embedding
    #[arg(long, value_enum, default_value_t = Map::Both)]
    pub(crate) method: Map,

    /// Random sample of at most this many images
    #[arg(long, value_name = "N", default_value = "5000", value_parser = whole::<u32>(2..=50_000))]
    pub(crate) sample: u32,

    /// Perplexity of t-SNE: roughly, how many neighbors each image has
    #[arg(long, value_name = "N", default_value = "30", value_parser = perplexity)]
    pub(crate) perplexity: f64,

    /// Steps of t-SNE
    #[arg(long, value_name = "N", default_value = "1000", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) steps: u32,

    /// Also show the nearest neighbors of this image; repeatable
    #[arg(long, value_name = "IMAGE", alias = "neighbours", value_hint = ValueHint::FilePath)]
    pub(crate) neighbors: Vec<PathBuf>,

    /// Number of nearest neighbors
    #[arg(long, value_name = "N", default_value = "9", value_parser = whole::<u32>(1..=1000))]
    pub(crate) count: u32,

    /// Also write the features as features.csv
    #[arg(long)]
    pub(crate) csv: bool,

    /// Fail on unreadable images instead of skipping them
    #[arg(long)]
    pub(crate) strict: bool,

    /// Random seed
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}

impl Embed {
    /// The images.
    pub(crate) fn data(&self) -> Source {
        match (&self.data, &self.folder) {
            (Some(data), _) => data.clone(),
            (None, folder) => Source::Folder(folder.clone().unwrap_or_default()),
        }
    }
}

/// The maps that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Map {
    /// Principal component analysis: the first two components
    Pca,
    /// t-SNE (van der Maaten and Hinton, 2008): keeps neighbors together
    Tsne,
    /// PCA and t-SNE
    Both,
}
