//! Listing all files below a folder, sorted by name, safe against link cycles.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::Skipped;
use crate::{Error, Result};

/// The maximum nesting of folders that are searched.
const DEPTH: usize = 32;
const LOOP: &str = "is a link to a folder that it lies in (a loop)";

/// The content of a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sub-folders, sorted by name, including links to folders.
    pub(super) folders: Vec<PathBuf>,
    /// Files, sorted by name, including links to files.
    pub(super) files: Vec<PathBuf>,
}

/// Lists a folder. Hidden entries are ignored; entries that are neither files nor folders, or cannot be accessed, are
/// skipped.
pub(super) fn list(folder: &Path, skipped: &mut Vec<Skipped>) -> io::Result<Listing> {
    let mut names = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| !is_hidden(name));
    names.sort();
    let mut listing = Listing::default();
    for path in names.into_iter().map(|name| folder.join(name)) {
        // Follows links: a broken one is an error here.
        match fs::metadata(&path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_dir() && leads_back(&path) => skipped.push(Skipped::new(path, LOOP)),
            Ok(kind) if kind.is_dir() => listing.folders.push(path),
            // Reading a pipe or a device could block forever.
            Ok(kind) if kind.is_file() => listing.files.push(path),
            Ok(kind) => skipped.push(Skipped::new(path, format!("is {}, not a file", kind_of(kind)))),
            Err(error) => skipped.push(Skipped::new(path.clone(), unusable(&path, &error))),
        }
    }
    Ok(listing)
}

/// All files below a folder. A folder that cannot be read, or a link to one of its own parents, is skipped.
pub(super) fn files_below(folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    descend(folder, &mut Vec::new(), &mut files, skipped);
    files
}

fn descend(folder: &Path, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>, skipped: &mut Vec<Skipped>) {
    let real = match fs::canonicalize(folder) {
        Ok(real) => real,
        Err(error) => return skipped.push(Skipped::new(folder, format!("cannot be read: {error}"))),
    };
    // A folder that contains one of its parents is a cycle.
    if above.iter().any(|folder| folder.starts_with(&real)) {
        return skipped.push(Skipped::new(folder, LOOP));
    }
    if above.len() == DEPTH {
        return skipped.push(Skipped::new(folder, format!("lies deeper than {DEPTH} folders")));
    }
    match list(folder, skipped) {
        Ok(listing) => {
            files.extend(listing.files);
            above.push(real);
            for folder in listing.folders {
                descend(&folder, above, files, skipped);
            }
            above.pop();
        }
        Err(error) => skipped.push(Skipped::new(folder, format!("cannot be read: {error}"))),
    }
}

/// Refuses a path that is not a readable folder.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::file(path, "not a folder: expected one with a sub-folder of images for each class")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::file(path, "no such folder")),
        Err(error) => Err(Error::io(path, "read", error)),
    }
}

/// Whether a path is a link to one of its own parents.
fn leads_back(path: &Path) -> bool {
    let lies_in = |target: PathBuf| {
        let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
        parent.is_some_and(|parent| parent.starts_with(target))
    };
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) && fs::canonicalize(path).is_ok_and(lies_in)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn unusable(path: &Path, error: &io::Error) -> String {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    match error.kind() {
        io::ErrorKind::NotFound if is_link => "is a link to something that is not there".to_owned(),
        _ if is_link => format!("is a link that cannot be followed: {error}"),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(unix)]
fn kind_of(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind_of(_: FileType) -> &'static str {
    "something else"
}
