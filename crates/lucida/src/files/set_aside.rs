//! Replacing several files that belong together: in the end, either all are new or all are the old ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::leftovers::{PREFIX, is_abandoned, own_tag, sweep};
use super::target::Target;
use crate::{Error, Result};

/// Suffix of folders that hold the earlier files.
const PREVIOUS: &str = "-previous";
/// Suffix of such folders once their files are obsolete. Renaming a folder is atomic, removing its files is not.
const DISCARDED: &str = "-discarded";
/// In such a folder, the list of names for which no earlier file existed.
const ADDED: &str = ".added";

/// The files of an earlier result, set aside while a new result is written in their place.
///
/// Symbolic links are kept: the file behind a link is set aside, in its own folder. Dropping this value restores all files,
/// so that a command that fails leaves the earlier result. Other files in the folders are not touched.
#[must_use = "the earlier files come back unless they are discarded"]
#[derive(Debug)]
pub struct SetAside {
    aside: Vec<Aside>,
}

/// The earlier files of one folder.
#[derive(Debug)]
struct Aside {
    folder: PathBuf,
    /// The sub-folder that holds the earlier files.
    path: PathBuf,
}

impl SetAside {
    /// Sets aside the files with these names that exist; a name that ends with `/` means a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be moved; they are then left where they were.
    pub(crate) fn new(folder: &Path, names: &[&str]) -> Result<Self> {
        let places = places(folder, names)?;
        // From here on, dropping the claim undoes the moves so far.
        let mut claim = Self { aside: Vec::new() };
        // Without an earlier result, there is nothing to restore.
        if places.iter().any(|place| place.names.iter().any(|name| place.has(name))) {
            for place in &places {
                claim.set_aside(place)?;
            }
        }
        Ok(claim)
    }

    fn set_aside(&mut self, place: &OutputFolder) -> Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (existing, added): (Vec<&String>, Vec<&String>) = place.names.iter().partition(|name| place.has(name));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = place.folder.join(format!("{PREFIX}{}-{number}{PREVIOUS}", own_tag()));
        fs::create_dir(&path).map_err(|source| Error::io(&path, "create the folder", source))?;
        self.aside.push(Aside { folder: place.folder.clone(), path: path.clone() });
        let list = path.join(ADDED);
        let listed = serde_json::to_vec(&added).map_err(io::Error::from).and_then(|list_of| fs::write(&list, list_of));
        listed.map_err(|source| Error::io(&list, "write", source))?;
        for name in existing {
            let from = place.folder.join(name);
            fs::rename(&from, path.join(name)).map_err(|source| Error::io(&from, "set aside", source))?;
        }
        Ok(())
    }

    /// Whether there are earlier files to restore.
    pub fn is_pending(&self) -> bool {
        self.aside.iter().any(|aside| aside.path.exists())
    }

    /// Removes the earlier files, once the new result is complete. Further calls do nothing.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be removed.
    pub fn discard(&self) -> Result<()> {
        let pending = self.aside.iter().filter(|aside| aside.path.exists());
        // Rename all before removing any: renaming is fast, and decides which files stay.
        let renamed = pending.map(|Aside { path, .. }| {
            let discarded = PathBuf::from(path.to_string_lossy().replace(PREVIOUS, DISCARDED));
            fs::rename(path, &discarded).map_err(|source| Error::io(path, "remove", source))?;
            Ok(discarded)
        });
        let discarded: Vec<PathBuf> = renamed.collect::<Result<_>>()?;
        discarded
            .iter()
            .try_for_each(|path| fs::remove_dir_all(path).map_err(|source| Error::io(path, "remove", source)))
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        for Aside { folder, path } in self.aside.iter().filter(|aside| aside.path.exists()) {
            put_back(path, folder);
        }
    }
}

/// The files to be written in one folder.
#[derive(Debug)]
pub(super) struct OutputFolder {
    pub(super) folder: PathBuf,
    names: Vec<String>,
}

impl OutputFolder {
    fn has(&self, name: &str) -> bool {
        let path = self.folder.join(name);
        if name.ends_with('/') { path.is_dir() } else { !path.is_dir() && path.symlink_metadata().is_ok() }
    }
}

