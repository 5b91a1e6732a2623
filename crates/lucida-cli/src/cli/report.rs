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
      if the images have been moved

Writes one self-contained HTML file: training curves, confusion matrix with the images behind each number, most confident \
mistakes with Grad-CAM, precision and recall per class, calibration, data augmentation, data quality.")]
pub(crate) struct ReportArguments {
    /// Run folder of `lucida train`
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub(crate) run: PathBuf,

    /// Data set: mnist, mnist:DIR (MNIST's files in a folder), or a folder of images [default: the run's]
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// File for the report, or - for standard output [default: report.html in the run folder]
    #[arg(short, long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}
