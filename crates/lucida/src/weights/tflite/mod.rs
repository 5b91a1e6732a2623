//! LiteRT, formerly TensorFlow Lite (`.tflite`): graphs of operators in a FlatBuffer, as written by the TensorFlow Lite
//! converter, `litert-torch`, and others.
//!
//! The operators are converted to those of an ONNX graph (`graph`), which is imported by [`onnx`](super::onnx): constants
//! are folded, and operators that form one layer in Keras become one. Layers are named after the tensors.
//!
//! # Quantized files
//! 16- and 8-bit weights are dequantized, and everything is computed in 32-bit floats. A graph with quantized inputs and
//! outputs takes and returns real numbers here. The interpreter's integers are related by `value = scale (number - zero
//! point)`; for a quantized image input, these integers are the image's bytes, which determines the preprocessing.
//!
//! # Metadata
//! Class names are read from the archive at the end of a file with TensorFlow Lite's metadata, and so is the normalization
//! of images.

mod flatbuffer;
mod graph;
mod metadata;
mod name;
mod operators;
mod parts;
mod patterns;
mod schema;

use std::path::Path;

use serde_json::{Value, json};

use super::foreign::{self, Step};
use super::model_file::ModelFile;
use super::onnx::Fault;
use super::onnx::{import_graph, short, take_weights};
use super::{Inspection, Model, TensorInfo};
use crate::nn::Network;
use crate::{Error, Result};
use schema::Schema;

/// The magic bytes, which start at the fifth byte.
const IDENTIFIER: &[u8] = b"TFL3";
/// Maximum bytes of a file. FlatBuffers offsets are below 2 GiB, but buffers may be after all tables.
const MAX_FILE: u64 = 4 << 30;
/// Maximum number of operators. EfficientNetB7 has 800.
const MAX_OPERATORS: usize = 50_000;

/// Whether a file that starts like this is a LiteRT model.
pub(super) fn is_tflite(start: &[u8]) -> bool {
    start.get(4..8) == Some(IDENTIFIER)
}

/// Reads a model.
///
/// # Errors
/// [`Error::File`] when it is not a LiteRT model, is truncated, or has contradictory tensors and shapes.
/// [`Error::Unsupported`] names the operator without a corresponding layer, and its output tensor. [`Error::Limit`] when it
/// declares more than fits into memory.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    load_model_at(path, None)
}

/// As [`load_model`], with a height and width for graphs that leave these open; `None` uses a default and adds a note.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_at(path: impl AsRef<Path>, size: Option<[usize; 2]>) -> Result<Model> {
    read_model(ModelFile::on_disk(path.as_ref()), size)
}

/// As [`load_model_at`], from a file anywhere.
pub(super) fn read_model(file: ModelFile, size: Option<[usize; 2]>) -> Result<Model> {
    let (path, bytes) = (file.path(), file.read(MAX_FILE)?);
    with_schema(path, &bytes, |schema| {
        if schema.operators.len() > MAX_OPERATORS {
            let what = format!("{}: operators of the graph", path.display());
            return Err(Error::Limit { what, got: schema.operators.len() as u64, limit: MAX_OPERATORS as u64 });
        }
        let operators = patterns::simplified(schema, &bytes);
        let graph = graph::convert(schema, &operators, &bytes).map_err(|fault| match fault {
            Fault::Bad(problem) => Error::file(path, problem),
            Fault::Unsupported(problem) => Error::Unsupported(format!("{}: {problem}", path.display())),
        });
        let graph = graph.map_err(|problem| foreign::explained(path, problem, || foreign_parts(schema)))?;
        // A one-byte weight is written twice: dequantized, and transposed.
        let mut model = import_graph(path, graph, 2 * bytes.len() as u64, size)?;
        metadata::take(file, schema, &bytes, &mut model);
        Ok(model)
    })
}

/// Reads the weights of a file's network into one whose weights have the same names and shapes: see
/// [`onnx::load_weights`](super::onnx::load_weights).
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

