//! The output folder of a run.

use std::path::{Path, PathBuf};

use crate::files::{self, FolderLock, SetAside};
use crate::nn::Network;
use crate::weights::{CHECKPOINT, Model, safetensors};
use crate::{Error, Result};

use super::History;

const SKIPPED: &str = "skipped.csv";
const ORIGIN: &str = "run.json";
const FOLDS: &str = "folds.json";
const FOLDS_TABLE: &str = "folds.csv";

/// Output files of a run: `model.safetensors` (best epoch), `last.safetensors` (last epoch), `checkpoint.safetensors` (to
/// resume from), `history.csv`, `curves.svg` and `curves.png`; for an image folder, `skipped.csv` with the unusable files.
///
/// ```
/// use lucida::nn::applications;
/// use lucida::prelude::*;
/// use lucida::train::RunFolder;
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// let run = RunFolder::create(folder.join("digits"), false)?;
/// run.save_best(&Model::new(applications::mnist_cnn(42)?))?;
/// // The folder of a run is a model, too.
/// assert_eq!(Model::load(run.path())?.network.name(), "mnist_cnn");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The run that this one replaces, kept until this one has completed an epoch.
    earlier: Option<SetAside>,
    /// Keeps other processes from writing to it. Last, so that it is still held while an earlier run is restored.
    _lock: Option<FolderLock>,
}

impl RunFolder {
    /// Names of a run's files.
    pub const FILES: [&str; 6] =
        ["model.safetensors", "last.safetensors", CHECKPOINT, "history.csv", "curves.svg", "curves.png"];

    /// Creates the folder of a new run, locks it, and checks that it is writable before any long computation. The files of an
    /// earlier run are set aside, and restored if this is dropped before [`discard_earlier`](Self::discard_earlier).
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) when another process writes a run there;
    /// [`Error::Exists`](crate::Error::Exists) when the folder contains a run and `force` is not set;
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be created or written to.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let path = path.into();
        // First: the files of a run that is being written are not an earlier result.
        let lock = Some(FolderLock::create(&path)?);
        files::check_folder(&path, &[&Self::FILES[..], &[FOLDS]].concat(), force)?;
        // The other files are allowed, but those of an earlier run must not mix with this one's.
        let names = [&Self::FILES[..], &[SKIPPED, ORIGIN, FOLDS, FOLDS_TABLE, "report.html", "tensorboard/"]].concat();
        let earlier = Some(SetAside::new(&path, &names)?);
        Ok(Self { path, earlier, _lock: lock })
    }

    /// Whether an earlier run is set aside and would be restored.
    pub fn has_earlier(&self) -> bool {
        self.earlier.as_ref().is_some_and(SetAside::is_pending)
    }

    /// Removes the earlier run, once this one has completed an epoch.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be removed.
    pub fn discard_earlier(&self) -> Result<()> {
        self.earlier.as_ref().map_or(Ok(()), SetAside::discard)
    }

    /// The folder of a run that another process may write, without accessing it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), earlier: None, _lock: None }
    }

    /// Opens and locks the folder of a run that resumes, or starts if the folder is empty.
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) when another process writes a run there;
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be created or written to.
    pub fn reopen(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let lock = Some(FolderLock::create(&path)?);
        files::check_folder(&path, &[], false)?;
        Ok(Self { path, earlier: None, _lock: lock })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the model file.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// Path of the checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// Removes the checkpoint: the largest file of a run, which is useless once it is finished.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be removed.
    pub fn remove_checkpoint(&self) -> Result<()> {
        remove(&self.checkpoint())
    }

    /// Removes the description files of a run that failed before producing results, so that its folder can be removed; a
    /// folder with any other files is left unchanged.
    pub fn remove_if_unused(&self) {
        let descriptions = [self.origin(), self.skipped()];
        let Ok(mut entries) = std::fs::read_dir(&self.path) else { return };
        if entries.all(|entry| entry.is_ok_and(|entry| descriptions.contains(&entry.path()))) {
            // Errors are ignored: the one that ended the run is reported.
            let _ = descriptions.iter().try_for_each(|path| remove(path));
        }
    }

    /// Path of the list of unusable files.
    pub fn skipped(&self) -> PathBuf {
        self.path.join(SKIPPED)
    }

    /// Path of the history table.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.csv")
    }

    /// Path of the cross-validation results, to resume from.
    pub fn folds(&self) -> PathBuf {
        self.path.join(FOLDS)
    }

    /// Path of the cross-validation results as a table.
    pub fn folds_table(&self) -> PathBuf {
        self.path.join(FOLDS_TABLE)
    }

    /// Path of the file that describes the run's data and settings.
    pub fn origin(&self) -> PathBuf {
        self.path.join(ORIGIN)
    }

    /// Writes the model with the weights of its best epoch.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be written.
    pub fn save_best(&self, model: &Model) -> Result<()> {
        safetensors::save_model(model, self.model())
    }

    /// Writes the model with the weights of the last step.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be written.
    pub fn save_last(&self, model: &Model, last: &Network) -> Result<()> {
        let model = Model { network: last.clone(), ..model.clone() };
        safetensors::save_model(&model, self.path.join("last.safetensors"))
    }

    /// Writes the history table and the learning curves.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when one cannot be written.
    pub fn save_history(&self, history: &History) -> Result<()> {
        history.save_csv(self.history())?;
        let figure = history.curves().figure();
        figure.save_svg(self.path.join("curves.svg"))?;
        figure.image(2.0)?.save_png(self.path.join("curves.png"))
    }
}

/// Removes a file, if it exists.
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
        run.save_history(&History::default()).unwrap();
        let message = RunFolder::create(&path, true).unwrap_err().to_string();
        assert!(message.contains("another process is writing"), "{message}");
        drop(run);
        let run = RunFolder::at(&path);
        let message = RunFolder::create(&path, false).unwrap_err().to_string();
        assert!(message.contains("already exists") && message.contains("history.csv"), "{message}");
        std::fs::write(run.checkpoint(), "old").unwrap();
        RunFolder::reopen(&path).unwrap();
        assert!(run.checkpoint().exists());
        // The earlier run is set aside, and restored if the new one fails before completing an epoch.
        std::fs::write(run.origin(), "old").unwrap();
        let new = RunFolder::create(&path, true).unwrap();
        assert!(new.has_earlier() && !run.checkpoint().exists() && !run.origin().exists());
        std::fs::write(new.origin(), "new").unwrap();
        drop(new);
        let read = |path: PathBuf| std::fs::read_to_string(path).ok();
        assert_eq!([run.checkpoint(), run.origin()].map(read), [Some("old".to_owned()), Some("old".to_owned())]);
        let new = RunFolder::create(&path, true).unwrap();
        std::fs::write(new.model(), "new").unwrap();
        new.discard_earlier().unwrap();
        assert!(!new.has_earlier());
        assert_eq!([run.model(), run.checkpoint()].map(read), [Some("new".to_owned()), None]);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let message = RunFolder::create(file.join("run"), false).unwrap_err().to_string();
        assert!(message.ends_with("/file: is a file; a folder is needed"), "{message}");
    }
}
