//! Safetensors: Lucida's own model files, and plain tensor files.
//!
//! ```text
//! | 8 bytes: length n | n bytes of JSON: name -> type, shape, place | the tensors, little-endian, without gaps |
//! ```
//!
//! A Lucida model is such a file with a metadata entry `lucida`: JSON with the architecture, the preprocessing, the class
//! names and a training record. This single file is sufficient to use a network. The same model gives the same bytes: the
//! file contains no date, and the order of everything is fixed.
//!
//! A plain file does not describe its network. Its tensors may have the names used by torchvision or timm, as in
//! [`torch`](super::torch)'s files.
//!
//! Tensors are read one by one directly into the network's weights, without a second copy. Those of 16 or 64 bits are
//! converted to 32 bits.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo as Entry};
use serde_json::json;

use super::description::{self, KEY};
use super::floats::Float;
use super::model_file::{ModelFile, OpenFile};
use super::modules::{self, AssertedNetwork, Tensors};
use super::{Inspection, Model, TensorInfo};
use crate::nn::Network;
use crate::{Error, Result, files, guard};

/// Maximum bytes of a header. That of InceptionV3 has 90,000.
const MAX_HEADER: u64 = 8 << 20;
/// Maximum number of tensors and texts in a header.
const MAX_ENTRIES: usize = 50_000;
/// Maximum number of axes of a tensor.
const MAX_RANK: usize = 64;

/// Writes a model.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written; an existing file is then unchanged.
pub fn save_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let text = description::to_text(model)?;
    let weights = model.network.weights();
    let tensors = weights.iter().map(|weight| (weight.name().to_owned(), weight.shape(), weight.values()));
    write_tensors(path, KEY, text, &tensors.collect::<Vec<_>>())
}

/// The metadata entry that marks a file with [additional sets](VARIANT) of some weights, and describes them.
pub(crate) const VARIANTS: &str = "lucida_styles";
/// The name prefix of tensors in additional sets of weights.
pub(crate) const VARIANT: &str = "styles/";

/// Writes a model in 16-bit floats, with additional sets of some of its weights, whose names start with [`VARIANT`], and
/// their description.
///
/// # Errors
/// As [`save_model`]; [`Error::Unsupported`] when a weight is too large for 16 bits.
pub(crate) fn save_variants(model: &Model, about: String, variants: &[NamedTensor], path: &Path) -> Result<()> {
    let texts = [(KEY, description::to_text(model)?), (VARIANTS, about)];
    let weights = model.network.weights();
    let tensors = weights.iter().map(|weight| (weight.name().to_owned(), weight.shape(), weight.values()));
    let tensors: Vec<NamedTensor> = tensors.chain(variants.iter().cloned()).collect();
    let outside = |values: &[f32]| values.iter().any(|&value| !f16::from_f32(value).is_finite());
    if let Some((name, ..)) = tensors.iter().find(|(.., values)| outside(values)) {
        return Err(Error::Unsupported(format!("{}: {name} has values beyond 16-bit floats", path.display())));
    }
    write(path, &texts, &tensors, Float::F16)
}

/// A tensor to write: its name, shape and values.
pub(crate) type NamedTensor<'a> = (String, &'a [usize], &'a [f32]);

/// Writes tensors, and a text under a metadata key.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written; an existing file is then unchanged.
pub(crate) fn write_tensors(path: &Path, key: &str, text: String, tensors: &[NamedTensor]) -> Result<()> {
    write(path, &[(key, text)], tensors, Float::F32)
}

