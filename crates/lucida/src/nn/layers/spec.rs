//! What every kind of layer has.

use super::activation::ActivationKind;
use crate::nn::op::{ChannelAffine, Fused, Fusible, Op, OpConfig};
use crate::nn::{Shape, WeightSpec};

/// The description of a layer: its shape rule, its weights, and how it is prepared to compute.
pub trait LayerSpec {
    /// The shape of the output for inputs of these shapes.
    ///
    /// # Errors
    /// What does not fit, with the shapes; the caller adds the layer's name.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// The weights for inputs of these shapes, which [`output_shape`](Self::output_shape) has accepted.
    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        Vec::new()
    }

    /// The activation at the layer's end.
    fn activation(&self) -> ActivationKind {
        ActivationKind::Linear
    }

    /// Whether the output is the input itself, perhaps under another shape: then nothing is computed.
    fn is_view(&self, _training: bool) -> bool {
        false
    }

    /// Prepares the layer, without its activation, to compute.
    fn prepare(&self, config: &OpConfig) -> Box<dyn Op>;

    /// The layer as one that can compute its neighbors too.
    fn fusing(&self) -> Option<&dyn FusingSpec> {
        None
    }

    /// The factor and the shift of each channel, if that is all that the layer does outside of training.
    fn channel_affine(&self) -> Option<Box<dyn ChannelAffine>> {
        None
    }
}

/// A layer that can compute its neighbors too, while values are in registers.
pub trait FusingSpec {
    /// Which ones.
    fn fusible(&self) -> Fusible;

    /// Prepares the layer, without its activation, to compute them as well.
    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op>;
}

/// The only input of a layer that takes one.
pub(crate) fn one_input(inputs: &[Shape]) -> Result<&Shape, String> {
    match inputs {
        [input] => Ok(input),
        _ => Err(format!("takes one input, got {}", inputs.len())),
    }
}

/// The only input of a layer that takes one image.
pub(crate) fn one_picture(inputs: &[Shape]) -> Result<[usize; 3], String> {
    let input = one_input(inputs)?;
    match input.as_picture() {
        Some(picture) if picture.iter().all(|&size| size > 0) => Ok(picture),
        _ => Err(format!("takes an image (height, width, channels), got {input}")),
    }
}
