//! ONNX: networks as graphs of operators, as written by PyTorch (`torch.onnx.export`), TensorFlow (tf2onnx) and many
//! others.
//!
//! # Reading
//! [`load_model`] converts the operators of a convolutional network to layers. PyTorch's graphs have images as (batch,
//! channels, height, width), tf2onnx's transpose them from (batch, height, width, channels) and back; the resulting network
//! is always channels-last, like all networks here, and the weights of a dense layer after a flattened image are reordered
//! accordingly. An input image is therefore (height, width, channels), whatever the axis order of the graph. Several nodes
//! that correspond to one layer in Keras become one: an activation is merged into the previous convolution or dense layer,
//! a matrix product and a sum become a dense layer with a bias. A scale or offset per channel becomes a frozen batch
//! normalization. An unsupported operator is an error that names it, its node and the supported operators.
//!
//! # Writing
//! [`save_model`] writes any network (operator set version 17) as a graph with the same inputs and outputs, with images as
//! (batch, height, width, channels), named after the input and output layers, for any batch size. The metadata entry
//! `lucida` has the same content as in Lucida's safetensors files: architecture, preprocessing, class names. [`load_model`]
//! uses it if the graph is unchanged, and the model is then bitwise equal; if another program has changed the graph, the
//! graph takes precedence.

pub(super) mod export;
mod file;
mod import;
mod metadata;
mod own;
pub(super) mod proto;
mod scan;
mod tensor;
mod write;

pub(super) use import::{Fault, ImportResult, unsupported};
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::description::{self, KEY};
use super::model_file::ModelFile;
use super::{Inspection, Model, TensorInfo};
use crate::nn::Network;
use crate::{Error, Result};
use file::OnnxFile;
use proto::GraphProto;
use tensor::Constant;
pub(super) use tensor::{read_tensor, short};

/// Writes a model.
///
/// # Errors
/// [`Error::Unsupported`] when a layer's output is neither flat nor an image; [`Error::Limit`] when the file would be
/// larger than the 2 GiB that the format allows; [`Error::Io`] when it cannot be written; an existing file is then
/// unchanged.
pub fn save_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    write::write(model, path.as_ref(), false)
}

/// As [`save_model`], with a graph that accepts images of any height and width.
///
/// # Errors
/// As [`save_model`]; [`Error::Unsupported`] when something in the graph depends on the size.
pub fn save_model_any_size(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    write::write(model, path.as_ref(), true)
}

/// Reads a model. Preprocessing and class names that the file does not have are left unset. A graph that accepts images of
/// any size gets a default size, which is noted.
///
/// # Errors
/// [`Error::File`] when it is not an ONNX model, is truncated, or has contradictory tensors and shapes.
/// [`Error::Unsupported`] names the operator and the node that have no layer here. [`Error::Limit`] when it declares more
/// than fits into memory.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    load_model_at(path, None)
}

/// As [`load_model`], with a height and width for graphs that leave these open.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_at(path: impl AsRef<Path>, size: Option<[usize; 2]>) -> Result<Model> {
    read_model(ModelFile::on_disk(path.as_ref()), size)
}

/// As [`load_model_at`], from a file anywhere.
pub(super) fn read_model(file: ModelFile, size: Option<[usize; 2]>) -> Result<Model> {
    let path = file.path();
    let mut file = OnnxFile::open(file)?;
    let constants = file.take_initializers()?;
    let entry = match file.metadata(KEY) {
        Some(text) => Some(description::from_text(text).map_err(|problem| {
            Error::file(path, format!("is damaged: its metadata have an unusable entry {KEY}: {problem}"))
        })?),
        None => None,
    };
    let entry = match entry {
        Some(mut model) if own::matches(&file.graph, &model.network) => {
            own::fill(&mut model.network, &constants).map_err(|problem| {
                Error::file(path, format!("is damaged: its weights do not fit its architecture: {problem}"))
            })?;
            return Ok(model);
        }
        other => other,
    };
    let mut model = import::import(&file, constants, size)?;
    metadata::take(&file, &mut model);
    // Another program has changed the graph; the rest of the entry may still be valid.
    let Some(entry) = entry else { return Ok(model) };
    let (network, notes, layouts) = (model.network.clone(), model.notes.clone(), model.layouts.clone());
    let kept = Model { network, notes, layouts, ..entry };
    Ok(if kept.check().is_ok() { kept } else { model })
}

/// Reads the weights of a file's network into one whose weights have the same names and shapes: `conv2d/kernel`, where
/// `conv2d` is the layer name assigned by [`load_model`].
///
/// # Errors
/// As [`load_model`], and when a weight is missing, left over or of another shape; the network is then unchanged.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    read_weights(ModelFile::on_disk(path.as_ref()), network)
}

