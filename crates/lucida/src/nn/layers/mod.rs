//! The kinds of layers.
//!
//! Each is one file that shows the layer's mechanics whole, in this order: configuration, shape rule, forward, backward to
//! the input, backward to the weights, tests. The names, the defaults and the conventions are Keras's.
//!
//! A layer is a description (its configuration, which can be stored as JSON). To compute, it is prepared for a
//! [`Setting`] and becomes an [`Operation`], which owns whatever it needs besides its inputs and outputs: packed
//! weights, work memory, masks.

mod activation;
mod adaptive_pooling;
mod add;
mod batch_normalization;
mod concatenate;
mod conv2d;
mod dense;
mod dropout;
mod flatten;
mod global_pooling;
mod input;
mod operation;
mod pooling;
mod rescaling;
mod zero_padding;

use serde::{Deserialize, Serialize};

use super::{Shape, WeightSpec};

pub(crate) use activation::Activating;
pub use activation::{Activation, ActivationKind};
pub use adaptive_pooling::AdaptiveAveragePooling2D;
pub use add::Add;
pub use batch_normalization::BatchNormalization;
pub use concatenate::Concatenate;
pub use conv2d::Conv2D;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use global_pooling::{GlobalAveragePooling2D, GlobalMaxPooling2D};
pub use input::Input;
pub use operation::{Backward, Forward, Inputs, Operation, Reads, Setting, Work};
pub use pooling::{AveragePooling2D, MaxPooling2D};
pub use rescaling::Rescaling;
pub use zero_padding::ZeroPadding2D;

/// What every kind of layer has.
pub trait Mechanics {
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
    fn prepare(&self, setting: &Setting) -> Box<dyn Operation>;
}

macro_rules! layers {
    ($($kind:ident => $name:literal),* $(,)?) => {
        /// A layer of any kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "class_name", content = "config")]
        #[allow(missing_docs)] // each variant is documented as its type
        pub enum Layer {
            $($kind($kind)),*
        }

        impl Layer {
            /// The names of all kinds, as Keras calls the classes.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// The name of its kind, as Keras calls the class: `Conv2D`.
            pub fn class_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind)),*
                }
            }

            /// What a layer of this kind is called when nobody names it: `conv2d`.
            pub fn default_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name),*
                }
            }

            /// What the layer can do.
            pub fn mechanics(&self) -> &dyn Mechanics {
                match self {
                    $(Self::$kind(layer) => layer),*
                }
            }
        }

        $(impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Self::$kind(layer)
            }
        })*
    };
}

layers! {
    Input => "input_layer",
    Conv2D => "conv2d",
    Dense => "dense",
    MaxPooling2D => "max_pooling2d",
    AveragePooling2D => "average_pooling2d",
    AdaptiveAveragePooling2D => "adaptive_average_pooling2d",
    GlobalAveragePooling2D => "global_average_pooling2d",
    GlobalMaxPooling2D => "global_max_pooling2d",
    BatchNormalization => "batch_normalization",
    Rescaling => "rescaling",
    Activation => "activation",
    Dropout => "dropout",
    Flatten => "flatten",
    ZeroPadding2D => "zero_padding2d",
    Concatenate => "concatenate",
    Add => "add",
}

/// What happens at the border of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Windows lie wholly inside: the output is smaller.
    #[default]
    Valid,
    /// The output has `ceil(size / stride)` pixels. As TensorFlow has it, an odd pixel of padding goes to the bottom and
    /// right.
    Same,
    /// Rows at the top and bottom, columns at the left and right: `[[top, bottom], [left, right]]`, none so many that a
    /// window lies outside the image. A maximum and a mean take only what is inside, a convolution takes zeros. Keras
    /// has no name for it; PyTorch's pooling layers need it.
    Explicit([[usize; 2]; 2]),
}

impl Padding {
    /// The padding before, and the output size, of windows of `window` pixels with a stride over `size` pixels of an axis
    /// (0 for rows, 1 for columns).
    pub fn resolve(self, axis: usize, size: usize, window: usize, stride: usize) -> Option<(usize, usize)> {
        match self {
            _ if window == 0 || stride == 0 || size == 0 => None,
            Self::Valid => Some((0, size.checked_sub(window)? / stride + 1)),
            Self::Same => {
                let output = size.div_ceil(stride);
                let total = ((output - 1) * stride).checked_add(window)?.saturating_sub(size);
                Some((total / 2, output))
            }
            Self::Explicit(padding) => {
                let [before, after] = padding[axis];
                let end = before.checked_add(size)?;
                let output = end.checked_add(after)?.checked_sub(window)? / stride + 1;
                // The first and the last window must see the image.
                (before < window && (output - 1) * stride < end).then_some((before, output))
            }
        }
    }
}

/// Resolves the padding of both axes: the padding at the top and left, and the output's height and width.
pub(crate) fn resolve_window(
    picture: [usize; 3],
    window: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
) -> Result<([usize; 2], [usize; 2]), String> {
    let axis = |i: usize| padding.resolve(i, picture[i], window[i], strides[i]);
    match (axis(0), axis(1)) {
        (Some((top, height)), Some((left, width))) => Ok(([top, left], [height, width])),
        _ if window.contains(&0) || strides.contains(&0) => {
            Err(format!("a window of {window:?} pixels with strides {strides:?} has a size of zero"))
        }
        _ if matches!(padding, Padding::Explicit(_)) => Err(format!(
            "windows of {}x{} pixels with strides {strides:?} do not fit into an input of {} with a border of {padding:?}",
            window[0],
            window[1],
            Shape::from(picture)
        )),
        _ => Err(format!(
            "a window of {}x{} pixels does not fit into an input of {}",
            window[0],
            window[1],
            Shape::from(picture)
        )),
    }
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
