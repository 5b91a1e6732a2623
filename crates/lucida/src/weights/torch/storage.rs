//! An open file: locating storages, and reading tensors from them.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::legacy;
use super::state::{CHOICE, RULES, State, Storage, View};
use crate::weights::archive::{Archive, MAGIC};
use crate::weights::floats::Float;
use crate::weights::model_file::{ModelFile, OpenFile};
use crate::weights::modules::Tensors;
use crate::weights::pickle::Pickle;
use crate::weights::{Inspection, TensorInfo};
use crate::{Error, Result, files};

/// Maximum bytes of a pickle. That of a ResNet50 has 40,000.
const MAX_PICKLE: u64 = 32 << 20;
/// Values per chunk.
const CHUNK: usize = 1 << 14;

/// A state dict and the file with its values.
pub(super) struct TorchFile {
    path: PathBuf,
    file: OpenFile,
    infos: Vec<TensorInfo>,
    views: Vec<View>,
    storages: Vec<Storage>,
    attributes: Vec<(String, String)>,
    /// The offset of each storage, if known.
    places: Vec<Option<u64>>,
    archive: Option<Zip>,
}

/// A zip archive.
struct Zip {
    archive: Archive,
    /// The folder of all members: `archive/`.
    folder: String,
    /// A compressed storage, once unpacked.
    unpacked: Option<(usize, Vec<u8>)>,
}

/// The folder of the state dict in an archive, if there is one.
pub(in crate::weights) fn folder(names: &[String]) -> Option<String> {
    let found = names.iter().filter_map(|name| name.strip_suffix("data.pkl"));
    let mut found = found.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    found.next().map(str::to_owned)
}

impl TorchFile {
    pub(super) fn open(source: ModelFile) -> Result<Self> {
        let path = source.path();
        let mut file = source.open()?;
        let failed = |source| Error::io(path, "read", source);
        let mut start = Vec::new();
        file.by_ref().take(64).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(&MAGIC) {
            return Self::open_zip(source, file);
        }
        if !legacy::is_legacy(&start) {
            return Err(Error::file(
                path,
                "not a file of PyTorch's: neither a zip archive nor a pickle of its magic number",
            ));
        }
        file.by_ref().take(MAX_PICKLE - start.len() as u64).read_to_end(&mut start).map_err(failed)?;
        let (state, places) = legacy::read(&start, &mut file).map_err(|problem| Self::unusable(path, &problem))?;
        Ok(Self::new(path, file, state, places.into_iter().map(Some).collect(), None))
    }

    fn open_zip(source: ModelFile, file: OpenFile) -> Result<Self> {
        let path = source.path();
        let mut archive = Archive::open(source)?;
        let names = archive.names();
        let Some(folder) = folder(&names) else {
            return Err(Error::file(path, "is a zip archive, but not one of PyTorch's: it has no data.pkl"));
        };
        if archive.has(&format!("{folder}constants.pkl")) {
            return Err(Error::file(
                path,
                "is a TorchScript program, which is not run: save the state_dict() of its module with torch.save",
            ));
        }
        let order = format!("{folder}byteorder");
        if archive.has(&order) && archive.read(&order, 16)? != b"little" {
            return Err(Error::file(path, "was written on a big-endian machine, which is not supported"));
        }
        let bytes = archive.read(&format!("{folder}data.pkl"), MAX_PICKLE)?;
        let state = Pickle::read(&bytes, RULES).and_then(|pickle| State::new(&pickle));
        let state = state.map_err(|problem| Self::unusable(path, &problem))?;
        let places = vec![None; state.storages.len()];
        Ok(Self::new(path, file, state, places, Some(Zip { archive, folder, unpacked: None })))
    }

    fn new(path: &Path, file: OpenFile, state: State, places: Vec<Option<u64>>, archive: Option<Zip>) -> Self {
        let (infos, views) = state.tensors.into_iter().unzip();
        let (storages, attributes) = (state.storages, state.attributes);
        Self { path: path.to_path_buf(), file, infos, views, storages, attributes, places, archive }
    }

    fn unusable(path: &Path, problem: &str) -> Error {
        let hint = match problem.starts_with("would run code") {
            true => " (a state dictionary needs none: save the model's state_dict() alone, with torch.save)",
            false => "",
        };
        Error::file(path, format!("not a usable PyTorch file: {problem}{hint}"))
    }

    fn bad(&self, problem: String) -> Error {
        Error::file(&self.path, format!("is damaged: {problem}"))
    }

