//! Reading and writing model files of any format.

use std::io::Read;
use std::path::Path;

use super::model_file::ModelFile;
use super::modules::AssertedNetwork;
use super::{Inspection, Model, archive, hdf5, keras_h5, keras_zip, onnx, safetensors, tfjs, tflite, torch};
use crate::nn::Network;
use crate::{Error, Result, files};

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
    /// TensorFlow.js's layers models: `model.json` and its files of weights.
    TfJs,
    /// PyTorch's state dictionaries: `.pth`, `.pt`.
    Torch,
    /// ONNX: `.onnx`.
    Onnx,
    /// LiteRT, formerly TensorFlow Lite: `.tflite`.
    TfLite,
}

/// The file that a run resumes from until it has written a model.
pub(crate) const CHECKPOINT: &str = "checkpoint.safetensors";

/// The graph file in the folder of a TensorFlow SavedModel.
const SAVED_MODEL: &str = "saved_model.pb";

/// How to convert a SavedModel, whose graph is TensorFlow-specific.
fn to_convert(folder: &Path) -> String {
    format!(
        "is a TensorFlow SavedModel: convert it with `python -m tf2onnx.convert --saved-model {} --output model.onnx`, or save \
         the Keras model that it came from as .keras",
        folder.display()
    )
}

impl Format {
    /// Detects the format of a file from its first bytes.
    ///
    /// # Errors
    /// [`Error::File`] when it has none of these formats; [`Error::Io`] when it cannot be read.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        Self::of_file(ModelFile::on_disk(path.as_ref()))
    }

    /// As [`of`](Self::of), of a file anywhere.
    pub(super) fn of_file(source: ModelFile) -> Result<Self> {
        let path = source.path();
        if !source.is_in_memory() && path.is_dir() {
            return Err(Error::file(path, why_not_a_folder(path)));
        }
        let failed = |source| Error::io(path, "read", source);
        let mut file = source.open()?;
        if path.file_name().is_some_and(|name| name == SAVED_MODEL) {
            return Err(Error::file(path, to_convert(path.parent().unwrap_or(path))));
        }
        let mut start = Vec::with_capacity(64);
        file.by_ref().take(64).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(&hdf5::MAGIC) {
            return Ok(Self::KerasH5);
        }
        if start.starts_with(&archive::MAGIC) {
            // An archive that cannot be opened is assumed to be Keras's, whose reader reports the error.
            let names = archive::Archive::open(source).map(|archive| archive.names()).unwrap_or_default();
            let keras = names.iter().any(|name| name == "config.json");
            if names.iter().any(|name| name == "model.json") {
                return Err(Error::file(
                    path,
                    "is an archive of a TensorFlow.js model: unpack it, and open its model.json",
                ));
            }
            return Ok(if !keras && torch::folder(&names).is_some() { Self::Torch } else { Self::KerasZip });
        }
        if torch::is_legacy(&start) {
            return Ok(Self::Torch);
        }
        if tflite::is_tflite(&start) {
            return Ok(Self::TfLite);
        }
        if tfjs::is_json(&start) {
            return Ok(Self::TfJs);
        }
        // The header's length, followed by JSON.
        if start.get(8) == Some(&b'{') {
            return Ok(Self::Safetensors);
        }
        if is_onnx(&start, file.len()) {
            return Ok(Self::Onnx);
        }
        // Checked last, because a user block may start with anything.
        if hdf5::is_hdf5(&mut file).map_err(failed)? {
            return Ok(Self::KerasH5);
        }
        Err(unknown(path, &start))
    }
}

/// Why a folder is not a model file.
fn why_not_a_folder(path: &Path) -> String {
    if path.join(SAVED_MODEL).is_file() {
        return to_convert(path);
    }
    let unfinished = path.join(CHECKPOINT).is_file();
    match unfinished {
        true => "is a training run that was interrupted before it left a model: resume it".into(),
        false => "is a folder, not a model file".into(),
    }
}

