//! Replacing several files that belong together: all are new in the end, or all are the old ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::leftovers::{PREFIX, is_abandoned, own_tag, sweep};
use crate::{Error, Result};

/// What the names of folders with old files end with.
const PREVIOUS: &str = "-previous";
/// ... and of those whose files are not wanted any more. Renaming a folder is one step, removing its files is not.
const DISCARDED: &str = "-discarded";
/// The list, in such a folder, of the names that no earlier file had.
const ADDED: &str = ".added";

/// The files of an earlier result, set aside while a new result is written in their place.
///
/// Dropped, it puts them back: a command that fails leaves what was there. Other files in the folder stay where they are.
#[must_use = "the earlier files come back unless they are discarded"]
#[derive(Debug)]
pub struct SetAside {
    folder: PathBuf,
    /// Where the earlier files are; `None` when there were none.
    aside: Option<PathBuf>,
}

impl SetAside {
    /// Sets the files of these names aside, as far as they exist; a name that ends with `/` is that of a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be moved; then they are where they were.
    pub(crate) fn new(folder: &Path, names: &[&str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let exists = |name: &&str| {
            let path = folder.join(name);
            if name.ends_with('/') { path.is_dir() } else { !path.is_dir() && path.symlink_metadata().is_ok() }
        };
        let (existing, added): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| exists(name));
        if existing.is_empty() {
            return Ok(Self { folder: folder.to_owned(), aside: None });
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = folder.join(format!("{PREFIX}{}-{number}{PREVIOUS}", own_tag()));
        fs::create_dir(&aside).map_err(|source| Error::io(&aside, "create the folder", source))?;
        // From here on, dropping it undoes what was done so far.
        let claim = Self { folder: folder.to_owned(), aside: Some(aside.clone()) };
        let list = aside.join(ADDED);
        let listed = serde_json::to_vec(&added).map_err(io::Error::from).and_then(|list_of| fs::write(&list, list_of));
        listed.map_err(|source| Error::io(&list, "write", source))?;
        for name in existing {
            let from = folder.join(name);
            fs::rename(&from, aside.join(name)).map_err(|source| Error::io(&from, "set aside", source))?;
        }
        Ok(claim)
    }

    /// Whether there are earlier files that would come back.
    pub fn is_pending(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.exists())
    }

    /// The new result is complete: removes the earlier files. Nothing happens the second time.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be removed.
    pub fn discard(&self) -> Result<()> {
        let Some(aside) = self.aside.as_ref().filter(|_| self.is_pending()) else { return Ok(()) };
        let discarded = PathBuf::from(aside.to_string_lossy().replace(PREVIOUS, DISCARDED));
        fs::rename(aside, &discarded)
            .and_then(|()| fs::remove_dir_all(&discarded))
            .map_err(|source| Error::io(aside, "remove", source))
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.as_ref().filter(|_| self.is_pending()) {
            put_back(aside, &self.folder);
        }
    }
}

/// Removes what a result that is not complete has added to a folder, and moves the earlier files back. What cannot be moved
/// stays where it is: nothing of an earlier result is lost. Ended halfway, it can be done again.
fn put_back(aside: &Path, folder: &Path) {
    let list = aside.join(ADDED);
    let added: Vec<String> =
        fs::read(&list).ok().and_then(|list| serde_json::from_slice(&list).ok()).unwrap_or_default();
    added.iter().for_each(|name| remove(&folder.join(name), name.ends_with('/')));
    for entry in fs::read_dir(aside).into_iter().flatten().flatten() {
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        if from != list {
            remove(&to, from.is_dir());
            let _ = fs::rename(from, to);
        }
    }
    // Not while a file is left in there, which could not be moved.
    if fs::read_dir(aside).is_ok_and(|left| left.count() <= 1) {
        let _ = fs::remove_dir_all(aside);
    }
}

