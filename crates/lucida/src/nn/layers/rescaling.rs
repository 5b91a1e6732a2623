//! Rescaling by a fixed scale and offset, the first layer of Keras models that take raw pixels.

use lucida_kernels::Cpu;
use lucida_kernels::ops::affine;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::batch_normalization::BatchNormalization;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::files::decimal;
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// `output = scale * input + offset`, with one value for all channels or one per channel (the last axis).
///
/// It has no weights: a learned scale and offset per channel is a [`BatchNormalization`](super::BatchNormalization).
///
/// ```
/// use lucida::prelude::*;
///
/// // Pixels from 0 to 255 become values from -1 to 1.
/// let network = Sequential::new("scaled", [1, 1, 3]).add(Rescaling::new(1.0 / 127.5, -1.0)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[0.0, 127.5, 255.0]);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().zip([-1.0, 0.0, 1.0]).all(|(got, expected)| (got - expected).abs() < 1e-6));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rescaling {
    /// The scale: one value, or one per channel.
    pub scale: Vec<f32>,
    /// The offset: one value, or one per channel.
    pub offset: Vec<f32>,
}

impl Rescaling {
    /// The same scale and offset for all channels.
    pub fn new(scale: f32, offset: f32) -> Self {
        Self { scale: vec![scale], offset: vec![offset] }
    }

    /// Expands a [`scale`](Self::scale) or an [`offset`](Self::offset) to one value per channel.
    pub(crate) fn per_channel(values: &[f32], channels: usize) -> Vec<f32> {
        if values.len() == 1 { vec![values[0]; channels] } else { values.to_vec() }
    }
}

impl LayerSpec for Rescaling {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let channels = input.channels();
        for (name, values) in [("scale", &self.scale), ("offset", &self.offset)] {
            if values.len() != 1 && values.len() != channels {
                return Err(format!("{name} has {} values, expected one, or one per channel of {input}", values.len()));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!("{name} is {value}, not a finite number"));
            }
        }
        Ok(input.clone())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let channels = config.output.channels();
        Box::new(ScaleAndOffset {
            cpu: config.cpu,
            scale: Self::per_channel(&self.scale, channels),
            offset: Self::per_channel(&self.offset, channels),
            zeros: vec![0.0; channels],
            scratch: Vec::new(),
        })
    }
}

/// A scale and offset per channel, prepared to compute.
struct ScaleAndOffset {
    cpu: Cpu,
    scale: Vec<f32>,
    offset: Vec<f32>,
    zeros: Vec<f32>,
    /// Temporary gradient, where it is added to another.
    scratch: Vec<f32>,
}

impl Op for ScaleAndOffset {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        affine(self.cpu, pass.inputs.get(0), &self.scale, &self.offset, false, output);
    }

    /// `dx = scale dy`
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            affine(self.cpu, pass.grad_output, &self.scale, &self.zeros, false, grad_input);
            return;
        }
        self.scratch.resize(grad_input.len(), 0.0);
        affine(self.cpu, pass.grad_output, &self.scale, &self.zeros, false, &mut self.scratch);
        lucida_kernels::ops::transfer(self.cpu, &self.scratch, grad_input, true);
    }
}

impl BuiltInLayer for Rescaling {
    const KERAS_CLASSES: &'static [&'static str] = &["Rescaling", "Normalization"];

    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        if class == "Normalization" {
            return normalization(config);
        }
        let rescaling = Self { scale: config.values("scale", 1.0)?, offset: config.values("offset", 0.0)? };
        config.ignore(&["data_format"]);
        Ok(rescaling.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        let value = |values: &[f32]| match values {
            &[one] => json!(decimal(one)),
            values => json!(values.iter().copied().map(decimal).collect::<Vec<_>>()),
        };
        Ok(json!({ "scale": value(&self.scale), "offset": value(&self.offset) }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let image = layer.shapes[0].as_image().is_some();
        // They are broadcast over the pixels: the channels are the first axis after the batch.
        let mut constant = |label: &str, values: &[f32]| {
            let dims = if values.len() > 1 && image { vec![values.len(), 1, 1] } else { vec![values.len()] };
            layer.constant(label, &dims, OnnxValues::Floats(values.to_vec()))
        };
        let (scale, offset) = (constant("scale", &self.scale), constant("offset", &self.offset));
        let scaled = layer.intermediate("scaled", "Mul", vec![layer.input(), scale], vec![]);
        layer.result("Add", vec![scaled, offset], vec![]);
    }
}

/// `(x - mean) / max(sqrt(variance), epsilon)`: a rescaling if the statistics are in the configuration, or a frozen batch
/// normalization if they are weights from `adapt()`.
fn normalization(config: &mut KerasConfig) -> Result<Layer, String> {
    /// Epsilon of the Keras backend, which only matters for a variance of zero.
    const EPSILON: f32 = 1e-14;
    let none = config.options().get("axis") == Some(&Value::Null);
    let whole = config.get("axis").is_some_and(|axis| axis.as_array().is_some_and(Vec::is_empty));
    if !whole && !none {
        config.last_axis("axis")?;
    }
    config.must_be("invert", &[Value::from(false)])?;
    config.ignore(&["input_mean", "input_variance"]);
    if config.get("mean").is_none() {
        if whole || none {
            return Err("axis None with adapted statistics is not supported, only the last axis".into());
        }
        config.ignore(&["variance"]);
        return Ok(BatchNormalization { momentum: 0.99, epsilon: EPSILON, center: false, scale: false }.into());
    }
    let (mean, variance) = (config.values("mean", 0.0)?, config.values("variance", 1.0)?);
    let scale: Vec<f32> = variance.iter().map(|variance| 1.0 / variance.sqrt().max(1e-7)).collect();
    let len = mean.len().max(scale.len());
    let at = |values: &[f32], index: usize| if values.len() == 1 { values[0] } else { values[index % values.len()] };
    let offset = (0..len).map(|index| -at(&mean, index) * at(&scale, index)).collect();
    Ok(Rescaling { scale, offset }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Rescaling::new(0.25, -1.0), &[[3, 4, 5].into()]);
        check_layer(Rescaling { scale: vec![0.5, -2.0, 3.0], offset: vec![0.0, 1.0, -4.0] }, &[[3, 4, 3].into()]);
    }

    #[test]
    fn refusals_state_the_values() {
        let uneven = Rescaling { scale: vec![1.0, 2.0], offset: vec![0.0] };
        refuses(uneven, &[[3, 4, 3].into()], &["scale", "2 values", "(3, 4, 3)"]);
        refuses(Rescaling::new(1.0, f32::NAN), &[[3, 4, 3].into()], &["offset", "NaN"]);
    }
}
