//! Exclusive use of a folder.

use std::fs::File;
use std::io;
use std::path::Path;

use super::create_folder;
use crate::{Error, Result};

/// Exclusive use of a folder by one process, so that two do not write the same results.
///
/// The lock ends when it is dropped or with its process, however that ends: nothing is left behind that has to be removed.
/// Whoever only reads needs no lock, because files are written atomically.
///
/// ```
/// # let temporary = tempfile::tempdir().unwrap();
/// use lucida::files::FolderLock;
///
/// let folder = temporary.path().join("run");
/// let lock = FolderLock::create(&folder)?;
/// assert!(FolderLock::create(&folder).is_err());
/// drop(lock);
/// FolderLock::create(&folder)?;
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock ends when it is dropped"]
pub struct FolderLock {
    _handle: File,
}

impl FolderLock {
    /// Creates a folder, unless it exists, and locks it.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has locked it, [`Error::Io`] when it cannot be created or opened.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        create_folder(folder)?;
        match lock(folder).map_err(|source| Error::io(folder, "lock the folder", source))? {
            Some(handle) => Ok(Self { _handle: handle }),
            None => Err(Error::InUse { path: folder.to_owned() }),
        }
    }
}

/// Locks a folder; returns none if it is locked already. The lock is on the folder itself: a lock file would show among the
/// results, and removing it safely needs a lock of its own.
#[cfg(not(windows))]
fn lock(folder: &Path) -> io::Result<Option<File>> {
    use std::fs::TryLockError;
    let handle = File::open(folder)?;
    match handle.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems do not support locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(handle)),
    }
}

/// Windows locks no folders: a file in the temporary folder stands for it, which cannot be opened twice, and which the
/// system removes when it is closed.
#[cfg(windows)]
fn lock(folder: &Path) -> io::Result<Option<File>> {
    use md5::{Digest, Md5};
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let real = folder.canonicalize()?;
    let hash = Md5::digest(real.as_os_str().as_encoded_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = File::options();
    options.create(true).truncate(false).write(true).share_mode(0).custom_flags(FILE_FLAG_DELETE_ON_CLOSE);
    match options.open(std::env::temp_dir().join(format!("lucida-{hash}.lock"))) {
        Err(problem) if problem.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        opened => opened.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_folder_is_named_and_can_be_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/one");
        let lock = FolderLock::create(&path).unwrap();
        let message = FolderLock::create(&path).unwrap_err().to_string();
        assert_eq!(message, format!("{}: another process is writing to this folder", path.display()));
        // Other folders are free, also those around it and within it.
        let others = [folder.path().join("runs"), path.join("fold-1")].map(|path| FolderLock::create(path).unwrap());
        drop(lock);
        drop(FolderLock::create(&path).unwrap());
        drop(others);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "only the folder within it");
    }
}
