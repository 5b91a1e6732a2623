//! The options of `lucida style`, `lucida style-frames` and `lucida style-video`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum, ValueHint};
use lucida::data::PreprocessingChoice;
use lucida::style::{BRUSHWORK, FeedForwardSize, FeedForwardStyle, Pooling, Preset, StyleLoss};

use super::Bulk;
use super::place::{FilePlace, FolderPlace, result_folder};
use crate::arguments::StartArgument;
use crate::numbers::{not_negative, positive, strength, whole};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida style photo.jpg painting.jpg -o out.png
      with the built-in network if VGG16 or VGG19 has not been downloaded
  lucida style photo.jpg brushwork -o out.png
      with the built-in style image
  lucida style photo.jpg painting.jpg -o out.png --weights vgg16.h5 --size 1024
  lucida style photo.jpg a.jpg b.jpg -o out.png --blend 2,1
      two styles, blended
  lucida style photo.jpg a.jpg b.jpg -o out.png --mask mask.png
      two styles, each in its region
  lucida style photo.jpg painting.jpg -o out.png --keep-colors luminance \\
      --style-scale 0.5
  lucida style photo.jpg painting.jpg -o out.tif --bits 16 --size 4000 \\
      --memory 4G
  lucida style photo.jpg painting.jpg -o out.png --gif way.gif --preview steps \\
      --every 20
  lucida style photo.jpg painting.jpg -o out.png --preset gatys --network vgg19
  lucida style photos/ painting.jpg -o stylized/
      all images of a folder
  lucida style a.jpg b.jpg c.jpg --fast starry.lucida -o stylized/
      in one pass each, with a network that `lucida style-train` has trained
  lucida style photo.jpg --fast two.lucida --mix waves=0.7,night=0.3
  lucida style photos/ painting.jpg -o stylized/ --distributed mpi
      sharded over all MPI processes

The feature network is VGG19 or VGG16 if downloaded (`lucida weights fetch vgg19`), else the built-in blocks 1 to 3 of VGG16. \
Ctrl-C writes the best image so far. The settings are stored in the metadata of the result.")]
pub(crate) struct Style {
    #[command(flatten)]
    pub(crate) bulk: Bulk,

    /// Content image, - for standard input, or a folder of images to stylize into --out
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) content: PathBuf,

    /// Style images, or brushwork (built in); several are blended, or placed by --mask. With --fast: more content images
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "fast")]
    pub(crate) styles: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: FilePlace,

    #[command(flatten)]
    pub(crate) fast: FastArgs,

    /// Polish the result with this many steps of the optimization, which start from it
    #[arg(long, value_name = "N", help_heading = FAST, requires_all = ["fast", "refine_styles"],
        value_parser = whole::<u32>(1..=100_000))]
    pub(crate) refine: Option<u32>,

    /// Style image of --refine, or brushwork; several, separated by commas, are blended
    #[arg(long = "refine-style", value_name = "IMAGES", help_heading = FAST, requires = "refine", value_delimiter = ',',
        value_hint = ValueHint::FilePath)]
    pub(crate) refine_styles: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) transfer: StyleArgs,

    /// Weights of the styles, in their order, such as 2,1 [default: equal]
    #[arg(long, value_name = "WEIGHTS", value_delimiter = ',', value_parser = positive, conflicts_with = "mask")]
    pub(crate) blend: Vec<f64>,

    /// Mask image that assigns styles to regions: grays from the first style (black) to the last (white), or colors in the
    /// order red, green, blue, yellow, magenta, cyan. With one style, white is stylized
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) mask: Option<PathBuf>,

    /// Mask image of the regions to leave unchanged (white)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) preserve: Option<PathBuf>,

    /// Enlarge the result to the size of the content
    #[arg(long)]
    pub(crate) keep_size: bool,

    /// Bits per channel of the result: 8, or 16 for .png and .tif
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = ["8", "16"])]
    pub(crate) bits: String,

    /// Save intermediate images to this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) preview: Option<PathBuf>,

    /// Write an animation of the optimization
    #[arg(long, value_name = "FILE.gif", value_hint = ValueHint::FilePath)]
    pub(crate) gif: Option<PathBuf>,

    /// Show intermediate images in the terminal
    #[arg(long)]
    pub(crate) show: bool,

    /// Steps between intermediate images
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) every: u32,
}

/// The heading of the options of [`FastArgs`].
const FAST: &str = "Feed-forward style";

/// How images are stylized in one pass.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = FAST)]
pub(crate) struct FastArgs {
    /// Stylize in one pass, with a network of `lucida style-train`, or another style network (.onnx, .pth, ...); without a
    /// file, with the built-in network of brushwork
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "", value_hint = ValueHint::FilePath)]
    pub(crate) fast: Option<FastNetwork>,

    /// Strength of the style, from 0 (the photo) to 1
    #[arg(long, value_name = "STRENGTH", default_value = "1", requires = "fast", value_parser = strength)]
    pub(crate) strength: f64,

    /// Styles of the network to mix, such as waves=0.7,night=0.3; with --mask, the style of each region, such as waves,night
    /// [default: the first; with --mask, all]
    #[arg(long, value_name = "NAME=WEIGHT", requires = "fast", value_delimiter = ',')]
    pub(crate) mix: Vec<MixedStyle>,

    /// Pixel range of a third-party network: raw (0..255), unit (0..1), tf (-1..1), torch (ImageNet mean and std), or
    /// mean=..,std=.. [default: the file's, else found by a trial]
    #[arg(long, value_name = "FORMAT", requires = "fast")]
    pub(crate) preprocessing: Option<PreprocessingChoice>,
}

