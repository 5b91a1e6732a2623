//! Features on disk.
//!
//! ```text
//! <folder>/<digest of the base>/<digest of the keys>.rows
//! | "LUCIDAF1" | width: u32 | count: u32 | count keys of 16 bytes | count rows of width 32-bit floats |, little-endian
//! ```
//!
//! Files are written atomically and never changed, so any number of processes can read and add. Rows are read on demand, and
//! cached by the operating system.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use md5::{Digest, Md5};

use super::key::{Key, base_key};
use crate::weights::Model;
use crate::{Error, Result, files};

const MAGIC: &[u8; 8] = b"LUCIDAF1";
const HEADER: u64 = 16;
const ENDING: &str = "rows";

/// Address of a row: index of the file, and index of the row in it.
pub(super) type RowAddr = (u32, u32);

/// The cached features of one base.
#[derive(Debug)]
pub struct FeatureStore {
    folder: PathBuf,
    width: usize,
    segments: Vec<Segment>,
    places: HashMap<Key, RowAddr>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: Mutex<File>,
    /// Offset of the rows in bytes.
    start: u64,
}

impl FeatureStore {
    /// Opens the cached outputs of a model's `layer`, below `folder`; damaged files are ignored.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be created or read, [`Error::Argument`] when the layer does not exist.
    pub fn open(folder: impl AsRef<Path>, model: &Model, layer: &str) -> Result<Self> {
        let folder = folder.as_ref();
        let folder = folder.join(hex(base_key(model, layer)?));
        files::create_folder(&folder)?;
        Self::read_folder(folder, model, layer)
    }

    /// As [`open`](Self::open), but creates nothing; none when nothing is cached for this base.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_existing(folder: impl AsRef<Path>, model: &Model, layer: &str) -> Result<Option<Self>> {
        let folder = folder.as_ref();
        let folder = folder.join(hex(base_key(model, layer)?));
        if folder.is_dir() { Self::read_folder(folder, model, layer).map(Some) } else { Ok(None) }
    }

    fn read_folder(folder: PathBuf, model: &Model, layer: &str) -> Result<Self> {
        let width = model.network.nodes()[model.network.find(layer)?].shape().len();
        let mut store = Self { folder, width, segments: Vec::new(), places: HashMap::new() };
        let failed = |source| Error::io(&store.folder, "read", source);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&store.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.into_iter().for_each(|path| store.add_if_valid(path));
        Ok(store)
    }

    /// The folder of this base.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of features per image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the features of all these images are cached.
    pub fn has_all(&self, keys: &[Key]) -> bool {
        keys.iter().all(|key| self.places.contains_key(key))
    }

    pub(super) fn find(&self, key: &Key) -> Option<RowAddr> {
        self.places.get(key).copied()
    }

    /// Reads a row.
    pub(super) fn read(&self, (segment, row): RowAddr, values: &mut [f32]) -> Result<()> {
        let Segment { path, file, start } = &self.segments[segment as usize];
        let mut bytes = vec![0; 4 * self.width];
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let at = start + u64::from(row) * bytes.len() as u64;
        let done = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes));
        done.map_err(|source| Error::io(path, "read", source))?;
        let (numbers, _) = bytes.as_chunks::<4>();
        values.iter_mut().zip(numbers).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
        Ok(())
    }

    /// Adds rows with their keys.
    pub(super) fn add(&mut self, keys: &[Key], rows: &[f32]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let name: Key = keys.iter().fold(Md5::new(), |digest, key| digest.chain_update(key)).finalize().into();
        let path = self.folder.join(hex(name)).with_extension(ENDING);
        files::write_atomic(&path, |out| {
            out.write_all(MAGIC)?;
            out.write_all(&(self.width as u32).to_le_bytes())?;
            out.write_all(&(keys.len() as u32).to_le_bytes())?;
            keys.iter().try_for_each(|key| out.write_all(key))?;
            rows.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
        })?;
        self.add_if_valid(path);
        Ok(())
    }

    /// Adds a file, if it is valid.
    fn add_if_valid(&mut self, path: PathBuf) {
        let Some((file, keys, start)) = open_segment(&path, self.width) else { return };
        let segment = self.segments.len() as u32;
        for (row, key) in keys.into_iter().enumerate() {
            self.places.entry(key).or_insert((segment, row as u32));
        }
        self.segments.push(Segment { path, file: Mutex::new(file), start });
    }
}

/// Reads the keys of a file, and the offset of its rows; none if it is invalid.
fn open_segment(path: &Path, width: usize) -> Option<(File, Vec<Key>, u64)> {
    let mut file = File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    let mut header = [0; HEADER as usize];
    file.read_exact(&mut header).ok()?;
    let number =
        |at: usize| u64::from(u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let (found, count) = (number(8), number(12));
    if header[..8] != *MAGIC || found != width as u64 {
        return None;
    }
    let start = HEADER + 16 * count;
    if count.checked_mul(4 * found).and_then(|rows| rows.checked_add(start)) != Some(len) {
        return None;
    }
    let mut bytes = vec![0; 16 * count as usize];
    file.read_exact(&mut bytes).ok()?;
    Some((file, bytes.as_chunks::<16>().0.to_vec(), start))
}

fn hex(bytes: Key) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