/// The error for a file of unknown format that starts with these bytes.
fn unknown(path: &Path, start: &[u8]) -> Error {
    if image::guess_format(start).is_ok() {
        return Error::ImageAsModel { path: path.to_path_buf() };
    }
    let found = match start {
        [] => "it is empty".to_owned(),
        start => {
            let bytes: Vec<_> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("it starts with {}", bytes.join(" "))
        }
    };
    Error::file(
        path,
        format!(
            "unknown model file format: {found}; supported formats are safetensors (.safetensors), Keras's HDF5 \
             (.h5, .weights.h5), Keras's zip archive (.keras), TensorFlow.js's layers models (model.json), PyTorch's state \
             dictionaries (.pth, .pt), ONNX (.onnx) and LiteRT (.tflite)"
        ),
    )
}

/// ONNX has no magic number. Its files start with the format version, field 1, followed by another field of a model whose
/// length fits into the file.
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

/// Reads a model, both network and weights, from a file of any format that has both.
///
/// # Errors
/// As the `load_model` of the format: [`safetensors::load_model`], [`keras_h5::load_model`], [`keras_zip::load_model`],
/// [`tfjs::load_model`], [`torch::load_model`], [`onnx::load_model`], [`tflite::load_model`]; and as [`Format::of`].
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    load_model_at(path, None)
}

/// As [`load_model`], with a height and width for inputs that leave these open; `None` uses a default and adds a note.
/// Other inputs are unchanged.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_at(path: impl AsRef<Path>, size: Option<[usize; 2]>) -> Result<Model> {
    read_model(ModelFile::on_disk(path.as_ref()), size)
}

/// As [`load_model_at`], from a file anywhere.
pub(super) fn read_model(file: ModelFile, size: Option<[usize; 2]>) -> Result<Model> {
    match Format::of_file(file)? {
        Format::Safetensors => safetensors::read_model(file),
        Format::KerasH5 => keras_h5::read_model(file, size),
        Format::KerasZip => keras_zip::read_model(file, size),
        Format::TfJs => tfjs::read_model(file, size),
        Format::Torch => torch::read_model(file),
        Format::Onnx => onnx::read_model(file, size),
        Format::TfLite => tflite::read_model(file, size),
    }
}

/// The model of a known network, with the file's class names and preprocessing, if the file has its weights under the names
/// of torchvision or timm. `None` for all other files.
///
/// # Errors
/// As [`load_weights`].
pub(super) fn load_known(file: ModelFile, asserted: AssertedNetwork) -> Result<Option<Model>> {
    match Format::of_file(file)? {
        Format::Safetensors => safetensors::load_known(file, asserted),
        Format::Torch => torch::load_known(file, asserted),
        Format::KerasH5 | Format::KerasZip | Format::TfJs | Format::Onnx | Format::TfLite => Ok(None),
    }
}

/// Reads weights from a file of any format into a network.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::weights::{load_weights, save_model};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # let network = Sequential::new("tiny", [8, 8, 1])
/// #     .add(Conv2D::new(4, [3, 3]).activation(ActivationKind::Relu))
/// #     .add(Flatten::new())
/// #     .add(Dense::new(2).activation(ActivationKind::Softmax))
/// #     .build(42)?;
/// // A state dictionary of PyTorch has weights alone: the network must be there.
/// save_model(&Model::new(network.clone()), folder.join("tiny.pth"))?;
/// let mut other = Network::from_architecture(&network.architecture())?;
/// load_weights(folder.join("tiny.pth"), &mut other)?;
/// assert_eq!(other.weights()[0].values(), network.weights()[0].values());
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As the `load_weights` of the format, and as [`Format::of`].
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    fill(ModelFile::on_disk(path.as_ref()), network).map(drop)
}