/// Writes tensors of one type, and texts under metadata keys.
fn write(path: &Path, texts: &[(&str, String)], tensors: &[NamedTensor], kind: Float) -> Result<()> {
    let texts: BTreeMap<&str, &String> = texts.iter().map(|(key, text)| (*key, text)).collect();
    let mut header = BTreeMap::from([("__metadata__".to_owned(), json!(texts))]);
    let dtype = if kind == Float::F16 { "F16" } else { "F32" };
    let mut at = 0;
    for (name, shape, values) in tensors {
        let end = at + kind.size() * values.len();
        header.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] }));
        at = end;
    }
    let mut header = serde_json::to_vec(&header)
        .map_err(|problem| Error::Bug(format!("a header that cannot be written as JSON: {problem}")))?;
    // Align the tensors to a multiple of 8, as the format recommends.
    header.resize(header.len().next_multiple_of(8), b' ');
    files::write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        tensors.iter().try_for_each(|(_, _, values)| write_floats(out, values, kind))
    })
}

fn write_floats(out: &mut dyn Write, values: &[f32], kind: Float) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(4096);
    for chunk in values.chunks(1024) {
        bytes.clear();
        match kind {
            Float::F16 => bytes.extend(chunk.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
            _ => bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes())),
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads a model: one of Lucida's own, or a network of torchvision or timm, which is recognized by the names and shapes of
/// its tensors (see [`torch::load_model`](super::torch::load_model)).
///
/// # Errors
/// [`Error::File`] when it is not a safetensors file, is truncated, is neither a Lucida model nor a known network, was
/// written by a later version, or when a tensor is missing or has another shape. [`Error::Limit`] when it declares more
/// than fits into memory.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    read_model(ModelFile::on_disk(path.as_ref()))
}

/// As [`load_model`], from a file anywhere.
pub(super) fn read_model(file: ModelFile) -> Result<Model> {
    let path = file.path();
    let mut source = Source::open(file)?;
    let Some(text) = source.entry.take() else {
        return modules::recognize(&mut source)?.ok_or_else(|| {
            Error::file(
                path,
                format!(
                    "contains tensors but no Lucida model: it holds no architecture, and its names and shapes are of no known \
                     network ({}): export the network to ONNX, or build it and load the weights into it",
                    modules::known()
                ),
            )
        });
    };
    let damaged = |problem: String| Error::file(path, format!("not a usable Lucida model: {problem}"));
    let mut model = description::from_text(&text).map_err(damaged)?;
    source.fill(&mut model.network)?;
    Ok(model)
}

/// As [`torch::load_known`](super::torch), for a plain file.
pub(super) fn load_known(file: ModelFile, asserted: AssertedNetwork) -> Result<Option<Model>> {
    let mut source = Source::open(file)?;
    if source.entry.is_some() { Ok(None) } else { modules::recognize_as(&mut source, asserted) }
}

/// Reads the tensors of a file into the weights with the same names, or with the names that torchvision or timm use for a
/// known network's layers.
///
/// # Errors
/// As [`load_model`]; the network is unchanged when a tensor is missing or does not match.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    fill(ModelFile::on_disk(path.as_ref()), network).map(drop)
}

/// As [`load_weights`], from a file anywhere. Returns the names of ignored tensors of the classifier.
pub(super) fn fill(file: ModelFile, network: &mut Network) -> Result<Vec<String>> {
    Source::open(file)?.fill(network)
}

/// Lists the contents of a file.
///
/// # Errors
/// [`Error::File`] when it is not a safetensors file.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    let source = Source::open(file)?;
    let architecture = source.entry.as_deref().and_then(description::architecture);
    let mut attributes: Vec<_> = source.attributes.clone().into_iter().collect();
    attributes.sort();
    Ok(Inspection {
        format: if architecture.is_some() { "Lucida model" } else { "safetensors" },
        tensors: source.infos,
        attributes,
        architecture,
    })
}

/// A file written by [`write_tensors`].
pub(crate) struct TensorFile<'a> {
    source: Source<'a>,
    places: BTreeMap<String, usize>,
}

