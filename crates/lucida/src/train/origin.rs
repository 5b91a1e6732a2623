//! Data and settings of a run, for its report.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::{Folder, FolderBuilder, LabelSource};
use crate::{Error, Result, files};

/// Data and settings of a run, stored as `run.json` in its folder.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Image folder; `mnist` for the built-in digits, `mnist:DIR` for MNIST files in a folder.
    pub data: PathBuf,
    /// Source of labels and groups, if other than subfolders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSource>,
    /// MD5 digest of the label table, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_digest: Option<String>,
    /// Validation fold of a cross-validation, from 1, and number of folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<[usize; 2]>,
    /// Share of the images used for validation if the folder has no validation part.
    pub validation_split: f64,
    /// Random seed of the run.
    pub seed: u64,
    /// Augmentation, as text.
    #[serde(default)]
    pub augment: Option<String>,
    /// Network: a name, or the file of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Height and width of the network's input in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Last layer kept of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Layers added on top of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// First trained layer of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfreeze: Option<String>,
    /// Number of training images, and of validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<[usize; 2]>,
    /// Time to compute the features of a frozen base, in seconds; 0 if all were cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_seconds: Option<f64>,
    /// The command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Origin {
    /// Opens the images as the run did, with the same labels and split.
    pub fn folder(&self) -> FolderBuilder<'static> {
        let labels = self.labels.clone().unwrap_or_default();
        Folder::builder(&self.data).labels(&labels).fold(self.fold).split(self.validation_split, self.seed)
    }

    /// Checks that the label table has not changed since the run.
    ///
    /// # Errors
    /// [`Error::File`] when it has changed, [`Error::Io`] when it cannot be read.
    pub fn check_table(&self) -> Result<()> {
        let Some((table, digest)) =
            self.labels.as_ref().and_then(|labels| labels.table.as_ref()).zip(self.table_digest.as_ref())
        else {
            return Ok(());
        };
        let now = LabelSource::digest_of(table)?;
        if now == *digest {
            return Ok(());
        }
        Err(Error::file(table, "has changed since the run was trained with it"))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self)
            .map_err(|problem| Error::Bug(format!("an origin that cannot be written as JSON: {problem}")))?;
        files::write_bytes(path, format!("{text}\n").as_bytes())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when it is invalid.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = files::read_limited(path, 1 << 20)?;
        serde_json::from_slice(&bytes)
            .map_err(|problem| Error::file(path, format!("does not describe a run: {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let origin = Origin {
            data: "/a b/é".into(),
            validation_split: 0.2,
            seed: 7,
            augment: Some("flip".to_owned()),
            ..Origin::default()
        };
        let more = Origin {
            model: Some("vgg16".to_owned()),
            size: Some([150, 200]),
            feature_seconds: Some(16.25),
            command: Some("lucida train 'a b'".to_owned()),
            ..origin.clone()
        };
        for origin in [&more, &origin] {
            origin.save(&path).unwrap();
            assert_eq!(Origin::load(&path).unwrap(), *origin);
        }
        // A file from before the other fields were added.
        std::fs::write(&path, r#"{"data": "/a b/é", "validation_split": 0.2, "seed": 7, "augment": "flip"}"#).unwrap();
        assert_eq!(Origin::load(&path).unwrap(), origin);
        std::fs::write(&path, "{}").unwrap();
        assert!(Origin::load(&path).unwrap_err().to_string().contains("does not describe a run"));
    }
}
