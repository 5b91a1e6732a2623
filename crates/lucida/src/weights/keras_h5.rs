//! Keras's HDF5 files: published weights, whole models, and the weights-only files of Keras 3.
//!
//! Legacy (Keras 1, 2 and `tf.keras`, still written by Keras 3 as `.h5`): the attribute `layer_names` lists the layers, and
//! each layer's group has an attribute `weight_names` that lists its tensors. In a whole model, these are in the group
//! `model_weights`, and the config is in the attribute `model_config`.
//!
//! Version 3 (`.weights.h5`, and inside `.keras` files): a group for each layer, named after its class and numbered, with
//! the tensors `vars/0`, `vars/1`...; the layer's own name is an attribute.
//!
//! In both, tensors are read directly into the network's weights. Optimizer state is ignored.

use std::path::Path;

use serde_json::Value;

use super::hdf5::{Hdf5, Tensor};
use super::keras::{
    IN_HEAP, LUCIDA, Places, Stored, assign, assign_by_path, describe, flat_paths, has_all_names, restore_own,
};
use super::model::DEFAULT_SIZE;
use super::model_file::ModelFile;
use super::{Inspection, Model, TensorInfo, json, keras};
use crate::nn::Network;
use crate::{Error, Result, files};

/// Reads a whole model: its network and weights.
///
/// Training-only settings (regularizers, constraints) are listed in [`Model::training`] under `not_imported`.
///
/// # Errors
/// [`Error::File`] when it is not an HDF5 file or is truncated, when it has no config, when a layer or an option (named in
/// the message) has no counterpart, or when a tensor is missing or has another shape.
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
pub(super) fn read_model(source: ModelFile, size: Option<[usize; 2]>) -> Result<Model> {
    let path = source.path();
    let file = KerasH5::new(Hdf5::open(source)?)?;
    let Some(config) = &file.config else {
        return Err(Error::file(
            path,
            "contains weights but no description of a network: build the network it belongs to and load the weights into it",
        ));
    };
    let (mut model, paths) = described(path, config, file.file.len(), size)?;
    if let Some(own) = &file.own {
        let own = json::parse(own.as_bytes());
        own.and_then(|own| restore_own(&mut model, own)).map_err(|problem| {
            Error::file(path, format!("is damaged: it has an unusable attribute {LUCIDA}: {problem}"))
        })?;
    }
    file.fill(&mut model.network, &paths)?;
    Ok(model)
}

/// Reads weights into a network: by layer names or, if these differ, in Keras's layer order.
///
/// # Errors
/// [`Error::File`] when they do not match; the network is then unchanged.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    read_weights(ModelFile::on_disk(path.as_ref()), network)
}

/// As [`load_weights`], from a file anywhere.
pub(super) fn read_weights(file: ModelFile, network: &mut Network) -> Result<()> {
    KerasH5::new(Hdf5::open(file)?)?.fill(network, &[])
}

/// Lists the contents of a file.
///
/// # Errors
/// [`Error::File`] when it is not an HDF5 file written by Keras.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    Ok(KerasH5::new(Hdf5::open(file)?)?.inspection())
}

/// Writes the weights of a network as Keras 3 does (`.weights.h5`), for Keras's `load_weights` of a model with the same
/// layers. Needs about three times the memory of the weights.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written; an existing file is then unchanged.
pub fn save_weights(network: &Network, path: impl AsRef<Path>) -> Result<()> {
    files::write_bytes(path, &keras::weights(network)?)
}

/// Writes a whole model in Keras's legacy format (`.h5`), for Keras's `load_model`. Properties that Keras has no place for
/// are stored in an attribute, which [`load_model`] restores. Needs about three times the memory of the weights.
///
/// # Errors
/// [`Error::Unsupported`] when Keras has no counterpart for a layer; [`Error::Io`] when the file cannot be written; an
/// existing file is then unchanged.
pub fn save_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    files::write_bytes(path, &keras::legacy(model, path)?)
}

