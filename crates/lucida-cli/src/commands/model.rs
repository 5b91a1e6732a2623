//! The argument MODEL: a known network by name, a model file, or the folder of a run.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use lucida::nn::Network;
use lucida::nn::zoo::{self, Options};
use lucida::train::RunFolder;
use lucida::weights::{Model, load_model};

/// A network whose weights do not matter.
pub(super) fn network(argument: &str) -> Result<Network> {
    match find(argument) {
        Some(path) => Ok(load_model(&path)?.network),
        None => match zoo::find(argument) {
            Ok(known) => Ok(known.build(&Options::default())?),
            Err(unknown) => Err(anyhow!("there is no such file, and {unknown}").context(argument.to_owned())),
        },
    }
}

/// A model with its weights.
pub(super) fn model(argument: &str) -> Result<Model> {
    match find(argument) {
        Some(path) => Ok(load_model(&path)?),
        None if zoo::find(argument).is_ok() => bail!(
            "{argument}: this is the name of a network without weights; give the file or the run folder of a trained \
             one, as `lucida train` writes it"
        ),
        None => bail!("{argument}: there is no such model file or run folder"),
    }
}

/// The model file that an argument means, if there is one. In the folder of a run, it is that of the best epoch.
fn find(argument: &str) -> Option<PathBuf> {
    let path = Path::new(argument);
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let in_run = path.join(RunFolder::FILES[0]);
            // A folder that happens to have the name of a network is not in its way.
            if in_run.exists() { Some(in_run) } else { zoo::find(argument).is_err().then(|| path.to_path_buf()) }
        }
        Ok(_) => Some(path.to_path_buf()),
        // What cannot be looked at is left to the reader, whose error says why.
        Err(error) if error.kind() != ErrorKind::NotFound => Some(path.to_path_buf()),
        Err(_) => None,
    }
}
