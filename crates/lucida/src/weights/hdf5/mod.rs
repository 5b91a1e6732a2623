//! The part of HDF5 that files of weights need: groups, string attributes, and float tensors.
//!
//! The structure is read by the `hdf5-reader` crate, through a [`Window`] that limits what a damaged or malicious file can
//! make it read. A contiguous tensor, like all that Keras writes, is read directly into its destination.

mod window;

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{ByteOrder, Datatype, Hdf5File, OpenOptions};

use super::floats::Float;
use super::model_file::{ModelFile, OpenFile};
use crate::{Error, Result, files, guard};
use window::Window;

/// The magic bytes of an HDF5 file.
pub(crate) const MAGIC: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// The format's name in errors.
const FORMAT: &str = "HDF5";
/// Maximum nesting of groups. Keras nests a group for each nested model.
const MAX_DEPTH: usize = 40;
/// Maximum number of groups, tensors, and names in lists of them. InceptionV3 has 875.
const MAX_OBJECTS: usize = 50_000;
/// Maximum bytes of all attributes and names read from a file.
const MAX_TEXT: usize = 64 << 20;
/// Maximum number of parts of an attribute. 1,000 parts hold 60 MiB of names.
const MAX_PARTS: usize = 1000;

/// An HDF5 file, which may be embedded in another file.
pub(crate) struct Hdf5 {
    path: PathBuf,
    window: Arc<Window>,
    file: Hdf5File,
    /// The number of groups and tensors visited, and of text bytes read: a list may name the same object repeatedly.
    objects: Cell<usize>,
    text: Cell<usize>,
}

/// A tensor in an HDF5 file.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    /// Its path in the file, without a leading slash.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: String,
    /// The type of its values, if they are floats.
    float: Option<Float>,
    /// Its offset, if it is contiguous and consists of little-endian floats.
    at: Option<u64>,
}

/// A group with tensors, found by [`Hdf5::walk`].
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its path in the file, without a leading slash; empty for the root.
    pub(crate) path: String,
    /// Its tensors, sorted by name.
    pub(crate) tensors: Vec<Tensor>,
}

impl Hdf5 {
    /// Opens a file.
    pub(super) fn open(file: ModelFile) -> Result<Self> {
        let open = file.open()?;
        let len = open.len();
        Self::in_window(file.path(), Window::of_file(open, 0, len))
    }

    /// Opens an HDF5 file that is embedded in a file from `start` on, as in an archive.
    pub(super) fn open_part(file: ModelFile, start: u64, len: u64) -> Result<Self> {
        Self::in_window(file.path(), Window::of_file(file.open()?, start, len))
    }

