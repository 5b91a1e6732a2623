//! Zip archives of weights: members are found by name and read with limits; nothing is unpacked to disk.

use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::model_file::ModelFile;
use crate::{Error, Result, guard};

/// The magic bytes of a zip archive. (An empty archive starts differently, but cannot hold weights.)
pub(crate) const MAGIC: [u8; 4] = *b"PK\x03\x04";
/// The format's name in errors.
const FORMAT: &str = "zip";
/// Maximum number of members.
const MAX_MEMBERS: usize = 100_000;
/// Maximum compression ratio of a member. Trained weights hardly shrink; a zip bomb shrinks a thousandfold.
const MAX_RATIO: u64 = 40;
/// Bytes of a member that may be unpacked regardless of its compressed size.
const FREE_BYTES: u64 = 16 << 20;
/// Maximum bytes of a member that may be unpacked to memory.
const MAX_UNPACKED: u64 = 4 << 30;

trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

/// An open archive.
pub(crate) struct Archive {
    path: PathBuf,
    zip: ZipArchive<Box<dyn Bytes>>,
    len: u64,
}

impl Archive {
    /// Opens an archive.
    pub(super) fn open(file: ModelFile) -> Result<Self> {
        let open = file.open()?;
        let len = open.len();
        Self::new(file.path(), Box::new(io::BufReader::new(open)), len)
    }

    /// Opens an archive that is embedded in the file `path`.
    pub(crate) fn open_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let len = bytes.len() as u64;
        Self::new(path, Box::new(Cursor::new(bytes)), len)
    }

    fn new(path: &Path, bytes: Box<dyn Bytes>, len: u64) -> Result<Self> {
        // A model file is an archive from its first byte. When detecting the start of an archive, the zip crate expects the
        // directory right before the end record, but PyTorch puts the 76 bytes of the ZIP64 records between them: if the
        // first directory entry also has 76 bytes (a member name of 30), the second entry is mistaken for the first, and
        // all offsets are shifted by one entry.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = guard::decoder(path, FORMAT, || {
            ZipArchive::with_config(config, bytes).map_err(|problem| {
                Error::file(path, format!("not a usable zip archive: {problem}: it may be cut short or damaged"))
            })
        })?;
        if zip.len() > MAX_MEMBERS {
            let what = format!("{}: members of the archive", path.display());
            return Err(Error::Limit { what, got: zip.len() as u64, limit: MAX_MEMBERS as u64 });
        }
        Ok(Self { path: path.to_path_buf(), zip, len })
    }

    /// The names of all members.
    pub(crate) fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect()
    }

    /// Whether a member with this name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// The maximum number of bytes that the members can plausibly unpack to.
    pub(crate) fn unpacked_bytes(&self) -> u64 {
        let total = self.zip.decompressed_size().map_or(u64::MAX, |total| u64::try_from(total).unwrap_or(u64::MAX));
        total.min(self.len.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES))
    }

    /// The offset and size of a stored (uncompressed) member, after verifying its checksum; `None` for a compressed one.
    pub(crate) fn in_place(&mut self, name: &str) -> Result<Option<(u64, u64)>> {
        guard::decoder(&self.path.clone(), FORMAT, || self.find_in_place(name))
    }

    fn find_in_place(&mut self, name: &str) -> Result<Option<(u64, u64)>> {
        let (path, len) = (self.path.clone(), self.len);
        let mut member = self.zip.by_name(name).map_err(|problem| damaged(&path, name, &problem.to_string()))?;
        if member.compression() != CompressionMethod::Stored {
            return Ok(None);
        }
        let size = member.size();
        let start = member.data_start().ok_or_else(|| damaged(&path, name, "it has no place"))?;
        if start.checked_add(size).is_none_or(|end| end > len) || member.compressed_size() != size {
            return Err(damaged(&path, name, "it lies outside the file"));
        }
        let read =
            io::copy(&mut member, &mut io::sink()).map_err(|problem| damaged(&path, name, &problem.to_string()))?;
        if read != size {
            return Err(damaged(&path, name, "it is cut short"));
        }
        Ok(Some((start, size)))
    }

    /// Reads a member of at most `limit` bytes.
    pub(crate) fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>> {
        guard::decoder(&self.path.clone(), FORMAT, || self.unpack(name, limit))
    }

    fn unpack(&mut self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let path = self.path.clone();
        let mut member = self.zip.by_name(name).map_err(|problem| damaged(&path, name, &problem.to_string()))?;
        let packed = member.compressed_size().min(self.len);
        let limit = limit.min(MAX_UNPACKED).min(packed.saturating_mul(MAX_RATIO).max(FREE_BYTES));
        let size = member.size();
        let too_large = |got| {
            let what = format!("{}: bytes that {name} unpacks to", path.display());
            Err(Error::Limit { what, got, limit })
        };
        if size > limit {
            return too_large(size);
        }
        // The archive declares this size; the actual one may differ.
        let mut bytes = Vec::with_capacity(size.min(FREE_BYTES) as usize);
        let read = member.by_ref().take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|problem| match problem.kind() {
            // Of this machine, not of the file.
            io::ErrorKind::OutOfMemory => Error::io(&path, "read", problem),
            _ => damaged(&path, name, &problem.to_string()),
        })?;
        if bytes.len() as u64 > limit {
            return too_large(bytes.len() as u64);
        }
        Ok(bytes)
    }
}

fn damaged(path: &Path, name: &str, problem: &str) -> Error {
    Error::file(path, format!("is damaged: member {name} cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive with two members and ZIP64 end records, which PyTorch writes for any size.
    fn with_zip64_records(names: [&str; 2]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(name.as_bytes()).unwrap();
        }
        let mut bytes = writer.finish().unwrap().into_inner();
        let end = bytes.split_off(bytes.len() - 22);
        assert_eq!(end[..4], *b"PK\x05\x06");
        let field = |at: usize| u64::from(u32::from_le_bytes(end[at..at + 4].try_into().unwrap()));
        let (at, size, start) = (bytes.len() as u64, field(12), field(16));
        // Record: length of the rest, versions, disks, members on this disk and in total, size and offset of the directory.
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([30, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [2, 2, size, start].iter().for_each(|field: &u64| bytes.extend(field.to_le_bytes()));
        // Locator: disk and offset of the record, number of disks.
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend(at.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(end);
        bytes
    }

    #[test]
    fn zip64_records_do_not_move_the_members() {
        // With 30 bytes, a directory entry is as long as the ZIP64 records.
        for len in 25..35 {
            let (first, second) = ("a".repeat(len), "b".repeat(len));
            let bytes = with_zip64_records([&first, &second]);
            let mut archive = Archive::open_bytes(Path::new("x.pth"), bytes).unwrap();
            assert_eq!(archive.names(), [first.clone(), second.clone()]);
            for name in [first, second] {
                assert_eq!(archive.read(&name, 100).unwrap(), name.as_bytes(), "{len}");
            }
        }
    }
}