impl<'a> TensorFile<'a> {
    /// # Errors
    /// [`Error::File`] when it is not a safetensors file.
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let source = Source::open(ModelFile::on_disk(path))?;
        let places = source.tensors.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Ok(Self { source, places })
    }

    /// The text under a metadata key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.source.attributes.get(key).map(String::as_str)
    }

    /// Whether the file has this tensor.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// [`Error::File`] when it does not exist, or has another number of values.
    pub(crate) fn read_into(&mut self, name: &str, values: &mut [f32]) -> Result<()> {
        let bad = |problem: &str| Error::file(self.source.path, format!("tensor {name:?} {problem}"));
        let place = *self.places.get(name).ok_or_else(|| bad("is missing"))?;
        let len: usize = self.source.infos[place].shape.iter().product();
        if len != values.len() {
            return Err(bad(&format!("has {len} values, not {}", values.len())));
        }
        let mut at = 0;
        self.source.read(place, &mut |part| {
            values[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        })
    }
}

/// The header of a file.
struct Header {
    metadata: Metadata,
    /// The offset of the tensor data.
    start: u64,
    /// The length of the file in bytes.
    len: u64,
}

impl Header {
    /// Reads the header at the start of the file at `path`.
    fn read(path: &Path, file: &mut OpenFile) -> Result<Self> {
        let failed = |source| Error::io(path, "read", source);
        let bad = |problem: &str| not_a_model_file(path, problem);
        let len = file.len();
        if len == 0 {
            return Err(bad("it is empty"));
        }
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).map_err(|_| bad("it is shorter than a header"))?;
        let header = u64::from_le_bytes(bytes);
        if header > MAX_HEADER || header + 8 > len {
            return Err(bad(&format!("its first 8 bytes announce a header of {header} bytes, the file has {len}")));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(failed)?;
        let metadata: Metadata = guard::decoder(path, "safetensors", || {
            serde_json::from_slice(&text).map_err(|problem| bad(&format!("its header cannot be read: {problem}")))
        })?;
        let entries = metadata.tensors().len() + metadata.metadata().as_ref().map_or(0, |texts| texts.len());
        if entries > MAX_ENTRIES {
            let what = format!("{}: tensors and texts of the header", path.display());
            return Err(Error::Limit { what, got: entries as u64, limit: MAX_ENTRIES as u64 });
        }
        Ok(Self { metadata, start: 8 + header, len })
    }
}

fn not_a_model_file(path: &Path, problem: &str) -> Error {
    Error::file(path, format!("not a model file (safetensors): {problem}"))
}

/// The end of the last tensor, relative to the start of the data, if the tensors are contiguous and each has the size of
/// its shape.
fn end_of(tensors: &[(String, Entry)]) -> Result<usize, String> {
    let mut end = 0;
    for (name, entry) in tensors {
        let bits = entry.shape.iter().try_fold(entry.dtype.bitsize(), |bits, &size| bits.checked_mul(size));
        let (from, to) = entry.data_offsets;
        if entry.shape.len() > MAX_RANK {
            return Err(format!("tensor {name:?} has {} axes", entry.shape.len()));
        }
        if from != end || to < from || bits != (to - from).checked_mul(8) {
            return Err(format!("the place of tensor {name:?} does not fit its shape"));
        }
        end = to;
    }
    Ok(end)
}

/// An open file whose header has been checked against its length.
struct Source<'a> {
    path: &'a Path,
    file: OpenFile,
    /// The offset of the tensor data.
    start: u64,
    tensors: Vec<(String, Entry)>,
    infos: Vec<TensorInfo>,
    entry: Option<String>,
    attributes: BTreeMap<String, String>,
}

