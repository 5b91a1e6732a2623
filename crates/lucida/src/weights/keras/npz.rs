//! Weights as an archive of NumPy arrays, a variant of `.keras` files.
//!
//! Keras stores the variables of a layer in one member as a pickled dictionary. A pickle is a program; it is not executed
//! here, but only parsed for its arrays, see [`pickle`](crate::weights::pickle).

use std::path::{Path, PathBuf};

use super::arrays::{Array, arrays};
use super::assign::{Stored, assign_by_path};
use crate::files::NPY_MAGIC;
use crate::nn::Network;
use crate::weights::archive::Archive;
use crate::weights::{Inspection, TensorInfo};
use crate::{Error, Result};

/// The weights of a model.
pub(in crate::weights) struct Npz {
    path: PathBuf,
    layers: Vec<Stored>,
    arrays: Vec<Vec<Array>>,
}

impl Npz {
    /// Reads an archive that is embedded in the file `path`.
    ///
    /// # Errors
    /// [`Error::File`] when it is not an archive, or has members that Keras does not write.
    pub(in crate::weights) fn new(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let mut archive = Archive::open_bytes(path, bytes)?;
        // The limit applies to all members together, because each of very many could be within a limit of its own.
        let mut left = archive.unpacked_bytes();
        let mut npz = Self { path: path.to_path_buf(), layers: Vec::new(), arrays: Vec::new() };
        for name in archive.names() {
            let Some(layer) = name.strip_suffix(".npy") else { continue };
            // Skip the optimizer's variables and the states of random generators.
            if !layer.starts_with("layers/") || layer.ends_with("/seed_generator") {
                continue;
            }
            let member = archive.read(&name, left)?;
            left -= member.len() as u64;
            let bad = |problem: String| Error::file(path, format!("is damaged or not supported: {name}: {problem}"));
            let arrays = arrays(pickled(&member).map_err(bad)?).map_err(bad)?;
            let tensors = arrays.iter().map(|(key, array)| TensorInfo {
                name: format!("{layer}/{key}"),
                shape: array.shape.clone(),
                dtype: array.dtype.clone(),
            });
            let stored = Stored { layer: layer.to_owned(), path: layer.to_owned(), tensors: tensors.collect() };
            npz.layers.push(stored);
            npz.arrays.push(arrays.into_iter().map(|(_, array)| array).collect());
        }
        Ok(npz)
    }

    /// Reads all weights of a network, whose layers have these paths.
    pub(in crate::weights) fn fill(&self, network: &mut Network, paths: &[(usize, String)]) -> Result<()> {
        let misfit =
            |problem: String| Error::file(&self.path, format!("does not fit network {}: {problem}", network.name()));
        let places = assign_by_path(&self.layers, network, paths).map_err(misfit)?;
        for (weight, (layer, array)) in network.weights_mut().iter_mut().zip(places) {
            let Array { float, bytes, .. } = &self.arrays[layer][array];
            let float = float.ok_or_else(|| Error::Bug(format!("{} is not of floats", weight.name())))?;
            float.decode(bytes, weight.values_mut());
        }
        Ok(())
    }

    /// The contents of the archive.
    pub(in crate::weights) fn inspection(&self) -> Inspection {
        Inspection {
            format: "NumPy archive",
            tensors: self.layers.iter().flat_map(|layer| layer.tensors.clone()).collect(),
            attributes: Vec::new(),
            architecture: None,
        }
    }
}

/// The pickle in an array with one object. The header is a length and a Python dictionary as text:
/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn pickled(bytes: &[u8]) -> Result<&[u8], String> {
    let rest = bytes.strip_prefix(NPY_MAGIC).ok_or("not a NumPy array")?;
    let (header, rest) = match rest {
        [1, _, a, b, rest @ ..] => rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, rest @ ..] => rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => None,
    }
    .ok_or("its header is cut short")?;
    let header = String::from_utf8_lossy(header);
    if !header.contains("'|O'") || !header.contains("'shape': ()") {
        return Err(format!("is not the dictionary of variables that Keras writes: {:.80}", header.trim()));
    }
    Ok(rest)
}
