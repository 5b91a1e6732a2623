//! Files of arrays: NumPy's `.npy` and `.npz`, and tensors of ONNX's test data.

use std::path::Path;

use super::archive::{self, Archive};
use super::onnx;
use crate::core::Array;
use crate::files::{NPY_MAGIC, parse_npy, read_limited};
use crate::{Error, Result};

/// Maximum size of a file in bytes.
const MAX_FILE: u64 = 4 << 30;

/// Reads the arrays of a file, whose format is detected from its first bytes: a `.npy` file has one array, a `.npz` archive
/// several named ones, an ONNX `TensorProto` (`input_0.pb`) one. Real numbers of any type are converted to 32-bit floats.
///
/// ```
/// use lucida::files::write_npy;
/// use lucida::weights::read_arrays;
///
/// let folder = tempfile::tempdir().unwrap();
/// write_npy(folder.path().join("x.npy"), &[1, 3], &[1.0, 2.0, 3.0])?;
/// let arrays = read_arrays(folder.path().join("x.npy"))?;
/// assert_eq!((&arrays[0].0, arrays[0].1.shape()), (&None, &[1, 3][..]));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`] when it has none of these formats, or its values are not real numbers; [`Error::Io`] and
/// [`Error::Limit`] as [`read_limited`].
pub fn read_arrays(path: impl AsRef<Path>) -> Result<Vec<(Option<String>, Array)>> {
    let path = path.as_ref();
    let bytes = read_limited(path, MAX_FILE)?;
    let bad = |problem: String| Error::file(path, problem);
    if bytes.starts_with(NPY_MAGIC) {
        return Ok(vec![(None, parse_npy(&bytes).map_err(bad)?)]);
    }
    if !bytes.starts_with(&archive::MAGIC) {
        return Ok(vec![(None, onnx::read_tensor(bytes).map_err(bad)?)]);
    }
    let mut archive = Archive::open_bytes(path, bytes)?;
    let mut left = archive.unpacked_bytes();
    let mut arrays = Vec::new();
    for name in archive.names() {
        let Some(key) = name.strip_suffix(".npy") else { continue };
        let member = archive.read(&name, left)?;
        left -= member.len() as u64;
        let array = parse_npy(&member).map_err(|problem| Error::file(path, format!("{name}: {problem}")))?;
        arrays.push((Some(key.to_owned()), array));
    }
    if arrays.is_empty() {
        return Err(Error::file(path, "is an archive without arrays (.npy)"));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::files::npy_bytes;

    #[test]
    fn archives_have_arrays_with_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xy.npz");
        let mut writer = ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, value) in [("x", 1.0), ("y", 2.0)] {
            writer.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            writer.write_all(&npy_bytes(&[1, 2], &[value; 2]).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        let mut arrays = read_arrays(&path).unwrap();
        arrays.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(arrays[1], (Some("y".into()), Array::new([1, 2], vec![2.0; 2]).unwrap()));
    }

    #[test]
    fn tensors_of_every_type_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input_0.pb");
        // dims 2, the type, raw_data
        let read = |kind: u8, raw: &[u8]| {
            let bytes = [&[0x08, 2, 0x10, kind, 0x4a, raw.len() as u8], raw].concat();
            std::fs::write(&path, bytes).unwrap();
            read_arrays(&path).map(|arrays| arrays[0].1.values().to_vec())
        };
        assert_eq!(read(1, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]).unwrap(), [1.0, -2.0]);
        assert_eq!(read(2, &[1, 0xfe]).unwrap(), [1.0, 254.0]);
        assert_eq!(read(3, &[1, 0xfe]).unwrap(), [1.0, -2.0]);
        assert_eq!(read(5, &[1, 0, 0xfe, 0xff]).unwrap(), [1.0, -2.0]);
        assert_eq!(read(10, &[0, 0x3c, 0, 0xc0]).unwrap(), [1.0, -2.0]);
        assert_eq!(read(12, &[1, 0, 0, 0, 0, 1, 0, 0]).unwrap(), [1.0, 256.0]);
        assert_eq!(read(16, &[0x80, 0x3f, 0, 0xc0]).unwrap(), [1.0, -2.0]);
        assert!(read(14, &[0; 16]).unwrap_err().to_string().contains("COMPLEX64"));
        assert!(read(1, &[0; 4]).is_err());
        std::fs::write(&path, "hello, world").unwrap();
        assert!(read_arrays(&path).unwrap_err().to_string().contains("TensorProto"));
    }
}
