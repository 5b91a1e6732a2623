//! Local response normalization (Krizhevsky, Sutskever and Hinton, 2012): divides a value by a function of the neighboring
//! channels at the same pixel, as in AlexNet and GoogLeNet.
//!
//! ```text
//! y = x / (bias + alpha / size sum(x^2))^beta
//! ```
//!
//! The sum is over the `size` channels around that of `x`. Relevance propagation treats it as a constant.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{LocalResponse, local_response, local_response_backward};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// Normalizes each value by its neighboring channels; the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::LocalResponseNormalization;
/// use lucida::prelude::*;
///
/// let norm = LocalResponseNormalization { size: 1, alpha: 1.0, beta: 0.5, bias: 0.0 };
/// let network = Sequential::new("damped", [1, 1, 2]).add(norm).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[3.0, -5.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [1.0, -1.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LocalResponseNormalization {
    /// Number of channels in the window, an odd number, centered on the channel itself.
    pub size: usize,
    /// The factor of the sum of squares.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// Added to the sum: PyTorch's `k`.
    pub bias: f32,
}

impl Default for LocalResponseNormalization {
    /// The parameters of AlexNet: five channels, alpha 1e-4, beta 0.75, bias 1, as in PyTorch and ONNX.
    fn default() -> Self {
        Self { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 }
    }
}

impl LayerSpec for LocalResponseNormalization {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let Self { size, alpha, beta, bias } = *self;
        if size.is_multiple_of(2) {
            return Err(format!("over {size} channels is not supported, only an odd number of them"));
        }
        // The denominator must stay above zero.
        let fits = alpha >= 0.0 && bias >= 0.0 && alpha + bias > 0.0 && (alpha + bias + beta).is_finite();
        if !fits {
            return Err(format!("alpha {alpha}, beta {beta} and bias {bias} are invalid"));
        }
        one_image(inputs).map(|_| inputs[0].clone())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let Self { size, alpha, beta, bias } = *self;
        let norm = LocalResponse { channels: config.output.channels(), size, alpha, beta, bias };
        let fixed = matches!(config.rule, BackwardRule::Relevance { .. });
        Box::new(LrnOp { cpu: config.cpu, norm, fixed })
    }
}

struct LrnOp {
    cpu: Cpu,
    norm: LocalResponse,
    fixed: bool,
}

impl Op for LrnOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        local_response(self.cpu, self.norm, pass.inputs.get(0), output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// With `s` as the denominator before the power, `dx = dy / s^beta - 2 alpha beta / size x sum(dy x / s^(beta + 1))`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let passes = (pass.grad_output, pass.inputs.get(0));
        local_response_backward(self.cpu, self.norm, passes, self.fixed, grad_input, accumulate);
    }
}

impl BuiltInLayer for LocalResponseNormalization {
    const KERAS_CLASSES: &'static [&'static str] = &[];

    fn from_keras(class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Err(format!("{class} is not a layer of Keras"))
    }

    fn keras_class(&self) -> &'static str {
        "LocalResponseNormalization"
    }

    fn to_keras(&self) -> Result<Value, String> {
        Err("Keras has no local response normalization".into())
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let attributes = vec![
            ("alpha", OnnxAttribute::Float(self.alpha)),
            ("beta", OnnxAttribute::Float(self.beta)),
            ("bias", OnnxAttribute::Float(self.bias)),
            ("size", OnnxAttribute::Int(self.size as i64)),
        ];
        layer.result("LRN", vec![layer.input()], attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(LocalResponseNormalization { alpha: 0.5, ..Default::default() }, &[[3, 4, 7].into()]);
        let strong = LocalResponseNormalization { size: 3, alpha: 2.0, beta: 1.3, bias: 2.0 };
        check_layer(strong, &[[2, 2, 17].into()]);
        check_layer(LocalResponseNormalization { size: 9, ..strong }, &[[2, 3, 2].into()]);
        refuses(LocalResponseNormalization { size: 4, ..strong }, &[[2, 3, 2].into()], &["4 channels", "odd"]);
        refuses(LocalResponseNormalization { bias: -1.0, ..strong }, &[[2, 3, 2].into()], &["bias -1"]);
    }
}
