//! NumPy's `.npy` format for a single array, for inspecting raw numbers elsewhere: `numpy.load("map.npy")`.
//!
//! Version 1.0 of the format: a magic string, the length of a header, the header (a Python dictionary in ASCII, padded with
//! spaces so that the data begin at a multiple of 64 bytes) and the values, little-endian, the last axis first.

use std::path::Path;

use half::f16;

use super::{read_limited, with_room, write_atomic};
use crate::core::Array;
use crate::core::array::permute;
use crate::{Error, Result};

/// Bytes before the header: the magic string, the version and the header length.
const PREFIX: usize = 10;
/// The data start at a multiple of this.
const ALIGNMENT: usize = 64;
/// The magic string at the start of an array file.
pub(crate) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The maximum size of an array file in bytes.
const MAX_BYTES: u64 = 4 << 30;
/// The maximum number of axes; that of NumPy itself is 64.
const MAX_AXES: usize = 64;

/// Reads an array file of real numbers, integers or booleans of any width as 32-bit floats.
///
/// ```
/// use lucida::files::{read_npy, write_npy};
///
/// let folder = tempfile::tempdir().unwrap();
/// write_npy(folder.path().join("x.npy"), &[2, 1], &[0.5, -1.0])?;
/// let array = read_npy(folder.path().join("x.npy"))?;
/// assert_eq!((array.shape(), array.values()), (&[2, 1][..], &[0.5, -1.0][..]));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`] when it is not a valid array file; [`Error::Io`] and [`Error::Limit`] as [`read_limited`].
pub fn read_npy(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    parse_npy(&read_limited(path, MAX_BYTES)?).map_err(|problem| Error::file(path, problem))
}

/// Parses the bytes of an array file: see [`read_npy`].
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_npy(bytes: &[u8]) -> Result<Array, String> {
    let header = NpyHeader::read(bytes)?;
    let len = header.shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size));
    let expected = len.and_then(|len| len.checked_mul(header.size));
    let data = &bytes[header.data..];
    if header.descr.ends_with('O') {
        return Err(
            "has Python objects, not numbers: save an array of one type, as np.asarray(x, 'float32') makes it".into()
        );
    }
    if expected != Some(data.len()) {
        return Err(format!("an array of shape {:?} and type {} has {} bytes", header.shape, header.descr, data.len()));
    }
    let values = header.decode(data)?;
    let bytes = header.descr.ends_with("i1") || header.descr.ends_with("u1");
    let array = |shape, values| {
        let array = Array::new(shape, values).map_err(|problem: Error| problem.to_string())?;
        Ok(if bytes { array.of_bytes() } else { array })
    };
    if !header.fortran_order || header.shape.len() < 2 {
        return array(header.shape, values);
    }
    let reversed: Vec<usize> = header.shape.iter().rev().copied().collect();
    let order: Vec<usize> = (0..reversed.len()).rev().collect();
    let mut turned = room(values.len())?;
    turned.resize(values.len(), 0.0);
    permute(&reversed, &order, &values, &mut turned);
    array(header.shape, turned)
}

/// Room for the values of an array, or what is wrong with it.
fn room(len: usize) -> Result<Vec<f32>, String> {
    with_room(len).map_err(|problem| format!("cannot be read: {problem}"))
}

/// The header of an array file, a Python dictionary as text: see
/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
struct NpyHeader {
    descr: String,
    /// Bytes per value.
    size: usize,
    fortran_order: bool,
    shape: Vec<usize>,
    /// Offset of the data in bytes.
    data: usize,
}