/// As [`load_weights`], from a file anywhere. Returns the names of ignored tensors: those of a classifier that the network
/// does not have.
pub(super) fn fill(file: ModelFile, network: &mut Network) -> Result<Vec<String>> {
    match Format::of_file(file)? {
        Format::Safetensors => return safetensors::fill(file, network),
        Format::Torch => return torch::fill(file, network),
        Format::KerasH5 => keras_h5::read_weights(file, network)?,
        Format::KerasZip => keras_zip::read_weights(file, network)?,
        Format::TfJs => tfjs::read_weights(file, network)?,
        Format::Onnx => onnx::read_weights(file, network)?,
        Format::TfLite => tflite::read_weights(file, network)?,
    }
    Ok(Vec::new())
}

/// Lists the tensors of a file of any format, with shapes and types, and its other metadata.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::weights::inspect;
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # let network = Sequential::new("tiny", [8, 8, 1])
/// #     .add(Conv2D::new(4, [3, 3]).activation(ActivationKind::Relu))
/// #     .add(Flatten::new())
/// #     .add(Dense::new(2).activation(ActivationKind::Softmax))
/// #     .build(42)?;
/// Model::new(network).save(folder.join("tiny.safetensors"))?;
/// let file = inspect(folder.join("tiny.safetensors"))?;
/// assert_eq!(file.tensors.len(), 4); // two kernels, two biases
/// assert_eq!(file.parameters(), (3 * 3 + 1) * 4 + (6 * 6 * 4 + 1) * 2);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As the `inspect` of the format, and as [`Format::of`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    match Format::of_file(file)? {
        Format::Safetensors => safetensors::inspect_file(file),
        Format::KerasH5 => keras_h5::inspect_file(file),
        Format::KerasZip => keras_zip::inspect_file(file),
        Format::TfJs => tfjs::inspect_file(file),
        Format::Torch => torch::inspect_file(file),
        Format::Onnx => onnx::inspect_file(file),
        Format::TfLite => tflite::inspect_file(file),
    }
}

/// The extensions of model files, without the dot. A file is recognized by its content; an extension only tells a command
/// line what the user means.
pub const MODEL_EXTENSIONS: [&str; 7] = ["safetensors", "keras", "h5", "onnx", "pth", "pt", "tflite"];

/// A writer of models.
struct Writer {
    /// The file extension.
    ending: &'static str,
    /// The format's name in messages.
    what: &'static str,
    save: fn(&Model, &Path) -> Result<()>,
}

/// All writers; if several extensions match, the longest one counts.
const WRITERS: &[Writer] = &[
    Writer {
        ending: ".safetensors",
        what: "Lucida's own, with all that belongs to a model",
        save: |model, path| safetensors::save_model(model, path),
    },
    Writer { ending: ".keras", what: "Keras 3's model", save: |model, path| keras_zip::save_model(model, path) },
    Writer { ending: ".h5", what: "Keras's legacy model", save: |model, path| keras_h5::save_model(model, path) },
    Writer {
        ending: ".weights.h5",
        what: "Keras 3's weights alone",
        save: |model, path| keras_h5::save_weights(&model.network, path),
    },
    Writer { ending: ".onnx", what: "an ONNX graph", save: |model, path| onnx::save_model(model, path) },
    Writer {
        ending: ".pth",
        what: "PyTorch's state dictionary",
        save: |model, path| torch::save_weights(&model.network, path),
    },
    Writer {
        ending: ".pt",
        what: "PyTorch's state dictionary",
        save: |model, path| torch::save_weights(&model.network, path),
    },
];

/// The writer for a file by its extension: the first one for standard output and other streams.
fn writer(path: &Path) -> Result<&'static Writer> {
    if files::is_stream(path) {
        return Ok(&WRITERS[0]);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let fitting = WRITERS.iter().filter(|writer| name.ends_with(writer.ending) && name != writer.ending);
    fitting.max_by_key(|writer| writer.ending.len()).ok_or_else(|| {
        let known: Vec<_> = WRITERS.iter().map(|writer| format!("{} ({})", writer.ending, writer.what)).collect();
        Error::argument(format!("{}: unsupported file extension; expected one of {}", path.display(), known.join(", ")))
    })
}

