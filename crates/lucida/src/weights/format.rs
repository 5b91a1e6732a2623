//! A file of any format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Inspection, Model, archive, hdf5, keras_h5, keras_zip, onnx, safetensors};
use crate::nn::Network;
use crate::{Error, Result};

/// The formats of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Safetensors: Lucida's own models, and plain files of tensors.
    Safetensors,
    /// Keras's HDF5: `.h5` and `.weights.h5`.
    KerasH5,
    /// Keras 3's zip archive: `.keras`.
    KerasZip,
    /// ONNX: `.onnx`.
    Onnx,
}

impl Format {
    /// Tells the format of a file by its first bytes.
    ///
    /// # Errors
    /// [`Error::File`] when it is none of these; [`Error::Io`] when it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let failed = |source| Error::io(path, "read", source);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(Error::file(path, "is a folder, not a model file"));
        }
        let len = file.metadata().map_err(failed)?.len();
        let mut start = Vec::with_capacity(16);
        file.take(16).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(&hdf5::MAGIC) {
            return Ok(Self::KerasH5);
        }
        if start.starts_with(&archive::MAGIC) {
            return Ok(Self::KerasZip);
        }
        // The length of a header, which is JSON.
        if start.get(8) == Some(&b'{') {
            return Ok(Self::Safetensors);
        }
        if is_onnx(&start, len) {
            return Ok(Self::Onnx);
        }
        let found = match start.as_slice() {
            [] => "it is empty".to_owned(),
            start => {
                let bytes: Vec<_> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                format!("it begins with {}", bytes.join(" "))
            }
        };
        Err(Error::file(
            path,
            format!(
                "is not a model file of a known format: {found}; known are safetensors (.safetensors), Keras's HDF5 \
                 (.h5, .weights.h5), Keras's zip archive (.keras) and ONNX (.onnx)"
            ),
        ))
    }
}

/// ONNX has no magic number. Its writers begin with the version of the format, field 1, and go on with another field of a
/// model whose length fits into the file.
fn is_onnx(start: &[u8], len: u64) -> bool {
    let &[0x08, 1..=99, key, ref rest @ ..] = start else { return false };
    match key {
        // producer_name, producer_version, domain, doc_string, graph, opset_import, metadata_props
        0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42 | 0x72 => {
            let digits = rest.iter().take(10).position(|byte| byte & 0x80 == 0);
            let length = digits
                .map(|last| rest[..=last].iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f)));
            length.is_some_and(|length| length < len)
        }
        // model_version
        0x28 => !rest.is_empty(),
        _ => false,
    }
}

/// Reads a model, network and weights, from a file of any format that describes both.
///
/// # Errors
/// As the `load_model` of the format: [`safetensors::load_model`], [`keras_h5::load_model`], [`keras_zip::load_model`],
/// [`onnx::load_model`];
/// and as [`Format::of`].
pub fn load_model(path: &Path) -> Result<Model> {
    match Format::of(path)? {
        Format::Safetensors => safetensors::load_model(path),
        Format::KerasH5 => keras_h5::load_model(path),
        Format::KerasZip => keras_zip::load_model(path),
        Format::Onnx => onnx::load_model(path),
    }
}

/// Reads weights from a file of any format into a network.
///
/// # Errors
/// As the `load_weights` of the format, and as [`Format::of`].
pub fn load_weights(path: &Path, network: &mut Network) -> Result<()> {
    match Format::of(path)? {
        Format::Safetensors => safetensors::load_weights(path, network),
        Format::KerasH5 => keras_h5::load_weights(path, network),
        Format::KerasZip => keras_zip::load_weights(path, network),
        Format::Onnx => onnx::load_weights(path, network),
    }
}

/// Says what is in a file of any format.
///
/// # Errors
/// As the `inspect` of the format, and as [`Format::of`].
pub fn inspect(path: &Path) -> Result<Inspection> {
    match Format::of(path)? {
        Format::Safetensors => safetensors::inspect(path),
        Format::KerasH5 => keras_h5::inspect(path),
        Format::KerasZip => keras_zip::inspect(path),
        Format::Onnx => onnx::inspect(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.h5");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Format::of(&path)
        };
        assert_eq!(of(b"\x89HDF\r\n\x1a\n and more").unwrap(), Format::KerasH5);
        assert_eq!(of(b"PK\x03\x04 and more").unwrap(), Format::KerasZip);
        assert_eq!(of(b"\x02\0\0\0\0\0\0\0{}").unwrap(), Format::Safetensors);
        assert_eq!(of(b"\x08\x08\x12\x06lucida\x42\x04\x0a\0\x10\x11").unwrap(), Format::Onnx);
        assert_eq!(of(b"\x08\x07\x3a\x04....").unwrap(), Format::Onnx);
        for other in
            [&b"\x08\x07"[..], b"\x08\x07\x3a\x7f....", b"\x08\x07\x3a\xff\xff\xff\xff\x0f....", b"\x08\x07\x0a\x01.."]
        {
            assert!(of(other).is_err(), "{other:?}");
        }
        for (bytes, expected) in [(&b""[..], "it is empty"), (b"hello, world", "68 65 6c 6c 6f 2c 20 77")] {
            let message = of(bytes).unwrap_err().to_string();
            assert!(message.contains("known format") && message.contains(expected), "{message}");
        }
        assert!(Format::of(folder.path()).unwrap_err().to_string().contains("folder"));
        assert!(matches!(Format::of(&folder.path().join("none")), Err(Error::Io { .. })));
    }
}
