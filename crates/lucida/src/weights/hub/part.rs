//! A file that has arrived in part.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::Checksum;
use crate::core::progress::{Progress, Step, report};
use crate::{Error, Result, files};

/// How often a wait looks whether it is over, or broken off.
pub(super) const GLANCE: Duration = Duration::from_millis(100);
/// Bytes that a tag may have.
const MAX_TAG: u64 = 1024;

/// The files next to a target while it arrives.
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

    /// The bytes that are there.
    pub(super) fn len(&self) -> u64 {
        self.path.metadata().map_or(0, |found| found.len())
    }

    /// What the server calls the version that they are of, if it has said.
    pub(super) fn tag(&self) -> Option<String> {
        let tag = String::from_utf8(files::read_limited(&self.tag, MAX_TAG).ok()?).ok()?;
        (!tag.is_empty() && tag.bytes().all(|b| b == b' ' || b.is_ascii_graphic())).then_some(tag)
    }

    /// Starts anew with a version of this tag.
    pub(super) fn restart(&self, tag: Option<&str>) -> Result<File> {
        // The tag of an older version must not stand next to bytes of the new one, whenever this is cut short.
        remove(&self.tag)?;
        let file = File::create(&self.path).map_err(|source| Error::io(&self.path, "write", source))?;
        if let Some(tag) = tag.filter(|tag| tag.len() as u64 <= MAX_TAG) {
            files::write_bytes(&self.tag, tag.as_bytes())?;
        }
        Ok(file)
    }

    /// Appends to what is there.
    pub(super) fn append(&self) -> Result<File> {
        OpenOptions::new().append(true).open(&self.path).map_err(|source| Error::io(&self.path, "write", source))
    }

    /// An error of writing it.
    pub(super) fn failed(&self, source: io::Error) -> Error {
        Error::io(&self.path, "write", source)
    }

    /// The hash of what is there, of the kind of a checksum.
    pub(super) fn hash(&self, like: Checksum, progress: &mut dyn Progress) -> Result<String> {
        hash(&self.path, like, progress)
    }

    /// Makes it the target.
    pub(super) fn finish(&self, target: &Path) -> Result<()> {
        fs::rename(&self.path, target).map_err(|source| Error::io(target, "write", source))?;
        remove(&self.tag)
    }

    /// Removes it.
    pub(super) fn discard(&self) -> Result<()> {
        remove(&self.path)?;
        remove(&self.tag)
    }

    /// Waits until no other process works on it. The lock ends with the file that is returned.
    pub(super) fn lock(&self, progress: &mut dyn Progress) -> Result<File> {
        let failed = |source| Error::io(&self.lock, "write", source);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => wait(GLANCE, "another process is fetching this file", progress)?,
                // Some network file systems have no locks. The checksum finds what two processes spoil.
                Err(TryLockError::Error(_)) => return Ok(file),
            }
        }
    }
}

/// Waits for a time, or until `progress` stops it.
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

/// The hash of a file in hexadecimal, of the kind of a checksum.
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

/// Removes a file that may be missing.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, "remove", error)),
        _ => Ok(()),
    }
}
