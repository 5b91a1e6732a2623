//! `lucida weights list`

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use lucida::weights::hub::{Hub, PUBLISHED, State, megabytes};
use serde::Serialize;

use crate::cli::WeightsList;
use crate::commands::Context;

/// What `--json` prints.
#[derive(Serialize)]
struct Answer {
    folder: PathBuf,
    files: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    network: &'static str,
    with_top: bool,
    size: u64,
    state: &'static str,
    /// Bytes that are there.
    bytes: u64,
    path: PathBuf,
    url: String,
}

pub(super) fn run(arguments: &WeightsList, context: Context) -> Result<()> {
    let hub = Hub::from_env()?;
    let listed = PUBLISHED.iter().map(|file| {
        let (state, bytes) = match hub.state(file) {
            State::Present => ("present", file.size),
            State::Partial(bytes) => ("partial", bytes),
            State::Foreign(bytes) => ("foreign", bytes),
            _ => ("missing", 0),
        };
        let (network, with_top, size) = (file.network, file.with_top, file.size);
        Listed { network, with_top, size, state, bytes, path: hub.path(file), url: hub.url(file) }
    });
    let files: Vec<_> = listed.collect();
    if arguments.json {
        return context.output.json(&Answer { folder: hub.folder().to_path_buf(), files });
    }
    let mut text = format!("Weights in {}\n\n", hub.folder().display());
    let _ = writeln!(text, "{:<12}  {:<10}  {:>8}  state", "network", "classifier", "size");
    for file in &files {
        let state = match file.state {
            "present" => file.path.display().to_string(),
            "partial" => format!("{} of it are there", megabytes(file.bytes)),
            "foreign" => format!("{}, but of {} bytes: not the published file", file.path.display(), file.bytes),
            _ => "not downloaded".to_owned(),
        };
        let (top, size) = (if file.with_top { "with" } else { "without" }, megabytes(file.size));
        let _ = writeln!(text, "{:<12}  {top:<10}  {size:>8}  {state}", file.network);
    }
    context.output.result(text.trim_end())
}
