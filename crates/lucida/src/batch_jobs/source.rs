//! Where the images of a batch job come from.

use std::fs;
use std::path::{Path, PathBuf};

use super::bucket;
use crate::data::{Image, Limits};
use crate::weights::hub;
use crate::{Error, Result, files};

/// Maximum bytes of a list.
const LIST: u64 = 4 << 30;
/// Maximum bytes of an image from a server.
const MAX_BYTES: u64 = 256 << 20;
/// Extensions of image files.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp"];

/// The images of a folder and its sub-folders, or those of a list. Items are named by their paths relative to the folder, or
/// as in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// A file with a path or a URL on each line; paths are relative to its folder. Empty lines, and lines that start with
    /// `#`, are skipped.
    List(PathBuf),
    /// The URL of such a list, or of an S3-compatible bucket: `https://host/bucket?prefix=photos/`.
    Address(String),
}

impl Source {
    /// Determines the kind of source from a path or a URL.
    ///
    /// # Errors
    /// [`Error::Argument`] when the path does not exist.
    pub fn of(text: &str) -> Result<Self> {
        if is_address(text) {
            return Ok(Self::Address(text.to_owned()));
        }
        let path = PathBuf::from(text);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Folder(path)),
            Ok(_) => Ok(Self::List(path)),
            Err(_) => Err(Error::argument(format!(
                "{text}: no such folder or list; expected a folder of images, a file with a path or address on \
                 each line, or the address of such a list or of a bucket"
            ))),
        }
    }

    /// All items, sorted and without duplicates.
    ///
    /// # Errors
    /// Those of reading folders and lists.
    pub fn list(&self) -> Result<Vec<String>> {
        let mut items = match self {
            Self::Folder(root) => {
                let mut items = Vec::new();
                walk(root, "", &mut items)?;
                items.sort_unstable();
                items
            }
            Self::List(path) => lines(&text(files::read_limited(path, LIST)?, path)?),
            Self::Address(address) => match bucket::listing(address, &|url| hub::fetch(url, LIST))? {
                bucket::Listing::Keys(keys) => keys,
                bucket::Listing::Lines(bytes) => lines(&text(bytes, Path::new(address))?),
            },
        };
        let mut seen = std::collections::HashSet::new();
        items.retain(|item| seen.insert(item.clone()));
        Ok(items)
    }

    /// Reads an image.
    ///
    /// # Errors
    /// Those of reading files, of the network and of images.
    pub fn open(&self, item: &str) -> Result<Image> {
        let address = match self {
            Self::Address(list) if !is_address(item) => Some(bucket::address_of(list, item)),
            _ if is_address(item) => Some(item.to_owned()),
            _ => None,
        };
        if let Some(address) = address {
            return Image::decode(&hub::fetch(&address, MAX_BYTES)?, Path::new(&address), &Limits::default());
        }
        let base = match self {
            Self::Folder(root) => root,
            Self::List(path) => path.parent().unwrap_or(Path::new("")),
            Self::Address(_) => Path::new(""),
        };
        Image::open(base.join(item))
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn text(bytes: Vec<u8>, name: &Path) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| Error::file(name, "not a list: give a folder of images, or a text file that lists them"))
}

/// The items of a list: one per line, without empty lines and those that start with `#`.
pub fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Collects the images under a folder, except hidden files and links to folders.
fn walk(folder: &Path, prefix: &str, items: &mut Vec<String>) -> Result<()> {
    let failed = |source| Error::io(folder, "read", source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Results are JSON: names that are not valid UTF-8 are skipped.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let item = format!("{prefix}{name}");
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, &format!("{item}/"), items)?;
        } else if ENDINGS.contains(&ending.as_str()) && path.is_file() {
            items.push(item);
        }
    }
    Ok(())
}
