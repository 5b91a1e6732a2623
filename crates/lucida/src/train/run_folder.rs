//! The folder of a run.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::files::{self, SetAside};
use crate::nn::Network;
use crate::weights::{Model, safetensors};
use crate::{Error, Result};

use super::History;

const CHECKPOINT: &str = "checkpoint.safetensors";
const SKIPPED: &str = "skipped.csv";
const ORIGIN: &str = "run.json";

/// Where a run leaves its files: `model.safetensors` (the best epoch), `last.safetensors` (the last),
/// `checkpoint.safetensors` (to go on from), `history.csv`, `curves.svg` and `curves.png`; for pictures of a folder,
/// `skipped.csv` with the files that cannot be used.
///
/// The files of an earlier run that is replaced are set aside until the new run has a complete epoch. Dropped before that,
/// it puts them back.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    earlier: Mutex<Option<SetAside>>,
}

impl RunFolder {
    /// The names of the files of a run.
    pub const FILES: [&str; 6] =
        ["model.safetensors", "last.safetensors", CHECKPOINT, "history.csv", "curves.svg", "curves.png"];

    /// What else belongs to a run: of an earlier one it is no reason to refuse, but it must not be mixed with a new one.
    const BESIDES: [&str; 4] = [SKIPPED, ORIGIN, "report.html", "tensorboard"];

    /// Creates the folder of a new run, and checks that files can be written there before any long work. The files of an
    /// earlier run are set aside.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there is a run already and `force` is not given; [`Error::Io`](crate::Error::Io) when the folder cannot be
    /// created or written to.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let path = path.into();
        Self::heal(&path);
        let free = !Self::FILES.iter().any(|name| path.join(name).exists());
        let mut names = Self::FILES.to_vec();
        if free || force {
            names.extend(Self::BESIDES);
        }
        let earlier = files::claim_folder(&path, &names, free || force)?;
        Ok(Self { path, earlier: Mutex::new(Some(earlier)) })
    }

    /// Ends what a killed training has begun in a folder: a run that it was to replace comes back, unless the new one has a
    /// complete epoch. Whether one came back. All that open the folder of a run do this first.
    pub fn heal(path: &Path) -> bool {
        files::heal(path)
    }

    /// Removes the files of the earlier run: the new one has a complete epoch.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when they cannot be removed.
    pub fn discard_earlier(&self) -> Result<()> {
        self.earlier().take().map_or(Ok(()), SetAside::discard)
    }

    /// Whether the files of an earlier run are set aside, which come back if this run gets no further.
    pub fn has_earlier(&self) -> bool {
        self.earlier().as_ref().is_some_and(SetAside::is_pending)
    }

    fn earlier(&self) -> MutexGuard<'_, Option<SetAside>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of a run that another process writes; nothing is looked at.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), earlier: Mutex::new(None) }
    }

    /// Opens the folder of a run that goes on, or begins if nothing is there.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be created or written to.
    pub fn reopen(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        files::claim_folder(&path, &[], false)?.discard()?;
        Ok(Self::at(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model file.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The file to go on from.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// Removes the file to resume from: of a run that is finished it is the largest file, and of no use.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be removed.
    pub fn remove_checkpoint(&self) -> Result<()> {
        remove(&self.checkpoint())
    }

    /// Removes the descriptions of a run that has failed before there was anything to keep, so that its folder can be
    /// removed; a folder with anything else in it is left as it is.
    pub fn remove_if_unused(&self) {
        let descriptions = [self.origin(), self.skipped()];
        let Ok(mut entries) = std::fs::read_dir(&self.path) else { return };
        if entries.all(|entry| entry.is_ok_and(|entry| descriptions.contains(&entry.path()))) {
            // What cannot be removed stays: the error that ended the run is the one to report.
            let _ = descriptions.iter().try_for_each(|path| remove(path));
        }
    }

    /// The table of files that cannot be used.
    pub fn skipped(&self) -> PathBuf {
        self.path.join(SKIPPED)
    }

    /// The table of the epochs.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.csv")
    }

    /// The file that says what the run was trained on.
    pub fn origin(&self) -> PathBuf {
        self.path.join(ORIGIN)
    }

    /// Writes the model with the weights of its best epoch.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be written.
    pub fn save_best(&self, model: &Model) -> Result<()> {
        safetensors::save_model(model, &self.model())
    }

    /// Writes the model with the weights of the last step.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be written.
    pub fn save_last(&self, model: &Model, last: &Network) -> Result<()> {
        let model = Model { network: last.clone(), ..model.clone() };
        safetensors::save_model(&model, &self.path.join("last.safetensors"))
    }

    /// Writes the table and the curves.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when one cannot be written.
    pub fn save_history(&self, history: &History) -> Result<()> {
        history.save_csv(&self.history())?;
        let figure = history.curves().figure();
        figure.save_svg(&self.path.join("curves.svg"))?;
        figure.picture(2.0)?.save_png(&self.path.join("curves.png"))
    }
}

/// Removes a file that may be missing.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove", problem)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_not_overwritten_without_being_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/one");
        let run = RunFolder::create(&path, false).unwrap();
        assert!(!run.has_earlier());
        run.save_history(&History::default()).unwrap();
        let message = RunFolder::create(&path, false).unwrap_err().to_string();
        assert!(message.contains("--force") && message.contains("history.csv"), "{message}");
        std::fs::write(run.checkpoint(), "old").unwrap();
        RunFolder::reopen(&path).unwrap();
        assert!(run.checkpoint().exists());
    }

    #[test]
    fn an_earlier_run_comes_back_unless_the_new_one_has_an_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let old = RunFolder::at(folder.path());
        let files = [old.checkpoint(), old.origin(), folder.path().join("report.html")];
        let read = || files.each_ref().map(|path| std::fs::read_to_string(path).unwrap_or_default());
        files.iter().for_each(|path| std::fs::write(path, "old").unwrap());
        let run = RunFolder::create(folder.path(), true).unwrap();
        assert_eq!((run.has_earlier(), read()), (true, ["", "", ""].map(String::from)));
        std::fs::write(run.origin(), "new").unwrap();
        std::fs::write(run.skipped(), "new").unwrap();
        drop(run);
        assert_eq!((old.skipped().exists(), read()), (false, ["old", "old", "old"].map(String::from)));
        let run = RunFolder::create(folder.path(), true).unwrap();
        std::fs::write(run.checkpoint(), "new").unwrap();
        run.discard_earlier().unwrap();
        drop(run);
        assert_eq!(read(), ["new", "", ""].map(String::from));
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let message = RunFolder::create(file.join("run"), false).unwrap_err().to_string();
        assert!(message.contains("file/run"), "{message}");
    }
}
