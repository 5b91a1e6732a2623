//! Watching a folder for new images.
//!
//! The folder is listed repeatedly. System notifications (inotify and the like) do not report what other machines write to
//! a network drive, differ between systems, and do not say when a file is complete either; listing 10,000 files takes about
//! 20 ms.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Source;
use crate::{Error, Result};

/// How long an image that cannot be read may be incomplete: a copy over a slow network may pause.
const PATIENCE: Duration = Duration::from_secs(10);

/// The images of a folder and its sub-folders, each reported once it is complete.
///
/// An image is complete when two successive looks find the same size and modification time. If it changes later, it counts
/// as a new image.
///
/// ```
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// use std::time::{Duration, Instant};
///
/// use lucida::batch_jobs::FolderWatch;
/// use lucida::prelude::*;
///
/// Image::filled(4, 4, &[9]).save_png(folder.join("a.png"))?;
/// let mut watch = FolderWatch::new(folder)?;
/// let now = Instant::now();
/// assert!(watch.look(now)?.is_empty(), "it may still be written");
/// assert_eq!(watch.look(now + Duration::from_secs(1))?, ["a.png"]);
/// assert!(watch.look(now + Duration::from_secs(2))?.is_empty(), "it is handed over once");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct FolderWatch {
    folder: PathBuf,
    source: Source,
    /// Images done before the watch started.
    before: HashSet<String>,
    files: HashMap<String, File>,
}

/// Identifies a version of a file: its size and modification time.
type Stamp = (u64, Option<SystemTime>);

#[derive(Debug, Clone, Copy)]
struct File {
    stamp: Stamp,
    /// When this version was first seen.
    since: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// New, possibly incomplete.
    New,
    /// Reported.
    Done,
    /// Reported, but could not be read so far.
    Failed,
}

impl FolderWatch {
    /// Starts watching a folder.
    ///
    /// # Errors
    /// [`Error::File`] when the folder does not exist.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        if !folder.is_dir() {
            let problem = if folder.exists() { "not a folder" } else { "no such folder" };
            return Err(Error::file(folder, problem));
        }
        let source = Source::Folder(folder.clone());
        Ok(Self { folder, source, before: HashSet::new(), files: HashMap::new() })
    }

    /// Skips images that are already done, given by their paths relative to the folder, unless they change.
    pub fn skip(&mut self, items: impl IntoIterator<Item = String>) {
        self.before.extend(items);
    }

    /// The path of an image.
    pub fn path(&self, item: &str) -> PathBuf {
        self.folder.join(item)
    }

    /// Looks at the folder at time `now`, and returns the new, complete images: their paths relative to the folder, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read; a network drive may be available again at the next look.
    pub fn look(&mut self, now: Instant) -> Result<Vec<String>> {
        let items = self.source.list()?;
        // Keep the files that are done: an unmounted network drive may appear as an empty folder for a while.
        self.files.retain(|item, file| file.state == State::Done || items.binary_search(item).is_ok());
        let mut complete = Vec::new();
        for item in items {
            // The file was just removed or renamed.
            let Ok(metadata) = self.path(&item).metadata() else { continue };
            let file = self.found(&item, stamp(&metadata), now);
            if file.state == State::Done && self.files.get(&item).is_some_and(|before| before.state != State::Done) {
                complete.push(item.clone());
            }
            self.files.insert(item, file);
        }
        Ok(complete)
    }

    /// The state of a file with this stamp. A file that becomes done is complete.
    fn found(&mut self, item: &str, stamp: Stamp, now: Instant) -> File {
        let Some(file) = self.files.get(item).copied().filter(|file| file.stamp == stamp) else {
            let state = if self.before.remove(item) { State::Done } else { State::New };
            return File { stamp, since: now, state };
        };
        let waits = file.state == State::Failed && now.saturating_duration_since(file.since) < PATIENCE;
        File { state: if waits { State::Failed } else { State::Done }, ..file }
    }

    /// Records at time `now` that an image could not be read. Returns whether that is final; otherwise the image is
    /// reported once more, when it has changed, or after ten seconds.
    pub fn failed(&mut self, item: &str, now: Instant) -> bool {
        let Some(file) = self.files.get_mut(item) else { return true };
        let is_final = now.saturating_duration_since(file.since) >= PATIENCE;
        if !is_final {
            file.state = State::Failed;
        }
        is_final
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A watch with a simulated clock.
    struct Looks {
        watch: FolderWatch,
        now: Instant,
    }

    impl Looks {
        fn look(&mut self) -> Vec<String> {
            self.now += Duration::from_secs(1);
            self.watch.look(self.now).unwrap()
        }
    }

    fn looks(folder: &Path) -> Looks {
        Looks { watch: FolderWatch::new(folder).unwrap(), now: Instant::now() }
    }

    #[test]
    fn a_file_that_grows_is_not_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut looks = looks(folder.path());
        let path = folder.path().join("slow.jpg");
        for length in 1..4 {
            fs::write(&path, vec![0; length]).unwrap();
            assert!(looks.look().is_empty(), "{length}");
        }
        assert_eq!(looks.look(), ["slow.jpg"]);
        assert!(looks.look().is_empty());
        // An overwritten file is a new image; one that was absent for a while is not.
        fs::write(&path, [0; 9]).unwrap();
        assert!(looks.look().is_empty());
        assert_eq!(looks.look(), ["slow.jpg"]);
        let away = folder.path().join(".away");
        fs::rename(&path, &away).unwrap();
        assert!(looks.look().is_empty());
        fs::rename(&away, &path).unwrap();
        assert!(looks.look().is_empty() && looks.look().is_empty());
    }

    #[test]
    fn images_come_in_order_from_sub_folders_and_by_renaming() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("b")).unwrap();
        for name in ["z.png", "b/a.png", "b/.part.png", "notes.txt"] {
            fs::write(root.join(name), b"x").unwrap();
        }
        let mut looks = looks(root);
        assert!(looks.look().is_empty());
        assert_eq!(looks.look(), ["b/a.png", "z.png"]);
        fs::rename(root.join("b/.part.png"), root.join("b/part.png")).unwrap();
        assert!(looks.look().is_empty());
        assert_eq!(looks.look(), ["b/part.png"]);
        assert!(FolderWatch::new(root.join("none")).is_err() && FolderWatch::new(root.join("z.png")).is_err());
    }

    #[test]
    fn what_was_done_before_is_left_out_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let mut looks = looks(folder.path());
        looks.watch.skip(["a.png".to_owned()]);
        assert!(looks.look().is_empty());
        assert_eq!(looks.look(), ["b.png"]);
        fs::write(folder.path().join("a.png"), b"changed").unwrap();
        assert!(looks.look().is_empty());
        assert_eq!(looks.look(), ["a.png"]);
    }

    #[test]
    fn a_failure_is_final_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("half.jpg"), b"x").unwrap();
        let mut looks = looks(folder.path());
        looks.look();
        assert_eq!(looks.look(), ["half.jpg"]);
        assert!(!looks.watch.failed("half.jpg", looks.now));
        for _ in 0..8 {
            assert!(looks.look().is_empty());
        }
        assert_eq!(looks.look(), ["half.jpg"]);
        assert!(looks.watch.failed("half.jpg", looks.now));
        for _ in 0..20 {
            assert!(looks.look().is_empty());
        }
        // The rest of the file has arrived.
        fs::write(folder.path().join("half.jpg"), b"xyz").unwrap();
        assert!(looks.look().is_empty());
        assert_eq!(looks.look(), ["half.jpg"]);
    }
}
