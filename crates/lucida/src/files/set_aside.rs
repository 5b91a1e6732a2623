//! Replacing several files that belong together: all are new in the end, or all are the old ones.

use std::fs;
use std::path::{Path, PathBuf};

use super::leftovers::{PREFIX, is_abandoned, own_tag};
use crate::{Error, Result};

/// What the names of folders with old files end with.
const SUFFIX: &str = "-previous";

/// The files of an earlier result, set aside while a new result is written in their place.
///
/// Dropped, it puts them back: a command that fails leaves what was there. Other files in the folder stay where they are.
#[must_use = "the earlier files come back unless they are discarded"]
#[derive(Debug)]
pub struct SetAside {
    folder: PathBuf,
    names: Vec<String>,
    /// Where the earlier files are; `None` when there were none, or they are discarded.
    aside: Option<PathBuf>,
}

impl SetAside {
    /// Sets the files of these names aside, as far as they exist.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be moved; then they are where they were.
    pub(crate) fn new(folder: &Path, names: &[&str]) -> Result<Self> {
        let mut claim =
            Self { folder: folder.to_owned(), names: names.iter().map(|&name| name.into()).collect(), aside: None };
        let existing: Vec<&str> = names.iter().copied().filter(|name| folder.join(name).is_file()).collect();
        if existing.is_empty() {
            return Ok(claim);
        }
        let aside = folder.join(format!("{PREFIX}{}{SUFFIX}", own_tag()));
        fs::create_dir_all(&aside).map_err(|source| Error::io(&aside, "create the folder", source))?;
        claim.aside = Some(aside.clone());
        for name in existing {
            let from = folder.join(name);
            fs::rename(&from, aside.join(name)).map_err(|source| Error::io(&from, "set aside", source))?;
        }
        Ok(claim)
    }

    /// The new result is complete: removes the earlier files.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be removed.
    pub fn discard(mut self) -> Result<()> {
        match self.aside.take() {
            Some(aside) => fs::remove_dir_all(&aside).map_err(|source| Error::io(&aside, "remove", source)),
            None => Ok(()),
        }
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        let Some(aside) = self.aside.take() else { return };
        // What is there of a result that has failed goes with it.
        for name in &self.names {
            let _ = fs::remove_file(self.folder.join(name));
        }
        put_back(&aside, &self.folder);
    }
}

/// Moves the files of a folder back. What cannot be moved stays there: nothing of an earlier result is lost.
fn put_back(aside: &Path, folder: &Path) {
    for entry in fs::read_dir(aside).into_iter().flatten().flatten() {
        let _ = fs::rename(entry.path(), folder.join(entry.file_name()));
    }
    let _ = fs::remove_dir(aside);
}

/// Ends what a killed process has begun in a folder: puts the earlier files back, or removes them where the new result is
/// `complete`.
pub(crate) fn heal(folder: &Path, complete: impl Fn() -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(SUFFIX) && is_abandoned(name)) {
            if complete() {
                let _ = fs::remove_dir_all(entry.path());
            } else {
                put_back(&entry.path(), folder);
            }
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
    #[cfg(target_os = "linux")]
    fn what_a_killed_process_has_set_aside_is_healed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let tag = own_tag().replace(&format!("-{}", std::process::id()), &format!("-{}", child.id()));
        child.wait().unwrap();
        let set_aside = || {
            let aside = folder.join(format!("{PREFIX}{tag}{SUFFIX}"));
            fs::create_dir(&aside).unwrap();
            fs::write(aside.join("a"), "old").unwrap();
        };
        set_aside();
        heal(folder, || false);
        assert_eq!((read(folder, "a").as_deref(), fs::read_dir(folder).unwrap().count()), (Some("old"), 1));
        set_aside();
        fs::write(folder.join("a"), "new").unwrap();
        heal(folder, || true);
        assert_eq!((read(folder, "a").as_deref(), fs::read_dir(folder).unwrap().count()), (Some("new"), 1));
    }
}
