//! Runs a network on a recorded case, and compares the results.

use std::rc::Rc;

use lucida::nn::{Network, Plan, Shape, StepSeed, TensorRef};
use lucida_kernels::{Cpu, Isa};
use serde_json::Value;

use crate::common::{Expected, difference};

/// `max|a - b| <= TOLERANCE max|b|`.
const TOLERANCE: f64 = 1e-4;

/// A configuration of an operation, with recorded inputs and results.
pub(crate) struct Case {
    tensors: Rc<Expected>,
    pub(crate) name: String,
    /// `keras`, `torch`, or `onnxruntime`.
    pub(crate) framework: String,
    /// The framework's name for the operation.
    pub(crate) op: String,
    /// Its arguments.
    pub(crate) config: Value,
    channels_first: bool,
    training: bool,
}

/// A weight in the record and in the network.
pub(crate) struct WeightOf {
    /// Name in the record; `input.1` for an input that is a weight in the network.
    pub(crate) recorded: &'static str,
    /// Name in the network: `layer/kernel`.
    pub(crate) ours: &'static str,
    /// For each axis of the network's weight, the corresponding axis in the record; empty if the layouts agree.
    pub(crate) axes: &'static [usize],
}

/// The cases of `../shared/golden/ops/FILE.safetensors`; none, with a message, without that folder.
pub(crate) fn cases(file: &str) -> Vec<Case> {
    let Some(expected) = Expected::open(&format!("ops/{file}.safetensors")) else { return Vec::new() };
    let listed: Value = serde_json::from_str(&expected.metadata("cases")).unwrap();
    let tensors = Rc::new(expected);
    let case = |value: &Value| Case {
        tensors: tensors.clone(),
        name: value["name"].as_str().unwrap().to_owned(),
        framework: value["framework"].as_str().unwrap().to_owned(),
        op: value["op"].as_str().unwrap().to_owned(),
        config: value["config"].clone(),
        channels_first: value["layout"] == "NCHW",
        training: value["training"] == true,
    };
    listed.as_array().unwrap().iter().map(case).collect()
}