    /// Opens an HDF5 file that was unpacked to memory.
    pub(crate) fn open_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::in_window(path, Window::of_bytes(bytes))
    }

    fn in_window(path: &Path, window: Window) -> Result<Self> {
        let window = Arc::new(window);
        let options = OpenOptions {
            chunk_cache_bytes: 8 << 20,
            max_chunk_bytes: 64 << 20,
            max_read_bytes: MAX_TEXT,
            max_object_header_bytes: 16 << 20,
            ..OpenOptions::default()
        };
        let file = guard::decoder(path, FORMAT, || {
            Hdf5File::from_storage_with_options(window.clone(), options)
                .map_err(|problem| Error::file(path, format!("not a usable HDF5 file: {problem}")))
        })?;
        Ok(Self { path: path.to_path_buf(), window, file, objects: Cell::new(0), text: Cell::new(0) })
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.window.len()
    }

    /// An error about this file.
    pub(crate) fn bad(&self, problem: impl std::fmt::Display) -> Error {
        Error::file(&self.path, problem.to_string())
    }

    /// Converts an error of the reader.
    fn damaged(&self, problem: &hdf5_reader::error::Error) -> Error {
        self.bad(format_args!("is a damaged HDF5 file: {problem}"))
    }

    /// Runs a step of the reader with protection against panics.
    fn guarded<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        guard::decoder(&self.path, FORMAT, read)
    }

    /// Counts visited groups and tensors, and text bytes, against the limits.
    fn count(&self, objects: usize, text: usize) -> Result<()> {
        for (so_far, more, limit, what) in [
            (&self.objects, objects, MAX_OBJECTS, "groups and tensors"),
            (&self.text, text, MAX_TEXT, "bytes of names and attributes"),
        ] {
            let got = so_far.get().saturating_add(more);
            if got > limit {
                let what = format!("{}: {what}", self.path.display());
                return Err(Error::Limit { what, got: got as u64, limit: limit as u64 });
            }
            so_far.set(got);
        }
        Ok(())
    }

    /// The group at this path; empty for the root.
    fn group(&self, path: &str) -> Result<Group> {
        self.file.group(path).map_err(|problem| self.damaged(&problem))
    }

    /// Whether the root has a group with this name.
    pub(crate) fn has_group(&self, name: &str) -> Result<bool> {
        self.guarded(|| {
            let (groups, _) = self.group("")?.member_names().map_err(|problem| self.damaged(&problem))?;
            Ok(groups.iter().any(|group| group == name))
        })
    }

    /// The string attributes of a group with their values.
    pub(crate) fn attributes(&self, group: &str) -> Result<Vec<(String, Vec<String>)>> {
        self.guarded(|| self.attributes_of(group))
    }

    fn attributes_of(&self, group: &str) -> Result<Vec<(String, Vec<String>)>> {
        let attributes = self.group(group)?.attributes().map_err(|problem| self.damaged(&problem))?;
        self.count(1, group.len())?;
        let mut found = Vec::new();
        for attribute in attributes {
            let scalar = attribute.shape.is_empty();
            // A list of names takes much more memory than its bytes in the file.
            let len = attribute.shape.iter().fold(1, |len: u64, &size| len.saturating_mul(size));
            if len > MAX_OBJECTS as u64 {
                let what = format!("{}: values of attribute {:?}", self.path.display(), attribute.name);
                return Err(Error::Limit { what, got: len, limit: MAX_OBJECTS as u64 });
            }
            let values = if scalar { attribute.read_string().map(|text| vec![text]) } else { attribute.read_strings() };
            // An attribute that is not a string has no values here, such as the empty float list for a layer without
            // weights.
            let values = values.unwrap_or_default();
            self.count(0, attribute.name.len() + values.iter().map(String::len).sum::<usize>())?;
            found.push((attribute.name, values));
        }
        Ok(found)
    }

    /// The tensors of a group that are listed in an attribute, in its order.
    pub(crate) fn listed_tensors(&self, group: &str, names: &[String]) -> Result<Vec<Tensor>> {
        self.guarded(|| names.iter().map(|name| self.tensor(&format!("{group}/{name}"))).collect())
    }

    /// The tensor at this path.
    fn tensor(&self, path: &str) -> Result<Tensor> {
        let dataset = self.file.dataset(path).map_err(|problem| self.damaged(&problem))?;
        self.describe(path.trim_start_matches('/').to_owned(), &dataset)
    }

    fn describe(&self, name: String, dataset: &hdf5_reader::Dataset) -> Result<Tensor> {
        self.count(1, name.len())?;
        let shape: Option<Vec<usize>> = dataset.shape().iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = shape.ok_or_else(|| self.bad(format_args!("tensor {name:?} has an impossible shape")))?;
        let header = self.file.get_or_parse_header(dataset.address()).map_err(|problem| self.damaged(&problem))?;
        let external = header.messages.iter().any(|message| matches!(message, HdfMessage::ExternalFiles(_)));
        if external {
            return Err(self.bad(format_args!("tensor {name:?} lies in another file, which is not supported")));
        }
        let layout = header.messages.iter().find_map(|message| match message {
            HdfMessage::DataLayout(layout) => Some(&layout.layout),
            _ => None,
        });
        let (float, plain) = match dataset.dtype() {
            Datatype::FloatingPoint { size, byte_order } => {
                let float = match size {
                    2 => Some(Float::F16),
                    4 => Some(Float::F32),
                    8 => Some(Float::F64),
                    _ => None,
                };
                (float, float.is_some() && *byte_order == ByteOrder::LittleEndian)
            }
            // HDF5 has no bfloat16: h5py stores Keras's as opaque values of two bytes.
            Datatype::Opaque { size: 2, .. } => (Some(Float::BF16), true),
            _ => (None, false),
        };
        let len = shape.iter().try_fold(float.map_or(4, Float::size) as u64, |len, &size| len.checked_mul(size as u64));
        let at = match (layout, len) {
            (Some(&DataLayout::Contiguous { address, size }), Some(len)) if plain && address != u64::MAX => {
                let at = address.checked_add(self.file.superblock().base_address);
                let end = at.and_then(|at| at.checked_add(len));
                if size < len || end.is_none_or(|end| end > self.window.len()) {
                    return Err(self.bad(format_args!(
                        "is cut short or damaged: tensor {name:?} of shape {shape:?} lies outside the file of {} bytes",
                        self.window.len()
                    )));
                }
                at
            }
            _ => None,
        };
        Ok(Tensor { name, shape, dtype: type_name(dataset.dtype()), float, at })
    }

    /// All groups with tensors at or below `start`, sorted by name.
    pub(crate) fn walk(&self, start: &str) -> Result<Vec<Node>> {
        let mut walk = Walk { seen: HashSet::new(), nodes: Vec::new() };
        self.guarded(|| self.visit(&self.group(start)?, start.trim_matches('/'), 0, &mut walk))?;
        Ok(walk.nodes)
    }

    fn visit(&self, group: &Group, path: &str, depth: usize, walk: &mut Walk) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(self.bad(format_args!("its groups are nested deeper than {MAX_DEPTH}, at {path:?}")));
        }
        if !walk.seen.insert(group.address()) {
            return Err(
                self.bad(format_args!("is a damaged HDF5 file: group {path:?} contains itself, or is there twice"))
            );
        }
        self.count(1, path.len())?;
        let (groups, datasets) = group.members().map_err(|problem| self.damaged(&problem))?;
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let tensors: Vec<_> =
            datasets.iter().map(|dataset| self.describe(join(dataset.name()), dataset)).collect::<Result<_>>()?;
        if !tensors.is_empty() {
            walk.nodes.push(Node { path: path.to_owned(), tensors });
        }
        for child in groups {
            self.visit(&child, &join(child.name()), depth + 1, walk)?;
        }
        Ok(())
    }

    /// A list of strings that Keras stored as an attribute: whole, or in numbered parts if it exceeds 64 KiB.
    pub(crate) fn list(attributes: &[(String, Vec<String>)], name: &str) -> Option<Vec<String>> {
        let get = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, values)| values);
        if let Some(whole) = get(name) {
            return Some(whole.clone());
        }
        let parts: Vec<_> = (0..MAX_PARTS).map_while(|part| get(&format!("{name}{part}"))).collect();
        (!parts.is_empty()).then(|| parts.into_iter().flatten().cloned().collect())
    }

    /// Reads a tensor of 16-, 32- or 64-bit floats.
    pub(crate) fn read(&self, tensor: &Tensor, values: &mut [f32]) -> Result<()> {
        let kind = tensor.float.ok_or_else(|| {
            self.bad(format_args!("tensor {:?} is of type {}, not of floats", tensor.name, tensor.dtype))
        })?;
        if let Some(at) = tensor.at {
            return self.window.floats(at, kind, values).map_err(|source| Error::io(&self.path, "read", source));
        }
        if kind == Float::BF16 {
            let name = &tensor.name;
            return Err(
                self.bad(format_args!("tensor {name:?} of bfloat16 is in several pieces, which is not supported"))
            );
        }
        self.guarded(|| {
            let dataset = self.file.dataset(&tensor.name).map_err(|problem| self.damaged(&problem))?;
            if kind == Float::F32 {
                return dataset.read_into(values).map_err(|problem| self.damaged(&problem));
            }
            let len = kind.size() * values.len();
            let mut bytes = files::with_room(len).map_err(|source| Error::io(&self.path, "read", source))?;
            bytes.resize(len, 0);
            dataset.read_native_bytes_into(&mut bytes).map_err(|problem| self.damaged(&problem))?;
            kind.decode_native(&bytes, values);
            Ok(())
        })
    }
}

/// Whether a file is HDF5: the signature is at its start or, after a user block, at byte 512, 1024, 2048 and so on.
pub(super) fn is_hdf5(file: &mut OpenFile) -> std::io::Result<bool> {
    let len = file.len();
    let places = std::iter::once(0).chain((0..55).map(|power| 512_u64 << power));
    for at in places.take_while(|at| at + MAGIC.len() as u64 <= len) {
        let mut start = [0; MAGIC.len()];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut start)?;
        if start == MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Walk {
    seen: HashSet<u64>,
    nodes: Vec<Node>,
}

/// The type of a tensor's values, by its NumPy name, or `bfloat16`.
fn type_name(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FloatingPoint { size, .. } => format!("float{}", 8 * u32::from(*size)),
        Datatype::FixedPoint { size, signed: true, .. } => format!("int{}", 8 * u32::from(*size)),
        Datatype::FixedPoint { size, signed: false, .. } => format!("uint{}", 8 * u32::from(*size)),
        Datatype::Opaque { size: 2, .. } => "bfloat16".into(),
        Datatype::String { .. } | Datatype::VarLen { .. } => "string".into(),
        _ => "other".into(),
    }
}
