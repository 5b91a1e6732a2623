//! RMS normalization (Zhang and Sennrich, 2019): layer normalization without subtracting the mean.
//!
//! ```text
//! y = scale x / sqrt(mean(x^2) + epsilon)
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::row_normalization::{RowNormalization, trailing_axes};
use super::spec::{Extent, LayerSpec, one_input};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Op, OpConfig};
use crate::nn::{Initializer, Shape, WeightSpec};

/// RMS normalization of the channels (the last axis), with a learned scale for each; the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::RMSNormalization;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("norm", [2]).add(RMSNormalization::default()).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[3.0, -3.0]);
/// plan.forward(&network)?;
/// assert!((plan.output(0)[0] - 1.0).abs() < 1e-6);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RMSNormalization {
    /// Added to the mean square.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
}

fn epsilon() -> f32 {
    1e-6
}

impl Default for RMSNormalization {
    /// Keras's default: epsilon 1e-6.
    fn default() -> Self {
        Self { epsilon: epsilon() }
    }
}

impl LayerSpec for RMSNormalization {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(format!("epsilon {} is invalid", self.epsilon));
        }
        if input.len() == 0 {
            return Err(format!("takes an input with channels, got {input}"));
        }
        Ok(input.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = vec![inputs[0].channels()];
        vec![WeightSpec { name: "scale", shape, initializer: Initializer::Ones, trainable: true }]
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        if inputs[0].as_flat().is_some() { Extent::Whole } else { Extent::Same }
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        Box::new(RowNormalization::new(config, 1, self.epsilon, false).with_weights(true, false))
    }
}

impl BuiltInLayer for RMSNormalization {
    const KERAS_CLASSES: &'static [&'static str] = &["RMSNormalization"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        if trailing_axes(config)? != 1 {
            return Err("several axes are not supported, only the last one".into());
        }
        Ok(Self { epsilon: config.number("epsilon", epsilon())? }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "axis": -1, "epsilon": decimal(self.epsilon) }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let square = layer.intermediate("square", "Mul", vec![layer.input(), layer.input()], vec![]);
        let axes = vec![("axes", OnnxAttribute::Ints(vec![1])), ("keepdims", OnnxAttribute::Int(1))];
        let mean = layer.intermediate("mean", "ReduceMean", vec![square], axes);
        let epsilon = layer.number("epsilon", self.epsilon);
        let sum = layer.intermediate("sum", "Add", vec![mean, epsilon], vec![]);
        let root = layer.intermediate("root", "Sqrt", vec![sum], vec![]);
        let normalized = layer.intermediate("normalized", "Div", vec![layer.input(), root], vec![]);
        let scale = layer.channels_first_weight(0);
        layer.result("Mul", vec![normalized, scale], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(RMSNormalization::default(), &[[3, 4, 5].into()]);
        check_layer(RMSNormalization { epsilon: 0.1 }, &[[17].into()]);
        refuses(RMSNormalization { epsilon: -1.0 }, &[[17].into()], &["-1"]);
    }
}
