//! Zero padding of images.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{Columns, transfer_columns};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short, sizes};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// Pads images with zeros: `[height, width, channels]` grows by the padding.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("padded", [224, 224, 3]).add(ZeroPadding2D::new(3)).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [230, 230, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroPadding2D {
    /// `[[top, bottom], [left, right]]`, in pixels.
    pub padding: [[usize; 2]; 2],
}

impl ZeroPadding2D {
    /// The same number of pixels on all sides.
    pub fn new(pixels: usize) -> Self {
        Self { padding: [[pixels; 2]; 2] }
    }
}

impl LayerSpec for ZeroPadding2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [height, width, channels] = one_image(inputs)?;
        let padded = |size: usize, [before, after]: [usize; 2]| size.checked_add(before)?.checked_add(after);
        let sizes = padded(height, self.padding[0]).zip(padded(width, self.padding[1]));
        sizes
            .map(|(height, width)| Shape::image(height, width, channels))
            .filter(|shape| shape.checked_len().is_some())
            .ok_or_else(|| format!("a padding of {:?} around {} is too large", self.padding, inputs[0]))
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Padded(self.padding)
    }

    fn zero_padding(&self) -> Option<[[usize; 2]; 2]> {
        Some(self.padding)
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let [height, width, channels] = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let [[top, _], [left, right]] = self.padding;
        Box::new(ZeroBorder {
            cpu: config.cpu,
            height,
            row: width * channels,
            padded_row: (left + width + right) * channels,
            left: left * channels,
            top,
            padded_len: config.output.len(),
        })
    }
}

/// Zero padding prepared to compute. Row lengths are in floats.
struct ZeroBorder {
    cpu: Cpu,
    height: usize,
    row: usize,
    padded_row: usize,
    left: usize,
    top: usize,
    padded_len: usize,
}

impl ZeroBorder {
    fn inner_rows(&self, image: usize) -> std::ops::Range<usize> {
        let start = image * self.padded_len + self.top * self.padded_row;
        start..start + self.height * self.padded_row
    }

    fn image(&self, image: usize) -> std::ops::Range<usize> {
        image * self.height * self.row..(image + 1) * self.height * self.row
    }
}

impl Op for ZeroBorder {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        output.fill(0.0);
        for image in 0..pass.batch {
            let from = (&pass.inputs.get(0)[self.image(image)], Columns { start: 0, stride: self.row });
            let inner = &mut output[self.inner_rows(image)];
            let to = (inner, Columns { start: self.left, stride: self.padded_row });
            transfer_columns(self.cpu, (self.height, self.row), from, to, false);
        }
    }

    /// The gradient of the inner pixels; that of the padding is dropped.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        for image in 0..pass.batch {
            let inner = &pass.grad_output[self.inner_rows(image)];
            let from = (inner, Columns { start: self.left, stride: self.padded_row });
            let to = (&mut grad_input[self.image(image)], Columns { start: 0, stride: self.row });
            transfer_columns(self.cpu, (self.height, self.row), from, to, accumulate);
        }
    }
}

impl BuiltInLayer for ZeroPadding2D {
    const KERAS_CLASSES: &'static [&'static str] = &["ZeroPadding2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        let value = config.required("padding")?;
        let padding = border(value)
            .ok_or_else(|| format!("padding is {}, expected [[top, bottom], [left, right]]", short(value)))?;
        Ok(Self { padding }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "padding": self.padding, "data_format": "channels_last" }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let [[top, bottom], [left, right]] = self.padding;
        let pads = [0, 0, top, left, 0, 0, bottom, right].map(|size| size as i64);
        let pads = layer.constant("pads", &[8], OnnxValues::Ints(pads.to_vec()));
        layer.result("Pad", vec![layer.input(), pads], vec![("mode", OnnxAttribute::Text("constant"))]);
    }
}

/// Reads Keras's `n`, `[rows, columns]` or `[[top, bottom], [left, right]]`.
pub(super) fn border(value: &Value) -> Option<[[usize; 2]; 2]> {
    if let Some([rows, columns]) = sizes::<2>(value) {
        return Some([[rows; 2], [columns; 2]]);
    }
    match value.as_array()?.as_slice() {
        [rows, columns] => Some([sizes(rows)?, sizes(columns)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        let layer = ZeroPadding2D { padding: [[1, 2], [0, 3]] };
        check_layer(layer, &[[3, 4, 5].into()]);
        assert_eq!(layer.output_shape(&[[3, 4, 5].into()]).unwrap(), [6, 7, 5].into());
        refuses(ZeroPadding2D::new(usize::MAX), &[[3, 4, 5].into()], &["too large"]);
    }
}
