//! What a run was trained on: for its report.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, files};

/// Where the data of a run are and how they were taken, as `run.json` in its folder has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The folder of pictures.
    pub data: PathBuf,
    /// The share that validates where the folder has no part for it.
    pub validation_split: f64,
    /// The seed of the run.
    pub seed: u64,
    /// How pictures were augmented, as a text.
    #[serde(default)]
    pub augment: Option<String>,
}

impl Origin {
    /// Writes the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|problem| Error::Bug(format!("an origin that cannot be written as JSON: {problem}")))?;
        files::write_bytes(path, format!("{text}\n").as_bytes())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when it is not what it should be.
    pub fn load(path: &Path) -> Result<Self> {
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
        let origin =
            Origin { data: "/a b/é".into(), validation_split: 0.2, seed: 7, augment: Some("flip".to_owned()) };
        origin.save(&path).unwrap();
        assert_eq!(Origin::load(&path).unwrap(), origin);
        std::fs::write(&path, "{}").unwrap();
        assert!(Origin::load(&path).unwrap_err().to_string().contains("does not describe a run"));
    }
}
