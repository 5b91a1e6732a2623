//! Writing Keras's legacy whole-model HDF5 format (`.h5`), written by Keras 2 and `tf.keras`, and still supported by Keras
//! 3.

use std::path::Path;

use hdf5_writer::{
    AttributeBuilder, ByteOrder, DatasetBuilder, Datatype, Hdf5Builder, StringEncoding, StringPadding, VarLenKind,
    WriteOptions,
};
use serde_json::Value;

use super::express::expressible;
use super::order::keras_order;
use super::own::{LUCIDA, own};
use super::write::description;
use crate::nn::Network;
use crate::weights::Model;
use crate::{Error, Result};

/// The version of Keras stored in the file.
const WRITTEN_FOR: &str = "3.15.0";
/// Maximum bytes of an attribute: an HDF5 object header is limited to 64 KiB. Longer text is stored in the file's heap.
const MAX_ATTRIBUTE: usize = 64_000;
/// Maximum number of names per attribute, each a heap reference of 16 bytes. Keras splits longer lists in the same way.
const MAX_NAMES: usize = MAX_ATTRIBUTE / 16;
/// The suffix of the attribute that puts a text into the heap, for the one that refers to it.
pub(in crate::weights) const IN_HEAP: &str = "_text";
/// The group with the weights.
const WEIGHTS: &str = "model_weights";

/// Encodes a model as a legacy `.h5` file.
///
/// # Errors
/// [`Error::Unsupported`] when Keras has no counterpart for a layer, or cannot load it from this format.
pub(in crate::weights) fn legacy(model: &Model, path: &Path) -> Result<Vec<u8>> {
    let network = expressible(&model.network, path)?;
    let network = network.as_ref();
    let mut config = description(network, path)?;
    // Layers are identified only by their class, without a module.
    for layer in config["config"]["layers"].as_array_mut().into_iter().flatten() {
        drop_samples(layer);
        loadable(layer).map_err(|problem| Error::Unsupported(format!("{}: {problem}", path.display())))?;
        simplify(layer);
    }
    simplify(&mut config);
    let texts = [("model_config", config.to_string()), (LUCIDA, own(model).to_string())];
    let bug = |problem| Error::Bug(format!("a model that cannot be written as HDF5: {problem}"));
    let bytes = encode(network, &texts, None).map_err(bug)?;
    if texts.iter().all(|(_, text)| text.len() <= MAX_ATTRIBUTE) {
        return Ok(bytes);
    }
    encode(network, &texts, Some(&bytes)).map_err(bug)
}

/// Checks that Keras can load a layer from this format. It cannot load operations and layers of its applications, which
/// need more than a class name, nor normalizations over several axes.
fn loadable(layer: &Value) -> std::result::Result<(), String> {
    let axes = layer["config"]["axis"].as_array().map_or(1, Vec::len);
    let class = layer["class_name"].as_str().unwrap_or_default();
    let what = match class {
        "LayerNormalization" if axes > 1 => "LayerNormalization over several axes",
        _ if layer["module"] == "keras.layers" => return Ok(()),
        _ => class,
    };
    let name = layer["config"]["name"].as_str().unwrap_or_default();
    Err(format!("layer {name}: Keras loads {what} from .keras alone; write the model as .keras"))
}

/// Encodes the file. Heap references are taken from `before`, the same file encoded without them.
fn encode(network: &Network, texts: &[(&str, String)], before: Option<&[u8]>) -> hdf5_writer::Result<Vec<u8>> {
    let order = keras_order(network);
    let names: Vec<&str> = order.iter().map(|&node| network.nodes()[node].name()).collect();
    let mut file = Hdf5Builder::new()
        .attribute(AttributeBuilder::fixed_string("backend", "tensorflow"))
        .attribute(AttributeBuilder::fixed_string("keras_version", WRITTEN_FOR));
    for (name, text) in texts {
        for attribute in text_attributes(name, text, before)? {
            file = file.attribute(attribute);
        }
    }
    file = file
        .group_attribute(WEIGHTS, AttributeBuilder::fixed_string("backend", "tensorflow"))
        .group_attribute(WEIGHTS, AttributeBuilder::fixed_string("keras_version", WRITTEN_FOR));
    for attribute in list_attributes("layer_names", &names)? {
        file = file.group_attribute(WEIGHTS, attribute);
    }
    for &node in &order {
        let node = &network.nodes()[node];
        let group = format!("{WEIGHTS}/{}", node.name());
        let weights = &network.weights()[node.weights()];
        let names: Vec<&str> = weights.iter().map(|weight| weight.name()).collect();
        for attribute in list_attributes("weight_names", &names)? {
            file = file.group_attribute(&group, attribute);
        }
        for weight in weights {
            let shape: Vec<u64> = weight.shape().iter().map(|&size| size as u64).collect();
            let path = format!("{group}/{}", weight.name());
            file = file.dataset(DatasetBuilder::typed_data(path, shape, weight.values())?);
        }
    }
    file.into_plan()?.encode(WriteOptions::default())
}

