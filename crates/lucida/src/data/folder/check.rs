//! Reading and decoding every file of a folder once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use md5::{Digest, Md5};

use super::Skipped;
use super::layout::{FoundFile, FoundPart};
use super::set::{FolderSet, ImageFile};
use crate::core::{Progress, Step, Unit};
use crate::data::{Image, Limits, Preprocessing};
use crate::{Cpu, Error, Result, files};

/// Decoded images to be kept in memory, up to a limit.
#[derive(Debug)]
pub(super) struct ImageCache {
    preprocessing: Preprocessing,
    bytes_left: AtomicU64,
}

impl ImageCache {
    pub(super) fn new(preprocessing: Preprocessing, bytes: u64) -> Self {
        Self { preprocessing, bytes_left: AtomicU64::new(bytes) }
    }

    /// The preprocessed pixels of an image, while memory is left. Which images are kept depends on the order of threads;
    /// the results computed from them do not.
    fn pixels(&self, image: &Image) -> Result<Option<Arc<[u8]>>> {
        let len = self.preprocessing.output_shape().iter().product::<usize>() as u64;
        let take = |bytes_left: u64| bytes_left.checked_sub(len);
        if self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Ok(None);
        }
        Ok(Some(self.preprocessing.fitted(image)?.pixels().into()))
    }
}

/// Reads and decodes the files of a part; those that cannot be decoded are skipped.
///
/// # Errors
/// [`Error::Interrupted`] when `progress` requests a stop, and [`Error::Argument`] when the preprocessing is invalid.
pub(super) fn check(
    found: FoundPart,
    limits: &Limits,
    cpu: Cpu,
    keep: Option<&ImageCache>,
    progress: &mut (dyn Progress + Send),
    (before, total): (usize, usize),
) -> Result<(FolderSet, Vec<Skipped>)> {
    if let Some(keep) = keep {
        keep.preprocessing.check()?;
    }
    let FoundPart { path, class_names, classified, kind, files } = found;
    let outcomes: Vec<Mutex<Option<Result<ImageFile, Skipped>>>> = files.iter().map(|_| Mutex::new(None)).collect();
    // The number of finished files and the receiver, locked together so that the number increases monotonically.
    let progress = Mutex::new((before, progress));
    let stopped = AtomicBool::new(false);
    cpu.parallel_for(files.len(), |_, index| {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let file = &files[index];
        let outcome = read(file, limits, keep).map_err(|error| Skipped::from_error(&file.path, error));
        *outcomes[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.0 += 1;
        let step = Step::new(Unit::Files, progress.0, total);
        if progress.1.update(&step).is_break() {
            stopped.store(true, Ordering::Relaxed);
        }
    });
    if stopped.into_inner() {
        return Err(Error::Interrupted);
    }
    let (mut images, mut skipped) = (Vec::with_capacity(files.len()), Vec::new());
    for outcome in outcomes {
        match outcome.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(file)) => images.push(file),
            Some(Err(fault)) => skipped.push(fault),
            None => return Err(Error::Bug("a file of a folder was not read".to_owned())),
        }
    }
    let kept = keep.map(|keep| keep.preprocessing.clone());
    let set = FolderSet { root: path, files: images, class_names, classified, kind, limits: limits.clone(), cpu, kept };
    Ok((set, skipped))
}

fn read(found: &FoundFile, limits: &Limits, keep: Option<&ImageCache>) -> Result<ImageFile> {
    let FoundFile { path, label, row, group } = found;
    let bytes = files::read_limited(path, limits.file_bytes)?;
    let image = Image::decode(&bytes, path, limits)?;
    let kept = keep.map(|keep| keep.pixels(&image)).transpose()?.flatten();
    let (len, digest) = (bytes.len() as u64, digest(&bytes));
    Ok(ImageFile { path: path.clone(), label: *label, row: row.clone(), group: group.clone(), len, digest, kept })
}

/// Identifies files, in this and later runs; files with equal digests are compared byte by byte before they count as equal.
fn digest(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}
