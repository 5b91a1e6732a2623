//! Layer scale (Touvron et al., 2021, "Going deeper with image transformers"): a learned scale per channel, initially
//! small, at the end of a residual branch.
//!
//! ```text
//! y = gamma x
//! ```

use lucida_kernels::ops::{affine, channel_workspace, gradient_moments, transfer};
use lucida_kernels::{Buffer, Cpu};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// A learned scale per channel (the last axis); the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::LayerScale;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("scaled", [8, 8, 16]).add(LayerScale::new(1e-6, 16)).build(42)?;
/// assert_eq!(network.weights()[0].values(), [1e-6; 16]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerScale {
    /// The initial value of all scales.
    pub init_values: f32,
    /// The number of channels.
    pub projection_dim: usize,
}

impl LayerScale {
    /// Creates the layer for this number of channels, with scales initialized to `init_values`.
    pub fn new(init_values: f32, projection_dim: usize) -> Self {
        Self { init_values, projection_dim }
    }
}

impl LayerSpec for LayerScale {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if !self.init_values.is_finite() {
            return Err(format!("init_values {} is invalid", self.init_values));
        }
        match one_input(inputs)? {
            input if input.channels() == self.projection_dim && input.len() > 0 => Ok(input.clone()),
            input => Err(format!("has factors for {} channels, got {input}", self.projection_dim)),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = vec![inputs[0].channels()];
        let initializer = Initializer::Constant(self.init_values);
        vec![WeightSpec { name: "gamma", shape, initializer, trainable: true }]
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let channels = config.output.channels();
        let row = || Buffer::zeroed(channels);
        Box::new(ChannelScale {
            cpu: config.cpu,
            gamma: row(),
            zeros: row(),
            sums: row(),
            products: row(),
            scratch: Buffer::zeroed(config.batch * config.output.len()),
            workspace: Buffer::zeroed(channel_workspace(config.cpu, channels)),
            grad_weights: config.gradients.weights,
        })
    }
}

struct ChannelScale {
    cpu: Cpu,
    gamma: Buffer,
    zeros: Buffer,
    sums: Buffer,
    products: Buffer,
    /// Temporary gradient, where it is added to another.
    scratch: Buffer,
    workspace: Buffer,
    grad_weights: bool,
}

impl Op for ChannelScale {
    fn set_weights(&mut self, weights: &[Weight]) {
        self.gamma.copy_from_slice(weights[0].values());
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        affine(self.cpu, pass.inputs.get(0), &self.gamma, &self.zeros, false, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: self.grad_weights, output: false }
    }

    /// `dx = gamma dy`
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            return affine(self.cpu, pass.grad_output, &self.gamma, &self.zeros, false, grad_input);
        }
        let scratch = &mut self.scratch[..grad_input.len()];
        affine(self.cpu, pass.grad_output, &self.gamma, &self.zeros, false, scratch);
        transfer(self.cpu, scratch, grad_input, true);
    }

    /// `dgamma = sum(dy x)`
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let Self { cpu, zeros, sums, products, workspace, .. } = self;
        gradient_moments(*cpu, pass.grad_output, pass.inputs.get(0), zeros, sums, products, workspace);
        if let Some(gamma) = gradients.first_mut().filter(|gamma| !gamma.is_empty()) {
            gamma.copy_from_slice(products);
        }
    }
}

impl BuiltInLayer for LayerScale {
    const KERAS_CLASSES: &'static [&'static str] = &["LayerScale"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let [channels] = config.sizes("projection_dim")?;
        Ok(Self::new(config.number("init_values", 1e-6)?, channels).into())
    }

    fn keras_module(&self) -> &'static str {
        "keras.src.applications.convnext"
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "init_values": decimal(self.init_values), "projection_dim": self.projection_dim }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let gamma = layer.channels_first_weight(0);
        layer.result("Mul", vec![layer.input(), gamma], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(LayerScale::new(0.5, 5), &[[3, 4, 5].into()]);
        check_layer(LayerScale::new(0.5, 17), &[[17].into()]);
        refuses(LayerScale::new(f32::NAN, 17), &[[17].into()], &["NaN"]);
        refuses(LayerScale::new(0.5, 16), &[[17].into()], &["16 channels", "(17)"]);
    }
}
