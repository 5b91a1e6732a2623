//! Files whose tensors have the names that PyTorch's modules give them: `features.0.weight`, `layer1.0.bn1.running_mean`.
//!
//! Such a file does not describe its network. What belongs to which layer is found by the names: those that torchvision
//! or timm use for a network of the zoo ([`naming`]), or those of the network's own layers with PyTorch's names for
//! the tensors (`conv2d.weight`); and where the file has kept the order and the network is a plain chain, by the order
//! ([`assign`]). The set of names and shapes also tells which network of the zoo a file is of ([`recognize`]), or which
//! other one of a family ([`family`]). Names of timm are turned into torchvision's ([`renaming`]).
//!
//! PyTorch's images have their channels first, so kernels have another order of axes: see [`layout`].

mod assign;
mod entries;
mod family;
mod layout;
mod naming;
mod recognize;
mod renaming;
mod style_transformer;

use std::path::Path;

pub(super) use assign::fill;
pub(super) use entries::{Entry, entries};
pub(super) use family::is_unfit;
pub(super) use naming::own_or_torchvision;
pub(super) use recognize::{known, recognize, recognize_as};
pub(crate) use style_transformer::NAME as FAST_NEURAL_STYLE;

use super::{Model, TensorInfo};
use crate::Result;
use crate::nn::applications::Architecture;
use crate::nn::applications::modules::Library;
use crate::nn::layers::ActivationKind;

/// The network that a caller says a file is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asserted {
    pub(super) known: &'static Architecture,
    /// Which of timm's networks with the same tensors it is, where the name says that.
    pub(super) library: Option<Library>,
}

/// A network of PyTorch ends in logits: the softmax is left to the loss.
fn with_logits(mut model: Model) -> Result<Model> {
    if let ActivationKind::Softmax | ActivationKind::Sigmoid = model.network.output()?.activation() {
        model.network = model.network.with_output_activation(ActivationKind::Linear)?;
    }
    Ok(model)
}

/// The tensors of an open file.
pub(super) trait Tensors {
    /// The file.
    fn path(&self) -> &Path;

    /// All tensors, under the names that the file gives them.
    fn infos(&self) -> &[TensorInfo];

    /// Whether a tensor is of floating-point numbers, which can be read.
    fn is_float(&self, index: usize) -> bool;

    /// Whether the tensors are in the order in which their modules were made.
    fn in_order(&self) -> bool;

    /// Reads a tensor of floating-point numbers and hands it over in pieces.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) when it is damaged, [`Error::Io`](crate::Error::Io) when it cannot be read.
    fn read(&mut self, index: usize, take: &mut dyn FnMut(&[f32])) -> Result<()>;
}

/// Writes the weights of a network as a plain safetensors file with torchvision's names.
#[cfg(test)]
pub(super) fn save_plain(network: &crate::nn::Network, path: &Path) {
    save_plain_with(network, path, &[]);
}

/// As [`save_plain`], with additional tensors of zeros.
#[cfg(test)]
pub(super) fn save_plain_with(network: &crate::nn::Network, path: &Path, more: &[(&str, &[usize])]) {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for entry in entries(network, &own_or_torchvision(network)).unwrap() {
        let mut values = Vec::new();
        let weight = network.weights()[entry.weight].values();
        let taken = entry.layout.to_torch(weight, |part| {
            values.extend_from_slice(part);
            Ok::<_, ()>(())
        });
        taken.unwrap();
        tensors.push((entry.name, entry.shapes[0].clone(), values));
    }
    let zeros =
        |(name, shape): &(&str, &[usize])| (name.to_string(), shape.to_vec(), vec![0.0; shape.iter().product()]);
    tensors.extend(more.iter().map(zeros));
    // As the library of the format sorts them: the bias of the classifier is rarely the last.
    tensors.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let tensors: Vec<_> =
        tensors.iter().map(|(name, shape, values)| (name.clone(), shape.as_slice(), values.as_slice())).collect();
    super::safetensors::write_tensors(path, "format", "pt".to_owned(), &tensors).unwrap();
}

#[cfg(test)]
mod tests;