impl NpyHeader {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("not a NumPy array")?;
        let (start, len) = match *rest {
            [1, _, a, b, ..] => (PREFIX, usize::from(u16::from_le_bytes([a, b]))),
            [2 | 3, _, a, b, c, d, ..] => (PREFIX + 2, u32::from_le_bytes([a, b, c, d]) as usize),
            _ => return Err("its header is cut short, or of an unknown version".into()),
        };
        let data = start.checked_add(len).filter(|&end| end <= bytes.len()).ok_or("its header is cut short")?;
        let text = String::from_utf8_lossy(&bytes[start..data]);
        let bad = || format!("its header is not understood: {:.80}", text.trim());
        let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start()).ok_or_else(bad);
        let descr = after("'descr':")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let descr = descr.map(|(descr, _)| descr.to_owned()).ok_or_else(|| {
            format!("is an array of records or of an unknown type, not of numbers: {:.80}", text.trim())
        })?;
        let shape = after("'shape':")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(bad)?.0;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<usize> = sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
        if shape.len() > MAX_AXES {
            return Err(format!("has {} axes", shape.len()));
        }
        let size = descr.get(2..).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Ok(Self { size, fortran_order: after("'fortran_order':")?.starts_with("True"), shape, data, descr })
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        fn each<const N: usize>(bytes: &[u8], big: bool, number: impl Fn([u8; N]) -> f32) -> Result<Vec<f32>, String> {
            let turned = |mut bytes: [u8; N]| {
                if big {
                    bytes.reverse();
                }
                number(bytes)
            };
            let (numbers, _) = bytes.as_chunks::<N>();
            let mut values = room(numbers.len())?;
            values.extend(numbers.iter().map(|&bytes| turned(bytes)));
            Ok(values)
        }
        let big = self.descr.starts_with('>');
        if !self.descr.starts_with(['<', '>', '|', '=']) {
            return Err(format!("has values of the unknown type {:?}", self.descr));
        }
        match &self.descr[1..] {
            "f2" => each(bytes, big, |bytes| f16::from_le_bytes(bytes).to_f32()),
            "f4" => each(bytes, big, f32::from_le_bytes),
            "f8" => each(bytes, big, |bytes| f64::from_le_bytes(bytes) as f32),
            "i1" => each(bytes, big, |bytes| i8::from_le_bytes(bytes).into()),
            "i2" => each(bytes, big, |bytes| i16::from_le_bytes(bytes).into()),
            "i4" => each(bytes, big, |bytes| i32::from_le_bytes(bytes) as f32),
            "i8" => each(bytes, big, |bytes| i64::from_le_bytes(bytes) as f32),
            "u1" | "b1" => each(bytes, big, |[byte]| byte.into()),
            "u2" => each(bytes, big, |bytes| u16::from_le_bytes(bytes).into()),
            "u4" => each(bytes, big, |bytes| u32::from_le_bytes(bytes) as f32),
            "u8" => each(bytes, big, |bytes| u64::from_le_bytes(bytes) as f32),
            _ => Err(format!(
                "has values of the type {:?}; real numbers of 8 to 64 bits and booleans are supported",
                self.descr
            )),
        }
    }
}

/// Writes 32-bit floats of this shape as an array file, atomically (see [`write_atomic`]).
///
/// # Errors
/// [`Error::Argument`] when `values` does not match `shape`, or when the shape has too many axes; [`Error::Io`] when the
/// file cannot be written.
pub fn write_npy(path: impl AsRef<Path>, shape: &[usize], values: &[f32]) -> Result<()> {
    let head = head(shape, values.len())?;
    write_atomic(path, |out| {
        out.write_all(&head)?;
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
}

/// The bytes of an array file, as written by [`write_npy`].
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
    // A Python tuple of one element has a trailing comma.
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

    /// Builds an array file with this header.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        [&bytes, header.as_bytes(), data].concat()
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        let read = |descr: &str, data: &[u8]| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}");
            parse_npy(&file(&header, data)).map(Array::into_values)
        };
        assert_eq!(read("<f2", &[0, 0x3c, 0, 0xc0]).unwrap(), [1.0, -2.0]);
        assert_eq!(read(">f4", &[0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]).unwrap(), [1.0, -2.0]);
        assert_eq!(read("|i1", &[1, 0xfe]).unwrap(), [1.0, -2.0]);
        assert_eq!(read("|u1", &[1, 0xfe]).unwrap(), [1.0, 254.0]);
        assert_eq!(read("|b1", &[1, 0]).unwrap(), [1.0, 0.0]);
        assert_eq!(read("<i2", &[1, 0, 0xfe, 0xff]).unwrap(), [1.0, -2.0]);
        assert_eq!(read(">u4", &[0, 0, 0, 1, 0, 0, 1, 0]).unwrap(), [1.0, 256.0]);
        let wide: Vec<u8> = [1_i64, -2].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(read("<i8", &wide).unwrap(), [1.0, -2.0]);
        let wide: Vec<u8> = [1_f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(read("<f8", &wide).unwrap(), [1.0, -2.0]);
        for other in ["<c8", "|S4", "|O", "<M8[s]", "", "f"] {
            assert!(read(other, &[0; 16]).is_err(), "{other}");
        }
    }

    #[test]
    fn columns_first_are_turned() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
        let array = parse_npy(&file(header, &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!((array.shape(), array.values()), (&[2, 3][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
    }

    #[test]
    fn damaged_array_files_are_refused() {
        let good = npy_bytes(&[2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(parse_npy(&good).unwrap().values(), [1.0, 2.0, 3.0, 4.0]);
        for len in 0..good.len() {
            assert!(parse_npy(&good[..len]).is_err(), "{len}");
        }
        for header in [
            "",
            "{'descr': '<f4'}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296), }",
            "{'descr': '<é', 'fortran_order': False, 'shape': (1,), }",
        ] {
            assert!(parse_npy(&file(header, &[0; 4])).is_err(), "{header}");
        }
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
