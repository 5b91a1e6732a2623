//! Shared code of the layers that merge several inputs elementwise. Inputs are broadcast as in NumPy along axes of size 1
//! and missing leading axes: a gate `[1, 1, channels]` or a map `[height, width, 1]` can be combined with an image.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{Arithmetic, Broadcast, arithmetic, clear_where, merge, sum_broadcast};

use super::spec::Extent;
use crate::nn::Shape;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::onnx_graph::{OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// How inputs are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    Sum,
    Difference,
    Product,
    Quotient,
    Mean,
    Maximum,
    Minimum,
}

impl Merge {
    /// The shape that all inputs are broadcast to.
    pub(super) fn output_shape(self, inputs: &[Shape]) -> Result<Shape, String> {
        let pair = matches!(self, Self::Difference | Self::Quotient);
        match inputs {
            [_, _] => {}
            _ if pair => return Err(format!("takes two inputs, got {}", inputs.len())),
            [_, _, _, ..] => {}
            _ => return Err(format!("takes two inputs or more, got {}", inputs.len())),
        }
        broadcast_shape(inputs)
    }

    /// Each output value depends on the value at the same position of each input.
    pub(super) fn extent(self) -> Extent {
        Extent::Joined { elementwise: true }
    }

    /// Prepares the operation.
    pub(super) fn prepare(self, config: &OpConfig) -> Box<dyn Op> {
        let sizes = config.output.sizes();
        let map = |input: &Shape| Broadcast::new(input.sizes(), sizes).expect("the shape rule has accepted the inputs");
        let len = config.output.len();
        Box::new(MergeOp {
            cpu: config.cpu,
            merge: self,
            maps: config.inputs.iter().map(map).collect(),
            relevance: matches!(config.rule, BackwardRule::Relevance { .. }),
            each: Broadcast::new(&[1], &[len]).expect("one value is broadcast to any number"),
            scratch: vec![0.0; config.batch * len],
        })
    }

    /// Adds the operation to a graph, in which the channels of an image come first.
    pub(super) fn to_onnx(self, layer: &mut OnnxLayer) {
        let mut inputs = merged_on_images(layer);
        match self {
            Self::Difference => layer.result("Sub", inputs, vec![]),
            Self::Quotient => layer.result("Div", inputs, vec![]),
            Self::Mean => layer.result("Mean", inputs, vec![]),
            Self::Maximum => layer.result("Max", inputs, vec![]),
            Self::Minimum => layer.result("Min", inputs, vec![]),
            Self::Sum => layer.result(if inputs.len() == 2 { "Add" } else { "Sum" }, inputs, vec![]),
            Self::Product => {
                let last = inputs.pop().expect("there are two inputs or more");
                let product = inputs.into_iter().enumerate().reduce(|(_, product), (index, input)| {
                    (index, layer.intermediate(&format!("product_{index}"), "Mul", vec![product, input], vec![]))
                });
                let (_, product) = product.expect("there are two inputs or more");
                layer.result("Mul", vec![product, last], vec![]);
            }
        }
    }
}

/// The shape that all inputs are broadcast to.
pub(super) fn broadcast_shape(inputs: &[Shape]) -> Result<Shape, String> {
    let mut sizes: Vec<usize> = Vec::new();
    for input in inputs {
        let own = input.sizes();
        let lacking = own.len().saturating_sub(sizes.len());
        sizes.splice(..0, std::iter::repeat_n(1, lacking));
        let shared = sizes.len() - own.len();
        for (size, &own) in sizes[shared..].iter_mut().zip(own) {
            match (*size, own) {
                (a, b) if a == b => {}
                (1, own) => *size = own,
                (_, 1) => {}
                _ => {
                    let other = inputs.iter().find(|other| *other != input).unwrap_or(input);
                    return Err(format!("inputs {other} and {input} differ in shape"));
                }
            }
        }
    }
    Ok(Shape::from(&sizes[..]))
}

/// The inputs of a merge layer in a graph, in which the channels of an image come first.
pub(super) fn merged_on_images(layer: &mut OnnxLayer) -> Vec<String> {
    let image = layer.shapes.iter().any(|shape| shape.as_image().is_some());
    let shapes = layer.shapes.clone();
    let mut inputs = Vec::new();
    for (index, shape) in shapes.into_iter().enumerate() {
        let mut input = layer.inputs[index].clone();
        if image && shape.as_image().is_none() {
            let axes = layer.constant(&format!("axes_{index}"), &[2], OnnxValues::Ints(vec![2, 3]));
            input = layer.intermediate(&format!("pixels_{index}"), "Unsqueeze", vec![input, axes], vec![]);
        }
        inputs.push(input);
    }
    inputs
}

/// A merge of inputs prepared to compute.
struct MergeOp {
    cpu: Cpu,
    merge: Merge,
    /// How each input is broadcast.
    maps: Vec<Broadcast>,
    /// Relevance propagation: factors get equal shares of the relevance of their product, and a divisor gets none.
    relevance: bool,
    /// A broadcast of one value per sample.
    each: Broadcast,
    /// The gradient of a broadcast input, before it is summed.
    scratch: Vec<f32>,
}