/// A network that stylizes in one pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FastNetwork {
    /// The one that is built in.
    BuiltIn,
    File(PathBuf),
}

impl FromStr for FastNetwork {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_builtin = text.is_empty() || text == BRUSHWORK && !Path::new(text).exists();
        Ok(if is_builtin { Self::BuiltIn } else { Self::File(text.into()) })
    }
}

/// A style of a network, and its weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MixedStyle {
    pub(crate) name: String,
    /// None if it was not given, which counts as 1.
    pub(crate) weight: Option<f32>,
}

impl MixedStyle {
    /// The weight of each style of a network; without a mix the first style alone.
    pub(crate) fn weights(mix: &[Self], style: &FeedForwardStyle) -> anyhow::Result<Vec<f32>> {
        if mix.is_empty() {
            return Ok(style.single_style_mix(0));
        }
        let parts: Vec<(&str, f32)> = mix.iter().map(|part| (part.name.as_str(), part.weight.unwrap_or(1.0))).collect();
        style.mix(&parts).context("--mix")
    }

    /// The indices of the styles of a mask's regions: none without a mix.
    pub(crate) fn regions(mix: &[Self], style: &FeedForwardStyle) -> anyhow::Result<Vec<usize>> {
        let index = |part: &Self| -> anyhow::Result<usize> {
            if part.weight.is_some() {
                bail!("--mix: with --mask, it names the style of each region, without weights, such as waves,night");
            }
            let one = style.mix(&[(&part.name, 1.0)]).context("--mix")?;
            one.iter().position(|&weight| weight > 0.0).context("--mix: a style without a weight")
        };
        mix.iter().map(index).collect()
    }
}

impl FromStr for MixedStyle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = text.rsplit_once('=').map_or((text, None), |(name, weight)| (name, Some(weight)));
        let weight = weight.map(not_negative).transpose()?.map(|weight| weight as f32);
        match name.trim() {
            "" => Err("expected NAME=WEIGHT, such as waves=0.7".to_owned()),
            name => Ok(Self { name: name.to_owned(), weight }),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida style-video clip.mp4 --fast starry.lucida -o styled.mp4
      every frame in one pass, the sound copied
  lucida style-video loop.gif --fast starry.lucida -o styled.gif
      animated GIF, PNG and WebP need no other program
  lucida style-video loop.gif --fast starry.lucida -o styled.webp --size 320
  lucida style-video clip.mp4 painting.jpg -o styled.mp4 --size 512
      by optimization, as style-frames does: slow, and the best there is

Video files are decoded and encoded by ffmpeg, which has to be installed. Each frame stays close to the one before, moved by the \
optical flow, as far as --temporal-weight says. Finished frames are kept in a folder next to the result, named OUT.frames, until \
the video is written: the same command resumes what was stopped, and the result is the same.")]
pub(crate) struct StyleVideo {
    /// Video: animated GIF, PNG or WebP, or any file that ffmpeg reads
    #[arg(value_name = "VIDEO", value_hint = ValueHint::FilePath)]
    pub(crate) video: PathBuf,

    /// Style images, or brushwork (built in); several are blended
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "fast", conflicts_with = "fast")]
    pub(crate) styles: Vec<PathBuf>,

    /// Output file: .gif, .png, .webp, or with ffmpeg .mp4, .mkv, .webm, ... [default: a new one in the current folder, named
    /// after the input and the style]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist, and start an interrupted conversion again
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,

    /// Keep the folder of frames, OUT.frames
    #[arg(long)]
    pub(crate) keep_frames: bool,

    /// Optimization steps per frame after the first
    #[arg(long, value_name = "N", default_value = "60", conflicts_with = "fast", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) frame_steps: u32,

    /// Temporal-consistency weight; 0 disables it
    #[arg(long, value_name = "WEIGHT", default_value = "100", value_parser = not_negative)]
    pub(crate) temporal_weight: f64,

    #[command(flatten)]
    pub(crate) fast: FastArgs,

    #[command(flatten)]
    pub(crate) transfer: StyleArgs,
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

    /// Style images, or brushwork (built in); several are blended
    #[arg(value_hint = ValueHint::FilePath, required = true)]
    pub(crate) styles: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: FolderPlace,

    /// Optimization steps per frame after the first
    #[arg(long, value_name = "N", default_value = "60", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) frame_steps: u32,

    /// Temporal-consistency weight; 0 disables it
    #[arg(long, value_name = "WEIGHT", default_value = "100", value_parser = not_negative)]
    pub(crate) temporal_weight: f64,

    #[command(flatten)]
    pub(crate) transfer: StyleArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida style-train painting.jpg --content photos/ -o strokes.lucida
  lucida style-train a.jpg b.jpg --content photos/ -o two.lucida
      two styles in one network, which can be mixed
  lucida style-train painting.jpg --content photos/ -o strokes.lucida --resume
      resume a training that was stopped
  lucida style-train painting.jpg --content photos/ -o strokes.lucida \\
      --size base --steps 20000
  lucida style-train brushwork -o brushwork.lucida --style-scale 1.5

