//! Files that cannot be used, and why.

use std::path::{Path, PathBuf};

use crate::files::{self, csv_field};
use crate::{Error, Result};

/// A file or folder that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its path.
    pub path: PathBuf,
    /// The reason, in one line without the path.
    pub reason: String,
}

impl Skipped {
    pub(super) fn new(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }

    /// A file that could not be read or decoded.
    pub(super) fn from_error(path: &Path, error: Error) -> Self {
        let reason = match error {
            Error::File { problem, .. } => problem,
            Error::Io { action, source, .. } => format!("cannot {action}: {source}"),
            other => {
                // Other kinds start with the file name.
                let text = other.to_string();
                text.strip_prefix(&format!("{}: ", path.display())).map(str::to_owned).unwrap_or(text)
            }
        };
        Self::new(path, reason)
    }
}

pub(super) fn sort(skipped: &mut [Skipped]) {
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
}

/// Writes skipped files as comma-separated values: `file,reason`.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn save_skipped(skipped: &[Skipped], path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    files::write_atomic(path, |out| {
        writeln!(out, "file,reason")?;
        for Skipped { path, reason } in skipped {
            writeln!(out, "{},{}", csv_field(&path.display().to_string()), csv_field(reason))?;
        }
        Ok(())
    })
}
