//! Activations.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{Pointwise, pointwise, pointwise_backward, softmax, softmax_backward, transfer};
use serde::{Deserialize, Serialize};

use super::super::BackwardRule;
use super::{Backward, Forward, Mechanics, Operation, Reads, Setting, Shape, one_input};

/// The functions that follow a layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
}

/// An activation as a layer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

impl Mechanics for Activation {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(one_input(inputs)?.clone())
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    /// Before its activation the layer is its input.
    fn is_view(&self, _training: bool) -> bool {
        true
    }

    fn prepare(&self, _setting: &Setting) -> Box<dyn Operation> {
        unreachable!("a view computes nothing")
    }
}

/// An activation, ready to compute.
pub(crate) struct Activating {
    cpu: Cpu,
    kind: ActivationKind,
    rule: BackwardRule,
    /// The length of the last axis.
    classes: usize,
    /// The gradient on its way, where it has to be added to another.
    scratch: Vec<f32>,
}

impl Activating {
    pub(crate) fn new(setting: &Setting, kind: ActivationKind) -> Self {
        Self { cpu: setting.cpu, kind, rule: setting.rule, classes: setting.output.channels(), scratch: Vec::new() }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        match self.kind {
            ActivationKind::Relu => Some(Pointwise::Relu),
            ActivationKind::Sigmoid => Some(Pointwise::Sigmoid),
            ActivationKind::Tanh => Some(Pointwise::Tanh),
            ActivationKind::Linear | ActivationKind::Softmax => None,
        }
    }

    /// Turns the gradient of the output into that of the input, in place.
    fn backward(&self, output: &[f32], grad: &mut [f32]) {
        if self.rule.activation(self.kind, output, grad) {
            return;
        }
        match self.pointwise() {
            Some(kind) => pointwise_backward(self.cpu, kind, output, grad),
            None if self.kind == ActivationKind::Softmax => softmax_backward(self.cpu, self.classes, output, grad),
            None => {}
        }
    }
}

impl Operation for Activating {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let input = pass.inputs.get(0);
        match self.pointwise() {
            Some(kind) => pointwise(self.cpu, kind, input, output),
            None if self.kind == ActivationKind::Softmax => softmax(self.cpu, self.classes, input, output),
            None => transfer(self.cpu, input, output, false),
        }
    }

    fn backward_reads(&self) -> Reads {
        Reads { inputs: false, output: true }
    }

    /// All derivatives can be had from the output `y`: `y > 0`, `y (1 - y)`, `1 - y^2`, and for the softmax
    /// `dx = y (dy - sum(dy y))`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            grad_input.copy_from_slice(pass.grad_output);
            self.backward(pass.output, grad_input);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(pass.grad_output);
        self.backward(pass.output, &mut scratch);
        transfer(self.cpu, &scratch, grad_input, true);
        self.scratch = scratch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::check_layer;

    #[test]
    fn gradients() {
        for kind in [ActivationKind::Linear, ActivationKind::Relu, ActivationKind::Sigmoid, ActivationKind::Tanh] {
            check_layer(Activation::new(kind), &[[3, 4, 5].into()]);
        }
        check_layer(Activation::new(ActivationKind::Softmax), &[[12].into()]);
        check_layer(Activation::new(ActivationKind::Softmax), &[[2, 3, 4].into()]);
    }
}
