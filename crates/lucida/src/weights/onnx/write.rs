//! Writing an ONNX file weight by weight, so that none is copied more than once.

use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::export::{Exported, export, open_size, shaped_weights, weight_dims, weight_values};
use super::file::MAX_FILE;
use super::metadata;
use super::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, data_type};
use crate::weights::Model;
use crate::weights::description::{self, KEY};
use crate::{Error, Result, files};

/// The operator set version that is written: from 2022, supported by all current runtimes.
const OPSET: i64 = 17;
/// The corresponding version of the format.
const IR_VERSION: i64 = 8;
/// The producer name that is written.
const PRODUCER: &str = "lucida";

/// The numbers of fields that are encoded manually.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_RAW_DATA: u32 = 9;

/// Writes a model, for images of its size or of any size; see [`super::save_model`] and [`super::save_model_any_size`].
pub(super) fn write(model: &Model, path: &Path, any_size: bool) -> Result<()> {
    let mut exported = export(&model.network);
    if any_size {
        exported = exported.and_then(|mut exported| open_size(&mut exported, &model.network).map(|()| exported));
    }
    let Exported { graph, filled, numbers } = exported
        .map_err(|problem| Error::Unsupported(format!("{}: cannot be written as ONNX: {problem}", path.display())))?;
    let own = StringStringEntryProto { key: KEY.into(), value: description::to_text(model)? };
    let header = ModelProto {
        ir_version: IR_VERSION,
        producer_name: PRODUCER.into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: None,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: metadata::entries(model).into_iter().chain([own]).collect(),
    };
    // The graph comes last, so that a truncated file is never valid.
    let mut start = header.encode_to_vec();
    let mut middle = graph.encode_to_vec();
    for tensor in &numbers {
        block(&mut middle, GRAPH_INITIALIZER, tensor.encoded_len());
        middle.extend(tensor.encode_to_vec());
    }
    let mut tensors: Vec<(Vec<u8>, Vec<usize>, &[f32])> = Vec::new();
    for (weight, shape) in shaped_weights(&model.network) {
        let head = tensor_head(weight.name(), &weight_dims(&shape), weight.values().len());
        tensors.push((head, shape, weight.values()));
    }
    for (name, values) in &filled {
        tensors.push((tensor_head(name, &[values.len()], values.len()), Vec::new(), values));
    }
    let of_tensors = tensors.iter().map(|(head, _, values)| head.len() + 4 * values.len());
    let len = of_tensors.fold(middle.len() as u64, |len, tensor| len + tensor as u64);
    if start.len() as u64 + len + 16 > MAX_FILE {
        let what = format!("{}: bytes of an ONNX file", path.display());
        return Err(Error::Limit { what, got: len, limit: MAX_FILE });
    }
    block(&mut start, MODEL_GRAPH, len as usize);
    files::write_atomic(path, |out| {
        out.write_all(&start)?;
        out.write_all(&middle)?;
        for (head, shape, values) in &tensors {
            out.write_all(head)?;
            write_values(out, shape, values)?;
        }
        Ok(())
    })
}

/// Starts a field of `len` bytes.
fn block(bytes: &mut Vec<u8>, field: u32, len: usize) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(len as u64, bytes);
}

/// An initializer's field without its values.
fn tensor_head(name: &str, dims: &[usize], len: usize) -> Vec<u8> {
    let tensor = TensorProto {
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        data_type: data_type::FLOAT,
        name: name.into(),
        ..Default::default()
    };
    let mut inner = tensor.encode_to_vec();
    block(&mut inner, TENSOR_RAW_DATA, 4 * len);
    let mut head = Vec::new();
    block(&mut head, GRAPH_INITIALIZER, inner.len() + 4 * len);
    head.extend(inner);
    head
}

/// Writes the values of a weight of this shape.
fn write_values(out: &mut dyn Write, shape: &[usize], values: &[f32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(1 << 12);
    for value in weight_values(shape, values) {
        bytes.extend_from_slice(&value.to_le_bytes());
        if bytes.len() >= 1 << 12 {
            out.write_all(&bytes)?;
            bytes.clear();
        }
    }
    out.write_all(&bytes)
}
