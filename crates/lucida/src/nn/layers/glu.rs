//! The gated linear unit (Dauphin et al., 2017): half of the channels gate the other half.
//!
//! ```text
//! y = a sigmoid(b)
//! ```
//!
//! `a` is the first half of the channels, `b` the second.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{
    Arithmetic, Broadcast, Columns, Pointwise, arithmetic, pointwise, pointwise_backward, transfer_columns,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// Halves the channels (the last axis): the first half times the sigmoid of the second.
///
/// ```
/// use lucida::nn::layers::Glu;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("gated", [2]).add(Glu::new()).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[3.0, 0.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [1.5]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Glu {}

impl Glu {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for Glu {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let mut sizes = input.sizes().to_vec();
        match sizes.last_mut() {
            Some(channels) if *channels > 0 && channels.is_multiple_of(2) => *channels /= 2,
            _ => return Err(format!("takes an even number of channels, got {input}")),
        }
        Ok(Shape::from(&sizes[..]))
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        // In a vector, a feature depends on another one that is not at the same position.
        if inputs[0].as_flat().is_some() { Extent::Whole } else { Extent::Same }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let half = || vec![0.0; config.batch * config.output.len()];
        Box::new(GluOp {
            cpu: config.cpu,
            channels: config.output.channels(),
            hands_all_to_value: matches!(config.rule, BackwardRule::Relevance { .. }),
            gate: half(),
            part: half(),
            wide: vec![0.0; 2 * config.batch * config.output.len()],
        })
    }
}

struct GluOp {
    cpu: Cpu,
    /// Number of output channels.
    channels: usize,
    /// Relevance propagation: the gate is treated as a constant factor, and all relevance goes to the value.
    hands_all_to_value: bool,
    /// `sigmoid(b)`
    gate: Vec<f32>,
    part: Vec<f32>,
    wide: Vec<f32>,
}

/// Copies half of the channels out of rows with all of them.
fn half_of(cpu: Cpu, channels: usize, second: bool, wide: &[f32], half: &mut [f32]) {
    let from = Columns { start: if second { channels } else { 0 }, stride: 2 * channels };
    let rows = half.len() / channels;
    transfer_columns(cpu, (rows, channels), (wide, from), (half, Columns { start: 0, stride: channels }), false);
}

/// Copies half of the channels into rows with all of them.
fn into_half(cpu: Cpu, channels: usize, second: bool, half: &[f32], wide: &mut [f32]) {
    let to = Columns { start: if second { channels } else { 0 }, stride: 2 * channels };
    let rows = half.len() / channels;
    transfer_columns(cpu, (rows, channels), (half, Columns { start: 0, stride: channels }), (wide, to), false);
}

impl Op for GluOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let Self { cpu, channels, gate, part, .. } = self;
        let (gate, part) = (&mut gate[..output.len()], &mut part[..output.len()]);
        half_of(*cpu, *channels, true, pass.inputs.get(0), part);
        pointwise(*cpu, Pointwise::Sigmoid, part, gate);
        half_of(*cpu, *channels, false, pass.inputs.get(0), output);
        arithmetic(*cpu, Arithmetic::Multiply, &same(output), gate, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// `da = dy sigmoid(b)`, `db = dy a sigmoid(b) (1 - sigmoid(b))`
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let Self { cpu, channels, gate, part, wide, hands_all_to_value } = self;
        let (cpu, len) = (*cpu, pass.grad_output.len());
        let (gate, part, wide) = (&gate[..len], &mut part[..len], &mut wide[..2 * len]);
        part.copy_from_slice(pass.grad_output);
        arithmetic(cpu, Arithmetic::Multiply, &same(part), gate, part);
        into_half(cpu, *channels, false, part, wide);
        if *hands_all_to_value {
            part.fill(0.0);
        } else {
            half_of(cpu, *channels, false, pass.inputs.get(0), part);
            arithmetic(cpu, Arithmetic::Multiply, &same(part), pass.grad_output, part);
            pointwise_backward(cpu, Pointwise::Sigmoid, gate, part);
        }
        into_half(cpu, *channels, true, part, wide);
        lucida_kernels::ops::transfer(cpu, wide, grad_input, accumulate);
    }
}

/// The identity broadcast of this many values.
fn same(values: &[f32]) -> Broadcast {
    Broadcast::new(&[values.len()], &[values.len()]).expect("a shape fits itself")
}

impl BuiltInLayer for Glu {
    /// Read as the activation `glu`, not as a layer.
    const KERAS_CLASSES: &'static [&'static str] = &[];

    fn from_keras(_class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Ok(Self::new().into())
    }

    fn keras_class(&self) -> &'static str {
        "Activation"
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "activation": "glu" }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let channels = layer.shapes[0].channels() as i64;
        let ints =
            |layer: &mut OnnxLayer, label: &str, value| layer.constant(label, &[1], OnnxValues::Ints(vec![value]));
        let (start, middle) = (ints(layer, "start", 0), ints(layer, "middle", channels / 2));
        let (end, axis) = (ints(layer, "end", channels), ints(layer, "axis", 1));
        let value = vec![layer.input(), start, middle.clone(), axis.clone()];
        let value = layer.intermediate("value", "Slice", value, vec![]);
        let gate = layer.intermediate("gate", "Slice", vec![layer.input(), middle, end, axis], vec![]);
        let gate = layer.intermediate("sigmoid", "Sigmoid", vec![gate], vec![]);
        layer.result("Mul", vec![value, gate], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Glu::new(), &[[3, 4, 6].into()]);
        check_layer(Glu::new(), &[[10].into()]);
        refuses(Glu::new(), &[[3, 4, 5].into()], &["even", "(3, 4, 5)"]);
    }
}
