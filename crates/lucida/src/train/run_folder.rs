//! The folder of a run.

use std::path::{Path, PathBuf};

use crate::files::{self, SetAside};
use crate::nn::Network;
use crate::weights::{CHECKPOINT, Model, safetensors};
use crate::{Error, Result};

use super::History;

const SKIPPED: &str = "skipped.csv";
const ORIGIN: &str = "run.json";
const FOLDS: &str = "folds.json";
const FOLDS_TABLE: &str = "folds.csv";

/// Where a run leaves its files: `model.safetensors` (the best epoch), `last.safetensors` (the last),
/// `checkpoint.safetensors` (to resume from), `history.csv`, `curves.svg` and `curves.png`; for images of a folder,
/// `skipped.csv` with the files that cannot be used.
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
    /// The run that this one replaces, until this one has a complete epoch.
    earlier: Option<SetAside>,
}

impl RunFolder {
    /// The names of the files of a run.
    pub const FILES: [&str; 6] =
        ["model.safetensors", "last.safetensors", CHECKPOINT, "history.csv", "curves.svg", "curves.png"];

    /// Creates the folder of a new run, and checks that files can be written there before any long work. The files of an
    /// earlier run are set aside: they come back when this is dropped before [`discard_earlier`](Self::discard_earlier).
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there is a run already and `force` is not given;
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be created or written to.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let path = path.into();
        files::check_folder(&path, &[&Self::FILES[..], &[FOLDS]].concat(), force)?;
        // The others are allowed, but those of another run are not to be mixed with the files of this one.
        let names = [&Self::FILES[..], &[SKIPPED, ORIGIN, FOLDS, FOLDS_TABLE, "report.html", "tensorboard/"]].concat();
        let earlier = Some(SetAside::new(&path, &names)?);
        Ok(Self { path, earlier })
    }

    /// Whether this run replaces another one, which would come back.
    pub fn has_earlier(&self) -> bool {
        self.earlier.as_ref().is_some_and(SetAside::is_pending)
    }

    /// Removes the run that this one replaces: this one has a complete epoch.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be removed.
    pub fn discard_earlier(&self) -> Result<()> {
        self.earlier.as_ref().map_or(Ok(()), SetAside::discard)
    }

    /// The folder of a run that another process writes; nothing is looked at.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), earlier: None }
    }

    /// Opens the folder of a run that resumes, or begins if nothing is there.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be created or written to.
    pub fn reopen(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        files::check_folder(&path, &[], false)?;
        Ok(Self { path, earlier: None })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model file.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The file to resume from.
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

    /// The results of the folds of a cross-validation, to resume from.
    pub fn folds(&self) -> PathBuf {
        self.path.join(FOLDS)
    }

    /// The same as a table.
    pub fn folds_table(&self) -> PathBuf {
        self.path.join(FOLDS_TABLE)
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

    /// Writes the table and the curves.
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
        run.save_history(&History::default()).unwrap();
        let message = RunFolder::create(&path, false).unwrap_err().to_string();
        assert!(message.contains("already exists") && message.contains("history.csv"), "{message}");
        std::fs::write(run.checkpoint(), "old").unwrap();
        RunFolder::reopen(&path).unwrap();
        assert!(run.checkpoint().exists());
        // The old run is out of the way, and comes back when the new one fails before it has anything to keep.
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