/// Lists the contents of a file: the constants, the inputs and outputs, and the operators.
///
/// # Errors
/// [`Error::File`] when it is not a LiteRT model.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    let bytes = file.read(MAX_FILE)?;
    with_schema(file.path(), &bytes, |schema| {
        let constants = schema.tensors.iter().filter(|tensor| tensor.data.is_some());
        let info = |tensor: &schema::Tensor| TensorInfo {
            name: short(&tensor.name),
            shape: tensor.shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect(),
            // Quantized weights count as parameters, integers do not.
            dtype: match (&tensor.quantization, tensor.type_name()) {
                (Some(_), "INT8" | "UINT8") => "8-bit".into(),
                (Some(_), "INT16") => "16-bit".into(),
                (Some(_), "INT32") => "32-bit".into(),
                (_, name) => name.into(),
            },
        };
        let named = |tensors: &[usize]| {
            let each = tensors.iter().map(|&index| described(schema, index));
            each.collect::<Vec<_>>().join(", ")
        };
        let attributes = [
            ("description", schema.description.clone()),
            ("version", schema.version.to_string()),
            ("inputs", named(&schema.inputs)),
            ("outputs", named(&schema.outputs)),
        ];
        let attributes = attributes.into_iter().filter(|(_, text)| !text.is_empty());
        Ok(Inspection {
            format: "LiteRT (TensorFlow Lite)",
            tensors: constants.map(info).collect(),
            attributes: attributes.map(|(key, text)| (key.to_owned(), text)).collect(),
            architecture: Some(nodes(schema)),
        })
    })
}

/// What the graph has beyond convolutional networks.
fn foreign_parts(schema: &Schema) -> Option<String> {
    let kinds: Vec<String> = schema.operators.iter().map(operators::name).collect();
    let steps = schema.operators.iter().zip(&kinds).map(|(operation, kind)| Step {
        kind,
        inputs: operation.inputs.iter().flatten().copied().collect(),
        outputs: operation.outputs.clone(),
    });
    foreign::foreign(&steps.collect::<Vec<_>>(), schema.inputs.iter().copied())
}

/// A description of a tensor: `image (1, 224, 224, 3) UINT8, 0.0078125 (value - 128)`.
fn described(schema: &Schema, index: usize) -> String {
    let tensor = &schema.tensors[index];
    let sizes: Vec<String> =
        tensor.shape.iter().map(|&size| if size < 0 { "?".into() } else { size.to_string() }).collect();
    let name = schema.plain_name(index);
    let step = tensor.step().map(|(scale, zero)| format!(", {scale} (value - {zero})")).unwrap_or_default();
    format!("{name} ({}) {}{step}", sizes.join(", "), tensor.type_name())
}

fn nodes(schema: &Schema) -> Value {
    let name = |&index: &usize| schema.tensors[index].name.clone();
    let nodes = schema.operators.iter().map(|operation| {
        json!({
            "op_type": operators::name(operation),
            "input": operation.inputs.iter().flatten().map(name).collect::<Vec<_>>(),
            "output": operation.outputs.iter().map(name).collect::<Vec<_>>(),
        })
    });
    json!({ "name": schema.name, "node": nodes.collect::<Vec<_>>() })
}

/// Calls `with` with the parsed tables of a file.
fn with_schema<T>(path: &Path, bytes: &[u8], with: impl FnOnce(&Schema) -> Result<T>) -> Result<T> {
    if !is_tflite(bytes) {
        return Err(Error::file(path, "not a LiteRT (TensorFlow Lite) model"));
    }
    let file = flatbuffer::Bytes::new(bytes);
    let schema = Schema::read(&file, bytes.len()).map_err(|problem| {
        let problem = format!("not a usable LiteRT model: {problem}: it may be cut short or damaged");
        Error::file(path, problem)
    })?;
    with(&schema)
}