/// As [`load_weights`], from a file anywhere.
pub(super) fn read_weights(file: ModelFile, network: &mut Network) -> Result<()> {
    take_weights(file.path(), &read_model(file, None)?.network, network)
}

/// Copies the weights of a network that was read from a file: see [`load_weights`].
///
/// # Errors
/// When a weight is missing, left over or of another shape; the network is then unchanged.
pub(super) fn take_weights(path: &Path, read: &Network, network: &mut Network) -> Result<()> {
    let bad = |problem: String| Error::file(path, format!("does not fit network {}: {problem}", network.name()));
    let by_name: HashMap<&str, usize> =
        read.weights().iter().enumerate().map(|(index, weight)| (weight.name(), index)).collect();
    let mut places = Vec::new();
    for weight in network.weights() {
        let place = *by_name.get(weight.name()).ok_or_else(|| bad(format!("{:?} is missing", weight.name())))?;
        let shape = read.weights()[place].shape();
        if shape != weight.shape() {
            return Err(bad(format!("{:?} has shape {shape:?}, not {:?}", weight.name(), weight.shape())));
        }
        places.push(place);
    }
    if let Some(extra) = read.weights().iter().find(|weight| network.weight(weight.name()).is_none()) {
        return Err(bad(format!("{:?} belongs to none of its layers", extra.name())));
    }
    for (weight, place) in network.weights_mut().iter_mut().zip(places) {
        weight.values_mut().copy_from_slice(read.weights()[place].values());
    }
    Ok(())
}

/// Imports a graph that was converted from a file of another format, with `len` bytes; its initializers are the constants.
///
/// # Errors
/// As [`load_model_at`].
pub(super) fn import_graph(path: &Path, mut graph: GraphProto, len: u64, size: Option<[usize; 2]>) -> Result<Model> {
    let mut constants = HashMap::new();
    for tensor in std::mem::take(&mut graph.initializer) {
        let name = tensor.name.clone();
        let constant = Constant::new(tensor, None).map_err(|problem| Error::file(path, problem))?;
        constants.insert(name, constant);
    }
    import::import(&OnnxFile::of_graph(path, graph, len), constants, size)
}

/// Lists the contents of a file: the initializers, the inputs and outputs, the producer. The architecture is that of the
/// entry `lucida`, or else the nodes of the graph with their inputs and outputs.
///
/// # Errors
/// [`Error::File`] when it is not an ONNX model.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    let path = file.path();
    let file = OnnxFile::open(file)?;
    let (graph, model) = (&file.graph, &file.model);
    let mut tensors = Vec::with_capacity(graph.initializer.len());
    for tensor in &graph.initializer {
        let (shape, _) = tensor::dims(tensor).map_err(|problem| Error::file(path, problem))?;
        tensors.push(TensorInfo { name: tensor.name.clone(), shape, dtype: tensor::type_of(tensor).0 });
    }
    let versions: Vec<String> = model
        .opset_import
        .iter()
        .map(|opset| format!("{} {}", opset.domain, opset.version).trim().to_owned())
        .collect();
    let mut attributes = vec![
        ("producer".to_owned(), format!("{} {}", model.producer_name, model.producer_version).trim().to_owned()),
        ("ir_version".to_owned(), model.ir_version.to_string()),
        ("opset".to_owned(), versions.join(", ")),
    ];
    let named = |info: &proto::ValueInfoProto| format!("{} {}", info.name, info.shape());
    let weights: std::collections::HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| !weights.contains(input.name.as_str()));
    attributes.push(("inputs".to_owned(), inputs.map(named).collect::<Vec<_>>().join(", ")));
    attributes.push(("outputs".to_owned(), graph.output.iter().map(named).collect::<Vec<_>>().join(", ")));
    let entries = model.metadata_props.iter().filter(|entry| entry.key != KEY);
    attributes.extend(entries.map(|entry| (entry.key.clone(), entry.value.clone())));
    let own = file.metadata(KEY).and_then(description::architecture);
    Ok(Inspection {
        format: if own.is_some() { "Lucida model (ONNX)" } else { "ONNX" },
        tensors,
        attributes,
        architecture: Some(own.unwrap_or_else(|| nodes(graph))),
    })
}

fn nodes(graph: &GraphProto) -> Value {
    let nodes = graph
        .node
        .iter()
        .map(|node| json!({ "name": node.name, "op_type": node.op_type, "input": node.input, "output": node.output }));
    json!({ "name": graph.name, "node": nodes.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests;