/// The model of a config, with zero weights, and the paths of its layers' groups in version 3 of the format. `bytes` is the
/// length of the file.
pub(super) fn described(
    path: &Path,
    config: &Value,
    bytes: u64,
    size: Option<[usize; 2]>,
) -> Result<(Model, Vec<(usize, String)>)> {
    // Some margin, because tensors may be compressed.
    let most = bytes.saturating_mul(16);
    let found = describe(config, most, size.unwrap_or(DEFAULT_SIZE)).map_err(|problem| match problem {
        Error::Unsupported(what) => Error::Unsupported(format!("{}: {what}", path.display())),
        problem => Error::file(path, format!("cannot be imported: {problem}")),
    })?;
    let mut model = Model::new(found.network);
    if !found.notes.is_empty() {
        model.training = serde_json::json!({ "not_imported": found.notes });
    }
    if found.any_size && size.is_none() {
        model.note_default_size();
    }
    Ok((model, found.paths))
}

/// An open file of any version.
pub(super) struct KerasH5 {
    file: Hdf5,
    format: &'static str,
    config: Option<Value>,
    /// The additional properties of Lucida's models.
    own: Option<String>,
    attributes: Vec<(String, String)>,
    layers: Vec<Stored>,
    /// The tensors of each layer.
    tensors: Vec<Vec<Tensor>>,
    /// Whether the layers have their own names, not only paths.
    named: bool,
}

impl KerasH5 {
    /// Reads the structure.
    pub(super) fn new(file: Hdf5) -> Result<Self> {
        let root = file.attributes("")?;
        let text = |name: &str| root.iter().find(|(key, _)| key == name).and_then(|(_, values)| values.first());
        let config = match text("model_config") {
            Some(text) => Some(json::parse(text.as_bytes()).map_err(|problem| {
                file.bad(format_args!("is a damaged Keras model: model_config cannot be read: {problem}"))
            })?),
            None => None,
        };
        let own = text(LUCIDA).cloned();
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (name, values) in &root {
            // A long text is stored twice, the second time as a list.
            let known = ["model_config", LUCIDA].contains(&name.strip_suffix(IN_HEAP).unwrap_or(name));
            if let ([value], false) = (values.as_slice(), known) {
                attributes.push((name.clone(), value.clone()));
            }
        }
        let mut opened =
            Self { file, format: "", config, own, attributes, layers: Vec::new(), tensors: Vec::new(), named: true };
        if Hdf5::list(&root, "layer_names").is_some() {
            opened.format = "Keras weights (HDF5)";
            opened.read_legacy("", &root)?;
        } else if opened.file.has_group("model_weights")? {
            opened.format = "Keras model (HDF5)";
            let weights = opened.file.attributes("model_weights")?;
            opened.read_legacy("model_weights", &weights)?;
        } else if opened.file.has_group("layers")? || opened.file.has_group("_layer_checkpoint_dependencies")? {
            opened.format = "Keras 3 weights (HDF5)";
            opened.read_v3()?;
        } else if opened.file.has_group("vars")? {
            return Err(opened.file.bad(
                "holds the weights of a subclassed Keras model, under the names of its attributes: what happens between its \
                 layers is in the Python of its call(); export the model with \
                 model.export(\"model.onnx\", format=\"onnx\")",
            ));
        } else {
            return Err(opened.file.bad(
                "is an HDF5 file, but not one of Keras: it has neither layer_names, nor model_weights, nor layers",
            ));
        }
        Ok(opened)
    }

    fn read_legacy(&mut self, start: &str, attributes: &[(String, Vec<String>)]) -> Result<()> {
        let names = Hdf5::list(attributes, "layer_names");
        let names = names.ok_or_else(|| self.file.bad(format_args!("group {start:?} does not list its layers")))?;
        for name in names {
            let group = if start.is_empty() { name.clone() } else { format!("{start}/{name}") };
            let attributes = self.file.attributes(&group)?;
            let weights = Hdf5::list(&attributes, "weight_names");
            let weights = weights.ok_or_else(|| {
                self.file.bad(format_args!("layer {name:?} does not list its weights (weight_names)"))
            })?;
            let tensors = self.file.listed_tensors(&group, &weights)?;
            self.add_legacy_layer(&name, &weights, tensors);
        }
        Ok(())
    }

