//! NumPy's format for one array, `.npy`, so that raw numbers can be looked at elsewhere: `numpy.load("map.npy")`.
//!
//! Version 1.0 of the format: a magic string, the length of a header, the header (a Python dictionary in ASCII, filled up
//! with spaces so that the data begin at a multiple of 64 bytes) and the values, little-endian, the last axis first.

use std::path::Path;

use super::write_atomic;
use crate::{Error, Result};

/// The bytes before the header: the magic string, the version and the length of the header.
const PREFIX: usize = 10;
/// The data begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes 32-bit floats of this shape as an array file, as [`write_atomic`] does.
///
/// # Errors
/// [`Error::Argument`] when `values` does not hold as many numbers as `shape` says, or when the shape has too many axes;
/// [`Error::Io`] when the file cannot be written.
pub fn write_npy(path: impl AsRef<Path>, shape: &[usize], values: &[f32]) -> Result<()> {
    let head = head(shape, values.len())?;
    write_atomic(path, |out| {
        out.write_all(&head)?;
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
}

/// The bytes of an array file, as [`write_npy`] writes it.
///
/// # Errors
/// [`Error::Argument`] as [`write_npy`].
pub fn npy_bytes(shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
    let mut bytes = head(shape, values.len())?;
    bytes.reserve(4 * values.len());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    Ok(bytes)
}

fn head(shape: &[usize], len: usize) -> Result<Vec<u8>> {
    let expected = shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size));
    if expected != Some(len) {
        return Err(Error::argument(format!("{len} values are not an array of shape {shape:?}")));
    }
    // Python's tuple of one element has a comma.
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    let total = (PREFIX + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.extend(std::iter::repeat_n(' ', total - PREFIX - header.len() - 1));
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| Error::argument(format!("an array of {} axes is too much for a .npy file", shape.len())))?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that `numpy.save` of NumPy 2 writes for `numpy.array([[1.0, -2.5]], "<f4")`.
    #[test]
    fn as_numpy_writes_it() {
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }");
        expected.resize(127, b' ');
        expected.push(b'\n');
        expected.extend([0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
        assert_eq!(npy_bytes(&[1, 2], &[1.0, -2.5]).unwrap(), expected);
    }

    #[test]
    fn shapes_of_any_number_of_axes() {
        let header = |shape: &[usize], len| {
            let bytes = npy_bytes(shape, &vec![0.5; len]).unwrap();
            assert_eq!((bytes.len() - 4 * len) % ALIGNMENT, 0);
            String::from_utf8_lossy(&bytes[PREFIX..bytes.len() - 4 * len]).trim_end().to_owned()
        };
        assert!(header(&[], 1).contains("'shape': (), "));
        assert!(header(&[7], 7).contains("'shape': (7,), "));
        assert!(header(&[0, 4], 0).contains("'shape': (0, 4), "));
        assert!(header(&[2; 9], 512).contains("(2, 2, 2, 2, 2, 2, 2, 2, 2), "));
        assert!(npy_bytes(&[2, 2], &[0.0; 3]).is_err());
        assert!(npy_bytes(&[usize::MAX, 2], &[]).is_err());
        assert!(npy_bytes(&[1; 30_000], &[0.0]).is_err());
    }

    #[test]
    fn the_file_holds_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write_npy(&path, &[3], &[1.0, 2.0, f32::NAN]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), npy_bytes(&[3], &[1.0, 2.0, f32::NAN]).unwrap());
    }
}
