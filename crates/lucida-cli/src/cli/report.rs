//! `lucida report`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::arguments::Source;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida report runs/photos
  lucida report runs/mnist
  lucida report runs/photos --out photos.html --force
  lucida report runs/photos --data elsewhere/photos
      the images have been moved

One page that needs no other file and no network: curves, the confusion matrix, whose numbers open the images, the \
worst mistakes and what the network looked at (Grad-CAM), each class, calibration, augmentation, problems of the data.")]
pub(crate) struct ReportArguments {
    /// Folder of a run of `lucida train`
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub(crate) run: PathBuf,

    /// The data: mnist, mnist:DIR (a folder with MNIST's files), or a folder of images
    /// [default: what the run was trained on]
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// The page [default: report.html in the folder of the run]
    #[arg(short, long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite a page that already exists
    #[arg(long)]
    pub(crate) force: bool,
}
