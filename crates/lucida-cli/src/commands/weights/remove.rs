//! `lucida weights remove` and `lucida weights clean`

use std::path::{Path, PathBuf};

use anyhow::Result;
use lucida::weights::hub::{Hub, State, all_published, megabytes};
use serde::Serialize;

use crate::bar::Bar;
use crate::commands::Context;
use crate::interrupt;

/// Output of `--json`.
#[derive(Serialize)]
struct RemoveJson<'a> {
    folder: &'a Path,
    files: Vec<RemovedFileJson>,
    bytes: u64,
    /// Whether this was a dry run, which removes nothing.
    dry_run: bool,
}

#[derive(Serialize)]
struct RemovedFileJson {
    file: PathBuf,
    bytes: u64,
}

/// Removes the downloaded weights of one network, or of all.
pub(super) fn run(network: Option<&str>, dry_run: bool, json: bool, context: Context) -> Result<()> {
    let (hub, output) = (Hub::from_env()?, context.output.quieted(json));
    interrupt::catch()?;
    let mut bar = Bar::new(output);
    let (mut freed, mut files) = (0, Vec::new());
    for file in all_published().iter().filter(|file| network.is_none_or(|network| network == file.network)) {
        let path = hub.path(file).display().to_string();
        if matches!(hub.state(file), State::Foreign(_)) {
            output.note(&format!("{path} is not the published file, and stays"));
        }
        let bytes = hub.remove(file, dry_run, &mut bar)?;
        freed += bytes;
        if bytes > 0 {
            files.push(RemovedFileJson { file: hub.path(file), bytes });
            let would = if dry_run { "would remove" } else { "removed" };
            output.info(&format!("{would} {path} ({})", megabytes(bytes)));
        }
    }
    if json {
        return output.json(&RemoveJson { folder: hub.folder(), files, bytes: freed, dry_run });
    }
    let of = network.map(|network| format!(" of {network}")).unwrap_or_default();
    let folder = hub.folder().display();
    output.result(&match (freed, dry_run) {
        (0, _) => format!("Nothing to remove: no fetched weights{of} in {folder}"),
        (_, true) => format!("Would free {} in {folder}", megabytes(freed)),
        (_, false) => format!("Freed {} in {folder}", megabytes(freed)),
    })
}