    /// Which dictionary of tensors was chosen, if there were several.
    pub(super) fn choice(&self) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == CHOICE).map(|(_, text)| text.as_str())
    }

    pub(super) fn into_inspection(self) -> Inspection {
        Inspection {
            format: match self.archive {
                Some(_) => "PyTorch state dictionary (zip)",
                None => "PyTorch state dictionary (before 1.6)",
            },
            tensors: self.infos,
            attributes: self.attributes,
            architecture: None,
        }
    }

    /// Locates a storage in the archive, and checks its length and checksum.
    fn find(&mut self, index: usize) -> Result<()> {
        let storage = &self.storages[index];
        let Some(zip) = &mut self.archive else { return Ok(()) };
        if self.places[index].is_some() || matches!(&zip.unpacked, Some((unpacked, _)) if *unpacked == index) {
            return Ok(());
        }
        let name = format!("{}data/{}", zip.folder, storage.key);
        let Some(expected) = storage.len.checked_mul(storage.kind.size as u64) else {
            let problem = format!("storage {:?} of {} values is too large", storage.key, storage.len);
            return Err(self.bad(problem));
        };
        let found = match zip.archive.in_place(&name)? {
            Some((start, len)) => {
                self.places[index] = Some(start);
                len
            }
            None => {
                zip.unpacked = None;
                let bytes = zip.archive.read(&name, expected)?;
                let len = bytes.len() as u64;
                zip.unpacked = Some((index, bytes));
                len
            }
        };
        if found != expected {
            let problem = format!("member {name} has {found} bytes, where there should be {expected}");
            return Err(self.bad(problem));
        }
        Ok(())
    }

    /// Reads contiguous values.
    fn read_row(
        &mut self,
        storage: usize,
        (kind, offset, count): (Float, u64, usize),
        take: &mut dyn FnMut(&[f32]),
    ) -> Result<()> {
        let at = offset * kind.size() as u64;
        let failed = |source| Error::io(&self.path, "read", source);
        if let Some(start) = self.places[storage] {
            self.file.seek(SeekFrom::Start(start + at)).map_err(failed)?;
            return kind.read(&mut self.file, count, take).map_err(failed);
        }
        match self.archive.as_ref().and_then(|zip| zip.unpacked.as_ref()) {
            Some((unpacked, bytes)) if *unpacked == storage => {
                let mut bytes = Cursor::new(bytes);
                bytes.set_position(at);
                kind.read(&mut bytes, count, take).map_err(failed)
            }
            _ => Err(Error::Bug(format!("{}: storage {storage} was not found", self.path.display()))),
        }
    }
}

impl Tensors for TorchFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn is_float(&self, index: usize) -> bool {
        self.storages[self.views[index].storage].kind.float.is_some()
    }

    fn in_order(&self) -> bool {
        true
    }

    fn read(&mut self, index: usize, take: &mut dyn FnMut(&[f32])) -> Result<()> {
        let view = self.views[index].clone();
        let Some(kind) = self.storages[view.storage].kind.float else {
            let TensorInfo { name, dtype, .. } = &self.infos[index];
            return Err(self.bad(format!("tensor {name:?} is of type {dtype}, not of floating-point numbers")));
        };
        self.find(view.storage)?;
        if view.is_plain() {
            return self.read_row(view.storage, (kind, view.offset, view.len()), take);
        }
        let mut span =
            files::with_room(view.span() as usize).map_err(|source| Error::io(&self.path, "read", source))?;
        self.read_row(view.storage, (kind, view.offset, view.span() as usize), &mut |values| {
            span.extend_from_slice(values);
        })?;
        gather(&view, &span, take);
        Ok(())
    }
}

/// Passes on the values of a view in row-major order.
fn gather(view: &View, span: &[f32], take: &mut dyn FnMut(&[f32])) {
    let mut place = vec![0_usize; view.shape.len()];
    let mut at = 0;
    let mut values = Vec::with_capacity(CHUNK.min(view.len()));
    for _ in 0..view.len() {
        values.push(span[at]);
        if values.len() == CHUNK {
            take(&values);
            values.clear();
        }
        // Advance to the next index, last axis first, like an odometer.
        for axis in (0..place.len()).rev() {
            let stride = view.strides[axis] as usize;
            place[axis] += 1;
            at += stride;
            if place[axis] < view.shape[axis] {
                break;
            }
            at -= stride * view.shape[axis];
            place[axis] = 0;
        }
    }
    take(&values);
}
