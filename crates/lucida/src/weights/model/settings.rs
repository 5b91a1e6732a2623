//! User-provided settings for a model whose file does not have them, in a small file next to the model: they are applied
//! when it is opened again, and the model's own file is not changed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Model, Task};
use crate::data::Preprocessing;
use crate::weights::json;
use crate::{Error, Result, files};

/// Maximum bytes of a settings file.
const MAX_BYTES: u64 = 4 << 20;

/// The contents of a settings file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// The preprocessing of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// The names of the classes, in the order of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// The task of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// The path of the settings file for a model file: for `model.keras`, it is `model.keras.lucida.json`.
pub fn settings_file(model_file: impl AsRef<Path>) -> PathBuf {
    let model_file = model_file.as_ref();
    let mut name: OsString = model_file.file_name().unwrap_or_default().to_owned();
    name.push(".lucida.json");
    model_file.with_file_name(name)
}

impl ModelSettings {
    /// Reads the settings next to a model file; `None` if there are none.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be read, [`Error::File`] when they are damaged.
    pub fn load(model_file: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = settings_file(model_file);
        if !path.is_file() {
            return Ok(None);
        }
        let failed = |source| Error::io(&path, "read", source);
        let length = path.metadata().map_err(failed)?.len();
        if length > MAX_BYTES {
            let what = format!("{}: bytes of a model's settings", path.display());
            return Err(Error::Limit { what, got: length, limit: MAX_BYTES });
        }
        let bytes = std::fs::read(&path).map_err(failed)?;
        let settings = json::parse(&bytes)
            .and_then(|value| match value.is_object() {
                true => serde_json::from_value(value).map_err(|problem| problem.to_string()),
                false => Err("it is not a JSON object".to_owned()),
            })
            .map_err(|problem| Error::file(&path, format!("is damaged: {problem}")))?;
        Ok(Some(settings))
    }

    /// Writes the settings next to a model file.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written.
    pub fn save(&self, model_file: impl AsRef<Path>) -> Result<PathBuf> {
        let path = settings_file(model_file);
        let text = serde_json::to_string_pretty(self)
            .map_err(|problem| Error::Bug(format!("settings that cannot be written as JSON: {problem}")))?;
        files::write_bytes(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Applies the settings to a model.
    ///
    /// # Errors
    /// [`Error::Argument`] when they do not fit the model.
    pub(in crate::weights) fn apply(self, model: &mut Model) -> Result<()> {
        if let Some(preprocessing) = self.preprocessing {
            let [height, width, _] = model.network.input_shape()?.as_image().unwrap_or_default();
            model.preprocessing = Some(preprocessing.with_size(height, width));
        }
        if !self.class_names.is_empty() {
            model.class_names = self.class_names;
        }
        model.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ColorMode;

    #[test]
    fn settings_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("my.keras");
        assert_eq!(ModelSettings::load(&model).unwrap(), None);
        let settings = ModelSettings {
            preprocessing: Some(Preprocessing::unit(4, 5, ColorMode::Rgb)),
            class_names: vec!["a".to_owned(), "b".to_owned()],
            task: Some(Task::Multilabel),
        };
        let path = settings.save(&model).unwrap();
        assert!(path.ends_with("my.keras.lucida.json"));
        assert_eq!(ModelSettings::load(&model).unwrap(), Some(settings));
        for damaged in ["", "[]", "{\"task\": \"guess\"}", "{\"other\": 1}"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(ModelSettings::load(&model).unwrap_err().to_string().contains("damaged"), "{damaged}");
        }
    }
}