impl Case {
    /// Returns the tensor `CASE.NAME`, channels last: its shape, including the batch, and its values.
    pub(crate) fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, values) = self.tensors.get(&format!("{}.{name}", self.name));
        match shape.len() {
            3 if self.channels_first => permuted(&shape, &values, &[0, 2, 1]),
            4 if self.channels_first => permuted(&shape, &values, &[0, 2, 3, 1]),
            _ => (shape, values),
        }
    }

    /// Returns a weight in the recorded layout: its shape and its values.
    pub(crate) fn weight(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let weight = if name.starts_with("input.") { name.to_owned() } else { format!("weight.{name}") };
        let full = format!("{}.{weight}", self.name);
        self.tensors.names().contains(&full).then(|| self.tensors.get(&full))
    }

    /// Names of the inputs: `input`, or `input.0`, `input.1`, ..., without those that are weights in the network.
    fn inputs(&self, weights: &[WeightOf]) -> Vec<String> {
        let names = self.tensors.names();
        let recorded = |name: &String| names.contains(&format!("{}.{name}", self.name));
        let is_weight = |name: &String| weights.iter().any(|weight| weight.recorded == name);
        let several = (0..).map(|index| format!("input.{index}")).take_while(recorded);
        let several: Vec<String> = several.filter(|name| !is_weight(name)).collect();
        if several.is_empty() { vec!["input".to_owned()] } else { several }
    }

    /// Builds the network for the recorded input shapes, loads the recorded weights, and compares the output and the
    /// gradients on every instruction set. Weights that are not in the record keep their initial values.
    pub(crate) fn check(&self, weights: &[WeightOf], build: impl FnOnce(&[Shape]) -> lucida::Result<Network>) {
        let inputs: Vec<_> = self.inputs(weights).iter().map(|name| self.tensor(name)).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|(shape, _)| Shape::from(&shape[1..])).collect();
        let mut network = build(&shapes).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        for weight in weights {
            let Some((shape, values)) = self.weight(weight.recorded) else { continue };
            let (shape, values) = permuted(&shape, &values, weight.axes);
            let index = index_of(&network, weight.ours);
            let ours = &mut network.weights_mut()[index];
            assert_eq!(ours.values().len(), values.len(), "{}: {} of shape {shape:?}", self.name, weight.ours);
            ours.values_mut().copy_from_slice(&values);
        }
        for isa in Isa::available() {
            let cpu = Cpu::detect().with_isa(isa).with_threads(2);
            self.compare(cpu, &mut network.clone(), &inputs, weights);
        }
    }

    fn compare(&self, cpu: Cpu, network: &mut Network, inputs: &[(Vec<usize>, Vec<f32>)], weights: &[WeightOf]) {
        let output = network.output().unwrap().name().to_owned();
        let builder = Plan::builder(network).cpu(cpu).batch_size(inputs[0].0[0]).output(&*output);
        let builder = builder.grad_output_at(TensorRef::output(output)).input_gradient().weight_gradients();
        let mut plan = if self.training { builder.training().build() } else { builder.build() }.unwrap();
        for (index, (_, values)) in inputs.iter().enumerate() {
            plan.input_mut_at(index).copy_from_slice(values);
        }
        match self.training {
            true => plan.forward_training(network, StepSeed { seed: 1, first_sample: 0 }).unwrap(),
            false => plan.forward(network).unwrap(),
        }
        let agree = |what: &str, got: &[f32], expected: &[f32]| {
            assert_eq!(got.len(), expected.len(), "{} {what} ({})", self.name, cpu.isa().name());
            let difference = match expected.iter().all(|&value| value == 0.0) {
                // Absolute difference if all expected values are zero, as for the input of a softmax over one channel.
                true => got.iter().fold(0.0, |most: f64, &value| most.max(f64::from(value).abs())),
                false => difference(got, expected),
            };
            assert!(difference <= TOLERANCE, "{} {what}: {difference:.1e} ({})", self.name, cpu.isa().name());
        };
        agree("output", plan.output(0), &self.tensor("output").1);
        plan.grad_output_mut(0).copy_from_slice(&self.tensor("grad_output").1);
        plan.backward(network);
        for (index, name) in self.inputs(weights).iter().enumerate() {
            let gradient = plan.input_gradient_at(index).unwrap_or_else(|| panic!("{}: no gradient", self.name));
            agree(&format!("grad_{name}"), gradient, &self.tensor(&format!("grad_{name}")).1);
        }
        for weight in weights {
            let of_input = weight.recorded.starts_with("input.");
            let gradient = if of_input { "grad_" } else { "grad_weight." };
            let full = format!("{}.{gradient}{}", self.name, weight.recorded);
            if self.tensors.names().contains(&full) {
                let (shape, values) = self.tensors.get(&full);
                let expected = permuted(&shape, &values, weight.axes).1;
                agree(weight.ours, &plan.weight_gradients()[index_of(network, weight.ours)], &expected);
            }
            // Moving statistics after a training step; PyTorch's variance is unbiased and cannot be compared.
            let after = format!("{}.after.{}", self.name, weight.recorded);
            if self.tensors.names().contains(&after) && weight.recorded != "running_var" {
                let moved = network.weights()[index_of(network, weight.ours)].values();
                agree(&format!("{} after", weight.ours), moved, &self.tensors.get(&after).1);
            }
        }
    }
}

fn index_of(network: &Network, weight: &str) -> usize {
    let found = network.weights().iter().position(|candidate| candidate.name() == weight);
    found.unwrap_or_else(|| panic!("the network has no weight {weight}"))
}

/// Transposes a tensor: axis `i` of the result is axis `axes[i]`; unchanged if `axes` is empty.
pub(crate) fn permuted(shape: &[usize], values: &[f32], axes: &[usize]) -> (Vec<usize>, Vec<f32>) {
    if axes.is_empty() {
        return (shape.to_vec(), values.to_vec());
    }
    let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
    let result: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let value = |mut index: usize| {
        let mut at = 0;
        for (&axis, &size) in axes.iter().zip(&result).rev() {
            at += index % size * strides[axis];
            index /= size;
        }
        values[at]
    };
    let values = (0..values.len()).map(value).collect();
    (result, values)
}
