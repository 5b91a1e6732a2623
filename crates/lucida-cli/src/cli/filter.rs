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

Writes one image per kernel (sobel-x.png, ...) and filters.png with all of them on a smaller copy. A kernel file has one line \
of numbers per row. Responses of derivative filters (sobel, laplacian) are shown around gray. With --model, a learned filter is \
added for comparison: its response before the activation, at the network's input size.")]
pub(crate) struct Filter {
    /// Image (JPEG, PNG, BMP, GIF, TIFF or WebP), or - for standard input
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(crate) image: PathBuf,

    /// Filters, separated by commas: sobel-x, sobel-y, laplacian, gaussian, sharpen, canny, or a text file with a kernel
    #[arg(long, value_name = "KERNELS", value_delimiter = ',', required = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) kernel: Vec<String>,

    /// Standard deviation of the Gaussian filter, also of Canny's, in pixels
    #[arg(long, value_parser = not_negative, value_name = "PIXELS", default_value = "1.4")]
    pub(crate) sigma: f64,

    /// Canny: low threshold of the hysteresis, as a fraction of the largest gradient
    #[arg(long, value_parser = not_negative, value_name = "FRACTION", default_value = "0.08")]
    pub(crate) low: f64,

    /// Canny: high threshold of the hysteresis, as a fraction of the largest gradient
    #[arg(long, value_parser = not_negative, value_name = "FRACTION", default_value = "0.2")]
    pub(crate) high: f64,

    /// Model file or run folder with a learned filter to compare
    #[arg(long, value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new(), requires = "layer")]
    pub(crate) model: Option<String>,

    /// Layer of the learned filter
    #[arg(long, value_name = "NAME", requires = "model", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) layer: Option<String>,

    /// Index of the learned filter, from 0
    #[arg(long, value_parser = whole::<usize>(..), value_name = "N", requires = "model", default_value = "0")]
    pub(crate) filter: usize,

    #[command(flatten)]
    pub(crate) place: FolderPlace,
}
