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
      the same, and a browser with it
  lucida studio runs/mnist
      a model of yours
  lucida studio vgg16 --data ./photos
      after lucida weights fetch vgg16; with your own images
  lucida studio --data mnist:DIR
      train on MNIST's files in DIR
  lucida studio --listen 0.0.0.0
      for other machines too: prints this machine's address with a token

The studio serves this machine alone unless --listen says otherwise. What it computes in the background is kept in the \
folder studio of the runs, a folder for each job. Ctrl-C ends it.")]
pub(crate) struct Studio {
    /// Model file, folder of a run, or name of a known network [default: the newest run, else what is built in]
    #[arg(value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) model: Option<String>,

    /// If MODEL is the name of a network: the file with its weights [default: that in the cache]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "network", requires = "model")]
    pub(crate) weights: Option<PathBuf>,

    /// If MODEL is a file with weights but no network: the name of the network that they belong to
    #[arg(long, value_name = "NAME", value_parser = known_networks(), requires = "model")]
    pub(crate) network: Option<String>,

    /// Size of the network's input in pixels, as in 224, or HEIGHTxWIDTH as in 480x640 [default: the model's own]
    #[arg(long, requires = "model")]
    pub(crate) size: Option<Size>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,

    /// Images to show and to train on: mnist:DIR (MNIST's files in a folder), or a folder of images [default: the
    /// built-in digits]
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    pub(crate) runs: PathBuf,

    /// Port; 0 for any that is free
    #[arg(long, value_parser = whole::<u16>(0..=65_535), default_value_t = 7860)]
    pub(crate) port: u16,

    /// Address to listen on; one that other machines reach demands a token
    #[arg(long, value_parser = address, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,

    /// A name under which other machines know this one; may be given several times
    #[arg(long = "host", value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub(crate) hosts: Vec<String>,

    /// Open it in a browser
    #[arg(long)]
    pub(crate) open: bool,
}

/// An address of this machine.
fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IP address, as in 127.0.0.1 or ::1".to_owned())
}
