//! `lucida weights fetch`

use std::path::Path;

use anyhow::Result;
use lucida::Error;
use lucida::nn::applications;
use lucida::weights::hub::{Fetched, Hub, State, megabytes, published};
use serde::Serialize;

use crate::bar::Bar;
use crate::cli::WeightsFetch;
use crate::commands::Context;
use crate::interrupt;

/// What `--json` prints.
#[derive(Serialize)]
struct FetchJson<'a> {
    file: &'a Path,
    bytes: u64,
    /// Whether it was not in the cache before.
    downloaded: bool,
}

pub(super) fn run(arguments: &WeightsFetch, context: Context) -> Result<()> {
    let file = published(applications::find(&arguments.network)?, arguments.with_top)?;
    let hub = Hub::from_env()?;
    let (output, path) = (context.output.quieted(arguments.json), hub.path(file).display().to_string());
    let size = megabytes(file.size);
    match hub.state(file) {
        State::Missing => output.info(&format!("Fetching {} ({size}) from {}", file.title(), hub.url(file))),
        State::Partial(there) => output.info(&format!(
            "Fetching the rest of {} ({} of {size} are there) from {}",
            file.title(),
            megabytes(there),
            hub.url(file)
        )),
        State::Foreign(found) => output.note(&format!(
            "{path} has {found} bytes and is not the published file, which has {}: it will be replaced",
            file.size
        )),
        _ => {}
    }
    interrupt::catch()?;
    let fetched = hub.fetch(file, &mut Bar::new(output));
    if let (true, Ok(fetched)) = (arguments.json, &fetched) {
        let downloaded = matches!(fetched, Fetched::Now);
        return output.json(&FetchJson { file: &hub.path(file), bytes: file.size, downloaded });
    }
    match fetched {
        Ok(Fetched::BeforeNow) => output.result(&format!("{path} already exists, and its checksum is right")),
        Ok(Fetched::Now) => output.result(&format!("{path}: {size}, the checksum is right")),
        Err(Error::Interrupted) => {
            output.info("What has arrived is kept: the same command resumes from there");
            Err(Error::Interrupted.into())
        }
        Err(error) => Err(error.into()),
    }
}
