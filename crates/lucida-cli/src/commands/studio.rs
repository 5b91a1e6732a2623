//! `lucida studio`

use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};
use lucida::Error;
use lucida::weights::{IncludeTop, ModelSpec};
use lucida_studio::{Limits, Options, Server, Source as ImageSet};

use super::{Context, open_model};
use crate::arguments::Source;
use crate::cli::Studio;
use crate::interrupt;

pub(super) fn run(arguments: &Studio, context: Context) -> Result<()> {
    let spec = |model: &String| ModelSpec {
        model: model.clone(),
        weights: arguments.weights.clone(),
        network: arguments.network.clone(),
        size: arguments.size.map(|size| [size.height, size.width]),
        // Filters can be inspected without class outputs.
        top: IncludeTop::Optional,
        ..arguments.meaning.spec()
    };
    let model = arguments.model.as_ref().map(spec);
    if let Some(spec) = &model {
        // Report a model that cannot be opened here rather than in the browser.
        open_model(spec, context)?;
    }
    let data = match &arguments.data {
        None | Some(Source::Mnist(None)) => None,
        Some(Source::Mnist(Some(folder))) => Some(ImageSet::Mnist(folder.clone())),
        Some(Source::Folder(folder)) => Some(ImageSet::Folder(folder.clone())),
    };
    let options = Options {
        model,
        data,
        runs: arguments.runs.clone(),
        features: None,
        listen: arguments.listen,
        port: arguments.port,
        hosts: arguments.hosts.clone(),
        cpu: context.cpu,
        limits: Limits::default(),
    };
    let server = Server::bind(&options).map_err(|problem| match problem {
        Error::InUse { path } => anyhow!(
            "{}: another studio uses this folder; open the address that it has printed, or name other runs with --runs DIR",
            path.display()
        ),
        problem => problem.into(),
    })?;
    interrupt::catch_quietly()?;
    let address = server.address().clone();
    context.output.result(&format!("The studio is at {}", address.url))?;
    if address.open_to_others {
        context.output.info("Other machines reach it too; the token in this address is printed only once.");
    }
    context.output.info("Ctrl-C ends it.");
    if arguments.open && !open_browser(&address.url) {
        context.output.note("no browser could be opened; copy the address");
    }
    let mut stopped = 0;
    server.run(interrupt::is_requested, |running| {
        stopped = running;
        if running > 0 {
            context.output.note(interrupt::STOPPING);
        }
    });
    if stopped == 0 { Ok(()) } else { Err(Error::Interrupted.into()) }
}

/// Opens a URL in the desktop's browser.
fn open_browser(url: &str) -> bool {
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}
