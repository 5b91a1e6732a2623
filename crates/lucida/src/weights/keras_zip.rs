//! Keras 3's `.keras` files: a zip archive of the description (`config.json`), the version (`metadata.json`) and the
//! weights (`model.weights.h5`, or `model.weights.npz`).
//!
//! Nothing is unpacked to the disk, and members are found by these names alone, so no path in the archive can lead out
//! of it. Weights that are not compressed, as Keras leaves them, are read in place.

use std::fs::File;
use std::path::Path;

use serde_json::Value;

use super::archive::Archive;
use super::hdf5::Hdf5;
use super::keras::{Npz, flat_paths};
use super::keras_h5::{KerasH5, describe_in, noted};
use super::{Inspection, Model};
use crate::nn::Network;
use crate::{Error, Result};

/// Bytes of the description. That of InceptionV3 has 300,000.
const MAX_CONFIG: u64 = 64 << 20;

/// Reads a model: its network and its weights.
///
/// What the description says about training alone (regularisers, constraints) is listed in [`Model::training`] under
/// `not_imported`.
///
/// # Errors
/// [`Error::File`] says what is wrong: not such an archive, cut short, a checksum that is not right, a layer or an option
/// of it that Lucida has no counterpart for (named), a tensor missing or of another shape. [`Error::Limit`] when it
/// would unpack to more than it can honestly hold.
pub fn load_model(path: &Path) -> Result<Model> {
    let mut file = KerasZip::open(path)?;
    let config = file.config()?;
    let most = file.archive.unpacked_bytes();
    let described = describe_in(path, &config, most)?;
    let mut model = noted(described.network, described.notes);
    file.weights()?.fill(&mut model.network, &described.paths)?;
    Ok(model)
}

/// Reads the weights into a network: by the names of the layers, else, when these differ, in Keras's order of the layers.
///
/// # Errors
/// As [`load_model`]; the network is unchanged when a tensor is missing or does not fit.
pub fn load_weights(path: &Path, network: &mut Network) -> Result<()> {
    KerasZip::open(path)?.weights()?.fill(network, &[])
}

/// Says what is in a file.
///
/// # Errors
/// [`Error::File`] when it is not a `.keras` file.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let mut file = KerasZip::open(path)?;
    let config = file.config()?;
    let metadata: Value = file
        .archive
        .read("metadata.json", MAX_CONFIG)
        .ok()
        .and_then(|b| serde_json::from_slice(&b).ok())
        .unwrap_or_default();
    let inspection = match file.weights()? {
        Weights::H5(weights) => weights.inspection(),
        Weights::Npz(weights) => weights.inspection(),
    };
    let attributes = metadata.as_object().into_iter().flatten();
    let attributes = attributes.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Ok(Inspection {
        format: "Keras model (zip)",
        attributes: attributes.collect(),
        architecture: Some(config),
        ..inspection
    })
}

struct KerasZip<'a> {
    path: &'a Path,
    archive: Archive,
}

enum Weights {
    H5(KerasH5),
    Npz(Npz),
}

impl<'a> KerasZip<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        Ok(Self { path, archive: Archive::open(path)? })
    }

    fn config(&mut self) -> Result<Value> {
        if !self.archive.has("config.json") {
            return Err(Error::file(self.path, "is a zip archive, but not a Keras model: it has no config.json"));
        }
        let text = self.archive.read("config.json", MAX_CONFIG)?;
        serde_json::from_slice(&text)
            .map_err(|problem| Error::file(self.path, format!("is damaged: config.json cannot be read: {problem}")))
    }

    fn weights(&mut self) -> Result<Weights> {
        const H5: &str = "model.weights.h5";
        const NPZ: &str = "model.weights.npz";
        if self.archive.has(H5) {
            let file = match self.archive.in_place(H5)? {
                Some((start, len)) => {
                    let file = File::open(self.path).map_err(|source| Error::io(self.path, "read", source))?;
                    Hdf5::open_part(self.path, file, start, len)?
                }
                None => Hdf5::open_bytes(self.path, self.archive.read(H5, u64::MAX)?)?,
            };
            return Ok(Weights::H5(KerasH5::new(file)?));
        }
        if self.archive.has(NPZ) {
            let bytes = self.archive.read(NPZ, u64::MAX)?;
            return Ok(Weights::Npz(Npz::new(self.path, bytes)?));
        }
        Err(Error::file(self.path, format!("holds no weights: it has neither {H5} nor {NPZ}")))
    }
}

impl Weights {
    fn fill(&self, network: &mut Network, paths: &[(usize, String)]) -> Result<()> {
        match self {
            Self::H5(weights) => weights.fill(network, paths),
            Self::Npz(weights) if paths.is_empty() => weights.fill(network, &flat_paths(network)),
            Self::Npz(weights) => weights.fill(network, paths),
        }
    }
}