/// The format in which [`save_model`] would write this file, for messages: to be checked before a long computation.
///
/// # Errors
/// [`Error::Argument`] lists the supported extensions.
pub fn describe_format(path: impl AsRef<Path>) -> Result<&'static str> {
    Ok(writer(path.as_ref())?.what)
}

/// Writes a model in the format given by the file extension: `.safetensors`, `.keras`, `.h5`, `.weights.h5`, `.pth`, `.pt`,
/// `.onnx`.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::weights::{load_model, save_model};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// let network = Sequential::new("tiny", [8, 8, 1])
///     .add(Conv2D::new(4, [3, 3]).activation(ActivationKind::Relu))
///     .add(Flatten::new())
///     .add(Dense::new(2).activation(ActivationKind::Softmax))
///     .build(42)?;
/// let model = Model::new(network).with_class_names(["cat", "dog"]);
/// for name in ["tiny.safetensors", "tiny.keras", "tiny.h5", "tiny.onnx"] {
///     save_model(&model, folder.join(name))?;
///     let read = load_model(folder.join(name))?;
///     assert_eq!(read.network.output()?.shape(), model.network.output()?.shape());
/// }
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for another extension, with a list of these; as the `save_model` of the format.
pub fn save_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    (writer(path)?.save)(model, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_model_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let graph = folder.path().join(SAVED_MODEL);
        std::fs::write(&graph, b"\x08\x01\x12\x02..").unwrap();
        for path in [folder.path(), &graph] {
            let message = Format::of(path).unwrap_err().to_string();
            let command = format!("tf2onnx.convert --saved-model {} --output", folder.path().display());
            assert!(message.contains("TensorFlow SavedModel") && message.contains(&command), "{message}");
        }
    }

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
        assert_eq!(of(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.").unwrap(), Format::Torch);
        assert_eq!(of(b"{ \"format\": \"layers-model\"}").unwrap(), Format::TfJs);
        assert_eq!(of(b"\x08\x08\x12\x06lucida\x42\x04\x0a\0\x10\x11").unwrap(), Format::Onnx);
        assert_eq!(of(b"\x08\x07\x3a\x04....").unwrap(), Format::Onnx);
        assert_eq!(of(b"\x1c\0\0\0TFL3").unwrap(), Format::TfLite);
        for other in
            [&b"\x08\x07"[..], b"\x08\x07\x3a\x7f....", b"\x08\x07\x3a\xff\xff\xff\xff\x0f....", b"\x08\x07\x0a\x01.."]
        {
            assert!(of(other).is_err(), "{other:?}");
        }
        for (bytes, expected) in [(&b""[..], "it is empty"), (b"hello, world", "68 65 6c 6c 6f 2c 20 77")] {
            let message = of(bytes).unwrap_err().to_string();
            assert!(message.contains("unknown model file format") && message.contains(expected), "{message}");
        }
        assert!(matches!(of(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Err(Error::ImageAsModel { .. })));
        assert!(Format::of(folder.path()).unwrap_err().to_string().contains("folder"));
        assert!(matches!(Format::of(folder.path().join("none")), Err(Error::Io { .. })));
    }

    #[test]
    fn endings_mean_formats() {
        let what = |name: &str| describe_format(Path::new(name));
        assert!(what("-").unwrap().starts_with("Lucida's own"));
        assert_eq!(what("a/b.weights.h5").unwrap(), "Keras 3's weights alone");
        assert_eq!(what("B.H5").unwrap(), "Keras's legacy model");
        assert_eq!(what("weights.h5").unwrap(), "Keras's legacy model");
        for name in ["model", "model.txt", ".h5", "h5", ""] {
            let message = what(name).unwrap_err().to_string();
            assert!(message.contains(".safetensors (") && message.contains(".weights.h5 ("), "{name}: {message}");
        }
    }
}
