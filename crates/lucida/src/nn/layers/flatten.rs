//! Flattens an image to a vector, without moving values.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Op, OpConfig};

/// `[height, width, channels]` to `[height * width * channels]`, in row-major order.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("flat", [7, 7, 64]).add(Flatten::new()).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [7 * 7 * 64]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flatten {}

impl Flatten {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for Flatten {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::flat(one_input(inputs)?.len()))
    }

    fn is_view(&self, _training: bool) -> bool {
        true
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, _setting: &OpConfig) -> Box<dyn Op> {
        unreachable!("a view computes nothing")
    }
}

impl BuiltInLayer for Flatten {
    const KERAS_CLASSES: &'static [&'static str] = &["Flatten"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        Ok(Self::new().into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "data_format": "channels_last" }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let mut input = layer.input();
        if layer.shapes[0].as_image().is_some() {
            // In a vector the channels of a pixel are contiguous.
            let order = vec![("perm", OnnxAttribute::ints([0, 2, 3, 1]))];
            input = layer.intermediate("nhwc", "Transpose", vec![input], order);
        }
        layer.result("Flatten", vec![input], vec![("axis", OnnxAttribute::Int(1))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::check_layer;

    #[test]
    fn gradients_and_shapes() {
        check_layer(Flatten::new(), &[[2, 3, 4].into()]);
        assert_eq!(Flatten::new().output_shape(&[[3, 3, 64].into()]).unwrap(), [576].into());
    }
}
