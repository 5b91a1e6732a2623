//! Layer normalization (Ba, Kiros and Hinton, 2016): normalizes the last axes of each sample to mean zero and variance one,
//! then scales and shifts them by learned amounts.
//!
//! ```text
//! y = gamma (x - m) / sqrt(v + epsilon) + beta
//! ```
//!
//! `m` and `v` are the mean and the variance of the values that are normalized together: the channels of a pixel, or all
//! values. Unlike in batch normalization they are always those of the sample itself.
//!
//! Relevance propagation treats `v` as a constant (Ali et al., 2022, "XAI for Transformers"), which makes the layer linear.

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

/// Layer normalization of the last axes; the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::LayerNormalization;
/// use lucida::prelude::*;
///
/// // The channels of each pixel, as in ConvNeXt.
/// let network = Sequential::new("norm", [1, 1, 2]).add(LayerNormalization::default()).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[10.0, 30.0]);
/// plan.forward(&network)?;
/// assert!((plan.output(0)[1] - 1.0).abs() < 1e-4 && plan.output(0)[0] == -plan.output(0)[1]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerNormalization {
    /// Number of last axes that are normalized together: 1 for the channels.
    #[serde(default = "one")]
    pub axes: usize,
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Whether to add an offset, `beta`, for each value of these axes.
    #[serde(default = "yes")]
    pub center: bool,
    /// Whether to multiply by a scale, `gamma`, for each value of these axes.
    #[serde(default = "yes")]
    pub scale: bool,
}

fn one() -> usize {
    1
}

fn epsilon() -> f32 {
    1e-3
}

fn yes() -> bool {
    true
}

impl Default for LayerNormalization {
    /// Keras's defaults: the channels, epsilon 1e-3, with scale and offset.
    fn default() -> Self {
        Self { axes: 1, epsilon: epsilon(), center: true, scale: true }
    }
}

impl LayerSpec for LayerNormalization {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(format!("epsilon {} is invalid", self.epsilon));
        }
        if !(1..=input.sizes().len()).contains(&self.axes) || input.len() == 0 {
            return Err(format!("normalizes the last {} axes, got {input}", self.axes));
        }
        Ok(input.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let sizes = inputs[0].sizes();
        let shape = &sizes[sizes.len() - self.axes..];
        let spec = |name, initializer| WeightSpec { name, shape: shape.to_vec(), initializer, trainable: true };
        let gamma = self.scale.then(|| spec("gamma", Initializer::Ones));
        let beta = self.center.then(|| spec("beta", Initializer::Zeros));
        gamma.into_iter().chain(beta).collect()
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        if inputs[0].as_image().is_some() && self.axes == 1 { Extent::Same } else { Extent::Whole }
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        Box::new(RowNormalization::new(config, self.axes, self.epsilon, true).with_weights(self.scale, self.center))
    }
}

impl BuiltInLayer for LayerNormalization {
    const KERAS_CLASSES: &'static [&'static str] = &["LayerNormalization"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.must_be("rms_scaling", &[Value::from(false)])?;
        config.ignore(&["beta_initializer", "gamma_initializer"]);
        config.note(&["beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"]);
        let norm = Self {
            axes: trailing_axes(config)?,
            epsilon: config.number("epsilon", epsilon())?,
            center: config.flag("center", true)?,
            scale: config.flag("scale", true)?,
        };
        Ok(norm.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        let axis: Vec<i64> = (1..=self.axes as i64).rev().map(|axis| -axis).collect();
        Ok(json!({
            "axis": axis,
            "epsilon": decimal(self.epsilon),
            "center": self.center,
            "scale": self.scale,
            "rms_scaling": false,
        }))
    }

    /// The operator requires the normalized axes to be last.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let shape = layer.shapes[0];
        let image = shape.as_image().is_some();
        let perm = |order| vec![("perm", OnnxAttribute::ints::<4>(order))];
        let mut input = layer.input();
        if image {
            input = layer.intermediate("channels_last", "Transpose", vec![input], perm([0, 2, 3, 1]));
        }
        let len = shape.sizes()[shape.sizes().len() - self.axes..].iter().product();
        let mut inputs = vec![input];
        inputs.extend(layer.weights.iter().cloned());
        if !self.scale {
            // Scales of one for the values that are normalized together.
            let gamma = layer.filled("gamma", 1.0, len);
            let gamma = reshaped(layer, gamma, &shape.sizes()[shape.sizes().len() - self.axes..]);
            inputs.insert(1, gamma);
        }
        let axis = ("axis", OnnxAttribute::Int(-(self.axes as i64)));
        let attributes = vec![axis, ("epsilon", OnnxAttribute::Float(self.epsilon))];
        if image {
            let normalized = layer.intermediate("normalized", "LayerNormalization", inputs, attributes);
            layer.result("Transpose", vec![normalized], perm([0, 3, 1, 2]));
        } else {
            layer.result("LayerNormalization", inputs, attributes);
        }
    }
}

/// Reshapes a weight, if the new shape has several axes.
fn reshaped(layer: &mut OnnxLayer, weight: String, sizes: &[usize]) -> String {
    if sizes.len() == 1 {
        return weight;
    }
    let target = sizes.iter().map(|&size| size as i64).collect();
    let shape = layer.constant("gamma_shape", &[sizes.len()], crate::nn::onnx_graph::OnnxValues::Ints(target));
    layer.intermediate("gamma_reshaped", "Reshape", vec![weight, shape], vec![])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(LayerNormalization::default(), &[[3, 4, 5].into()]);
        check_layer(LayerNormalization { axes: 3, scale: false, ..Default::default() }, &[[3, 4, 5].into()]);
        check_layer(LayerNormalization { axes: 2, ..Default::default() }, &[[3, 4, 5].into()]);
        check_layer(LayerNormalization { center: false, ..Default::default() }, &[[17].into()]);
        refuses(LayerNormalization { axes: 2, ..Default::default() }, &[[17].into()], &["2 axes", "(17)"]);
        refuses(LayerNormalization { epsilon: f32::NAN, ..Default::default() }, &[[17].into()], &["NaN"]);
    }
}
