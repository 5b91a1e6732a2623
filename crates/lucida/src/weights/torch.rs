//! PyTorch's state dict files: `.pth`, `.pt`.
//!
//! A state dict is a pickle with names and the calls that rebuild tensors, next to the bytes of their storages. Since 2020
//! (PyTorch 1.6), the file is a zip archive; before, it was a sequence of pickles followed by the storages:
//!
//! ```text
//! zip:     archive/data.pkl     archive/byteorder     archive/data/0     archive/data/1 ...
//! before:  magic number | version | system | dictionary | keys | for each key: 8 bytes of count, the values
//! ```
//!
//! A pickle can execute any code when Python loads it. Here nothing is executed: the pickle is only parsed for names,
//! shapes and storages. Other values of a checkpoint (options, paths, metrics) are skipped; a pickle that names other
//! functions, or has tensors inside an object, is refused.
//!
//! The state dict may be nested in a checkpoint: under a common name (`state_dict`, `model`, `net`, `params`, `model_ema`
//! and so on), or as the only dictionary of tensors, whatever its name. The file does not describe its network: tensors are
//! matched to layers by name, and the networks of torchvision are recognized by the set of names and shapes.

mod legacy;
mod state;
mod storage;
mod write;

use std::path::Path;

use super::model_file::ModelFile;
use super::modules::{self, AssertedNetwork};
use super::{Inspection, Model, Note};
use crate::nn::Network;
use crate::{Error, Result};

pub(super) use legacy::is_legacy;
use storage::TorchFile;
pub(super) use storage::folder;
pub use write::save_weights;

/// Reads a model of one of torchvision's networks, which is recognized by the names and shapes of its tensors: at its
/// default size, with the file's number of classes, and torchvision's preprocessing.
///
/// The known networks include VGG (11 to 19, with and without normalization), AlexNet, SqueezeNet, ResNet (18 to 152),
/// DenseNet121 and InceptionV3. They end with logits, as in torchvision, where the softmax is part of the loss. InceptionV3
/// is read as the published one, which expects pixels from -1 to 1 regardless of torchvision's transforms.
///
/// In a checkpoint with several dictionaries of tensors, the most likely one is chosen (`model` rather than `model_ema`),
/// with a [note](Model::notes).
///
/// # Errors
/// [`Error::File`] when it is not a PyTorch file, is truncated, has a pickle that would run code (named in the message), or
/// tensors of an unknown network.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    read_model(ModelFile::on_disk(path.as_ref()))
}

/// As [`load_model`], from a file anywhere.
pub(super) fn read_model(source: ModelFile) -> Result<Model> {
    let mut file = TorchFile::open(source)?;
    let model = modules::recognize(&mut file)?.ok_or_else(|| unknown_network(source.path()))?;
    Ok(noted(model, &file))
}

/// The error for a state dict that is not recognized.
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

/// Notes which dictionary of the file was chosen, if there were several.
fn noted(mut model: Model, file: &TorchFile) -> Model {
    model.notes.extend(file.choice().map(|choice| Note::Other(format!("dictionary of tensors: {choice}"))));
    model
}

/// The model of this known network, if the file has its weights under the names of torchvision or timm; `None` otherwise.
pub(super) fn load_known(source: ModelFile, asserted: AssertedNetwork) -> Result<Option<Model>> {
    let mut file = TorchFile::open(source)?;
    Ok(modules::recognize_as(&mut file, asserted)?.map(|model| noted(model, &file)))
}

/// Reads weights into a network: by the names of torchvision or timm for a known network's layers, by the network's own
/// layer names (`conv2d.weight`), or, for a plain chain of layers, in file order.
///
/// The weights of a whole network can be read into one without its classifier.
///
/// # Errors
/// As [`load_model`], and [`Error::File`] when a tensor is missing, left over or of another shape; the network is then
/// unchanged.
pub fn load_weights(path: impl AsRef<Path>, network: &mut Network) -> Result<()> {
    fill(ModelFile::on_disk(path.as_ref()), network).map(drop)
}

/// As [`load_weights`], from a file anywhere. Returns the names of ignored tensors of the classifier.
pub(super) fn fill(file: ModelFile, network: &mut Network) -> Result<Vec<String>> {
    modules::fill(&mut TorchFile::open(file)?, network)
}

/// Lists the contents of a file.
///
/// # Errors
/// [`Error::File`] when it is not a PyTorch state dict.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_file(ModelFile::on_disk(path.as_ref()))
}

/// As [`inspect`], of a file anywhere.
pub(super) fn inspect_file(file: ModelFile) -> Result<Inspection> {
    Ok(TorchFile::open(file)?.into_inspection())
}
