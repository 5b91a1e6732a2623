//! What every kind of layer has.

use std::ops::Range;

use super::activation_kind::ActivationKind;
use super::padding::Padding;
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

    /// The positions of the inputs, of these shapes, that a position of the output depends on.
    fn extent(&self, inputs: &[Shape]) -> Extent;

    /// Whether no value of the output is below zero, before the activation, where none of the inputs is.
    fn keeps_sign(&self) -> bool {
        false
    }

    /// Whether each value of the output is one of the input, or the mean or maximum of some: it has nothing of its own to
    /// show, as a dropout or a pooling.
    fn only_resamples(&self) -> bool {
        false
    }

    /// Prepares the layer, without its activation, to compute.
    fn prepare(&self, config: &OpConfig) -> Box<dyn Op>;

    /// The layer as one that can compute its neighbors too.
    fn fusing(&self) -> Option<&dyn FusingSpec> {
        None
    }

    /// The border of zeros `[[top, bottom], [left, right]]`, in pixels, if that is all that the layer adds.
    fn zero_padding(&self) -> Option<[[usize; 2]; 2]> {
        None
    }

    /// The factor and the shift of each channel, if that is all that the layer does outside of training.
    fn channel_affine(&self) -> Option<Box<dyn ChannelAffine>> {
        None
    }
}

/// The positions (rows and columns) of the inputs that a position of the output depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Its own.
    Same,
    /// A window.
    Windows {
        /// Height and width.
        size: [usize; 2],
        /// Vertical and horizontal stride.
        strides: [usize; 2],
        /// Rows and columns from one position of the window to the next.
        dilation: [usize; 2],
        /// At the border.
        padding: Padding,
    },
    /// Windows of different sizes, perhaps empty: the rows of each row of the output, the columns of each column.
    UnevenWindows([Vec<Range<usize>>; 2]),
    /// Its own, behind a border of `[[top, bottom], [left, right]]` positions.
    Padded([[usize; 2]; 2]),
    /// All.
    Whole,
    /// Its own, of every input: in each the same value (a sum), or values side by side (a concatenation).
    Joined {
        /// Whether each value of the output depends on the same value of each input.
        elementwise: bool,
    },
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
pub(crate) fn one_image(inputs: &[Shape]) -> Result<[usize; 3], String> {
    let input = one_input(inputs)?;
    match input.as_image() {
        Some(image) if image.iter().all(|&size| size > 0) => Ok(image),
        _ => Err(format!("takes an image (height, width, channels), got {input}")),
    }
}
