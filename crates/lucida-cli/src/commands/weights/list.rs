//! `lucida weights list`

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use lucida::weights::hub::{Hub, State, all_published, megabytes, networks};
use serde::Serialize;

use crate::cli::WeightsList;
use crate::commands::Context;

/// Output of `--json`.
#[derive(Serialize)]
struct ListJson {
    folder: PathBuf,
    files: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    network: &'static str,
    with_top: bool,
    /// Exact size in bytes, if published.
    size: Option<u64>,
    /// Approximate size in bytes, to within a few percent.
    about: u64,
    checksum: Option<String>,
    state: &'static str,
    /// Bytes present in the cache.
    bytes: u64,
    path: PathBuf,
    url: String,
    #[serde(skip)]
    size_text: String,
}

pub(super) fn run(arguments: &WeightsList, context: Context) -> Result<()> {
    let hub = Hub::from_env()?;
    let files = all_published().iter().map(|file| FileJson {
        network: file.network,
        with_top: file.with_top,
        size: file.size,
        about: file.about,
        checksum: file.checksum.map(|checksum| format!("{} {}", checksum.name(), checksum.digits())),
        state: match hub.state(file) {
            State::Present => "present",
            State::Partial(_) => "partial",
            State::Foreign(_) => "foreign",
            _ => "missing",
        },
        bytes: hub.bytes(file),
        path: hub.path(file),
        url: hub.url(file),
        size_text: file.size_text(),
    });
    let files: Vec<_> = files.collect();
    if arguments.json {
        return context.output.json(&ListJson { folder: hub.folder().to_path_buf(), files });
    }
    let shown: Vec<_> = files.iter().filter(|file| arguments.all || file.state != "missing").collect();
    let folder = hub.folder().display();
    let mut text = match shown.len() {
        0 => format!("No weights in {folder}\n"),
        _ => format!("Weights in {folder}\n\n{}", table(&shown)),
    };
    if !arguments.all {
        let _ = write!(
            text,
            "\n`lucida weights fetch` knows the weights of {} networks: --all lists them",
            networks().len()
        );
    }
    context.output.result(text.trim_end())
}

fn table(files: &[&FileJson]) -> String {
    let width = files.iter().map(|file| file.network.len()).max().unwrap_or(0).max("network".len());
    let mut text = format!("{:<width$}  {:<10}  {:>14}  state\n", "network", "classifier", "size");
    for file in files {
        let state = match file.state {
            "present" => file.path.display().to_string(),
            "partial" => format!("{} of it are there", megabytes(file.bytes)),
            "foreign" => format!("{}, but of {} bytes: not the published file", file.path.display(), file.bytes),
            _ => "not downloaded".to_owned(),
        };
        let (top, size) = (if file.with_top { "with" } else { "without" }, &file.size_text);
        let _ = writeln!(text, "{:<width$}  {top:<10}  {size:>14}  {state}", file.network);
    }
    text
}
