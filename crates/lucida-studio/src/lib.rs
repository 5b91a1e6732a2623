//! Two servers: the studio, a web interface that shows the inside of a network, and the [prediction
//! server](PredictionServer), which serves one model to other programs.
//!
//! The studio is a server for one person on their own machine. It shows what the library computes: layers and their feature
//! maps, the inputs that activate a filter, a convolution number by number, and attribution maps. Long computations run as
//! jobs whose results survive a restart. The pages are in `web/` and `templates/`, embedded in the binary: plain HTML,
//! style sheets and ES modules.
//!
//! No client input is ever used as a file name: models, images and jobs are looked up by their identifiers in lists that
//! the server builds. `web` rejects requests from other sites and from other machines.

mod activations;
mod api;
mod data;
mod embedding;
mod fast_networks;
mod form;
mod graph;
mod identifiers;
mod images;
mod jobs;
mod limits;
mod local;
mod models;
mod opened_models;
#[cfg(feature = "server")]
mod pages;
mod problem;
#[cfg(feature = "server")]
mod serve;
mod state;
#[cfg(feature = "server")]
mod web;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use lucida::Cpu;
use lucida::weights::ModelSpec;

pub use data::Source;
pub use limits::Limits;
pub use local::{LocalStudio, RunningJob};
#[cfg(feature = "server")]
pub use pages::static_files;
#[cfg(feature = "server")]
pub use serve::{PredictionServer, ServeLimits, ServeOptions, ServeSummary};
#[cfg(feature = "server")]
pub use web::{Address, Server};

/// Options of the studio.
#[derive(Debug, Clone)]
pub struct Options {
    /// The initial model; without one, the newest run of `runs`, or the built-in classifier.
    pub model: Option<ModelSpec>,
    /// The data set to take images from, in addition to the built-in digits.
    pub data: Option<Source>,
    /// The folder of runs: their models can be opened, and jobs store their results in its sub-folder `studio`.
    pub runs: PathBuf,
    /// Cache folder for the features that frozen networks compute from photos; by default in the user's cache folder.
    pub features: Option<PathBuf>,
    /// The address to listen on. A token is required unless it is a loopback address.
    pub listen: IpAddr,
    /// The port; 0 for any free one.
    pub port: u16,
    /// Host names that clients may use for the server, in addition to IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// CPU threads and instruction set to compute with.
    pub cpu: Cpu,
    /// Resource limits.
    pub limits: Limits,
}

impl Options {
    /// Default options: this machine only, at port 7860.
    pub fn new(runs: impl Into<PathBuf>) -> Self {
        Self {
            model: None,
            data: None,
            runs: runs.into(),
            features: None,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 7860,
            hosts: Vec::new(),
            cpu: Cpu::detect(),
            limits: Limits::default(),
        }
    }
}
