//! TensorFlow.js's layers models: `model.json` and its weight files, as written by `model.save` in TensorFlow.js, the
//! converter `tensorflowjs_converter`, and Teachable Machine's default export.
//!
//! `modelTopology` is a Keras 2 config. `weightsManifest` lists groups of tensors; the values of a group are contiguous in
//! its concatenated files. Quantized tensors (`uint8`, `uint16`) are `value * scale + min`.

use std::path::{Component, Path};

use serde_json::Value;

use super::floats::Float;
use super::keras::{Places, Stored, assign};
use super::model_file::ModelFile;
use super::{Inspection, Model, TensorInfo, json, keras_h5};
use crate::nn::Network;
use crate::{Error, Result};

/// Maximum bytes of all weight files.
const MAX_BYTES: u64 = 4 << 30;
/// Maximum number of tensors of a model. NASNetLarge has 1,546.
const MAX_TENSORS: usize = 100_000;

/// Reads a whole model: its network and weights. Class names are read from `metadata.json` next to it.
///
/// # Errors
/// [`Error::File`] when it is a graph model, when a layer or an option (named in the message) has no counterpart, when a
/// weight file is missing or has another length, or when a tensor has another shape.
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
    let path = file.path();
    let file = TfJs::open(file)?;
    let (mut model, _) = keras_h5::described(path, &file.config, file.bytes.len() as u64, size)?;
    file.fill(&mut model.network)?;
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
    TfJs::open(file)?.fill(network)
}

/// Lists the contents of a file and of its weight files.
///
/// # Errors
/// As [`load_model`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    let TfJs { layers, attributes, config, .. } = TfJs::open(file)?;
    Ok(Inspection {
        format: "TensorFlow.js layers model",
        tensors: layers.into_iter().flat_map(|layer| layer.tensors).collect(),
        attributes,
        architecture: Some(config),
    })
}

/// Whether a text that starts like this may be a TensorFlow.js model: JSON.
pub(super) fn is_json(start: &[u8]) -> bool {
    let text = start.trim_ascii_start();
    text.first() == Some(&b'{') && text[1..].trim_ascii_start().first() == Some(&b'"')
}

/// The range of a tensor in the concatenated files.
struct TensorLocation {
    start: usize,
    kind: Kind,
}

/// The storage type of values.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Float(Float),
    Quantized { bytes: usize, scale: f32, min: f32 },
}

impl Kind {
    /// Bytes per value.
    fn size(self) -> usize {
        match self {
            Self::Float(float) => float.size(),
            Self::Quantized { bytes, .. } => bytes,
        }
    }

    fn decode(self, bytes: &[u8], to: &mut [f32]) {
        match self {
            Self::Float(float) => float.decode(bytes, to),
            Self::Quantized { bytes: size, scale, min } => {
                for (to, bytes) in to.iter_mut().zip(bytes.chunks_exact(size)) {
                    let value = bytes.iter().rev().fold(0_u32, |value, &byte| value << 8 | u32::from(byte));
                    *to = value as f32 * scale + min;
                }
            }
        }
    }
}

/// An open model.
struct TfJs<'a> {
    file: ModelFile<'a>,
    config: Value,
    attributes: Vec<(String, String)>,
    layers: Vec<Stored>,
    /// The tensors of each layer.
    places: Vec<Vec<TensorLocation>>,
    /// The contents of all weight files.
    bytes: Vec<u8>,
}

impl<'a> TfJs<'a> {
    fn open(file: ModelFile<'a>) -> Result<Self> {
        let bad = |problem: String| Error::file(file.path(), problem);
        let text = file.read(json::MAX_JSON as u64)?;
        let whole = json::parse(&text).map_err(|problem| bad(format!("is not valid JSON: {problem}")))?;
        let topology = &whole["modelTopology"];
        if whole["format"] == "graph-model" || !topology["node"].is_null() {
            return Err(bad(
                "is a TensorFlow.js graph model, whose layers are gone: convert the Keras model that it was made \
                            of, or export the layers model (format tfjs_layers_model)"
                    .into(),
            ));
        }
        // The converter stores the config in model_config, TensorFlow.js itself does not.
        let config = if topology["model_config"].is_null() { topology } else { &topology["model_config"] };
        if config["class_name"].is_null() {
            return Err(
                bad("is JSON, but no model of TensorFlow.js: it has no modelTopology with a class_name".into()),
            );
        }
        let text = |key: &str| Some((key.to_owned(), whole[key].as_str()?.to_owned()));
        let mut model = Self {
            file,
            config: config.clone(),
            attributes: ["format", "generatedBy", "convertedBy"].into_iter().filter_map(text).collect(),
            layers: Vec::new(),
            places: Vec::new(),
            bytes: Vec::new(),
        };
        let groups = whole["weightsManifest"].as_array();
        for group in groups.ok_or_else(|| bad("has no weightsManifest, the list of its files of weights".into()))? {
            model.read_group(group)?;
        }
        Ok(model)
    }

    fn bad(&self, problem: String) -> Error {
        Error::file(self.file.path(), problem)
    }

