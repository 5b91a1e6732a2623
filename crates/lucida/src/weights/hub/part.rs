//! A partially downloaded file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::Checksum;
use crate::core::progress::{Progress, Step, report};
#[cfg(feature = "hub")]
use crate::files;
use crate::{Error, Result};

/// The polling interval of a wait.
pub(super) const GLANCE: Duration = Duration::from_millis(100);
/// Maximum bytes of a tag.
#[cfg(feature = "hub")]
const MAX_TAG: u64 = 1024;

/// The files next to a target during its download.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    tag: PathBuf,
    lock: PathBuf,
}

impl Part {
    pub(super) fn of(target: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self { path: with(".part"), tag: with(".tag"), lock: with(".lock") }
    }

    /// The number of bytes received.
    pub(super) fn len(&self) -> u64 {
        self.path.metadata().map_or(0, |found| found.len())
    }

    /// Removes it.
    pub(super) fn discard(&self) -> Result<()> {
        remove(&self.path)?;
        remove(&self.tag)
    }

    /// Waits until no other process downloads the file. The lock is held until the returned file is closed.
    pub(super) fn lock(&self, progress: &mut dyn Progress) -> Result<File> {
        let failed = |source| Error::io(&self.lock, "write", source);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => wait(GLANCE, "another process is fetching this file", progress)?,
                // Some network file systems do not support locks. The checksum detects corruption by two processes.
                Err(TryLockError::Error(_)) => return Ok(file),
            }
        }
    }
}

/// What downloads do with it.
#[cfg(feature = "hub")]
impl Part {
    /// The server's tag of the partial version, if known.
    pub(super) fn tag(&self) -> Option<String> {
        let tag = String::from_utf8(files::read_limited(&self.tag, MAX_TAG).ok()?).ok()?;
        (!tag.is_empty() && tag.bytes().all(|b| b == b' ' || b.is_ascii_graphic())).then_some(tag)
    }

    /// Starts over with the version of this tag.
    pub(super) fn restart(&self, tag: Option<&str>) -> Result<File> {
        // The old tag must not remain next to bytes of the new version, even after an interruption.
        remove(&self.tag)?;
        let file = File::create(&self.path).map_err(|source| Error::io(&self.path, "write", source))?;
        if let Some(tag) = tag.filter(|tag| tag.len() as u64 <= MAX_TAG) {
            files::write_bytes(&self.tag, tag.as_bytes())?;
        }
        Ok(file)
    }

    /// Opens the partial file for appending.
    pub(super) fn append(&self) -> Result<File> {
        OpenOptions::new().append(true).open(&self.path).map_err(|source| Error::io(&self.path, "write", source))
    }

    /// An error while writing it.
    pub(super) fn failed(&self, source: io::Error) -> Error {
        Error::io(&self.path, "write", source)
    }

    /// The hash of the partial file, by the hash function of a checksum.
    pub(super) fn hash(&self, like: Checksum, progress: &mut dyn Progress) -> Result<String> {
        hash(&self.path, like, progress)
    }

    /// Moves it to the target.
    pub(super) fn finish(&self, target: &Path) -> Result<()> {
        fs::rename(&self.path, target).map_err(|source| Error::io(target, "write", source))?;
        remove(&self.tag)
    }
}

/// Waits, unless `progress` requests a stop.
pub(super) fn wait(time: Duration, why: &str, progress: &mut dyn Progress) -> Result<()> {
    let mut left = time;
    loop {
        report(progress, &Step::waiting(why))?;
        if left.is_zero() {
            return Ok(());
        }
        let nap = left.min(GLANCE);
        thread::sleep(nap);
        left -= nap;
    }
}

/// The hash of a file in hexadecimal, by the hash function of a checksum.
pub(super) fn hash(path: &Path, like: Checksum, progress: &mut dyn Progress) -> Result<String> {
    match like {
        Checksum::Md5(_) => hash_with::<Md5>(path, progress),
        Checksum::Sha256(_) => hash_with::<Sha256>(path, progress),
    }
}

fn hash_with<D: Digest>(path: &Path, progress: &mut dyn Progress) -> Result<String> {
    let failed = |source| Error::io(path, "read", source);
    let mut file = File::open(path).map_err(failed)?;
    let (len, mut done) = (file.metadata().map_err(failed)?.len(), 0);
    let mut digest = D::new();
    let mut bytes = vec![0; 1 << 18];
    loop {
        report(progress, &Step::bytes(done, len).stage("checksum"))?;
        match file.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => {
                digest.update(&bytes[..read]);
                done += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Removes a file if it exists.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, "remove", error)),
        _ => Ok(()),
    }
}
