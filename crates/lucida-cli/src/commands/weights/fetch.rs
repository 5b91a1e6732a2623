//! `lucida weights fetch`

use std::path::Path;

use anyhow::Result;
use lucida::Error;
use lucida::nn::applications;
use lucida::weights::hub::{Fetched, Hub, PublishedFile, State, megabytes, published};
use serde::Serialize;

use crate::bar::Bar;
use crate::cli::WeightsFetch;
use crate::commands::Context;
use crate::interrupt;
use crate::output::Output;

/// Output of `--json`.
#[derive(Serialize)]
struct FetchJson<'a> {
    file: &'a Path,
    bytes: u64,
    /// Whether this command downloaded the file, rather than finding it in the cache.
    downloaded: bool,
    /// Whether the file's checksum was verified against a published one.
    verified: bool,
}

pub(super) fn run(arguments: &WeightsFetch, context: Context) -> Result<()> {
    let file = published(applications::find(&arguments.network)?, arguments.with_top)?;
    let hub = Hub::from_env()?;
    let (output, path) = (context.output.quieted(arguments.json), hub.path(file).display().to_string());
    print_download(file, &hub, output);
    interrupt::catch()?;
    let fetched = hub.fetch(file, &mut Bar::new(output));
    let bytes = hub.bytes(file);
    if let (true, Ok(fetched)) = (arguments.json, &fetched) {
        let (downloaded, verified) = (matches!(fetched, Fetched::Now), file.checksum.is_some());
        return output.json(&FetchJson { file: &hub.path(file), bytes, downloaded, verified });
    }
    let (there, now) = match file.checksum {
        Some(_) => ("and its checksum is right", "the checksum is right"),
        None => ("unverified: no checksum is published", "unverified: no checksum is published"),
    };
    match fetched {
        Ok(Fetched::BeforeNow) => output.result(&format!("{path} already exists, {there}")),
        Ok(Fetched::Now) => output.result(&format!("{path}: {}, {now}", megabytes(bytes))),
        Err(Error::Interrupted) => {
            output.info("What has arrived is kept: the same command resumes from there");
            Err(Error::Interrupted.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints what will be downloaded, and from where.
fn print_download(file: &PublishedFile, hub: &Hub, output: Output) {
    let (title, size, url) = (file.title(), file.size_text(), hub.url(file));
    let state = hub.state(file);
    match state {
        State::Missing => output.info(&format!("Fetching {title} ({size}) from {url}")),
        State::Partial(present) => {
            let present = megabytes(present);
            output.info(&format!("Fetching the rest of {title} ({present} of {size} are there) from {url}"));
        }
        State::Foreign(found) => output.note(&format!(
            "{} has {found} bytes and is not the published file, which has {}: it will be replaced",
            hub.path(file).display(),
            file.bytes_text()
        )),
        _ => {}
    }
    if file.checksum.is_none() && state != State::Present {
        let publisher = file.publisher();
        output.note(&format!("{publisher} publishes no checksum of this file: only its size will be checked"));
    }
}