impl MergeOp {
    fn scale(&self, factor: f32, batch: usize, values: &mut [f32]) {
        arithmetic(self.cpu, Arithmetic::Multiply, &self.each, &vec![factor; batch], values);
    }

    /// Turns the gradient of the output into that of input `index`, before it is summed over broadcast axes.
    fn backward(&self, pass: &Backward, index: usize, values: &mut [f32]) {
        let combine = |op: Arithmetic, input: usize, values: &mut [f32]| {
            arithmetic(self.cpu, op, &self.maps[input], pass.inputs.get(input), values);
        };
        let share = 1.0 / self.maps.len() as f32;
        match self.merge {
            Merge::Sum => {}
            Merge::Mean => self.scale(share, pass.batch, values),
            Merge::Difference if index == 1 => self.scale(-1.0, pass.batch, values),
            Merge::Difference => {}
            Merge::Product => {
                (0..self.maps.len())
                    .filter(|&other| other != index)
                    .for_each(|other| combine(Arithmetic::Multiply, other, values));
                if self.relevance {
                    self.scale(share, pass.batch, values);
                }
            }
            Merge::Quotient if index == 0 => combine(Arithmetic::Divide, 1, values),
            Merge::Quotient if self.relevance => values.fill(0.0),
            Merge::Quotient => {
                combine(Arithmetic::Multiply, 0, values);
                combine(Arithmetic::Divide, 1, values);
                combine(Arithmetic::Divide, 1, values);
                self.scale(-1.0, pass.batch, values);
            }
            // Of equal values the first one counts.
            Merge::Maximum | Merge::Minimum => {
                for other in 0..=index {
                    let (map, input) = (&self.maps[other], pass.inputs.get(other));
                    clear_where(self.cpu, other != index, map, input, pass.output, values);
                }
            }
        }
    }
}

impl Op for MergeOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let op = match self.merge {
            Merge::Sum | Merge::Mean => Arithmetic::Add,
            Merge::Difference => Arithmetic::Subtract,
            Merge::Product => Arithmetic::Multiply,
            Merge::Quotient => Arithmetic::Divide,
            Merge::Maximum => Arithmetic::Maximum,
            Merge::Minimum => Arithmetic::Minimum,
        };
        let inputs = pass.inputs;
        merge(self.cpu, op, &self.maps, |index| inputs.get(index), output);
        if self.merge == Merge::Mean {
            self.scale(1.0 / self.maps.len() as f32, pass.batch, output);
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        let chosen = matches!(self.merge, Merge::Maximum | Merge::Minimum);
        BackwardNeeds { inputs: chosen || matches!(self.merge, Merge::Product | Merge::Quotient), output: chosen }
    }

    /// The gradient of a factor is `dy` times the other factors, those of `a / b` are `dy / b` and `-dy a / b^2`, that of a
    /// mean of `n` is `dy / n`, and a maximum propagates `dy` to the input that holds it; a broadcast input gets the sum
    /// over its uses.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool) {
        if self.maps[index].is_identity() && !accumulate {
            grad_input.copy_from_slice(pass.grad_output);
            return self.backward(pass, index, grad_input);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let values = &mut scratch[..pass.grad_output.len()];
        values.copy_from_slice(pass.grad_output);
        self.backward(pass, index, values);
        sum_broadcast(self.cpu, &self.maps[index], values, grad_input, accumulate);
        self.scratch = scratch;
    }
}

/// Defines a merge layer.
macro_rules! merge_layer {
    ($kind:ident, $merge:expr, keeps_sign: $keeps_sign:literal, keras: [$($class:literal),*], to_keras: $to_keras:expr) => {
        impl $kind {
            /// Creates the layer.
            #[must_use]
            pub fn new() -> Self {
                Self {}
            }
        }

        impl $crate::nn::layers::LayerSpec for $kind {
            fn output_shape(&self, inputs: &[$crate::nn::Shape]) -> Result<$crate::nn::Shape, String> {
                $merge.output_shape(inputs)
            }

            fn extent(&self, _inputs: &[$crate::nn::Shape]) -> $crate::nn::layers::Extent {
                $merge.extent()
            }

            fn keeps_sign(&self) -> bool {
                $keeps_sign
            }

            fn prepare(&self, config: &$crate::nn::OpConfig) -> Box<dyn $crate::nn::Op> {
                $merge.prepare(config)
            }
        }

        impl $crate::nn::layers::built_in::BuiltInLayer for $kind {
            const KERAS_CLASSES: &'static [&'static str] = &[$($class),*];

            fn from_keras(
                _class: &str,
                _config: &mut $crate::nn::keras_config::KerasConfig,
            ) -> Result<$crate::nn::layers::Layer, String> {
                Ok(Self::new().into())
            }

            fn to_keras(&self) -> Result<serde_json::Value, String> {
                $to_keras
            }

            fn to_onnx(&self, layer: &mut $crate::nn::onnx_graph::OnnxLayer) {
                $merge.to_onnx(layer);
            }
        }
    };
}
pub(super) use merge_layer;
