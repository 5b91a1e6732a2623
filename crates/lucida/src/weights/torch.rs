//! PyTorch's files of state dictionaries: `.pth`, `.pt`.
//!
//! A state dictionary is a pickle of names and of what would rebuild tensors, next to the bytes of their storages.
//! Since 2020 (PyTorch 1.6) the file is a zip archive; before, it was a row of pickles followed by the storages:
//!
//! ```text
//! zip:     archive/data.pkl     archive/byteorder     archive/data/0     archive/data/1 ...
//! before:  magic number | version | system | dictionary | keys | for each key: 8 bytes of count, the values
//! ```
//!
//! A pickle can run any code when Python loads it. Here none is run: the pickle is read for its names, shapes and
//! storages. Other values of a checkpoint (options, paths, metrics) are passed over; a pickle that names functions which
//! are none of these, or that keeps tensors within an object, is refused.
//!
//! The dictionary may lie within a checkpoint: under a name that is common for it (`state_dict`, `model`, `net`, `params`,
//! `model_ema` and so on), or as the only dictionary of tensors there, whatever its name. The file does not describe its
//! network: tensors find their layers by their names, and by the set of these and their shapes the networks of
//! torchvision are recognized.

mod legacy;
mod state;
mod storage;
mod write;

use std::fs::File;
use std::path::Path;

use super::modules::{self, Asserted};
use super::{Inspection, Model, Note};
use crate::nn::Network;
use crate::{Error, Result};

pub(super) use legacy::is_legacy;
use storage::TorchFile;
pub(super) use storage::folder;
pub use write::save_weights;

/// Reads a model of one of torchvision's networks, which is told by the names and shapes of its tensors: at its default
/// size, with as many classes as the file has, and torchvision's preprocessing.
///
/// The networks are those of the zoo: VGG (11 to 19, with and without normalization), AlexNet, SqueezeNet, ResNet (18
/// to 152), DenseNet121, InceptionV3. They end in logits, as in torchvision, which leaves the softmax to the loss. InceptionV3 is read
/// as the published one, which has pixels from -1 to 1 whatever torchvision's transforms say.
///
/// Of a checkpoint with several dictionaries of tensors the likeliest is taken (`model` rather than `model_ema`), and
/// a [note](Model::notes) says so.
///
/// # Errors
/// [`Error::File`] says what is wrong: not a PyTorch file, cut short, a pickle that would run code (named), tensors of
/// no known network.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    let mut file = TorchFile::open(path)?;
    let model = modules::recognize(&mut file)?.ok_or_else(|| unknown_network(path))?;
    Ok(noted(model, &file))
}

/// The error of a state dictionary that is not recognized.
pub(super) fn unknown_network(path: &Path) -> Error {
    Error::file(
        path,
        format!(
            "is a state dictionary, which holds no architecture, and its names and shapes are of no known network ({}): \
             export the network to ONNX, or build it and load the weights into it",
            modules::known()
        ),
    )
}

/// A model that says which dictionary of the file was taken, if there were several.
fn noted(mut model: Model, file: &TorchFile) -> Model {
    model.notes.extend(file.choice().map(|choice| Note::Other(format!("dictionary of tensors: {choice}"))));
    model
}

/// The model of this network of the zoo whose weights the file has under the names of torchvision or timm; `None` when it
/// has others.
pub(super) fn load_known(path: &Path, asserted: Asserted) -> Result<Option<Model>> {
    let mut file = TorchFile::open(path)?;
    Ok(modules::recognize_as(&mut file, asserted)?.map(|model| noted(model, &file)))
}

/// Reads weights into a network: by the names that torchvision or timm have for the layers of a known network, by
/// the names of the network's own layers (`conv2d.weight`), or, into a plain chain of layers, in the order of the file.
///
/// The weights of a whole network can be read into one without its classifier.
///
/// # Errors
/// As [`load_model`], and [`Error::File`] when a tensor is missing, left over or of another shape; the network is
/// unchanged then.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    fill(path.as_ref(), network).map(drop)
}

/// As [`load_weights`]. Returns the names of the classifier's tensors that were left out.
pub(super) fn fill(path: &Path, network: &mut Network) -> Result<Vec<String>> {
    modules::fill(&mut TorchFile::open(path)?, network)
}

/// Says what is in a file.
///
/// # Errors
/// [`Error::File`] when it is not a state dictionary of PyTorch's.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    Ok(TorchFile::open(path.as_ref())?.into_inspection())
}

/// Opens a file for reading; a folder is an error.
fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |source| Error::io(path, "read", source);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder, not a model file"));
    }
    Ok((file, metadata.len()))
}
