//! Files whose tensors are named after PyTorch's modules: `features.0.weight`, `layer1.0.bn1.running_mean`.
//!
//! Such a file does not describe its network. Tensors are matched to layers by name: the names used by torchvision or timm
//! for a known network ([`naming`]), or the network's own layer names with PyTorch's names for the tensors
//! (`conv2d.weight`); and if the file is in module order and the network is a plain chain, by order ([`assign`]). The set
//! of names and shapes also identifies the known network of a file ([`recognize`]), or another member of a family
//! ([`family`]). timm's names are converted to torchvision's ([`renaming`]).
//!
//! PyTorch's images are channels-first, so kernels have another axis order: see [`layout`].

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

/// The network that a file belongs to, as asserted by the caller.
#[derive(Debug, Clone, Copy)]
pub(super) struct AssertedNetwork {
    pub(super) known: &'static Architecture,
    /// Which of timm's networks with the same tensors it is, if the name determines that.
    pub(super) library: Option<Library>,
}

/// Removes the softmax: PyTorch's networks end with logits, and the softmax is part of the loss.
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

    /// All tensors, with their names in the file.
    fn infos(&self) -> &[TensorInfo];

    /// Whether a tensor is of a supported floating-point type.
    fn is_float(&self, index: usize) -> bool;

    /// Whether the tensors are in the order in which their modules were created.
    fn in_order(&self) -> bool;

    /// Reads a floating-point tensor and passes it on in pieces.
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

/// As [`save_plain`], with additional zero tensors.
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
    // Sorted like by the safetensors library: the classifier's bias is rarely the last tensor.
    tensors.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let tensors: Vec<_> =
        tensors.iter().map(|(name, shape, values)| (name.clone(), shape.as_slice(), values.as_slice())).collect();
    super::safetensors::write_tensors(path, "format", "pt".to_owned(), &tensors).unwrap();
}

#[cfg(test)]
mod tests;
