//! The argument MODEL: a known network by name, a model file, or the folder of a run.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use lucida::nn::{Network, zoo};
use lucida::train::RunFolder;
use lucida::weights::{Model, safetensors};

/// A network whose weights do not matter.
pub(super) fn network(argument: &str) -> Result<Network> {
    match (find(argument), zoo::by_name(argument)) {
        (Some(path), _) => Ok(safetensors::load_model(&path)?.network),
        (None, Some(network)) => Ok(network?),
        (None, None) => bail!(
            "{argument}: there is no such file, and no network of this name (known networks: {})",
            zoo::NAMES.join(", ")
        ),
    }
}

/// A model with its weights.
pub(super) fn model(argument: &str) -> Result<Model> {
    match find(argument) {
        Some(path) => Ok(safetensors::load_model(&path)?),
        None if zoo::NAMES.contains(&argument) => bail!(
            "{argument}: this is the name of a network without weights; give the file or the run folder of a trained \
             one, as `lucida train` writes it"
        ),
        None => bail!("{argument}: there is no such file"),
    }
}

/// The model file that an argument means, if there is one. In the folder of a run, it is that of the best epoch.
fn find(argument: &str) -> Option<PathBuf> {
    let path = Path::new(argument);
    let in_run = path.join(RunFolder::FILES[0]);
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() && in_run.exists() => Some(in_run),
        Ok(metadata) if metadata.is_dir() && zoo::NAMES.contains(&argument) => None,
        Ok(_) => Some(path.to_path_buf()),
        // What cannot be looked at is left to the reader, whose error says why.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Some(path.to_path_buf()),
        Err(_) => None,
    }
}
