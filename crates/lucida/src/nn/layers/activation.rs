//! Activations.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{
    Pointwise, log_softmax, log_softmax_backward, pointwise, pointwise_backward, softmax, softmax_backward, transfer,
};
use serde::{Deserialize, Serialize};

use super::spec::{LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::backward_rule::{BackwardRule, map_gradient};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// The functions that follow a layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// The value itself.
    #[default]
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x) / sum exp(x)` over the last axis.
    Softmax,
    /// `x - log sum exp(x)` over the last axis: the logarithm of the softmax.
    LogSoftmax,
    /// `x` where it is positive, `negative_slope x` elsewhere (Maas, Hannun and Ng, 2013).
    LeakyRelu {
        /// The slope for negative values: a finite number, not negative itself.
        negative_slope: f32,
    },
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `min(max(x, min), max)`
    Clip {
        /// The least value: finite, and less than the largest.
        min: f32,
        /// The largest value, finite.
        max: f32,
    },
}

impl ActivationKind {
    /// Its value at zero, where it works on each value alone: what it gives when its sum is nothing.
    pub(crate) fn at_zero(self) -> f32 {
        match self {
            Self::Sigmoid => 0.5,
            Self::Clip { min, max } => 0.0_f32.clamp(min, max),
            _ => 0.0,
        }
    }

    /// Checks the function's parameters.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::LeakyRelu { negative_slope } if !(0.0..=f32::MAX).contains(&negative_slope) => {
                Err(format!("a leaky ReLU with the slope {negative_slope}: it must be finite and not negative"))
            }
            Self::Clip { min, max } if !(min.is_finite() && max.is_finite() && min < max) => {
                Err(format!("clipping to values from {min} to {max} makes no sense"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the rule's backward pass reads the input too: the output does not say where a clipped sum has been.
    fn rule_reads_input(self, rule: BackwardRule) -> bool {
        matches!((rule, self), (BackwardRule::Relevance { .. }, Self::Relu6 | Self::Clip { .. }))
    }

    /// Takes a gradient through an activation with this output, in place, if the rule differs from the gradient there. `input` is
    /// read only where [`rule_reads_input`](Self::rule_reads_input) says so.
    fn backward_by_rule(self, rule: BackwardRule, input: &[f32], output: &[f32], gradient: &mut [f32]) -> bool {
        match (rule, self) {
            (BackwardRule::Gradient, _) => return false,
            (_, Self::Relu) => rule.rectify(output, gradient),
            (BackwardRule::Relevance { epsilon }, Self::Tanh) => {
                map_gradient(output, gradient, |y, dy| {
                    dy * share(y, y.clamp(-1.0 + 1e-7, 1.0 - 1e-7).atanh(), epsilon)
                });
            }
            (BackwardRule::Relevance { epsilon }, Self::Sigmoid) => {
                map_gradient(output, gradient, |y, dy| {
                    let y = y.clamp(1e-7, 1.0 - 1e-7);
                    dy * share(y - 0.5, (y / (1.0 - y)).ln(), epsilon)
                });
            }
            (BackwardRule::Relevance { epsilon }, Self::Relu6 | Self::Clip { .. }) => {
                let start = self.at_zero();
                for ((dy, &y), &z) in gradient.iter_mut().zip(output).zip(input) {
                    *dy *= share(y - start, z, epsilon);
                }
            }
            // A rectifier with a ceiling: beyond it nothing passes, as in its gradient.
            (BackwardRule::GuidedBackprop, Self::Relu6) => {
                map_gradient(output, gradient, |y, dy| if y > 0.0 && y < 6.0 { dy.max(0.0) } else { 0.0 });
            }
            (BackwardRule::Deconvnet, Self::Relu6) => rule.rectify(output, gradient),
            _ => return false,
        }
        true
    }
}

/// `y / (z + eps sign z)`
fn share(y: f32, z: f32, epsilon: f32) -> f32 {
    y / (z + epsilon.copysign(z))
}

/// An activation as a layer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// Which one.
    pub activation: ActivationKind,
}

impl Activation {
    /// A layer with this activation.
    pub fn new(activation: ActivationKind) -> Self {
        Self { activation }
    }
}

impl LayerSpec for Activation {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.activation.check()?;
        Ok(one_input(inputs)?.clone())
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    /// Before its activation the layer is its input.
    fn is_view(&self, _training: bool) -> bool {
        true
    }

    fn prepare(&self, _setting: &OpConfig) -> Box<dyn Op> {
        unreachable!("a view computes nothing")
    }
}

/// An activation, ready to compute.
pub(crate) struct ActivationOp {
    cpu: Cpu,
    kind: ActivationKind,
    rule: BackwardRule,
    /// The length of the last axis.
    classes: usize,
    /// The gradient on its way, where it has to be added to another.
    scratch: Vec<f32>,
}

impl ActivationOp {
    pub(crate) fn new(config: &OpConfig, kind: ActivationKind) -> Self {
        Self { cpu: config.cpu, kind, rule: config.rule, classes: config.output.channels(), scratch: Vec::new() }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        match self.kind {
            ActivationKind::Relu => Some(Pointwise::Relu),
            ActivationKind::Sigmoid => Some(Pointwise::Sigmoid),
            ActivationKind::Tanh => Some(Pointwise::Tanh),
            ActivationKind::LeakyRelu { negative_slope } => Some(Pointwise::LeakyRelu { slope: negative_slope }),
            ActivationKind::Relu6 => Some(Pointwise::Clip { min: 0.0, max: 6.0 }),
            ActivationKind::Clip { min, max } => Some(Pointwise::Clip { min, max }),
            ActivationKind::Linear | ActivationKind::Softmax | ActivationKind::LogSoftmax => None,
        }
    }

    /// Turns the gradient of the output into that of the input, in place.
    fn backward(&self, pass: &Backward, grad: &mut [f32]) {
        let output = pass.output;
        let input = if self.kind.rule_reads_input(self.rule) { pass.inputs.get(0) } else { &[] };
        if self.kind.backward_by_rule(self.rule, input, output, grad) {
            return;
        }
        match (self.pointwise(), self.kind) {
            (Some(kind), _) => pointwise_backward(self.cpu, kind, output, grad),
            (_, ActivationKind::Softmax) => softmax_backward(self.cpu, self.classes, output, grad),
            (_, ActivationKind::LogSoftmax) => log_softmax_backward(self.cpu, self.classes, output, grad),
            _ => {}
        }
    }
}

impl Op for ActivationOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let input = pass.inputs.get(0);
        match (self.pointwise(), self.kind) {
            (Some(kind), _) => pointwise(self.cpu, kind, input, output),
            (_, ActivationKind::Softmax) => softmax(self.cpu, self.classes, input, output),
            (_, ActivationKind::LogSoftmax) => log_softmax(self.cpu, self.classes, input, output),
            _ => transfer(self.cpu, input, output, false),
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: self.kind.rule_reads_input(self.rule), output: true }
    }

    /// All derivatives can be had from the output `y`: `y > 0`, `y (1 - y)`, `1 - y^2`, `min < y < max`, and for the
    /// softmax `dx = y (dy - sum(dy y))`, for its logarithm `dx = dy - exp(y) sum(dy)`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            grad_input.copy_from_slice(pass.grad_output);
            self.backward(pass, grad_input);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(pass.grad_output);
        self.backward(pass, &mut scratch);
        transfer(self.cpu, &scratch, grad_input, true);
        self.scratch = scratch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Conv2D, Dense};
    use crate::nn::testing::{check_layer, refuses};
    use crate::nn::{Network, Plan};

    #[test]
    fn gradients() {
        for kind in [ActivationKind::Linear, ActivationKind::Relu, ActivationKind::Sigmoid, ActivationKind::Tanh] {
            check_layer(Activation::new(kind), &[[3, 4, 5].into()]);
        }
        for kind in [
            ActivationKind::LeakyRelu { negative_slope: 0.3 },
            ActivationKind::LeakyRelu { negative_slope: 0.0 },
            ActivationKind::Relu6,
            // No value of the test comes closer to these bounds than its step.
            ActivationKind::Clip { min: -0.5, max: 0.4 },
        ] {
            check_layer(Activation::new(kind), &[[3, 4, 5].into()]);
        }
        for kind in [ActivationKind::Softmax, ActivationKind::LogSoftmax] {
            check_layer(Activation::new(kind), &[[12].into()]);
            check_layer(Activation::new(kind), &[[2, 3, 4].into()]);
        }
    }

    #[test]
    fn bounds_and_slopes_are_kept() {
        let run = |kind: ActivationKind| {
            let network = Network::sequential("one_layer", [6], [Activation::new(kind).into()], 1).unwrap();
            let mut plan = Plan::builder(&network).build().unwrap();
            plan.input_mut().copy_from_slice(&[-8.0, -1.0, 0.0, 0.5, 5.0, 8.0]);
            plan.forward(&network).unwrap();
            plan.output(0).to_vec()
        };
        assert_eq!(run(ActivationKind::Relu6), [0.0, 0.0, 0.0, 0.5, 5.0, 6.0]);
        assert_eq!(run(ActivationKind::LeakyRelu { negative_slope: 0.25 }), [-2.0, -0.25, 0.0, 0.5, 5.0, 8.0]);
        assert_eq!(run(ActivationKind::Clip { min: -2.0, max: 1.0 }), [-2.0, -1.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn refusals_state_the_parameters() {
        for slope in [-0.1, f32::NAN, f32::INFINITY] {
            let kind = ActivationKind::LeakyRelu { negative_slope: slope };
            refuses(Activation::new(kind), &[[7].into()], &["slope", &slope.to_string()]);
            refuses(Dense::new(7).activation(kind), &[[7].into()], &["slope"]);
            refuses(Conv2D::new(7, [1, 1]).activation(kind), &[[7, 7, 1].into()], &["slope"]);
        }
        for (min, max) in [(1.0, 1.0), (0.0, f32::INFINITY), (f32::NAN, 1.0)] {
            refuses(Activation::new(ActivationKind::Clip { min, max }), &[[7].into()], &["from", &max.to_string()]);
        }
    }

    #[test]
    fn kinds_are_stored_by_keras_names() {
        let stored = |kind| serde_json::to_string(&Activation::new(kind)).unwrap();
        assert_eq!(stored(ActivationKind::Relu6), r#"{"activation":"relu6"}"#);
        let leaky = ActivationKind::LeakyRelu { negative_slope: 0.25 };
        assert_eq!(stored(leaky), r#"{"activation":{"leaky_relu":{"negative_slope":0.25}}}"#);
        let again: Activation = serde_json::from_str(&stored(leaky)).unwrap();
        assert_eq!(again.activation, leaky);
    }
}
