//! Two servers: the studio, which shows the inside of a network in web pages, and the [prediction
//! server](PredictionServer), which runs one model for other programs.
//!
//! The studio is a server for one person on their own machine. It shows what the library computes: layers and their
//! feature maps, what activates a filter, a convolution number by number, attributions; long work runs as jobs whose
//! results survive a restart. The pages are in `web/` and `templates/`, embedded in the binary: plain HTML, style sheets
//! and ES modules.
//!
//! Nothing that a client sends ever names a file: models, images and jobs are looked up by identifiers in lists that the
//! server makes, and `web` refuses requests that other pages or other machines send.

mod api;
mod data;
mod fast_networks;
mod graph;
mod images;
mod jobs;
mod limits;
mod models;
mod pages;
mod problem;
mod serve;
mod state;
mod web;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use lucida::Cpu;
use lucida::weights::ModelSpec;

pub use data::Source;
pub use limits::Limits;
pub use serve::{PredictionServer, ServeLimits, ServeOptions, ServeSummary};
pub use web::{Address, Server};

/// What the studio shows, and to whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// The model to begin with; without one, the newest run of `runs`, or what is built in.
    pub model: Option<ModelSpec>,
    /// The data set to take images from, in addition to the built-in digits.
    pub data: Option<Source>,
    /// The folder of runs: its models can be looked at, and jobs keep their results in its sub-folder `studio`.
    pub runs: PathBuf,
    /// Where to remember what frozen networks have seen of photos; without one, in the cache folder of this user.
    pub features: Option<PathBuf>,
    /// The address to listen on. Any that is not a loopback address demands a token.
    pub listen: IpAddr,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Names under which clients may ask for the server, in addition to addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What to compute on.
    pub cpu: Cpu,
    /// What a client may cost.
    pub limits: Limits,
}

impl Options {
    /// The studio on this machine alone, at its usual port.
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
