//! Where a model is read from: a file on disk, or one in memory, as a browser hands them over.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use prost::bytes::Bytes;

use crate::{Error, Result, files};

/// A file in memory: its name and its bytes.
pub(super) type MemoryFile = (String, Bytes);

/// A file to read a model from, with the files next to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelFile<'a> {
    path: &'a Path,
    /// All files there are, if they are in memory.
    memory: Option<&'a [MemoryFile]>,
}

impl<'a> ModelFile<'a> {
    pub(super) fn on_disk(path: &'a Path) -> Self {
        Self { path, memory: None }
    }

    /// The one with this name among files in memory.
    pub(super) fn in_memory(path: &'a Path, files: &'a [MemoryFile]) -> Self {
        Self { path, memory: Some(files) }
    }

    /// Its path; in memory, its name.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// Whether it is in memory, where names are all there is to a file.
    pub(super) fn is_in_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Another file of the same kind.
    pub(super) fn at<'b>(&self, path: &'b Path) -> ModelFile<'b>
    where
        'a: 'b,
    {
        ModelFile { path, memory: self.memory }
    }

    /// The bytes of a file in memory.
    fn bytes(&self) -> Result<Option<Bytes>> {
        let Some(files) = self.memory else { return Ok(None) };
        let file = files.iter().find(|(name, _)| Path::new(name) == self.path);
        let (_, bytes) = file.ok_or_else(|| Error::file(self.path, "is not among the files in memory"))?;
        Ok(Some(bytes.clone()))
    }

    /// Opens it for reading; a folder is an error.
    pub(super) fn open(&self) -> Result<OpenFile> {
        if let Some(bytes) = self.bytes()? {
            let len = bytes.len() as u64;
            return Ok(OpenFile { bytes: Reader::Memory(Cursor::new(bytes)), len });
        }
        let failed = |source| Error::io(self.path, "read", source);
        let file = File::open(self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::file(self.path, "is a folder, not a model file"));
        }
        Ok(OpenFile { bytes: Reader::Disk(file), len: metadata.len() })
    }

    /// Reads it whole, if it has at most `limit` bytes.
    pub(super) fn read(&self, limit: u64) -> Result<Bytes> {
        let Some(bytes) = self.bytes()? else { return Ok(files::read_limited(self.path, limit)?.into()) };
        let got = bytes.len() as u64;
        if got > limit {
            return Err(Error::Limit { what: format!("{}: size in bytes", self.path.display()), got, limit });
        }
        Ok(bytes)
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    bytes: Reader,
    len: u64,
}

#[derive(Debug)]
enum Reader {
    Disk(File),
    Memory(Cursor<Bytes>),
}

impl OpenFile {
    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl Read for OpenFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Reader::Disk(file) => file.read(into),
            Reader::Memory(bytes) => bytes.read(into),
        }
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.bytes {
            Reader::Disk(file) => file.seek(to),
            Reader::Memory(bytes) => bytes.seek(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_memory_are_found_by_name() {
        let files =
            [("a.bin".to_owned(), Bytes::from_static(b"first")), ("b".to_owned(), Bytes::from_static(b"second"))];
        let file = ModelFile::in_memory(Path::new("a.bin"), &files);
        let (mut open, mut text) = (file.open().unwrap(), String::new());
        open.seek(SeekFrom::Start(2)).unwrap();
        open.read_to_string(&mut text).unwrap();
        assert_eq!((open.len(), text.as_str()), (5, "rst"));
        assert_eq!(file.read(5).unwrap(), "first");
        assert!(matches!(file.read(4), Err(Error::Limit { got: 5, limit: 4, .. })));
        assert_eq!(file.at(Path::new("b")).read(9).unwrap(), "second");
        let message = file.at(Path::new("c")).open().unwrap_err().to_string();
        assert_eq!(message, "c: is not among the files in memory");
    }
}
