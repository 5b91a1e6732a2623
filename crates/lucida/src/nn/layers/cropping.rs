//! Cropping: removes the borders of an image.

use lucida_kernels::{AxisMap, ImageMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::resample::{ResampleOp, extent_of, sides};
use super::spec::{Extent, LayerSpec, one_image};
use super::zero_padding::border;
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// Removes pixels on each side of `[height, width, channels]`.
///
/// ```
/// use lucida::nn::layers::Cropping2D;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("cropped", [28, 28, 3]).add(Cropping2D::new([[1, 2], [0, 3]])).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [25, 25, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cropping2D {
    /// `[[top, bottom], [left, right]]`, in pixels.
    pub cropping: [[usize; 2]; 2],
}

impl Cropping2D {
    /// Removes these numbers of pixels: `[[top, bottom], [left, right]]`.
    pub fn new(cropping: [[usize; 2]; 2]) -> Self {
        Self { cropping }
    }

    fn map(&self, sizes: [usize; 2]) -> ImageMap {
        let [[top, bottom], [left, right]] = self.cropping;
        cropped(sizes, [top, left], [sizes[0] - top - bottom, sizes[1] - left - right])
    }
}

/// The map to a rectangle of an image of these sizes.
pub(super) fn cropped(sizes: [usize; 2], from: [usize; 2], to: [usize; 2]) -> ImageMap {
    let axis = |i: usize| AxisMap::new(sizes[i], (0..to[i]).map(|at| vec![(from[i] + at, 1.0)]));
    ImageMap { rows: axis(0), columns: axis(1) }
}

/// Adds a crop to a rectangle of an image to a graph.
pub(super) fn crop_to_onnx(layer: &mut OnnxLayer, from: [usize; 2], to: [usize; 2]) {
    let ints = |values: [usize; 2]| OnnxValues::Ints(values.map(|value| value as i64).to_vec());
    let starts = layer.constant("starts", &[2], ints(from));
    let ends = layer.constant("ends", &[2], ints([from[0] + to[0], from[1] + to[1]]));
    let axes = layer.constant("axes", &[2], ints([2, 3]));
    layer.result("Slice", vec![layer.input(), starts, ends, axes], vec![]);
}

impl LayerSpec for Cropping2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [height, width, channels] = one_image(inputs)?;
        let left = |size: usize, [before, after]: [usize; 2]| {
            size.checked_sub(before)?.checked_sub(after).filter(|&size| size > 0)
        };
        match (left(height, self.cropping[0]), left(width, self.cropping[1])) {
            (Some(height), Some(width)) => Ok(Shape::image(height, width, channels)),
            _ => Err(format!("a cropping of {:?} leaves nothing of {}", self.cropping, inputs[0])),
        }
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        extent_of(&self.map(sides(inputs)))
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        Box::new(ResampleOp::new(config, self.map(sides(config.inputs)), 0.0))
    }
}

impl BuiltInLayer for Cropping2D {
    const KERAS_CLASSES: &'static [&'static str] = &["Cropping2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        let value = config.required("cropping")?;
        let cropping = border(value)
            .ok_or_else(|| format!("cropping is {}, expected [[top, bottom], [left, right]]", short(value)))?;
        Ok(Self { cropping }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "cropping": self.cropping, "data_format": "channels_last" }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let [height, width] = sides(&[layer.shapes[0].clone()]);
        let [[top, bottom], [left, right]] = self.cropping;
        crop_to_onnx(layer, [top, left], [height - top - bottom, width - left - right]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        let layer = Cropping2D::new([[1, 2], [0, 3]]);
        check_layer(layer, &[[5, 6, 3].into()]);
        assert_eq!(layer.output_shape(&[[5, 6, 3].into()]).unwrap(), [2, 3, 3].into());
        refuses(layer, &[[3, 6, 3].into()], &["leaves nothing", "(3, 6, 3)"]);
        refuses(Cropping2D::new([[usize::MAX; 2]; 2]), &[[3, 6, 3].into()], &["leaves nothing"]);
    }
}
