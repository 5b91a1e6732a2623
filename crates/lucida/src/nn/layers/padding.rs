//! Padding of images, and the resulting number of windows.

use serde::{Deserialize, Serialize};

use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes};

/// How an image is padded before windows are applied.
///
/// ```
/// use lucida::prelude::*;
///
/// let output = |padding| -> Result<Vec<usize>> {
///     let network = Sequential::new("conv", [28, 28, 1]).add(Conv2D::new(8, [5, 5]).padding(padding)).build(42)?;
///     Ok(network.output()?.shape().sizes().to_vec())
/// };
/// assert_eq!(output(Padding::Valid)?, [24, 24, 8]);
/// assert_eq!(output(Padding::Same)?, [28, 28, 8]);
/// assert_eq!(output(Padding::Explicit([[1, 1], [0, 2]]))?, [26, 26, 8]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// No padding: windows lie entirely inside, and the output is smaller.
    #[default]
    Valid,
    /// The output has `ceil(size / stride)` pixels. As in TensorFlow, an odd pixel of padding is added at the bottom and
    /// right.
    Same,
    /// Rows at the top and bottom, columns at the left and right: `[[top, bottom], [left, right]]`. Max and average pooling
    /// only use pixels of the image, and must not have a window entirely outside; a convolution pads with zeros. Keras does
    /// not support it; PyTorch's pooling layers need it.
    Explicit([[usize; 2]; 2]),
}

impl Padding {
    /// `[[top, bottom], [left, right]]` in pixels, if explicit.
    pub(super) fn explicit(self) -> Option<[[usize; 2]; 2]> {
        match self {
            Self::Explicit(border) => Some(border),
            Self::Valid | Self::Same => None,
        }
    }

    /// The padding before, and the output size, for windows of `window` pixels with a stride over `size` pixels of an axis
    /// (0 for rows, 1 for columns). `None` if they do not fit, or one lies outside the image.
    pub fn resolve(self, axis: usize, size: usize, window: usize, stride: usize) -> Option<(usize, usize)> {
        let (before, output) = self.resolve_zeros(axis, size, window, stride)?;
        // The first and the last window must overlap the image.
        (before < window && (output - 1) * stride < before + size).then_some((before, output))
    }

    /// As [`resolve`](Self::resolve), for a convolution: windows may lie outside the image, over zeros only.
    pub(crate) fn resolve_zeros(
        self,
        axis: usize,
        size: usize,
        window: usize,
        stride: usize,
    ) -> Option<(usize, usize)> {
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
                Some((before, end.checked_add(after)?.checked_sub(window)? / stride + 1))
            }
        }
    }
}

/// Height and width of a kernel whose taps are `dilation` pixels apart.
///
/// # Errors
/// A message for a dilation of zero.
pub(crate) fn dilated(size: [usize; 2], dilation: [usize; 2]) -> Result<[usize; 2], String> {
    if dilation.contains(&0) {
        return Err(format!("a dilation of {dilation:?} pixels is zero"));
    }
    let reach = |axis: usize| size[axis].saturating_sub(1).saturating_mul(dilation[axis]).saturating_add(1);
    Ok([0, 1].map(|axis| if size[axis] == 0 { 0 } else { reach(axis) }))
}

/// Resolves the padding of both axes: the padding at the top and left, and the output's height and width.
pub(crate) fn resolve_window(
    image: [usize; 3],
    window: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
) -> Result<([usize; 2], [usize; 2]), String> {
    let along = [0, 1].map(|axis| padding.resolve(axis, image[axis], window[axis], strides[axis]));
    both_axes(along, image, window, strides, padding)
}

/// As [`resolve_window`], for a convolution.
pub(crate) fn resolve_convolution(
    image: [usize; 3],
    window: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
) -> Result<([usize; 2], [usize; 2]), String> {
    let along = [0, 1].map(|axis| padding.resolve_zeros(axis, image[axis], window[axis], strides[axis]));
    both_axes(along, image, window, strides, padding)
}

/// Combines both axes, or describes why a window does not fit.
fn both_axes(
    along: [Option<(usize, usize)>; 2],
    image: [usize; 3],
    window: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
) -> Result<([usize; 2], [usize; 2]), String> {
    match (along[0], along[1]) {
        (Some((top, height)), Some((left, width))) => Ok(([top, left], [height, width])),
        _ if window.contains(&0) || strides.contains(&0) => {
            Err(format!("a window of {window:?} pixels with strides {strides:?} has a size of zero"))
        }
        _ if matches!(padding, Padding::Explicit(_)) => Err(format!(
            "windows of {}x{} pixels with strides {strides:?} do not fit into an input of {} with a border of {padding:?}",
            window[0],
            window[1],
            Shape::from(image)
        )),
        _ => Err(format!(
            "a window of {}x{} pixels does not fit into an input of {}",
            window[0],
            window[1],
            Shape::from(image)
        )),
    }
}

/// Conversion from and to Keras.
impl Padding {
    /// Reads the option `padding` of a layer.
    ///
    /// # Errors
    /// A description of what is not supported.
    pub(super) fn from_keras(config: &mut KerasConfig) -> Result<Self, String> {
        match config.get("padding").map(|value| (value, value.as_str())) {
            None | Some((_, Some("valid"))) => Ok(Self::Valid),
            Some((_, Some("same"))) => Ok(Self::Same),
            Some((value, _)) => Err(format!("padding {} is not supported, only valid and same", short(value))),
        }
    }

    /// The option `padding` of a layer in Keras's format.
    ///
    /// # Errors
    /// A description of what Keras does not support.
    pub(super) fn to_keras(self) -> Result<&'static str, String> {
        match self {
            Self::Valid => Ok("valid"),
            Self::Same => Ok("same"),
            Self::Explicit(border) => Err(format!("Keras has no border of {border:?} pixels")),
        }
    }
}

/// The ONNX attributes `kernel_shape`, `strides` and `pads` of a window over an image.
pub(super) fn onnx_window(image: &Shape, size: [usize; 2], strides: [usize; 2], padding: Padding) -> OnnxAttributes {
    let sizes = image.sizes();
    let pads = [0, 1].map(|axis| match padding {
        Padding::Explicit(padding) => padding[axis],
        _ => {
            let (before, output) = padding.resolve(axis, sizes[axis], size[axis], strides[axis]).unwrap_or((0, 1));
            let reached = (output - 1) * strides[axis] + size[axis];
            [before, reached.saturating_sub(sizes[axis] + before)]
        }
    });
    let [[top, bottom], [left, right]] = pads;
    vec![
        ("kernel_shape", OnnxAttribute::ints(size)),
        ("strides", OnnxAttribute::ints(strides)),
        ("pads", OnnxAttribute::ints([top, left, bottom, right])),
    ]
}
