//! Replacing several files that belong together: all are new in the end, or all are the old ones.
//!
//! The old files lie in a folder of their own within the folder, whose name says how far the replacement is. Each step
//! from one name to the next is one renaming, so that a process may be killed at any time:
//!
//! - `.lucida-TAG-XXXXXX.moving`: files are on their way into it or back; all others in the folder are old ones too.
//! - `.lucida-TAG-XXXXXX.previous`: all old files are in it; those of the same names in the folder are new, incomplete.
//! - `.lucida-TAG-XXXXXX.discarded`: the new files are complete; it is being removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::leftovers::{self, is_abandoned};
use crate::{Error, Result};

const MOVING: &str = "moving";
const PREVIOUS: &str = "previous";
const DISCARDED: &str = "discarded";
/// In the folder of old files: the names that the new result has, a JSON list.
const NAMES: &str = ".lucida-names.json";

/// The files of an earlier result, set aside while a new result is written in their place.
///
/// Dropped, it puts them back: a command that fails leaves what was there. What a killed process has set aside is put back
/// by the next one that opens the folder. Other files in the folder stay where they are.
#[must_use = "the earlier files come back unless they are discarded"]
#[derive(Debug)]
pub struct SetAside {
    /// Where the earlier files are; `None` when there were none, or they are discarded.
    aside: Option<Aside>,
}

/// A folder of old files.
#[derive(Debug)]
struct Aside {
    /// The folder that they belong to.
    folder: PathBuf,
    path: PathBuf,
}

impl SetAside {
    /// Sets the files and folders of these names aside, as far as they exist.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be moved; then they are where they were.
    pub(crate) fn new(folder: &Path, names: &[&str]) -> Result<Self> {
        let existing: Vec<&str> = names.iter().copied().filter(|name| folder.join(name).exists()).collect();
        if existing.is_empty() {
            return Ok(Self { aside: None });
        }
        let failed = |source| Error::io(folder, "set earlier files aside in the folder", source);
        let prefix = leftovers::own_prefix();
        let mut builder = tempfile::Builder::new();
        let path = builder.prefix(&prefix).suffix(&format!(".{MOVING}")).tempdir_in(folder).map_err(failed)?.keep();
        let mut aside = Aside { folder: folder.to_owned(), path };
        let moved = fs::write(aside.path.join(NAMES), serde_json::json!(names).to_string())
            .and_then(|()| existing.iter().try_for_each(|name| fs::rename(folder.join(name), aside.path.join(name))))
            .and_then(|()| aside.becomes(PREVIOUS));
        if let Err(problem) = moved {
            aside.move_back();
            return Err(failed(problem));
        }
        Ok(Self { aside: Some(aside) })
    }

    /// Whether there are earlier files, which come back.
    pub fn is_pending(&self) -> bool {
        self.aside.is_some()
    }

    /// The new result is complete: removes the earlier files.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be removed.
    pub fn discard(mut self) -> Result<()> {
        self.aside.take().map_or(Ok(()), Aside::discard)
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take() {
            aside.put_back();
        }
    }
}

impl Aside {
    /// Gives the folder the name of the next step.
    fn becomes(&mut self, step: &str) -> std::io::Result<()> {
        let next = self.path.with_extension(step);
        fs::rename(&self.path, &next)?;
        self.path = next;
        Ok(())
    }

    fn discard(mut self) -> Result<()> {
        self.becomes(DISCARDED)
            .and_then(|()| fs::remove_dir_all(&self.path))
            .map_err(|source| Error::io(&self.path, "remove", source))
    }