    /// Reads the files of a group, and locates its tensors.
    fn read_group(&mut self, group: &Value) -> Result<()> {
        let mut at = self.bytes.len();
        for name in group["paths"].as_array().map_or(&[][..], Vec::as_slice) {
            let name = name.as_str().unwrap_or_default();
            // An untrusted file must not read files other than its own.
            if !matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
                return Err(self.bad(format!("names the file {name:?}, which is not a plain name next to it")));
            }
            let path = self.file.path().with_file_name(name);
            let left = MAX_BYTES.saturating_sub(self.bytes.len() as u64);
            self.bytes.extend_from_slice(&self.file.at(&path).read(left)?);
        }
        for weight in group["weights"].as_array().map_or(&[][..], Vec::as_slice) {
            let (info, kind) = tensor(weight).map_err(|problem| self.bad(problem))?;
            let count = info.shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
            let end = count.and_then(|count| at.checked_add(count.checked_mul(kind.size())?));
            let end = end.filter(|&end| end <= self.bytes.len()).ok_or_else(|| {
                self.bad(format!("is cut short: its files of weights end before the tensor {:?}", info.name))
            })?;
            self.add(info, TensorLocation { start: at, kind })?;
            at = end;
        }
        match self.bytes.len() - at {
            0 => Ok(()),
            left => Err(self.bad(format!("its files of weights have {left} bytes that belong to no tensor"))),
        }
    }

    fn add(&mut self, info: TensorInfo, place: TensorLocation) -> Result<()> {
        if self.places.iter().map(Vec::len).sum::<usize>() >= MAX_TENSORS {
            let (what, limit) = (format!("{}: tensors", self.file.path().display()), MAX_TENSORS as u64);
            return Err(Error::Limit { what, got: limit + 1, limit });
        }
        let layer = info.name.rsplit('/').nth(1).unwrap_or(&info.name).to_owned();
        let known = self.layers.iter().position(|stored| stored.layer == layer);
        let index = known.unwrap_or_else(|| {
            self.layers.push(Stored { layer, path: String::new(), tensors: Vec::new() });
            self.places.push(Vec::new());
            self.layers.len() - 1
        });
        self.layers[index].tensors.push(info);
        self.places[index].push(place);
        Ok(())
    }

    /// Reads all weights of a network.
    fn fill(&self, network: &mut Network) -> Result<()> {
        let places: Places = assign(&self.layers, network)
            .map_err(|problem| self.bad(format!("does not fit network {}: {problem}", network.name())))?;
        for (weight, (layer, tensor)) in network.weights_mut().iter_mut().zip(places) {
            let TensorLocation { start, kind } = self.places[layer][tensor];
            kind.decode(&self.bytes[start..], weight.values_mut());
        }
        Ok(())
    }
}

/// A tensor of the list, and its storage type.
///
/// # Errors
/// What is wrong with it.
fn tensor(weight: &Value) -> Result<(TensorInfo, Kind), String> {
    let name = weight["name"].as_str().ok_or("has a tensor without a name")?.to_owned();
    let shape = weight["shape"].as_array().and_then(|sizes| {
        sizes.iter().map(|size| usize::try_from(size.as_u64()?).ok()).collect::<Option<Vec<usize>>>()
    });
    let shape = shape.ok_or_else(|| format!("has a tensor {name:?} without a shape"))?;
    let quantization = &weight["quantization"];
    let stored = quantization["dtype"].as_str().or_else(|| weight["dtype"].as_str()).unwrap_or_default();
    let number = |key: &str| quantization[key].as_f64().map(|value| value as f32);
    let kind = match (stored, number("scale"), number("min")) {
        ("float32", ..) => Kind::Float(Float::F32),
        ("float16", ..) => Kind::Float(Float::F16),
        ("uint8", Some(scale), Some(min)) => Kind::Quantized { bytes: 1, scale, min },
        ("uint16", Some(scale), Some(min)) => Kind::Quantized { bytes: 2, scale, min },
        _ => return Err(format!("has a tensor {name:?} of type {stored:?}, which is not supported")),
    };
    // The type after decoding.
    Ok((TensorInfo { name, shape, dtype: "float32".into() }, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_values_are_scaled() {
        let weight = serde_json::json!({
            "name": "a/kernel", "shape": [3], "dtype": "float32",
            "quantization": { "dtype": "uint16", "scale": 0.5, "min": -2.0, "original_dtype": "float32" },
        });
        let (info, kind) = tensor(&weight).unwrap();
        let mut values = [0.0; 3];
        kind.decode(&[0, 0, 4, 0, 0, 1], &mut values);
        assert_eq!((info.shape, values), (vec![3], [-2.0, 0.0, 126.0]));
        for (change, expected) in [("shape", "without a shape"), ("name", "without a name"), ("dtype", "of type")] {
            let mut changed = weight.clone();
            changed[change] = Value::Null;
            changed["quantization"] = Value::Null;
            assert!(tensor(&changed).unwrap_err().contains(expected), "{change}");
        }
    }
}
