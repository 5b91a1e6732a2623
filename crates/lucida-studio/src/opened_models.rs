//! Models opened from files that a client sends: checked, and stored until they are removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lucida::nn::counted;
use lucida::weights::{MODEL_EXTENSIONS, ModelSpec, open};
use lucida::{Error, files};

use crate::identifiers::{is_identifier, of_content};
use crate::problem::{Problem, Result};

/// Prefix of their identifiers.
const PREFIX: &str = "open";
/// Maximum number of opened models, and maximum length of a file's name in characters.
const COUNT: usize = 32;
const NAME: usize = 100;
/// File with the name of the model's file among those that it was sent with, and the folder of these.
const MAIN: &str = "main";
const FILES: &str = "files";

/// A stored model.
#[derive(Debug)]
pub(crate) struct OpenedModel {
    pub(crate) id: String,
    pub(crate) file: PathBuf,
}

/// The folder of opened models.
#[derive(Debug, Default)]
pub(crate) struct OpenedModels {
    folder: PathBuf,
    /// Serializes opening files.
    adding: Mutex<()>,
}

impl OpenedModels {
    /// Opens the models of a folder, which is created once there is something to store.
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self { folder, adding: Mutex::default() }
    }

    pub(crate) fn list(&self) -> Vec<OpenedModel> {
        let of = |entry: fs::DirEntry| self.get(entry.file_name().to_str()?);
        fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(of).collect()
    }

    fn get(&self, id: &str) -> Option<OpenedModel> {
        let folder = Some(self.folder.join(id)).filter(|_| is_identifier(PREFIX, id))?;
        let main = files::read_limited(folder.join(MAIN), 4 * NAME as u64).ok()?;
        let file = folder.join(FILES).join(String::from_utf8(main).ok()?);
        Some(OpenedModel { id: id.to_owned(), file })
    }

    /// Stores files, one of which is a model that may refer to the others by their names.
    pub(crate) fn add(&self, sent: &[(String, impl AsRef<[u8]>)]) -> Result<OpenedModel> {
        let parts = sent.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_ref()]);
        let id = of_content(PREFIX, &parts.collect::<Vec<_>>());
        let _one = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.get(&id) {
            return Ok(known);
        }
        let opened = self.list().len();
        if opened >= COUNT {
            return Err(Problem::invalid(format!(
                "{} are already open: remove one that is not needed",
                counted(opened, "model")
            )));
        }
        // Complete in another folder first, which a killed studio may leave behind.
        let folder = self.folder.join(format!("opening-{id}"));
        let stored = self.store(sent, &folder).and_then(|()| {
            let target = self.folder.join(&id);
            fs::rename(&folder, &target).map_err(|error| Error::io(&target, "create", error).into())
        });
        if stored.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        stored?;
        self.get(&id).ok_or_else(|| Error::Bug("a stored model is missing".into()).into())
    }

    fn store(&self, sent: &[(String, impl AsRef<[u8]>)], folder: &Path) -> Result<()> {
        let place = folder.join(FILES);
        files::create_folder(&place)?;
        let names: Vec<String> = sent.iter().map(|(name, _)| plain(name)).collect();
        for (name, (_, bytes)) in names.iter().zip(sent) {
            files::write_bytes(place.join(name), bytes.as_ref())?;
        }
        let main = main_of(&place, &names)?;
        Ok(files::write_bytes(folder.join(MAIN), main.as_bytes())?)
    }

    /// Removes an opened model.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        if self.get(id).is_none() {
            return Err(Problem::not_found("there is no such model among the opened ones"));
        }
        let folder = self.folder.join(id);
        Ok(fs::remove_dir_all(&folder).map_err(|error| Error::io(&folder, "remove", error))?)
    }
}

/// Finds the file that is a model: the first one of a known format that can be opened, or else the error of the first.
fn main_of<'a>(place: &Path, names: &'a [String]) -> Result<&'a str> {
    let known = |name: &&String| {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        MODEL_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    };
    let mut problem = None;
    for name in names.iter().filter(known) {
        let path = place.join(name);
        match open(&ModelSpec::new(path.to_string_lossy())) {
            Ok(_) => return Ok(name),
            Err(error) => {
                let error = Problem::from(error).renamed(&path.display().to_string(), name);
                problem.get_or_insert(error);
            }
        }
    }
    let extensions = MODEL_EXTENSIONS.map(|extension| format!(".{extension}")).join(", ");
    let sent = names.first().map_or("the upload", |name| name);
    Err(problem.unwrap_or_else(|| Problem::invalid(format!("{sent}: is not a model file ({extensions})"))))
}

/// Turns a client's file name into a plain one. Ordinary names stay as they are, because files refer to each other by them.
fn plain(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let allowed = |c: char| if c.is_alphanumeric() || "-_. ()+,=@".contains(c) { c } else { '_' };
    let text: String = base.chars().skip_while(|&c| c == '.').take(NAME).map(allowed).collect();
    if text.is_empty() { "model".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::nn::applications;
    use lucida::weights::{Model, save_model};

    #[test]
    fn models_are_stored_found_again_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let models = OpenedModels::of(folder.path().join("models"));
        assert!(models.list().is_empty());
        let file = folder.path().join("digits.onnx");
        save_model(&Model::new(applications::mnist_cnn(1).unwrap()), &file).unwrap();
        let bytes = fs::read(&file).unwrap();
        let notes = ("notes.txt".to_owned(), b"mine".to_vec());
        let one = models.add(&[notes.clone(), ("../di/gits.onnx".to_owned(), bytes.clone())]).unwrap();
        assert!(one.file.ends_with("files/gits.onnx"), "{one:?}");
        let again = OpenedModels::of(folder.path().join("models"));
        assert_eq!(again.list().len(), 1);
        // What cannot be opened leaves nothing behind, and its error does not name the folder.
        for sent in [vec![notes.clone()], vec![("digits.onnx".to_owned(), bytes[..900].to_vec())]] {
            let problem = models.add(&sent).unwrap_err();
            assert!(problem.message().starts_with(&sent[0].0), "{problem:?}");
        }
        assert_eq!(fs::read_dir(folder.path().join("models")).unwrap().count(), 1);
        assert!(models.remove("open-../../x").is_err());
        models.remove(&one.id).unwrap();
        assert!(models.remove(&one.id).is_err() && models.list().is_empty());
    }
}
