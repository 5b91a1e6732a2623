//! Keras 3's `.keras` files: a zip archive of the config (`config.json`), the version (`metadata.json`) and the weights
//! (`model.weights.h5`, or `model.weights.npz`).
//!
//! Nothing is unpacked to disk, and members are only accessed by these names, so no path in the archive can escape it.
//! Uncompressed weights, as Keras writes them, are read in place.

use std::io::{Cursor, Write};
use std::path::Path;

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::archive::Archive;
use super::hdf5::Hdf5;
use super::json::{self, MAX_JSON};
use super::keras::{LUCIDA, Npz, flat_paths, own, restore_own};
use super::keras_h5::{KerasH5, described};
use super::model_file::ModelFile;
use super::{Inspection, Model, keras};
use crate::nn::Network;
use crate::{Error, Result, files};

/// The members with the weights.
const H5: &str = "model.weights.h5";
const NPZ: &str = "model.weights.npz";
/// The version of Keras stored in the file.
const WRITTEN_FOR: &str = "3.15.0";

/// Reads a model: its network and weights.
///
/// Training-only settings (regularizers, constraints) are listed in [`Model::training`] under `not_imported`.
///
/// # Errors
/// [`Error::File`] when it is not such an archive, is truncated or has a wrong checksum, when a layer or an option (named
/// in the message) has no counterpart, or when a tensor is missing or has another shape. [`Error::Limit`] when it would
/// unpack to an implausible size.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    load_model_at(path, None)
}

/// As [`load_model`], with a height and width for inputs that leave these open; `None` uses a default and adds a note.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_at(path: impl AsRef<Path>, size: Option<[usize; 2]>) -> Result<Model> {
    read_model(ModelFile::on_disk(path.as_ref()), size)
}

/// As [`load_model_at`], from a file anywhere.
pub(super) fn read_model(file: ModelFile, size: Option<[usize; 2]>) -> Result<Model> {
    let mut file = KerasZip::open(file)?;
    let config = file.config()?;
    let most = file.archive.unpacked_bytes();
    let (mut model, paths) = described(file.file.path(), &config, most, size)?;
    file.add_own_metadata(&mut model)?;
    file.weights()?.fill(&mut model.network, &paths)?;
    Ok(model)
}

/// Writes a model as Keras 3 does (`.keras`), for Keras's `load_model`. Properties that Keras has no place for
/// (preprocessing, class names, training record) are stored in `metadata.json`, from which [`load_model`] restores them.
/// Needs about four times the memory of the weights.
///
/// # Errors
/// [`Error::Unsupported`] when Keras has no counterpart for a layer; [`Error::Io`] when the file cannot be written; an
/// existing file is then unchanged.
pub fn save_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let network = keras::expressible(&model.network, path)?;
    let config = keras::description(&network, path)?;
    let metadata = json!({
        "keras_version": WRITTEN_FOR,
        "date_saved": "1980-01-01@00:00:00",
        LUCIDA: own(model),
    });
    let weights = keras::weights(&network)?;
    let pack = || -> zip::result::ZipResult<Vec<u8>> {
        // Uncompressed, as in Keras: weights hardly shrink, and can be read in place. The date is fixed, so that the same
        // model gives the same bytes.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(weights.len() as u64 > u64::from(u32::MAX) / 2);
        let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(weights.len() + (1 << 20))));
        let members = [("metadata.json", metadata.to_string()), ("config.json", config.to_string())];
        for (name, text) in &members {
            archive.start_file(*name, options)?;
            archive.write_all(text.as_bytes())?;
        }
        archive.start_file(H5, options)?;
        archive.write_all(&weights)?;
        Ok(archive.finish()?.into_inner())
    };
    let bytes = pack().map_err(|problem| Error::Bug(format!("a model that cannot be packed: {problem}")))?;
    files::write_bytes(path, &bytes)
}

/// Reads weights into a network: by layer names or, if these differ, in Keras's layer order.
///
/// # Errors
/// As [`load_model`]; the network is unchanged when a tensor is missing or does not match.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    read_weights(ModelFile::on_disk(path.as_ref()), network)
}

/// As [`load_weights`], from a file anywhere.
pub(super) fn read_weights(file: ModelFile, network: &mut Network) -> Result<()> {
    KerasZip::open(file)?.weights()?.fill(network, &[])
}

/// Lists the contents of a file.
///
/// # Errors
/// [`Error::File`] when it is not a `.keras` file.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    let mut file = KerasZip::open(file)?;
    let config = file.config()?;
    let metadata = file.metadata();
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
    file: ModelFile<'a>,
    archive: Archive,
}

enum Weights {
    H5(KerasH5),
    Npz(Npz),
}

impl<'a> KerasZip<'a> {
    fn open(file: ModelFile<'a>) -> Result<Self> {
        Ok(Self { file, archive: Archive::open(file)? })
    }

    fn bad(&self, problem: impl Into<String>) -> Error {
        Error::file(self.file.path(), problem)
    }

    fn config(&mut self) -> Result<Value> {
        if !self.archive.has("config.json") {
            return Err(self.bad("is a zip archive, but not a Keras model: it has no config.json"));
        }
        let text = self.archive.read("config.json", MAX_JSON as u64)?;
        json::parse(&text).map_err(|problem| self.bad(format!("is damaged: config.json cannot be read: {problem}")))
    }

    /// The metadata of the file; null if it cannot be read.
    fn metadata(&mut self) -> Value {
        let text = self.archive.read("metadata.json", MAX_JSON as u64).unwrap_or_default();
        json::parse(&text).unwrap_or_default()
    }

    /// Restores what [`save_model`] has stored in the metadata.
    fn add_own_metadata(&mut self, model: &mut Model) -> Result<()> {
        let mut metadata = self.metadata();
        let Some(own) = metadata.get_mut(LUCIDA).map(Value::take) else { return Ok(()) };
        restore_own(model, own)
            .map_err(|problem| self.bad(format!("is damaged: metadata.json has an unusable entry {LUCIDA}: {problem}")))
    }

    fn weights(&mut self) -> Result<Weights> {
        if self.archive.has(H5) {
            let file = match self.archive.in_place(H5)? {
                Some((start, len)) => Hdf5::open_part(self.file, start, len)?,
                None => Hdf5::open_bytes(self.file.path(), self.archive.read(H5, u64::MAX)?)?,
            };
            return Ok(Weights::H5(KerasH5::new(file)?));
        }
        if self.archive.has(NPZ) {
            let bytes = self.archive.read(NPZ, u64::MAX)?;
            return Ok(Weights::Npz(Npz::new(self.file.path(), bytes)?));
        }
        Err(self.bad(format!("contains no weights: it has neither {H5} nor {NPZ}")))
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

#[cfg(test)]
mod tests;