/// A list of names as attributes, in numbered parts if it is too long for one.
fn list_attributes(name: &str, values: &[&str]) -> hdf5_writer::Result<Vec<AttributeBuilder>> {
    match values.len() {
        // An empty list has no type; Keras also writes an empty list of floats.
        0 => Ok(vec![AttributeBuilder::vector::<f32>(name, &[])?]),
        1..=MAX_NAMES => Ok(vec![AttributeBuilder::vlen_strings(name, values)?]),
        _ => {
            let parts = values.chunks(MAX_NAMES).enumerate();
            parts.map(|(part, values)| AttributeBuilder::vlen_strings(format!("{name}{part}"), values)).collect()
        }
    }
}

/// A text as attributes. Keras expects a scalar string, but the writer can only store lists in the heap: a long text is
/// stored as a list of one, and the attribute itself as a reference to the same heap entry.
fn text_attributes(name: &str, text: &str, before: Option<&[u8]>) -> hdf5_writer::Result<Vec<AttributeBuilder>> {
    if text.len() <= MAX_ATTRIBUTE {
        return Ok(vec![AttributeBuilder::fixed_string(name, text)]);
    }
    let listed = format!("{name}{IN_HEAP}");
    let reference = before.map_or_else(|| vec![0; 16], |file| reference(file, &listed));
    let base = Datatype::FixedPoint { size: 1, signed: false, byte_order: ByteOrder::LittleEndian };
    let encoding = if text.is_ascii() { StringEncoding::Ascii } else { StringEncoding::Utf8 };
    let (kind, padding) = (VarLenKind::String, StringPadding::NullTerminate);
    let datatype = Datatype::VarLen { base: Box::new(base), kind, encoding, padding };
    Ok(vec![
        AttributeBuilder::new(name, datatype, Vec::new(), reference),
        AttributeBuilder::vlen_strings(listed, &[text])?,
    ])
}

/// The heap reference of an attribute with a single text: 16 bytes after its name, type and shape, whose sizes precede the
/// name.
fn reference(file: &[u8], attribute: &str) -> Vec<u8> {
    let name = [attribute.as_bytes(), &[0]].concat();
    let at = file.windows(name.len()).position(|window| window == name);
    let found = at.and_then(|at| {
        let size =
            |before: usize| Some(usize::from(u16::from_le_bytes(file.get(at - before..)?.first_chunk().copied()?)));
        let start = at + name.len() + size(5)? + size(3)?;
        file.get(start..start + 16)
    });
    found.map_or_else(|| vec![0; 16], <[u8]>::to_vec)
}

/// Keras's layer `StochasticDepth` is in a module that the legacy format does not store: replace it with an equivalent
/// dropout of whole samples, as in `keras.applications.EfficientNetB0`.
fn drop_samples(item: &mut Value) {
    if item["class_name"] != "StochasticDepth" {
        return;
    }
    let rank = item["build_config"]["input_shape"].as_array().map_or(2, Vec::len);
    let shape: Vec<Value> = std::iter::once(Value::Null).chain(std::iter::repeat_n(1.into(), rank - 1)).collect();
    (item["module"], item["class_name"]) = ("keras.layers".into(), "Dropout".into());
    if let Some(config) = item["config"].as_object_mut() {
        let rate = config.remove("drop_path_rate").unwrap_or_default();
        config.extend([("rate".into(), rate), ("seed".into(), Value::Null), ("noise_shape".into(), shape.into())]);
    }
}

/// Removes what the legacy format does not support.
fn simplify(item: &mut Value) {
    if let Some(item) = item.as_object_mut() {
        for key in ["module", "registered_name", "build_config"] {
            item.remove(key);
        }
    }
}
