//! Unit normalization: normalizes the channels of each pixel to a vector of length one.
//!
//! ```text
//! y = x / max(|x|, 1e-12)
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::row_normalization::{RowNormalization, trailing_axes};
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Op, OpConfig};

/// Divides the channels (the last axis) by their Euclidean norm; the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::UnitNormalization;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("unit", [2]).add(UnitNormalization::new()).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[3.0, 4.0]);
/// plan.forward(&network)?;
/// assert!((plan.output(0)[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnitNormalization {}

impl UnitNormalization {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for UnitNormalization {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        if input.len() == 0 {
            return Err(format!("takes an input with channels, got {input}"));
        }
        Ok(input.clone())
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        if inputs[0].as_flat().is_some() { Extent::Whole } else { Extent::Same }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    /// `x / |x|` is an RMS normalization with the scale `1 / sqrt(channels)`.
    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let channels = config.output.channels() as f32;
        Box::new(RowNormalization::new(config, 1, 1e-24 / channels, false).with_factor(channels.sqrt().recip()))
    }
}

impl BuiltInLayer for UnitNormalization {
    const KERAS_CLASSES: &'static [&'static str] = &["UnitNormalization"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        if trailing_axes(config)? != 1 {
            return Err("several axes are not supported, only the last one".into());
        }
        Ok(Self::new().into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "axis": -1 }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let attributes = vec![("axis", OnnxAttribute::Int(1)), ("p", OnnxAttribute::Int(2))];
        layer.result("LpNormalization", vec![layer.input()], attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::check_layer;

    #[test]
    fn gradients() {
        check_layer(UnitNormalization::new(), &[[3, 4, 5].into()]);
        check_layer(UnitNormalization::new(), &[[17].into()]);
    }
}
