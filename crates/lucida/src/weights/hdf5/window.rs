//! A window on a part of a file, with a budget for reads.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdf5_reader::{Storage, StorageBuffer};

use crate::weights::floats::Float;
use crate::weights::model_file::OpenFile;

/// Bytes that may be read beyond the file size: a cyclic structure ends here.
const SPARE_BYTES: u64 = 64 << 20;
/// Maximum number of reads. InceptionV3 needs 20,000.
const MAX_READS: u64 = 4_000_000;
/// Maximum bytes of a read; all structures are smaller.
const MAX_READ: usize = 64 << 20;
/// Bytes of a tensor per read.
const PIECE: usize = 1 << 18;

/// A part of a file, or bytes in memory, that appears as a whole file to the reader.
pub(super) struct Window {
    source: Source,
    start: u64,
    len: u64,
    bytes_read: AtomicU64,
    reads: AtomicU64,
}

enum Source {
    File(Mutex<OpenFile>),
    Bytes(Vec<u8>),
}

impl Window {
    /// The part of a file from `start` on.
    pub(super) fn of_file(file: OpenFile, start: u64, len: u64) -> Self {
        Self::new(Source::File(Mutex::new(file)), start, len)
    }

    /// Bytes in memory.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self::new(Source::Bytes(bytes), 0, len)
    }

    fn new(source: Source, start: u64, len: u64) -> Self {
        Self { source, start, len, bytes_read: AtomicU64::new(0), reads: AtomicU64::new(0) }
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let end = at.checked_add(into.len() as u64).filter(|&end| end <= self.len);
        if end.is_none() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        match &self.source {
            Source::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(self.start + at))?;
                file.read_exact(into)
            }
            Source::Bytes(bytes) => {
                let at = at as usize;
                into.copy_from_slice(&bytes[at..at + into.len()]);
                Ok(())
            }
        }
    }

    /// Reads little-endian floats from offset `at`, in chunks, without a second copy of the tensor.
    pub(super) fn floats(&self, at: u64, kind: Float, values: &mut [f32]) -> io::Result<()> {
        let most = PIECE / kind.size();
        let mut bytes = vec![0; kind.size() * most.min(values.len())];
        let mut at = at;
        for piece in values.chunks_mut(most) {
            let bytes = &mut bytes[..kind.size() * piece.len()];
            self.read_at(at, bytes)?;
            kind.decode(bytes, piece);
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

impl Storage for Window {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        use hdf5_reader::error::Error;
        let available = self.len.saturating_sub(offset);
        if len as u64 > available {
            return Err(Error::UnexpectedEof { offset, needed: len as u64, available });
        }
        let bytes = self.bytes_read.fetch_add(len as u64, Ordering::Relaxed);
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        if len > MAX_READ || bytes > SPARE_BYTES.saturating_add(self.len) || reads > MAX_READS {
            return Err(Error::ResourceLimit("its structure takes more reading than any real file's".into()));
        }
        let mut buffer = vec![0; len];
        self.read_at(offset, &mut buffer)?;
        Ok(StorageBuffer::from_vec(buffer))
    }
}
