//! The interface of all layers.

use std::ops::Range;

use super::activation_kind::ActivationKind;
use super::padding::Padding;
use crate::nn::op::{ChannelAffine, Fused, Fusible, Op, OpConfig};
use crate::nn::{Shape, WeightSpec};

/// The specification of a layer: its shape inference, its weights, and how it is prepared to compute.
pub trait LayerSpec {
    /// The shape of the output for inputs of these shapes.
    ///
    /// # Errors
    /// A description of the mismatch, with the shapes; the caller adds the layer's name.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// The weights for inputs of these shapes, which [`output_shape`](Self::output_shape) has accepted.
    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        Vec::new()
    }

    /// The activation at the end of the layer.
    fn activation(&self) -> ActivationKind {
        ActivationKind::Linear
    }

    /// Whether the output is the input itself, possibly with another shape: then nothing is computed.
    fn is_view(&self, _training: bool) -> bool {
        false
    }

    /// The input positions that an output position depends on, for inputs of these shapes.
    fn extent(&self, inputs: &[Shape]) -> Extent;

    /// Whether the output, before the activation, is never negative if no input is.
    fn keeps_sign(&self) -> bool {
        false
    }

    /// Whether each output value is an input value, or the mean or maximum of several, as for a dropout or a pooling: such
    /// a layer has no features of its own to visualize.
    fn only_resamples(&self) -> bool {
        false
    }

    /// Prepares the layer, without its activation, to compute.
    fn prepare(&self, config: &OpConfig) -> Box<dyn Op>;

    /// The layer as one that can fuse its neighbors.
    fn fusing(&self) -> Option<&dyn FusingSpec> {
        None
    }

    /// The zero padding `[[top, bottom], [left, right]]` in pixels, if that is all the layer does.
    fn zero_padding(&self) -> Option<[[usize; 2]; 2]> {
        None
    }

    /// The scale and shift per channel, if that is all the layer does in inference.
    fn channel_affine(&self) -> Option<Box<dyn ChannelAffine>> {
        None
    }
}

/// The input positions (rows and columns) that an output position depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// The same position.
    Same,
    /// A window.
    Windows {
        /// Height and width.
        size: [usize; 2],
        /// Vertical and horizontal stride.
        strides: [usize; 2],
        /// Vertical and horizontal dilation.
        dilation: [usize; 2],
        /// The padding.
        padding: Padding,
    },
    /// Windows of different sizes, possibly empty: the input rows of each output row, the input columns of each output
    /// column.
    UnevenWindows([Vec<Range<usize>>; 2]),
    /// The same position, after padding by `[[top, bottom], [left, right]]` positions.
    Padded([[usize; 2]; 2]),
    /// All positions.
    Whole,
    /// The same position of every input, for elementwise operations (a sum) or a concatenation of channels.
    Joined {
        /// Whether each value of the output depends on the same value of each input.
        elementwise: bool,
    },
}

/// A layer that can fuse its neighbors, while values are in registers.
pub trait FusingSpec {
    /// The neighbors that it can fuse.
    fn fusible(&self) -> Fusible;

    /// Prepares the layer, without its activation, with fused neighbors.
    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op>;
}

/// The single input of a layer with one input.
pub(crate) fn one_input(inputs: &[Shape]) -> Result<&Shape, String> {
    match inputs {
        [input] => Ok(input),
        _ => Err(format!("takes one input, got {}", inputs.len())),
    }
}

/// The single input of a layer for images.
pub(crate) fn one_image(inputs: &[Shape]) -> Result<[usize; 3], String> {
    let input = one_input(inputs)?;
    match input.as_image() {
        Some(image) if image.iter().all(|&size| size > 0) => Ok(image),
        _ => Err(format!("takes an image (height, width, channels), got {input}")),
    }
}
