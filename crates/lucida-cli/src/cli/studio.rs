//! The studio.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};

use crate::arguments::{MeaningArguments, Size, Source, known_networks};
use crate::numbers::whole;

/// Start the web studio.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida studio
      the built-in network, and the runs in runs/
  lucida studio --open
      and open it in a browser
  lucida studio runs/mnist
      your own model
  lucida studio vgg16 --data ./photos
      VGG16 (lucida weights fetch vgg16) with your own images
  lucida studio --data mnist:DIR
      train on MNIST's files in DIR
  lucida studio --listen 0.0.0.0
      for other machines too: prints an address with a token

By default the studio serves this machine only. Each background job has a folder in runs/studio. Ctrl-C stops the studio.")]
pub(crate) struct Studio {
    /// Model file, run folder, or name of a known network [default: the newest run, else the built-in network]
    #[arg(value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) model: Option<String>,

    /// Weights file, if MODEL is the name of a network [default: the downloaded weights]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "network", requires = "model")]
    pub(crate) weights: Option<PathBuf>,

    /// Name of the network, if MODEL is a file with weights only (see `lucida models`)
    #[arg(long, value_name = "NAME", value_parser = known_networks(), hide_possible_values = true, requires = "model")]
    pub(crate) network: Option<String>,

    /// Input size in pixels: 224, or HEIGHTxWIDTH such as 480x640 [default: the model's]
    #[arg(long, requires = "model")]
    pub(crate) size: Option<Size>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,

    /// Data set to show and train on: mnist:DIR (MNIST's files in a folder), or a folder of images [default: the built-in
    /// digits]
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// Folder with your runs
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    pub(crate) runs: PathBuf,

    /// Port; 0 picks a free one
    #[arg(long, value_parser = whole::<u16>(0..=65_535), default_value_t = 7860)]
    pub(crate) port: u16,

    /// IP address to listen on; addresses that other machines can reach require a token
    #[arg(long, value_parser = address, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,

    /// Host name by which other machines reach this one; repeatable
    #[arg(long = "host", value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub(crate) hosts: Vec<String>,

    /// Open the studio in a browser
    #[arg(long)]
    pub(crate) open: bool,
}

/// An address of this machine.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IP address, as in 127.0.0.1 or ::1".to_owned())
}
