//! The IDX format, in which MNIST and similar data sets are published: plain or gzipped.
//!
//! Two zero bytes, the element type, the number of dimensions, each dimension as a big-endian 32-bit number, then the
//! elements in row-major order. See <http://yann.lecun.com/exdb/mnist/>.

use std::io::{self, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Limits;
use crate::{Error, Result, files, guard};

/// The type code of unsigned bytes, the only element type of images and labels.
const UNSIGNED_BYTES: u8 = 0x08;

/// The maximum allocation based on a header alone; more is allocated only as bytes arrive.
const TRUSTED_BYTES: u64 = 64 << 20;

/// An array of unsigned bytes with any number of dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The size of each dimension, slowest first: `[images, rows, columns]` or `[labels]`.
    pub dims: Vec<usize>,
    /// The elements in row-major order.
    pub data: Vec<u8>,
}

/// The expected content of a file, by its number of dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Images: three dimensions, magic number 0x00000803 (2051).
    Images,
    /// Labels: one dimension, magic number 0x00000801 (2049).
    Labels,
    /// Any number of dimensions, at least one.
    Any,
}

impl Content {
    fn expected(self) -> &'static str {
        match self {
            Self::Images => "00 00 08 03",
            Self::Labels => "00 00 08 01",
            Self::Any => "00 00 08 and the number of dimensions",
        }
    }
}

/// Reads an IDX file, plain or gzipped (detected from its first bytes, not its name).
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; as [`parse`].
pub fn read(path: impl AsRef<Path>, content: Content, limits: &Limits) -> Result<Idx> {
    let path = path.as_ref();
    parse(&files::read_limited(path, limits.file_bytes)?, path, content, limits)
}

/// Parses the bytes of an IDX file, plain or gzipped; `name` is used in errors.
///
/// # Errors
/// [`Error::File`] when the bytes are not an IDX file with the expected content, or are too short or too long;
/// [`Error::Unsupported`] for elements other than unsigned bytes; [`Error::Limit`] when the header declares more than
/// `limits.unpacked_bytes`, before anything is allocated.
pub fn parse(bytes: &[u8], name: impl AsRef<Path>, content: Content, limits: &Limits) -> Result<Idx> {
    let name = name.as_ref();
    if bytes.is_empty() {
        return Err(Error::file(name, "is empty, not an IDX file"));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let unpacked = Source { name, input: MultiGzDecoder::new(bytes), unpacked: 0 };
        guard::decoder(name, "gzip", || unpacked.parse(content, limits))
    } else {
        Source { name, input: bytes, unpacked: 0 }.parse(content, limits)
    }
}

/// The unpacked bytes of a file, with the details for errors.
struct Source<'a, R> {
    name: &'a Path,
    input: R,
    unpacked: u64,
}

impl<R: Read> Source<'_, R> {
    fn parse(mut self, content: Content, limits: &Limits) -> Result<Idx> {
        let mut magic = [0; 4];
        self.header(&mut magic)?;
        self.check_magic(magic, content)?;
        let mut dims = Vec::with_capacity(magic[3].into());
        for _ in 0..magic[3] {
            let mut size = [0; 4];
            self.header(&mut size)?;
            dims.push(u32::from_be_bytes(size));
        }
        let declared = dims.iter().fold(1_u64, |total, &size| total.saturating_mul(size.into()));
        if declared > limits.unpacked_bytes {
            let what = format!("{}: size in bytes that the IDX header declares", self.name.display());
            return Err(Error::Limit { what, got: declared, limit: limits.unpacked_bytes });
        }
        let data = self.elements(declared)?;
        let dims = dims.into_iter().map(|size| size as usize).collect();
        Ok(Idx { dims, data })
    }

    /// Reads a part of the header.
    fn header(&mut self, part: &mut [u8]) -> Result<()> {
        let mut got = 0;
        while got < part.len() {
            match self.input.read(&mut part[got..]) {
                Ok(0) => {
                    let found = self.unpacked + got as u64;
                    return Err(self.wrong(format!("is cut short: its IDX header ends after {found} bytes")));
                }
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.damaged(got as u64, &e)),
            }
        }
        self.unpacked += part.len() as u64;
        Ok(())
    }

    fn check_magic(&self, magic: [u8; 4], content: Content) -> Result<()> {
        let [zero, also_zero, element, rank] = magic;
        let found = magic.map(|byte| format!("{byte:02x}")).join(" ");
        let expected = content.expected();
        let known = match element {
            UNSIGNED_BYTES => "unsigned bytes",
            0x09 => "signed bytes",
            0x0b => "16-bit integers",
            0x0c => "32-bit integers",
            0x0d => "32-bit floats",
            0x0e => "64-bit floats",
            _ => "",
        };
        if zero != 0 || also_zero != 0 || rank == 0 || known.is_empty() {
            return Err(self.wrong(format!("not an IDX file: it starts with {found}, expected {expected}")));
        }
        if element != UNSIGNED_BYTES {
            return Err(Error::Unsupported(format!(
                "{}: holds {known} (IDX type 0x{element:02x}), only unsigned bytes (0x08) are supported",
                self.name.display()
            )));
        }
        match (content, rank) {
            (Content::Any, _) | (Content::Images, 3) | (Content::Labels, 1) => Ok(()),
            (Content::Images, 1) => Err(self.wrong(format!(
                "is mislabeled: it holds labels (magic {found}) where images ({expected}) were expected"
            ))),
            (Content::Labels, 3) => Err(self.wrong(format!(
                "is mislabeled: it holds images (magic {found}) where labels ({expected}) were expected"
            ))),
            _ => Err(self.wrong(format!("holds an array of {rank} dimensions (magic {found}), expected {expected}"))),
        }
    }

    /// Reads the declared elements, and checks that nothing follows.
    fn elements(&mut self, declared: u64) -> Result<Vec<u8>> {
        let mut data = Vec::with_capacity(declared.min(TRUSTED_BYTES) as usize);
        // One byte more, to detect trailing data, and to make gzip verify its checksum.
        let outcome = self.input.by_ref().take(declared.saturating_add(1)).read_to_end(&mut data);
        let found = data.len() as u64;
        if let Err(e) = outcome {
            return Err(self.damaged(found, &e));
        }
        if found < declared {
            return Err(self.wrong(format!("is cut short: it holds {found} of the {declared} bytes that it declares")));
        }
        if found > declared {
            return Err(self.wrong(format!("holds more than the {declared} bytes that it declares")));
        }
        Ok(data)
    }

    fn wrong(&self, problem: String) -> Error {
        Error::file(self.name, problem)
    }

    /// The error for a gzip stream that failed `more` bytes after the last completed read.
    fn damaged(&self, more: u64, source: &io::Error) -> Error {
        let at = self.unpacked + more;
        match source.kind() {
            io::ErrorKind::OutOfMemory => Error::io(self.name, "read", source.kind().into()),
            io::ErrorKind::UnexpectedEof => {
                self.wrong(format!("is cut short: its gzip stream ends after {at} unpacked bytes"))
            }
            _ => self.wrong(format!("is damaged: its gzip stream is corrupt after {at} unpacked bytes ({source})")),
        }
    }
}

#[cfg(test)]
mod tests;
