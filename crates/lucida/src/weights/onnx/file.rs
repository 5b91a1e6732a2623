//! Reading and checking an ONNX file, whose tensors may be stored in external files.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;
use prost::bytes::Bytes;

use super::proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};
use super::scan::{Fault, scan};
use super::tensor::{Constant, short, type_of};
use crate::weights::model_file::ModelFile;
use crate::{Error, Result, files, guard};

/// Maximum size of a file in bytes; Protocol Buffers limits messages to 2 GiB.
pub(super) const MAX_FILE: u64 = 1 << 31;
/// Maximum bytes of values in external files.
const MAX_EXTERNAL: u64 = 8 << 30;
/// The supported operator set versions.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=25;

/// An open file.
pub(super) struct OnnxFile<'a> {
    pub(super) source: ModelFile<'a>,
    /// The model without its graph.
    pub(super) model: ModelProto,
    pub(super) graph: GraphProto,
    /// The bytes of the file, and of its tensors in external files.
    pub(super) len: u64,
}

impl<'a> OnnxFile<'a> {
    /// Reads and decodes a file.
    pub(super) fn open(source: ModelFile<'a>) -> Result<Self> {
        let (path, bytes) = (source.path(), source.read(MAX_FILE)?);
        let len = bytes.len() as u64;
        let damaged = |problem: &str| {
            Error::file(path, format!("not a usable ONNX model: {problem}: it may be cut short or damaged"))
        };
        scan(&bytes).map_err(|fault| match fault {
            Fault::Damaged(problem) => damaged(&problem),
            Fault::Limit(what, limit) => {
                Error::Limit { what: format!("{}: {what}", path.display()), got: limit + 1, limit }
            }
        })?;
        let mut model = guard::decoder(path, "ONNX", || {
            ModelProto::decode(bytes).map_err(|problem| damaged(&one_line(&problem.to_string())))
        })?;
        let graph = model.graph.take().ok_or_else(|| damaged("it has no graph"))?;
        if model.opset_import.is_empty() {
            return Err(damaged("it does not say which version of the operators it uses (opset_import)"));
        }
        Ok(Self { source, model, graph, len })
    }

    /// Its path; in memory, its name.
    pub(super) fn path(&self) -> &'a Path {
        self.source.path()
    }

    /// Wraps a graph that was not read from a file, with the newest operators.
    pub(super) fn of_graph(path: &'a Path, graph: GraphProto, len: u64) -> Self {
        let opset = OperatorSetIdProto { domain: String::new(), version: *OPSETS.end() };
        let model = ModelProto { opset_import: vec![opset], ..Default::default() };
        Self { source: ModelFile::on_disk(path), model, graph, len }
    }

    /// The operator set version.
    pub(super) fn opset(&self) -> Result<i64> {
        let own = self.model.opset_import.iter().find(|opset| matches!(opset.domain.as_str(), "" | "ai.onnx"));
        let version = own.map_or(0, |opset| opset.version);
        if OPSETS.contains(&version) {
            return Ok(version);
        }
        Err(Error::Unsupported(format!(
            "{}: uses version {version} of ONNX's operators (opset); versions {} to {} are supported",
            self.path().display(),
            OPSETS.start(),
            OPSETS.end()
        )))
    }

    /// An entry of the metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        entry(&self.model.metadata_props, key)
    }

    /// Moves all initializers out of the graph: the values by name.
    ///
    /// # Errors
    /// [`Error::File`] when the values of one do not match its shape, or an external file is invalid.
    pub(super) fn take_initializers(&mut self) -> Result<HashMap<String, Constant>> {
        let mut external = External { model: self.source, folder: None, sizes: HashMap::new(), read: 0 };
        let mut constants = HashMap::new();
        for tensor in std::mem::take(&mut self.graph.initializer) {
            let name = tensor.name.clone();
            let bytes = if tensor.data_location == 1 { Some(external.read(&tensor)?) } else { None };
            let constant = Constant::new(tensor, bytes).map_err(|problem| Error::file(self.path(), problem))?;
            constants.insert(name, constant);
        }
        self.len += external.sizes.values().sum::<u64>();
        Ok(constants)
    }
}

fn entry<'a>(entries: &'a [StringStringEntryProto], key: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads values from external files next to the model: never from outside its folder, and never beyond their size.
struct External<'a> {
    model: ModelFile<'a>,
    folder: Option<PathBuf>,
    /// The files used so far, with their sizes.
    sizes: HashMap<PathBuf, u64>,
    read: u64,
}

impl External<'_> {
    fn read(&mut self, tensor: &TensorProto) -> Result<Bytes> {
        let location = entry(&tensor.external_data, "location").unwrap_or_default();
        let file = self.locate(tensor, location)?;
        let mut source = self.model.at(&file).open()?;
        let shown = short(location);
        let bad = |problem: &str| self.bad(tensor, problem);
        let number = |key: &str| match entry(&tensor.external_data, key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| bad(&format!("{key} is {:?}", short(text)))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let size = source.len();
        let length = length.unwrap_or_else(|| size.saturating_sub(offset));
        let (_, len) = super::tensor::dims(tensor).map_err(|problem| Error::file(self.model.path(), problem))?;
        let width = type_of(tensor).1;
        let fits = offset.checked_add(length).is_some_and(|end| end <= size) && length == (len * width) as u64;
        if !fits || width == 0 {
            let range = format!("{length} bytes from byte {offset} of {shown:?}, which has {size}");
            return Err(bad(&format!("{range}, are not its values")));
        }
        self.sizes.insert(file.clone(), size);
        self.read += length;
        let limit = self.sizes.values().sum::<u64>().min(MAX_EXTERNAL);
        if self.read > limit {
            let what = format!("{}: bytes of tensors in other files", self.model.path().display());
            return Err(Error::Limit { what, got: self.read, limit });
        }
        let failed = |source| Error::io(&file, "read", source);
        let mut bytes = files::with_room(length as usize).map_err(failed)?;
        bytes.resize(length as usize, 0);
        source.seek(SeekFrom::Start(offset)).map_err(failed)?;
        source.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }

    fn bad(&self, tensor: &TensorProto, problem: &str) -> Error {
        let name = short(&tensor.name);
        Error::file(self.model.path(), format!("the values of tensor {name:?} are in another file, and {problem}"))
    }

    /// The path of an external file, which must be in the model's folder.
    fn locate(&mut self, tensor: &TensorProto, location: &str) -> Result<PathBuf> {
        let (path, shown) = (self.model.path(), short(location));
        let mut parts = Path::new(location).components().peekable();
        if parts.peek().is_none() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(self.bad(tensor, &format!("{shown:?} is not the name of a file in the model's folder")));
        }
        if self.model.is_in_memory() {
            return Ok(path.with_file_name(location));
        }
        let real =
            |file: &Path| file.canonicalize().map_err(|problem| self.bad(tensor, &format!("{shown:?}: {problem}")));
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => real(parent)?,
                _ => real(Path::new("."))?,
            },
        };
        let file = real(&folder.join(location))?;
        if !file.starts_with(&folder) {
            return Err(self.bad(tensor, &format!("{shown:?} leads out of the model's folder")));
        }
        if !file.is_file() {
            return Err(self.bad(tensor, &format!("{shown:?} is not a file")));
        }
        self.folder = Some(folder);
        Ok(file)
    }
}
