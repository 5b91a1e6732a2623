//! The options of `lucida embed`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, ValueHint};

use super::Bulk;
use super::place::FolderPlace;
use crate::arguments::{ModelArguments, Source};
use crate::numbers::{perplexity, whole};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida embed runs/mnist --data mnist   the features that it decides by
  lucida embed runs/mnist --data mnist:DIR --layer conv2d_2 --sample 2000
  lucida embed vgg16 --data ./photos --layer block5_conv3 --method pca
  lucida embed runs/mnist --data mnist --neighbors 7.png --count 12
  lucida embed runs/mnist --data mnist --csv --out runs/features
  lucida embed vgg16 --data ./photos --layer block5_pool --distributed mpi \\
      --out runs/all

The folder then holds a map of the images by their main directions (pca.png, pca.svg), one that keeps neighbors \
together (tsne.png, tsne.svg), points.csv with the places and features.npy; with --neighbors, neighbors.png.")]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    #[command(flatten)]
    pub(crate) bulk: Bulk,

    /// Images: mnist:DIR (the test digits in a folder), mnist (the built-in digits), or a folder of images, with a
    /// sub-folder for each class or without
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Source,

    /// The layer: see `lucida summary MODEL`; the mean of each channel where it has maps [default: the last layer before
    /// the output]
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Which map to make
    #[arg(long, value_enum, default_value_t = Map::Both)]
    pub(crate) method: Map,

    /// The most images, chosen at random
    #[arg(long, value_name = "N", default_value = "5000", value_parser = whole::<u32>(2..=50_000))]
    pub(crate) sample: u32,

    /// Perplexity of t-SNE: roughly the number of neighbors of an image
    #[arg(long, value_name = "N", default_value = "30", value_parser = perplexity)]
    pub(crate) perplexity: f64,

    /// Steps of t-SNE
    #[arg(long, value_name = "N", default_value = "1000", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) steps: u32,

    /// Show the nearest neighbors of this image; may be given several times
    #[arg(long, value_name = "IMAGE", alias = "neighbours", value_hint = ValueHint::FilePath)]
    pub(crate) neighbors: Vec<PathBuf>,

    /// How many of them
    #[arg(long, value_name = "N", default_value = "9", value_parser = whole::<u32>(1..=1000))]
    pub(crate) count: u32,

    /// Write the features as features.csv too
    #[arg(long)]
    pub(crate) csv: bool,

    /// Fail on unreadable images of the folder instead of skipping them
    #[arg(long)]
    pub(crate) strict: bool,

    /// Seed of all random numbers
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) place: FolderPlace,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// The maps that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Map {
    /// By the two main directions
    Pca,
    /// By neighborhoods
    Tsne,
    /// One of each
    Both,
}
