//! What a run was trained on: for its report.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::{Folder, FolderBuilder, LabelSource};
use crate::{Error, Result, files};

/// Where the data of a run are and how they were taken, as `run.json` in its folder has it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The folder of images; `mnist` for the built-in digits, `mnist:DIR` for those of a folder.
    pub data: PathBuf,
    /// Where the labels and the groups are from, if not from sub-folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSource>,
    /// The MD5 digest of the table of labels, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_digest: Option<String>,
    /// The fold of a cross-validation that this run validates with, from 1, and the number of folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<[usize; 2]>,
    /// The share that validates where the folder has no part for it.
    pub validation_split: f64,
    /// The seed of the run.
    pub seed: u64,
    /// How images were augmented, as a text.
    #[serde(default)]
    pub augment: Option<String>,
    /// The network: a name, or the file of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Height and width of the network's input in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// The last layer that was kept of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// The layers on a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The first layer of a base that was trained too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfreeze: Option<String>,
    /// How many images were trained on, and how many validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<[usize; 2]>,
    /// How long it took to compute the features of a frozen base, in seconds; 0 when all were in the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_seconds: Option<f64>,
    /// The command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Origin {
    /// Opens the images as the run did: with its labels, and split as it split them.
    pub fn folder(&self) -> FolderBuilder<'static> {
        let labels = self.labels.clone().unwrap_or_default();
        Folder::builder(&self.data).labels(&labels).fold(self.fold).split(self.validation_split, self.seed)
    }

    /// Checks that the table of labels is still the one that the run was trained with.
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
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when it is not what it should be.
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
        // As runs had it before the other entries were written.
        std::fs::write(&path, r#"{"data": "/a b/é", "validation_split": 0.2, "seed": 7, "augment": "flip"}"#).unwrap();
        assert_eq!(Origin::load(&path).unwrap(), origin);
        std::fs::write(&path, "{}").unwrap();
        assert!(Origin::load(&path).unwrap_err().to_string().contains("does not describe a run"));
    }
}