Trains a network that stylizes an image in one pass. The network is saved again and again while it learns; Ctrl-C keeps it, and a \
checkpoint to resume from. The folder next to the file, strokes-training, has previews of three photos and a report.")]
pub(crate) struct StyleTrain {
    /// Style images, or brushwork (built in); each becomes a style of the network, named after its file
    #[arg(value_hint = ValueHint::FilePath, required = true)]
    pub(crate) styles: Vec<PathBuf>,

    /// Folder of photos to train on, or a list of them; unreadable ones are skipped [default: the built-in photo]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) content: Option<PathBuf>,

    /// Output file (.lucida) [default: a new one in the current folder, named after the first style]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Resume a stopped training from its checkpoint: repeat its command line and add --resume. The result is the same, to the
    /// bit, as without the stop
    #[arg(long, conflicts_with = "force")]
    pub(crate) resume: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,

    /// Size of the network
    #[arg(long, value_name = "SIZE", value_enum, default_value_t = FeedForwardSize::Small)]
    pub(crate) size: FeedForwardSize,

    /// Optimizer steps [default: about half an hour on two cores]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=10_000_000))]
    pub(crate) steps: Option<u32>,

    /// Crops per step
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=64))]
    pub(crate) batch_size: Option<u32>,

    /// Side of a crop, in pixels, a multiple of 4 (16 with --network vgg19) [default: 256]
    #[arg(long, value_name = "PIXELS", value_parser = whole::<u32>(32..=1024))]
    pub(crate) crop: Option<u32>,

    /// Factor on the content weight: larger keeps more of the photo
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive)]
    pub(crate) content_weight: f64,

    /// Size of the style images: smaller gives smaller strokes
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive)]
    pub(crate) style_scale: f64,

    /// Factor on the total-variation weight
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = not_negative)]
    pub(crate) smoothness: f64,

    /// Factor on the temporal-consistency weight, against flicker in videos; 0 trains faster
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = not_negative)]
    pub(crate) temporal_weight: f64,

    /// Learning rate after the warm-up
    #[arg(long, value_name = "RATE", value_parser = positive)]
    pub(crate) learning_rate: Option<f64>,

    /// Loss network [default: vgg16-builtin]
    #[arg(long, value_name = "NETWORK", value_parser = lucida::style::NETWORKS)]
    pub(crate) network: Option<String>,

    /// Random seed: the same seed gives the same network
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
}

/// How images are stylized.
#[derive(Debug, Args)]
#[command(next_help_heading = "Style transfer")]
pub(crate) struct StyleArgs {
    /// Preset of all settings that are not given
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Preset::Best)]
    pub(crate) preset: Preset,

    /// Longer side of the result, in pixels [default: 512; the image's with --fast, style-frames and style-video]
    #[arg(long, value_name = "PIXELS", value_parser = whole::<u32>(32..=16_384))]
    pub(crate) size: Option<u32>,

    /// Factor on the preset's style weight: 10 hides the content, 0.1 the style
    #[arg(long, value_name = "STRENGTH", default_value = "1", value_parser = positive)]
    pub(crate) style_weight: f64,

    /// Size of the style image relative to the result: smaller gives smaller strokes
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive)]
    pub(crate) style_scale: f64,

    /// Preserve the content's colors: stylize luminance only, or match the style's color histogram first
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) keep_colors: Option<KeepColors>,

    /// Feature network [default: vgg19 or vgg16 if downloaded, else vgg16-builtin]
    #[arg(long, value_name = "NETWORK", value_parser = lucida::style::NETWORKS)]
    pub(crate) network: Option<String>,

    /// Weights file of VGG16 or VGG19
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) weights: Option<PathBuf>,

    /// Optimization steps, per size if there are several [default: the preset's]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000))]
    pub(crate) steps: Option<u32>,

    /// Coarse to fine: longer side of the first size, in pixels; 0 starts at full size [default: 256 for the preset best (64
    /// with the built-in network), else 0]
    #[arg(long, value_name = "PIXELS", value_parser = whole::<u32>(0..=16_384))]
    pub(crate) coarsest: Option<u32>,

    /// Optimizer [default: the preset's]
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) optimizer: Option<StyleOptimizerName>,

    /// Pooling of the feature network
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Pooling::Max)]
    pub(crate) pooling: Pooling,

    /// Style loss
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = StyleLoss::Gram)]
    pub(crate) style_loss: StyleLoss,

    /// Initial image: content, noise, or an image file
    #[arg(long, value_name = "WHAT", default_value = "content")]
    pub(crate) init: StartArgument,

    /// Factor on the preset's total-variation weight
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = not_negative)]
    pub(crate) smoothness: f64,

    /// Random seed: the same seed gives the same image
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
