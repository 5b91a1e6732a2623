//! The options of `lucida style` and `lucida style-frames`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use lucida::style::{Pooling, Preset, StyleLoss};

use super::Bulk;
use super::place::{FilePlace, FolderPlace, result_folder};
use crate::arguments::{Bytes, StartArgument};
use crate::numbers::{not_negative, positive, whole};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida style photo.jpg painting.jpg -o out.png
      at once, with the built-in network
  lucida style photo.jpg brushwork -o out.png
      in the built-in style
  lucida style photo.jpg painting.jpg -o out.png --weights vgg16.h5 --size 1024
  lucida style photo.jpg a.jpg b.jpg -o out.png --blend 2,1
      two styles mixed
  lucida style photo.jpg a.jpg b.jpg -o out.png --mask mask.png
      or each in its place
  lucida style photo.jpg painting.jpg -o out.png --keep-colors luminance \\
      --style-scale 0.5
  lucida style photo.jpg painting.jpg -o out.tif --bits 16 --size 4000 \\
      --memory 4G
  lucida style photo.jpg painting.jpg -o out.png --gif way.gif --preview steps \\
      --every 20
  lucida style photo.jpg painting.jpg -o out.png --preset gatys --network vgg19
  lucida style photos/ painting.jpg -o stylized/
      all images of a folder
  lucida style photos/ painting.jpg -o stylized/ --distributed mpi
      many, by all processes that mpirun starts

Looks with VGG19 or VGG16 where they have been fetched (`lucida weights fetch vgg16`), else with the built-in blocks 1 to 3 \
of VGG16. Ctrl-C writes the best image so far. The file says in its metadata how it was made.")]
pub(crate) struct Style {
    #[command(flatten)]
    pub(crate) bulk: Bulk,

    /// Content image, or a folder of images, each of which is stylized into the folder of --out
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) content: PathBuf,

    /// Style images, or brushwork, which is built in; several are mixed, or placed by a mask
    #[arg(value_hint = ValueHint::FilePath, required = true)]
    pub(crate) styles: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: FilePlace,

    #[command(flatten)]
    pub(crate) transfer: StyleArgs,

    /// How much of each style, in their order, as in 2,1 [default: the same of all]
    #[arg(long, value_name = "WEIGHTS", value_delimiter = ',', value_parser = positive, conflicts_with = "mask")]
    pub(crate) blend: Vec<f64>,

    /// Which style where, an image in the size of the content: grays from the first style (black) to the last (white),
    /// or colors: red is the first style, then green, blue, yellow, magenta, cyan. With one style, white is stylized
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) mask: Option<PathBuf>,

    /// What is left as it is (white), an image in the size of the content
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) preserve: Option<PathBuf>,

    /// Enlarge the result to the size of the content
    #[arg(long)]
    pub(crate) keep_size: bool,

    /// Bits of a channel in the result: 8, or 16 for .png and .tif
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = ["8", "16"])]
    pub(crate) bits: String,

    /// Save intermediate images to this folder, numbered
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) preview: Option<PathBuf>,

    /// Write an animation of the way there
    #[arg(long, value_name = "FILE.gif", value_hint = ValueHint::FilePath)]
    pub(crate) gif: Option<PathBuf>,

    /// Show intermediate images in the terminal
    #[arg(long)]
    pub(crate) show: bool,

    /// Steps from one preview, frame of the animation or image in the terminal to the next
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) every: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida style-frames frames/ painting.jpg -o stylized/
  lucida style-frames frames/ painting.jpg -o stylized/ --size 512 \\
      --frame-steps 40 --temporal-weight 300

Frames are read in the order of the numbers in their names. Each starts from the result for the frame before, warped by the \
motion between the two, and stays close to it. Results have the size of the frames; large frames take long, and --size 512 is \
faster. ffmpeg turns a video into frames, and frames into a video: \
ffmpeg -i video.mp4 frames/%05d.png, ffmpeg -i stylized/%05d.png stylized.mp4")]
pub(crate) struct StyleFrames {
    /// Folder with the frames
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) frames: PathBuf,

    /// Style images, or brushwork, which is built in; several are mixed
    #[arg(value_hint = ValueHint::FilePath, required = true)]
    pub(crate) styles: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: FolderPlace,

    /// Steps for each frame after the first
    #[arg(long, value_name = "N", default_value = "60", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) frame_steps: u32,

    /// Temporal-consistency weight: how near a frame stays to the one before; 0 disables it
    #[arg(long, value_name = "WEIGHT", default_value = "100", value_parser = not_negative)]
    pub(crate) temporal_weight: f64,

    #[command(flatten)]
    pub(crate) transfer: StyleArgs,
}

/// How images are stylized.
#[derive(Debug, Args)]
#[command(next_help_heading = "Style transfer")]
pub(crate) struct StyleArgs {
    /// Where the settings come from that are not given
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Preset::Best)]
    pub(crate) preset: Preset,

    /// Longer side of the result in pixels [default: 512; with style-frames that of the frames]
    #[arg(long, value_name = "PIXELS", value_parser = whole::<u32>(32..=16_384))]
    pub(crate) size: Option<u32>,

    /// Strength of the style: 1 is the usual look, 10 hides the content, 0.1 the style
    #[arg(long, value_name = "STRENGTH", default_value = "1", value_parser = positive)]
    pub(crate) style_weight: f64,

    /// Longer side of the style image, in parts of that of the result: smaller gives smaller strokes
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive)]
    pub(crate) style_scale: f64,

    /// Preserve the content's colors: stylize luminance only, or match the style's color histogram first
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) keep_colors: Option<KeepColors>,

    /// Feature network [default: vgg19 or vgg16 if fetched, else vgg16-builtin]
    #[arg(long, value_name = "NETWORK", value_parser = lucida::style::NETWORKS)]
    pub(crate) network: Option<String>,

    /// File with the weights of VGG16 or VGG19
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) weights: Option<PathBuf>,

    /// Steps, in each size if there are several [default: that of the preset]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000))]
    pub(crate) steps: Option<u32>,

    /// Longer side of the first size, from coarse to fine; 0 computes the full size at once [default: 256
    /// for the preset best (64 with the built-in network), else 0]
    #[arg(long, value_name = "PIXELS", value_parser = whole::<u32>(0..=16_384))]
    pub(crate) coarsest: Option<u32>,

    /// Optimizer [default: that of the preset]
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) optimizer: Option<StyleOptimizerName>,

    /// How the network makes its maps smaller
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Pooling::Max)]
    pub(crate) pooling: Pooling,

    /// Statistics that the style loss compares
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = StyleLoss::Gram)]
    pub(crate) style_loss: StyleLoss,

    /// Initial image: content, noise, or an image file
    #[arg(long, value_name = "WHAT", default_value = "content")]
    pub(crate) init: StartArgument,

    /// Factor on the preset's total-variation weight
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = not_negative)]
    pub(crate) smoothness: f64,

    /// Memory to use, as in 800M or 2G; larger images are stylized in tiles [default: half of what is free]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,

    /// Seed of all random numbers: equal seeds give equal images
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeepColors {
    /// Keep the content's colors exactly: only luminance is stylized
    Luminance,
    /// Match the style's color mean and covariance to the content's first
    Histogram,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StyleOptimizerName {
    /// Adam: many small steps
    Adam,
    /// L-BFGS: fewer, larger steps, and more memory
    Lbfgs,
}