/// Removes a file or a folder that a command has written; of the other kind, it is somebody else's.
fn remove(path: &Path, is_folder: bool) {
    let _ = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Ends what killed processes have begun in a folder: earlier files come back, unless the new ones were complete, and
/// temporary files go. A folder that cannot be read has nothing to heal.
pub fn heal(folder: &Path) {
    sweep(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_abandoned(name)) else { continue };
        if name.ends_with(PREVIOUS) {
            put_back(&entry.path(), folder);
        } else if name.ends_with(DISCARDED) {
            remove(&entry.path(), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, name: &str) -> Option<String> {
        fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn earlier_files_come_back_unless_they_are_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        for name in ["a", "b", "mine"] {
            write(name, "old");
        }
        let claim = SetAside::new(folder, &["a", "b", "c"]).unwrap();
        assert_eq!((read(folder, "a"), read(folder, "mine").as_deref()), (None, Some("old")));
        write("a", "new");
        write("c", "new");
        drop(claim);
        let found = ["a", "b", "c", "mine"].map(|name| read(folder, name));
        assert_eq!(found.each_ref().map(Option::as_deref), [Some("old"), Some("old"), None, Some("old")]);
        let claim = SetAside::new(folder, &["a", "b", "c"]).unwrap();
        write("a", "new");
        claim.discard().unwrap();
        assert_eq!(["a", "b"].map(|name| read(folder, name)), [Some("new".to_owned()), None]);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
    }

    #[test]
    fn two_claims_in_a_folder_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        ["a", "b"].iter().for_each(|name| fs::write(folder.join(name), "old").unwrap());
        let claims = ["a", "b"].map(|name| SetAside::new(folder, &[name]).unwrap());
        fs::write(folder.join("a"), "new").unwrap();
        claims[0].discard().unwrap();
        claims[0].discard().unwrap();
        drop(claims);
        assert_eq!(["a", "b"].map(|name| read(folder, name)), [Some("new".to_owned()), Some("old".to_owned())]);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_is_set_aside_where_a_folder_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (name, text) in [("events/one", "old"), ("report/mine", "mine"), ("a", "old")] {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), text).unwrap();
        }
        let claim = SetAside::new(folder, &["events/", "report", "a"]).unwrap();
        assert!(!folder.join("events").exists() && folder.join("report/mine").exists());
        fs::create_dir(folder.join("events")).unwrap();
        fs::write(folder.join("events/two"), "new").unwrap();
        drop(claim);
        let found = ["events/one", "events/two", "report/mine"].map(|name| read(folder, name));
        assert_eq!(found.each_ref().map(Option::as_deref), [Some("old"), None, Some("mine")]);
    }

    /// Gives the folder that this process has made to one that is gone, as if it had been killed.
    #[cfg(target_os = "linux")]
    fn killed(claim: SetAside) -> PathBuf {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let own = claim.aside.clone().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        let gone =
            name.replace(own_tag(), &own_tag().replace(&std::process::id().to_string(), &child.id().to_string()));
        let gone = own.with_file_name(gone);
        fs::rename(&own, &gone).unwrap();
        gone
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_killed_process_has_set_aside_is_healed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let found = || (["a", "b"].map(|name| read(folder, name)), fs::read_dir(folder).unwrap().count());
        write("a", "old");
        // Before the first of the new files, and after the last: what no earlier file is for goes too.
        for new in [&[][..], &["a", "b"]] {
            let aside = killed(SetAside::new(folder, &["a", "b"]).unwrap());
            new.iter().for_each(|name| write(name, "new"));
            assert!(aside.exists());
            heal(folder);
            assert_eq!(found(), ([Some("old".to_owned()), None], 1));
        }
        // While earlier files were set aside: the list is there, and none was moved.
        let aside = killed(SetAside::new(folder, &["a", "b"]).unwrap());
        fs::rename(aside.join("a"), folder.join("a")).unwrap();
        heal(folder);
        assert_eq!(found(), ([Some("old".to_owned()), None], 1));
        // While the files of a complete result were removed.
        let aside = killed(SetAside::new(folder, &["a", "b"]).unwrap());
        write("a", "new");
        fs::rename(&aside, aside.to_str().unwrap().replace(PREVIOUS, DISCARDED)).unwrap();
        heal(folder);
        assert_eq!(found(), ([Some("new".to_owned()), None], 1));
        // One whose process is alive stays.
        let claim = SetAside::new(folder, &["a"]).unwrap();
        heal(folder);
        assert!(claim.is_pending() && read(folder, "a").is_none());
    }
}
