//! The image that a command looks at.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::place::about_image;
use crate::arguments::{Indices, Source};

/// One image: a file, or one of a data set.
#[derive(Debug, Args)]
pub(crate) struct Subject {
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
}

impl Subject {
    /// What it is called in the names of results.
    pub(crate) fn about(&self) -> String {
        about_image(self.image.as_deref(), self.data.as_ref(), self.index.as_ref())
    }
}
