//! The command line of `lucida explain`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};
use lucida::explain::{Baseline, Method};

use super::Bulk;
use super::place::FolderPlace;
use crate::arguments::{Indices, ModelArguments, Source};
use crate::numbers::{not_negative_f32, whole};

#[derive(Debug, Args)]
#[command(
    override_usage = "lucida explain [OPTIONS] [MODEL] <IMAGE>\n       lucida explain [OPTIONS] [MODEL] --data <DATA> --index <INDICES>"
)]
#[command(after_help = "\
Examples:
  lucida explain runs/mnist seven.png
      all methods on one contact sheet
  lucida explain runs/mnist --data mnist --index 7
      a built-in digit
  lucida explain runs/mnist seven.png --class 1 --method lrp
      evidence for class 1
  lucida explain model.keras cat.jpg --method grad-cam --layer block4_conv3
  lucida explain runs/mnist seven.png --method gradient,guided-backprop --check
  lucida explain runs/mnist seven.png --json --npy
      all values, and the raw maps
  lucida explain runs/cats-dogs ./photos --method grad-cam --distributed mpi \\
      --out runs/all

Each map has two faithfulness scores from 0 to 1: the area under the curve of the class probability while the most important \
pixels are deleted (lower is better), and while they are inserted into a blurred image (higher is better).")]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    #[command(flatten)]
    pub(crate) bulk: Bulk,

    /// Image (JPEG, PNG, BMP, GIF, TIFF or WebP), or - for standard input
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    #[arg(required_unless_present = "data", conflicts_with = "data")]
    pub(crate) image: Option<PathBuf>,

    /// Take the image from a data set: mnist:DIR (MNIST's test digits in a folder), mnist (the built-in digits), or a folder
    /// of images
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", requires = "index")]
    pub(crate) data: Option<Source>,

    /// Indices of images in the data set, from 0: 3, 0..10 (10 excluded), 0,5,9; of several, each gets its own folder in --out
    #[arg(long, alias = "indices", value_name = "INDICES", requires = "data", conflicts_with = "image")]
    pub(crate) index: Option<Indices>,

    /// Class to explain, by name or number [default: the predicted one]
    #[arg(long, value_name = "CLASS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) class: Option<String>,

    /// Attribution methods, separated by commas, or all: gradient (saliency map), smoothgrad, gradient-x-input, guided-backprop,
    /// integrated-gradients, grad-cam, grad-cam++, layer-cam, score-cam, occlusion, rise, lrp
    #[arg(long, value_name = "METHOD", default_value = "all")]
    pub(crate) method: Methods,

    /// Layer of the class activation maps [default: the last layer with spatial extent]
    #[arg(long, value_name = "LAYER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Sanity check (Adebayo et al., 2018): randomize the weights layer by layer and compare the maps
    #[arg(long)]
    pub(crate) check: bool,

    #[command(flatten)]
    pub(crate) place: FolderPlace,

    /// Also write the raw maps as NumPy arrays: METHOD.npy
    #[arg(long)]
    pub(crate) npy: bool,

    /// Baseline: black, or mean (the image's mean color)
    #[arg(long, value_name = "COLOR", default_value = "black", help_heading = "Method settings")]
    pub(crate) baseline: Baseline,

    /// SmoothGrad: number of noisy copies
    #[arg(long, value_parser = whole::<usize>(..), value_name = "N", default_value_t = 50, help_heading = "Method settings")]
    pub(crate) samples: usize,

    /// SmoothGrad: standard deviation of the noise, as a fraction of the image's range
    #[arg(long, value_parser = not_negative_f32, value_name = "FRACTION", default_value_t = 0.15, help_heading = "Method settings")]
    pub(crate) noise: f32,

    /// RISE: number of random masks
    #[arg(long, value_parser = whole::<usize>(..), value_name = "N", default_value_t = 2000, help_heading = "Method settings")]
    pub(crate) masks: usize,

    /// Occlusion: side of the patch, in pixels of the network's input [default: a seventh of the shorter side]
    #[arg(long, value_parser = whole::<usize>(..), value_name = "PIXELS", help_heading = "Method settings")]
    pub(crate) patch: Option<usize>,

    /// Occlusion: stride of the patch, in pixels [default: a quarter of the patch]
    #[arg(long, value_parser = whole::<usize>(..), value_name = "PIXELS", help_heading = "Method settings")]
    pub(crate) stride: Option<usize>,

    /// LRP: the stabilizer of the epsilon rule
    #[arg(long, value_parser = not_negative_f32, value_name = "NUMBER", default_value_t = 1e-4, help_heading = "Method settings")]
    pub(crate) epsilon: f32,

    /// Random seed
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42, help_heading = "Method settings")]
    pub(crate) seed: u64,
}

/// Attribution methods: names joined by commas, or `all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Methods(pub(crate) Vec<Method>);

impl FromStr for Methods {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(Method::ALL.to_vec()));
        }
        let mut methods = Vec::new();
        for name in text.split(',') {
            let method = name.parse().map_err(|error: lucida::Error| format!("{error}, all"))?;
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        Ok(Self(methods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_by_name() {
        let parse = |text: &str| text.parse::<Methods>();
        assert_eq!(parse("all").unwrap().0.len(), 12);
        assert_eq!(parse("lrp,rise,lrp").unwrap().0, [Method::Lrp, Method::Rise]);
        for wrong in ["", "lrp,", "grad", "all,lrp"] {
            assert!(parse(wrong).unwrap_err().contains("grad-cam++"), "{wrong}");
        }
    }
}
