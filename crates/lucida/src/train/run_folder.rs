//! The folder of a run.

use std::path::{Path, PathBuf};

use crate::nn::Network;
use crate::weights::{Model, safetensors};
use crate::{Error, Result, files};

use super::History;

const CHECKPOINT: &str = "checkpoint.safetensors";
const SKIPPED: &str = "skipped.csv";

/// Where a run leaves its files: `model.safetensors` (the best epoch), `last.safetensors` (the last),
/// `checkpoint.safetensors` (to go on from), `history.csv`, `curves.svg` and `curves.png`; for pictures of a folder,
/// `skipped.csv` with the files that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The names of the files of a run.
    pub const FILES: [&str; 6] =
        ["model.safetensors", "last.safetensors", CHECKPOINT, "history.csv", "curves.svg", "curves.png"];

    /// Creates the folder of a new run, and checks that files can be written there before any long work.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there is a run already and `force` is not given; [`Error::Io`](crate::Error::Io) when the folder cannot be
    /// created or written to.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let path = path.into();
        files::claim_folder(&path, &Self::FILES, force)?;
        let run = Self { path };
        // Nobody shall go on from what another run has left.
        for old in [run.checkpoint(), run.skipped()] {
            remove(&old)?;
        }
        Ok(run)
    }

    /// The folder of a run that another process writes; nothing is looked at.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the folder of a run that goes on, or begins if nothing is there.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be created or written to.
    pub fn reopen(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        files::claim_folder(&path, &[], false)?;
        Ok(Self { path })
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
        self.path.join("run.json")
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
        RunFolder::create(&path, false).unwrap();
        run.save_history(&History::default()).unwrap();
        let message = RunFolder::create(&path, false).unwrap_err().to_string();
        assert!(message.contains("--force") && message.contains("history.csv"), "{message}");
        std::fs::write(run.checkpoint(), "old").unwrap();
        RunFolder::reopen(&path).unwrap();
        assert!(run.checkpoint().exists());
        RunFolder::create(&path, true).unwrap();
        assert!(!run.checkpoint().exists());
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