    /// Removes what there is of the new result, and moves the old files back. What cannot be moved stays where it is:
    /// nothing of an earlier result is lost.
    fn put_back(mut self) {
        let names = fs::read(self.path.join(NAMES)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let names: Vec<String> = names.unwrap_or_default();
        // A list that somebody else has written must not reach out of the folder.
        for name in names.iter().filter(|name| Path::new(name).file_name() == Some(name.as_ref())) {
            let path = self.folder.join(name);
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        if self.becomes(MOVING).is_ok() {
            self.move_back();
        }
    }

    fn move_back(&self) {
        let moved = fs::read_dir(&self.path).into_iter().flatten().flatten().filter(|entry| entry.file_name() != NAMES);
        if moved.map(|entry| fs::rename(entry.path(), self.folder.join(entry.file_name()))).all(|moved| moved.is_ok()) {
            let _ = fs::remove_file(self.path.join(NAMES));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Ends what killed processes have begun in a folder: puts earlier files back, unless the new result was complete. Whether
/// files came back.
pub(crate) fn heal(folder: &Path) -> bool {
    let mut healed = false;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let step = path.extension().and_then(|step| step.to_str()).unwrap_or_default().to_owned();
        if ![MOVING, PREVIOUS, DISCARDED].contains(&step.as_str()) || !is_abandoned(&path) {
            continue;
        }
        let aside = Aside { folder: folder.to_owned(), path };
        match step.as_str() {
            MOVING => aside.move_back(),
            PREVIOUS => {
                aside.put_back();
                healed = true;
                // Its half-written files too.
                leftovers::sweep(folder);
            }
            // What cannot be removed now is tried again by the next one.
            _ => drop(fs::remove_dir_all(&aside.path)),
        }
    }
    healed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, name: &str) -> Option<String> {
        fs::read_to_string(folder.join(name)).ok()
    }

    fn found(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| (name.clone(), read(folder, &name).unwrap_or_default()))
            .collect();
        found.sort();
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn earlier_files_come_back_unless_they_are_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let names = ["a", "b", "c", "sub"];
        ["a", "b", "mine"].iter().for_each(|name| write(name, "old"));
        fs::create_dir(folder.join("sub")).unwrap();
        write("sub/x", "old");
        let claim = SetAside::new(folder, &names).unwrap();
        assert!(claim.is_pending());
        assert_eq!((read(folder, "a"), read(folder, "mine").as_deref()), (None, Some("old")));
        write("a", "new");
        write("c", "new");
        fs::create_dir(folder.join("sub")).unwrap();
        write("sub/y", "new");
        drop(claim);
        assert_eq!(found(folder), pairs(&[("a", "old"), ("b", "old"), ("mine", "old"), ("sub", "")]));
        assert_eq!([read(folder, "sub/x"), read(folder, "sub/y")], [Some("old".to_owned()), None]);
        // Two at once do not disturb each other.
        let first = SetAside::new(folder, &["a"]).unwrap();
        let second = SetAside::new(folder, &names).unwrap();
        write("a", "new");
        second.discard().unwrap();
        first.discard().unwrap();
        assert_eq!(found(folder), pairs(&[("a", "new"), ("mine", "old")]));
        assert!(!SetAside::new(folder, &["b"]).unwrap().is_pending());
    }

    /// The folder of a process that is gone, with an old `a` in it, and names in the list.
    #[cfg(target_os = "linux")]
    fn abandoned(folder: &Path, step: &str) -> PathBuf {
        let aside = folder.join(format!("{}x{step}", leftovers::tests::prefix_of_a_dead_process()));
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("a"), "old").unwrap();
        fs::write(aside.join(NAMES), r#"["a", "b", "../outside"]"#).unwrap();
        aside
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_killed_process_has_begun_is_ended() {
        let outer = tempfile::tempdir().unwrap();
        let folder = &outer.path().join("run");
        fs::create_dir(folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("../outside", "mine");
        // Killed while it moved files: `b` is an old one.
        write("b", "old");
        abandoned(folder, ".moving");
        assert!(!heal(folder));
        assert_eq!(found(folder), pairs(&[("a", "old"), ("b", "old")]));
        // Killed while it wrote the new result, of which there is `b` and half of `a`.
        fs::remove_file(folder.join("a")).unwrap();
        write("a", "new");
        write("b", "new");
        abandoned(folder, ".previous");
        assert!(heal(folder));
        assert_eq!(found(folder), pairs(&[("a", "old")]));
        assert_eq!(read(folder, "../outside").as_deref(), Some("mine"));
        // Killed while it removed the old one.
        write("a", "new");
        abandoned(folder, ".discarded");
        assert!(!heal(folder));
        assert_eq!(found(folder), pairs(&[("a", "new")]));
        // A living one is left alone.
        let claim = SetAside::new(folder, &["a"]).unwrap();
        assert!(!heal(folder) && read(folder, "a").is_none());
        drop(claim);
        assert_eq!(read(folder, "a").as_deref(), Some("new"));
    }

    #[test]
    fn files_that_cannot_be_moved_stay() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("a"), "old").unwrap();
        // The second one cannot be moved: its folder is missing where it should go.
        fs::create_dir(folder.join("b")).unwrap();
        fs::write(folder.join("b/c"), "old").unwrap();
        let failed = SetAside::new(folder, &["a", "b/c"]);
        assert!(failed.is_err());
        assert_eq!((read(folder, "a").as_deref(), read(folder, "b/c").as_deref()), (Some("old"), Some("old")));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
    }
}