impl<'a> Source<'a> {
    fn open(source: ModelFile<'a>) -> Result<Self> {
        let (path, mut file) = (source.path(), source.open()?);
        let Header { metadata, start, len } = Header::read(path, &mut file)?;
        let mut tensors: Vec<_> = metadata.tensors().into_iter().map(|(name, entry)| (name, entry.clone())).collect();
        tensors.sort_by_key(|(_, entry)| entry.data_offsets);
        let end = end_of(&tensors).map_err(|problem| not_a_model_file(path, &problem))?;
        if start.checked_add(end as u64) != Some(len) {
            let problem = format!(
                "the file has {len} bytes, but its tensors end at byte {}: it is cut short or damaged",
                start.saturating_add(end as u64)
            );
            return Err(not_a_model_file(path, &problem));
        }
        let mut attributes: BTreeMap<String, String> =
            metadata.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let entry = attributes.remove(KEY);
        let infos = tensors.iter().map(|(name, entry)| TensorInfo {
            name: name.clone(),
            shape: entry.shape.clone(),
            dtype: format!("{:?}", entry.dtype),
        });
        let infos = infos.collect();
        Ok(Self { path, file, start, tensors, infos, entry, attributes })
    }

    fn fill(&mut self, network: &mut Network) -> Result<Vec<String>> {
        let own = |(name, _): &(String, Entry)| network.weight(name).is_some();
        if self.entry.is_none() && !self.tensors.iter().any(own) {
            return modules::fill(self, network);
        }
        let bad =
            |problem: String| Error::file(self.path, format!("does not fit network {}: {problem}", network.name()));
        // Additional sets of weights are only for readers that know them.
        let variants = self.attributes.contains_key(VARIANTS);
        let named = self.tensors.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index));
        let by_name: BTreeMap<&str, usize> =
            named.filter(|(name, _)| !(variants && name.starts_with(VARIANT))).collect();
        let mut places = Vec::new();
        for weight in network.weights() {
            let place =
                *by_name.get(weight.name()).ok_or_else(|| bad(format!("tensor {:?} is missing", weight.name())))?;
            let (name, entry) = &self.tensors[place];
            if entry.shape != weight.shape() {
                return Err(bad(format!("tensor {name:?} has shape {:?}, not {:?}", entry.shape, weight.shape())));
            }
            if float(entry.dtype).is_none() {
                return Err(bad(format!("tensor {name:?} is of type {:?}, not F32, F16, BF16 or F64", entry.dtype)));
            }
            places.push(place);
        }
        if by_name.len() > places.len() {
            let names: Vec<_> = network.weights().iter().map(|weight| weight.name()).collect();
            let extra = by_name.keys().find(|name| !names.contains(name)).copied().unwrap_or_default();
            return Err(bad(format!("tensor {extra:?} belongs to none of its layers")));
        }
        for (weight, place) in network.weights_mut().iter_mut().zip(places) {
            let mut rest = weight.values_mut();
            self.read(place, &mut |values| {
                let (now, later) = std::mem::take(&mut rest).split_at_mut(values.len());
                now.copy_from_slice(values);
                rest = later;
            })?;
        }
        Ok(Vec::new())
    }
}

/// How to decode a floating-point type.
fn float(dtype: Dtype) -> Option<Float> {
    match dtype {
        Dtype::F32 => Some(Float::F32),
        Dtype::F16 => Some(Float::F16),
        Dtype::BF16 => Some(Float::BF16),
        Dtype::F64 => Some(Float::F64),
        _ => None,
    }
}

impl Tensors for Source<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn is_float(&self, index: usize) -> bool {
        float(self.tensors[index].1.dtype).is_some()
    }

    /// Writers of this format sort tensors in any order.
    fn in_order(&self) -> bool {
        false
    }

    fn read(&mut self, index: usize, take: &mut dyn FnMut(&[f32])) -> Result<()> {
        let (name, entry) = &self.tensors[index];
        let kind = float(entry.dtype).ok_or_else(|| {
            Error::file(
                self.path,
                format!("tensor {name:?} is of type {:?}, not of floating-point numbers", entry.dtype),
            )
        })?;
        let failed = |source| Error::io(self.path, "read", source);
        let (from, to) = entry.data_offsets;
        self.file.seek(SeekFrom::Start(self.start + from as u64)).map_err(failed)?;
        kind.read(&mut self.file, (to - from) / kind.size(), take).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
