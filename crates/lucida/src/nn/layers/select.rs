//! Elementwise selection between two inputs by a third.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{Arithmetic, Broadcast, arithmetic, sum_broadcast};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Layer;
use super::built_in::BuiltInLayer;
use super::merge::{broadcast_shape, merged_on_images};
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// The second input where the first is above a threshold, the third elsewhere. Axes of size 1 are broadcast. The first
/// input has no gradient.
///
/// ```
/// use lucida::nn::layers::{Input, Select};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("chosen");
/// let [gate, a, b] = [builder.add(Input::new([2]), &[])?, builder.add(Input::new([2]), &[])?, builder.add(Input::new([2]), &[])?];
/// let chosen = builder.add(Select { threshold: 0.5 }, &[gate, a, b])?;
/// let network = builder.build(&[chosen], 42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// for (index, values) in [[0.0, 1.0], [3.0, 4.0], [5.0, 6.0]].iter().enumerate() {
///     plan.input_mut_at(index).copy_from_slice(values);
/// }
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [5.0, 4.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Select {
    /// The second input is selected above this; not NaN.
    pub threshold: f32,
}

impl LayerSpec for Select {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if inputs.len() != 3 {
            return Err(format!("takes three inputs, got {}", inputs.len()));
        }
        if !self.threshold.is_finite() {
            return Err(format!("a threshold of {}, not a finite number", self.threshold));
        }
        broadcast_shape(inputs)
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Joined { elementwise: true }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let sizes = config.output.sizes();
        let map = |input: &Shape| Broadcast::new(input.sizes(), sizes).expect("the shape rule has accepted the inputs");
        let values = || vec![0.0; config.batch * config.output.len()];
        Box::new(Selection {
            cpu: config.cpu,
            threshold: self.threshold,
            maps: config.inputs.iter().map(map).collect(),
            gates: values(),
            scratch: values(),
        })
    }
}

/// A selection prepared to compute.
struct Selection {
    cpu: Cpu,
    threshold: f32,
    maps: Vec<Broadcast>,
    /// The first input after broadcasting.
    gates: Vec<f32>,
    scratch: Vec<f32>,
}

impl Op for Selection {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let Self { cpu, threshold, maps, gates, scratch } = self;
        let (gates, others) = (&mut gates[..output.len()], &mut scratch[..output.len()]);
        arithmetic(*cpu, Arithmetic::Copy, &maps[0], pass.inputs.get(0), gates);
        arithmetic(*cpu, Arithmetic::Copy, &maps[1], pass.inputs.get(1), output);
        arithmetic(*cpu, Arithmetic::Copy, &maps[2], pass.inputs.get(2), others);
        for ((y, &other), &gate) in output.iter_mut().zip(&*others).zip(&*gates) {
            *y = if gate > *threshold { *y } else { other };
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// `dy` goes to the selected input; a broadcast input gets the sum over its uses.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool) {
        let len = pass.grad_output.len();
        let Self { cpu, threshold, maps, gates, scratch } = self;
        let (gates, own) = (&mut gates[..len], &mut scratch[..len]);
        arithmetic(*cpu, Arithmetic::Copy, &maps[0], pass.inputs.get(0), gates);
        for ((own, &dy), &gate) in own.iter_mut().zip(pass.grad_output).zip(&*gates) {
            let chosen = if gate > *threshold { 1 } else { 2 };
            *own = if index == chosen { dy } else { 0.0 };
        }
        sum_broadcast(*cpu, &maps[index], own, grad_input, accumulate);
    }
}

impl BuiltInLayer for Select {
    const KERAS_CLASSES: &'static [&'static str] = &[];

    fn from_keras(class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Err(format!("{class} is not a layer of Keras"))
    }

    fn keras_class(&self) -> &'static str {
        "Where"
    }

    fn to_keras(&self) -> Result<Value, String> {
        Err("Keras has no layer that chooses between two inputs".into())
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let mut inputs = merged_on_images(layer);
        let threshold = layer.number("threshold", self.threshold);
        inputs[0] = layer.intermediate("chosen", "Greater", vec![inputs[0].clone(), threshold], vec![]);
        layer.result("Where", inputs, vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        // No test value is within a finite-difference step of the threshold.
        let select = Select { threshold: -0.05 };
        check_layer(select, &[[3, 2, 2].into(), [3, 2, 2].into(), [3, 2, 2].into()]);
        check_layer(select, &[[3, 2, 2].into(), [1, 1, 2].into(), [1].into()]);
        check_layer(select, &[[3, 1, 1].into(), [3, 2, 2].into(), [3, 2, 1].into()]);
        check_layer(select, &[[5].into(), [5].into(), [1].into()]);
    }

    #[test]
    fn refusals_state_the_inputs() {
        let select = Select::default();
        refuses(select, &[[3].into(), [3].into()], &["three inputs", "got 2"]);
        refuses(select, &[[3].into(), [3].into(), [4].into()], &["(3)", "(4)"]);
        refuses(Select { threshold: f32::NAN }, &[[3].into(), [3].into(), [3].into()], &["NaN"]);
    }
}
