//! `lucida filter`

use std::path::PathBuf;

use crate::numbers::{not_negative, whole};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};

use super::place::FolderPlace;
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida filter photo.jpg --kernel sobel-x
  lucida filter photo.jpg \\
      --kernel sobel-x,sobel-y,laplacian,gaussian,sharpen,canny
  lucida filter photo.jpg --kernel canny --sigma 2 --low 0.05 --high 0.15
  lucida filter photo.jpg --kernel emboss.txt
  lucida filter seven.png --kernel sobel-x --model runs/mnist --layer conv2d \\
      --filter 3

An image for each kernel, sobel-x.png and so on, and filters.png with all of them at work on a smaller copy. A file of a kernel \
has a line of numbers for each row. Answers to differences (sobel, laplacian) are shown around gray. With a model, one of its learned \
filters joins them: what it answers, before its activation, at the network's own size.")]
pub(crate) struct Filter {
    /// Image: JPEG, PNG, BMP, GIF, TIFF or WebP
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(crate) image: PathBuf,

    /// sobel-x, sobel-y, laplacian, gaussian, sharpen, canny, or a text file; several are joined by commas
    #[arg(long, value_name = "KERNELS", value_delimiter = ',', required = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) kernel: Vec<String>,

    /// Deviation of the Gaussian, also of that in canny, in pixels
    #[arg(long, value_parser = not_negative, value_name = "PIXELS", default_value = "1.4")]
    pub(crate) sigma: f64,

    /// Canny: the slope from which an edge continues, as a part of the steepest
    #[arg(long, value_parser = not_negative, value_name = "PART", default_value = "0.08")]
    pub(crate) low: f64,

    /// Canny: the slope from which an edge begins, as a part of the steepest
    #[arg(long, value_parser = not_negative, value_name = "PART", default_value = "0.2")]
    pub(crate) high: f64,

    /// Model file, or folder of a run, whose learned filter is to be compared
    #[arg(long, value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new(), requires = "layer")]
    pub(crate) model: Option<String>,

    /// Layer of the learned filter
    #[arg(long, value_name = "NAME", requires = "model", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Number of the learned filter, from 0
    #[arg(long, value_parser = whole::<usize>(..), value_name = "N", requires = "model", default_value = "0")]
    pub(crate) filter: usize,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}