    /// Adds the tensors of a group: those of one layer or, if the tensor names contain several layer names, of a nested
    /// model.
    fn add_legacy_layer(&mut self, group: &str, names: &[String], tensors: Vec<Tensor>) {
        let inner: Vec<&str> = names.iter().map(|name| inner_layer(name).unwrap_or(group)).collect();
        let several = inner.iter().any(|name| *name != inner[0]);
        let first = self.layers.len();
        for (tensor, inner) in tensors.into_iter().zip(inner) {
            let layer = if several { inner } else { group };
            let known = self.layers[first..].iter().position(|stored| stored.layer == layer);
            let index = known.map_or(self.layers.len(), |known| first + known);
            if index == self.layers.len() {
                self.add_layer(layer.to_owned(), String::new());
            }
            self.add_tensor(index, tensor);
        }
    }

    fn add_layer(&mut self, layer: String, path: String) {
        self.layers.push(Stored { layer, path, tensors: Vec::new() });
        self.tensors.push(Vec::new());
    }

    fn add_tensor(&mut self, layer: usize, tensor: Tensor) {
        // Keras's Normalization counts the images that it was adapted to.
        if tensor.shape.is_empty() && tensor.dtype.contains("int") {
            return;
        }
        let (name, shape, dtype) = (tensor.name.clone(), tensor.shape.clone(), tensor.dtype.clone());
        self.layers[layer].tensors.push(TensorInfo { name, shape, dtype });
        self.tensors[layer].push(tensor);
    }

    fn read_v3(&mut self) -> Result<()> {
        // Prereleases of Keras 3, and TensorFlow 2.13, used another name.
        let start = if self.file.has_group("layers")? { "layers" } else { "_layer_checkpoint_dependencies" };
        for node in self.file.walk(start)? {
            let Some(path) = node.path.strip_suffix("/vars") else {
                return Err(self.file.bad(format_args!("has tensors in group {:?}, where Keras has none", node.path)));
            };
            // The state of a layer's random generator.
            if path.ends_with("/seed_generator") {
                continue;
            }
            let attributes = self.file.attributes(&node.path)?;
            let name = attributes.iter().find(|(key, _)| key == "name").and_then(|(_, values)| values.first());
            self.named &= name.is_some();
            let path = path.replacen(start, "layers", 1);
            let layer = name.cloned().unwrap_or_else(|| path.clone());
            let index = self.layers.len();
            self.add_layer(layer, path);
            // Sort by number: in name order, `10` would come before `9`.
            let mut tensors = node.tensors;
            tensors.sort_by_key(|tensor| {
                tensor.name.rsplit('/').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(u64::MAX)
            });
            tensors.into_iter().for_each(|tensor| self.add_tensor(index, tensor));
        }
        Ok(())
    }

    /// Reads all weights of a network. `paths` are the layer paths from its config, if there is one.
    pub(super) fn fill(&self, network: &mut Network, paths: &[(usize, String)]) -> Result<()> {
        let misfit =
            |problem: String| self.file.bad(format_args!("does not fit network {}: {problem}", network.name()));
        let places = self.places(network, paths).map_err(misfit)?;
        for (weight, (layer, tensor)) in network.weights_mut().iter_mut().zip(places) {
            self.file.read(&self.tensors[layer][tensor], weight.values_mut())?;
        }
        Ok(())
    }

    fn places(&self, network: &Network, paths: &[(usize, String)]) -> Result<Places, String> {
        if self.format != "Keras 3 weights (HDF5)" {
            return assign(&self.layers, network);
        }
        if !paths.is_empty() {
            return assign_by_path(&self.layers, network, paths);
        }
        if self.named && has_all_names(&self.layers, network) {
            return assign(&self.layers, network);
        }
        assign_by_path(&self.layers, network, &flat_paths(network))
    }

    /// The contents of the file.
    pub(super) fn inspection(&self) -> Inspection {
        Inspection {
            format: self.format,
            tensors: self.layers.iter().flat_map(|layer| layer.tensors.clone()).collect(),
            attributes: self.attributes.clone(),
            architecture: self.config.clone(),
        }
    }
}

/// The layer in a weight's name: `conv2d` in `model/conv2d/kernel:0`.
fn inner_layer(name: &str) -> Option<&str> {
    name.trim_start_matches('/').rsplit('/').nth(1)
}

#[cfg(test)]
mod tests;
