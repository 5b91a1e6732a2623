//! ONNX: networks as graphs of operators, as PyTorch (`torch.onnx.export`), TensorFlow (tf2onnx) and many others write
//! them.
//!
//! # Reading
//! [`load_model`] makes layers of the operators of a convolutional network. PyTorch's graphs have their images as (batch,
//! channels, height, width), tf2onnx's transpose them from (batch, height, width, channels) and back; the network that
//! comes out has its channels last in any case, as all networks here, and a dense layer's weights are put into the order
//! in which its image is flattened here. An image for it is therefore (height, width, channels), whatever the graph took.
//! What a graph says in several nodes that is one layer in Keras becomes one: an activation goes to the convolution or
//! dense layer before it, a product with a matrix and a sum become a dense layer with a bias. A factor or a shift for each
//! channel becomes a frozen batch normalization. An operator that has no layer is an error that names it, its node and
//! those that are supported.
//!
//! # Writing
//! [`save_model`] writes any network (version 17 of the operators) as a graph that takes and gives what the network does,
//! images as (batch, height, width, channels), under the names of the input and output layers, for batches of any size.
//! The metadata have an entry `lucida` with what a safetensors file of Lucida has: architecture, preprocessing, class
//! names. [`load_model`] goes by it, if the graph is still the one that was written, and the model is the same to the bit;
//! if another program has changed the graph, the graph counts.

pub(super) mod export;
mod file;
mod import;
mod metadata;
mod own;
pub(super) mod proto;
mod scan;
mod tensor;
mod write;

pub(super) use import::{Answer, Fault, unsupported};
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::description::{self, KEY};
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
/// larger than the 2 GiB that the format allows; [`Error::Io`] when it cannot be written: then there is none, or still
/// the old one.
pub fn save_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    write::write(model, path.as_ref(), false)
}

/// As [`save_model`], as a graph that takes images of any height and width.
///
/// # Errors
/// As [`save_model`]; [`Error::Unsupported`] when something in the graph depends on the size.
pub fn save_model_any_size(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    write::write(model, path.as_ref(), true)
}

/// Reads a model. What the file does not say, preprocessing and class names, is left open. A graph that takes images of any
/// size gets a default one, which is noted.
///
/// # Errors
/// [`Error::File`] says what is wrong: not an ONNX model, cut short, tensors and shapes that contradict each other.
/// [`Error::Unsupported`] names the operator and the node that have no layer here. [`Error::Limit`] when it declares more
/// than fits this machine.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    load_model_at(path, None)
}

/// As [`load_model`]; a graph that leaves the height and width of its images open gets this one.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_at(path: impl AsRef<Path>, size: Option<[usize; 2]>) -> Result<Model> {
    let path = path.as_ref();
    let mut file = OnnxFile::open(path)?;
    let constants = file.take_initializers()?;
    let entry = match file.metadata(KEY) {
        Some(text) => Some(description::from_text(text).map_err(|problem| {
            Error::file(path, format!("is damaged: its metadata have an unusable entry {KEY}: {problem}"))
        })?),
        None => None,
    };
    let entry = match entry {
        Some(mut model) if own::is_of(&file.graph, &model.network) => {
            own::fill(&mut model.network, &constants).map_err(|problem| {
                Error::file(path, format!("is damaged: its weights do not fit its architecture: {problem}"))
            })?;
            return Ok(model);
        }
        other => other,
    };
    let mut model = import::import(&file, constants, size)?;
    metadata::take(&file, &mut model);
    // Another program has changed the graph; the rest of the entry may still be right.
    let Some(entry) = entry else { return Ok(model) };
    let (network, notes, layouts) = (model.network.clone(), model.notes.clone(), model.layouts.clone());
    let kept = Model { network, notes, layouts, ..entry };
    Ok(if kept.check().is_ok() { kept } else { model })
}

/// Reads the weights of a file's network into one whose weights have the same names and shapes: `conv2d/kernel`, where
/// `conv2d` is the name that the node's layer gets from [`load_model`].
///
/// # Errors
/// As [`load_model`], and when a weight is missing, left over or of another shape; then the network is unchanged.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    let path = path.as_ref();
    take_weights(path, &load_model(path)?.network, network)
}

/// Takes the weights of a network that was read from a file: see [`load_weights`].
///
/// # Errors
/// A weight is missing, left over or of another shape; then the network is unchanged.
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

/// Reads a graph that was made of a file of another format, of `len` bytes: its initializers are the constants.
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

/// Says what is in a file: the initializers, the inputs and outputs, who made it. The architecture is that of the file's
/// entry `lucida`, else the nodes of the graph with their inputs and outputs.
///
/// # Errors
/// [`Error::File`] when it is not an ONNX model.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let path = path.as_ref();
    let file = OnnxFile::open(path)?;
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