/// The actual locations of files with these names: in the folder, in folders within it, and behind symbolic links. Streams,
/// and files in folders that do not exist, are left out.
///
/// # Errors
/// [`Error::Io`] for a cycle of symbolic links.
pub(super) fn places(folder: &Path, names: &[&str]) -> Result<Vec<OutputFolder>> {
    let mut places: Vec<(PathBuf, OutputFolder)> = Vec::new();
    for name in names {
        let (bare, ending) = name.strip_suffix('/').map_or((*name, ""), |bare| (bare, "/"));
        let path = folder.join(bare);
        let target = match Target::of(&path).map_err(|source| Error::io(&path, "write", source))? {
            // A link to a folder where a file is meant is kept: writing will report the error.
            Target::File(target) if ending.is_empty() && target.is_dir() => path,
            // A link to a folder is replaced with a folder: a folder cannot be created behind a dangling link.
            Target::File(_) if !ending.is_empty() => path,
            Target::File(target) => target,
            Target::Stdout | Target::Stream(_) => continue,
        };
        let (folder, Some(file)) = (super::folder_of(&target), target.file_name()) else { continue };
        let Ok(real) = folder.canonicalize() else { continue };
        let name = format!("{}{ending}", file.to_string_lossy());
        match places.iter_mut().find(|(known, _)| *known == real) {
            Some((_, place)) if place.names.contains(&name) => {}
            Some((_, place)) => place.names.push(name),
            None => places.push((real, OutputFolder { folder: folder.to_owned(), names: vec![name] })),
        }
    }
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

/// Removes what an incomplete result has added to a folder, and moves the earlier files back. Files that cannot be moved
/// stay where they are, so that nothing of an earlier result is lost. Can be repeated after an interruption.
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
    // Keep the folder while it holds a file that could not be moved.
    if fs::read_dir(aside).is_ok_and(|left| left.count() <= 1) {
        let _ = fs::remove_dir_all(aside);
    }
}

/// Removes a file or a folder written by a command. If it is of the other kind, the command did not write it, and it is
/// kept.
fn remove(path: &Path, is_folder: bool) {
    let _ = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Recovers from killed processes in a folder and in the folders that its links lead to: restores earlier files unless the
/// new ones were complete, and removes temporary files. A folder that cannot be read is skipped.
pub fn heal(folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    heal_one(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && let Ok(Target::File(target)) = Target::of(&entry.path())
        {
            heal_one(super::folder_of(&target));
        }
    }
}

/// As [`heal`], for a single folder, without following links.
pub(super) fn heal_one(folder: &Path) {
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

    /// Renames the folder of this process as if its process had been killed.
    #[cfg(target_os = "linux")]
    fn killed(claim: SetAside) -> PathBuf {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let own = claim.aside[0].path.clone();
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
        // Killed before the first new file was written, and after the last: files that replaced nothing are removed too.
        for new in [&[][..], &["a", "b"]] {
            let aside = killed(SetAside::new(folder, &["a", "b"]).unwrap());
            new.iter().for_each(|name| write(name, "new"));
            assert!(aside.exists());
            heal(folder);
            assert_eq!(found(), ([Some("old".to_owned()), None], 1));
        }
        // Killed while setting earlier files aside: the list exists, and no file was moved.
        let aside = killed(SetAside::new(folder, &["a", "b"]).unwrap());
        fs::rename(aside.join("a"), folder.join("a")).unwrap();
        heal(folder);
        assert_eq!(found(), ([Some("old".to_owned()), None], 1));
        // Killed while removing the earlier files of a complete result.
        let aside = killed(SetAside::new(folder, &["a", "b"]).unwrap());
        write("a", "new");
        fs::rename(&aside, aside.to_str().unwrap().replace(PREVIOUS, DISCARDED)).unwrap();
        heal(folder);
        assert_eq!(found(), ([Some("new".to_owned()), None], 1));
        // The folder of a running process is kept.
        let claim = SetAside::new(folder, &["a"]).unwrap();
        heal(folder);
        assert!(claim.is_pending() && read(folder, "a").is_none());
    }

    #[test]
    #[cfg(unix)]
    fn links_stay_and_the_files_behind_them_are_replaced() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let (folder, store) = (&root.path().join("out"), &root.path().join("store"));
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::create_dir(store).unwrap();
        for (path, text) in [(store.join("a"), "old"), (folder.join("b"), "old"), (folder.join("sub/c"), "old")] {
            fs::write(path, text).unwrap();
        }
        for (to, name) in [("../store/a", "a"), ("../store/new", "dangling"), ("/dev/null", "null")] {
            symlink(to, folder.join(name)).unwrap();
        }
        let names = ["a", "b", "sub/c", "dangling", "null"];
        let found = || {
            let files = [store.join("a"), folder.join("b"), folder.join("sub/c"), store.join("new")];
            let links = ["a", "dangling", "null"].iter().all(|name| folder.join(name).is_symlink());
            let count = [folder, store, &folder.join("sub")].map(|folder| fs::read_dir(folder).unwrap().count());
            (files.map(|path| fs::read_to_string(path).unwrap_or_default()), links, count)
        };
        let write = || names.iter().for_each(|name| super::super::write_bytes(folder.join(name), b"new").unwrap());
        let before = found();
        let claim = SetAside::new(folder, &names).unwrap();
        assert!(!store.join("a").exists() && !folder.join("sub/c").exists());
        write();
        drop(claim);
        assert_eq!(found(), before);
        let claim = SetAside::new(folder, &names).unwrap();
        write();
        claim.discard().unwrap();
        assert_eq!(found(), (["new"; 4].map(str::to_owned), true, [5, 2, 1]));
        symlink("round", folder.join("round")).unwrap();
        assert!(SetAside::new(folder, &["round"]).is_err());
    }
}
