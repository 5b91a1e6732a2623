//! Softmax over any axes; over the last one it is an [`ActivationKind`](super::ActivationKind).

use lucida_kernels::Cpu;
use lucida_kernels::ops::{log_softmax, log_softmax_backward, softmax, softmax_backward};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// `exp(x) / sum exp(x)`, or its logarithm, over some axes; the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::Softmax;
/// use lucida::prelude::*;
///
/// // An attention map for each channel: over height and width.
/// let network = Sequential::new("attention", [2, 2, 3]).add(Softmax::over(vec![0, 1])).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [0.25; 12]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Softmax {
    /// The axes, in order, the first axis of a sample being 0: `[0, 1]` are height and width.
    pub axes: Vec<usize>,
    /// Whether to return the logarithm, `x - log sum exp(x)`.
    #[serde(default)]
    pub log: bool,
}

impl Softmax {
    /// The softmax over these axes.
    pub fn over(axes: Vec<usize>) -> Self {
        Self { axes, log: false }
    }
}

impl LayerSpec for Softmax {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let rank = input.sizes().len();
        let sorted = self.axes.windows(2).all(|pair| pair[0] < pair[1]);
        match self.axes.last() {
            Some(&last) if sorted && last < rank && input.len() > 0 => Ok(input.clone()),
            _ => Err(format!("over the axes {:?} of {input} is invalid", self.axes)),
        }
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        let image = inputs[0].as_image().is_some();
        if image && self.axes == [2] { Extent::Same } else { Extent::Whole }
    }

    fn keeps_sign(&self) -> bool {
        !self.log
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let places = self.places(config.output);
        let gathered = || vec![0.0; config.batch * config.output.len()];
        let classes = self.axes.iter().map(|&axis| config.output.sizes()[axis]).product();
        let (cpu, log) = (config.cpu, self.log);
        Box::new(Normalized { cpu, log, classes, places, probabilities: gathered(), scratch: gathered() })
    }
}

impl Softmax {
    /// The indices, in a sample, of the values that are normalized together, one set after another.
    fn places(&self, shape: &Shape) -> Vec<usize> {
        let sizes = shape.sizes();
        let stride = |axis: usize| sizes[axis + 1..].iter().product::<usize>();
        let walk = |axes: &mut dyn Iterator<Item = usize>| {
            axes.fold(vec![0], |places, axis| {
                let steps = |place: usize| (0..sizes[axis]).map(move |index| place + index * stride(axis));
                places.into_iter().flat_map(steps).collect()
            })
        };
        let sets = walk(&mut (0..sizes.len()).filter(|axis| !self.axes.contains(axis)));
        let inside = walk(&mut self.axes.iter().copied());
        sets.into_iter().flat_map(|set| inside.iter().map(move |place| set + place)).collect()
    }
}

struct Normalized {
    cpu: Cpu,
    log: bool,
    classes: usize,
    places: Vec<usize>,
    /// The output, in the order of `places`.
    probabilities: Vec<f32>,
    scratch: Vec<f32>,
}

impl Normalized {
    fn gather(places: &[usize], from: &[f32], to: &mut [f32]) {
        for (to, from) in to.chunks_exact_mut(places.len()).zip(from.chunks_exact(places.len())) {
            to.iter_mut().zip(places).for_each(|(value, &place)| *value = from[place]);
        }
    }
}

impl Op for Normalized {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let Self { cpu, log, classes, places, probabilities, scratch } = self;
        let (probabilities, scratch) = (&mut probabilities[..output.len()], &mut scratch[..output.len()]);
        Self::gather(places, pass.inputs.get(0), scratch);
        let forward = if *log { log_softmax } else { softmax };
        forward(*cpu, *classes, scratch, probabilities);
        for (to, from) in output.chunks_exact_mut(places.len()).zip(probabilities.chunks_exact(places.len())) {
            from.iter().zip(places.iter()).for_each(|(&value, &place)| to[place] = value);
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: false, output: false }
    }

    /// `dx = y (dy - sum(dy y))`; for the logarithm `dx = dy - exp(y) sum(dy)`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let Self { cpu, log, classes, places, probabilities, scratch } = self;
        let scratch = &mut scratch[..grad_input.len()];
        Self::gather(places, pass.grad_output, scratch);
        let backward = if *log { log_softmax_backward } else { softmax_backward };
        backward(*cpu, *classes, &probabilities[..scratch.len()], scratch);
        for (to, from) in grad_input.chunks_exact_mut(places.len()).zip(scratch.chunks_exact(places.len())) {
            for (&value, &place) in from.iter().zip(places.iter()) {
                to[place] = if accumulate { to[place] + value } else { value };
            }
        }
    }
}

impl BuiltInLayer for Softmax {
    /// Read with the other activations that are layers in Keras.
    const KERAS_CLASSES: &'static [&'static str] = &[];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let last = config.input().sizes().len().saturating_sub(1);
        Ok(Self::over(config.axes("axis")?.unwrap_or_else(|| vec![last])).into())
    }

    fn keras_class(&self) -> &'static str {
        "Softmax"
    }

    fn to_keras(&self) -> Result<Value, String> {
        if self.log {
            return Err("Keras has log_softmax over the last axis alone".into());
        }
        Ok(json!({ "axis": self.axes.iter().map(|axis| axis + 1).collect::<Vec<_>>() }))
    }

    /// The axes are moved to the end, and back.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let shape = layer.shapes[0];
        let rank = shape.sizes().len();
        // In the graph the channels of an image come first.
        let place = |axis: usize| if rank != 3 { axis + 1 } else { [2, 3, 1][axis] };
        let kept = (0..rank).filter(|axis| !self.axes.contains(axis));
        let order: Vec<i64> =
            std::iter::once(0).chain(kept.chain(self.axes.iter().copied()).map(|axis| place(axis) as i64)).collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| back[from as usize] = to as i64);
        let size = |place: i64| match place {
            0 => 0,
            place if rank == 3 => shape.sizes()[[2, 0, 1][place as usize - 1]] as i64,
            place => shape.sizes()[place as usize - 1] as i64,
        };
        let sizes: Vec<i64> = order.iter().map(|&place| size(place)).collect();
        let outer = sizes.len() - self.axes.len();
        let merged: Vec<i64> = sizes[..outer].iter().copied().chain([-1]).collect();
        let perm = |order: Vec<i64>| vec![("perm", OnnxAttribute::Ints(order))];
        let moved = layer.intermediate("moved", "Transpose", vec![layer.input()], perm(order));
        let shape = layer.constant("merged_shape", &[merged.len()], OnnxValues::Ints(merged));
        let flat = layer.intermediate("merged", "Reshape", vec![moved, shape], vec![]);
        let op = if self.log { "LogSoftmax" } else { "Softmax" };
        let result = layer.intermediate("normalized", op, vec![flat], vec![("axis", OnnxAttribute::Int(-1))]);
        let shape = layer.constant("split_shape", &[sizes.len()], OnnxValues::Ints(sizes));
        let split = layer.intermediate("split", "Reshape", vec![result, shape], vec![]);
        layer.result("Transpose", vec![split], perm(back));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        for axes in [vec![0, 1], vec![1], vec![0, 2], vec![2], vec![0, 1, 2]] {
            check_layer(Softmax::over(axes.clone()), &[[3, 4, 2].into()]);
            check_layer(Softmax { axes, log: true }, &[[3, 4, 2].into()]);
        }
        refuses(Softmax::over(vec![3]), &[[3, 4, 2].into()], &["[3]", "(3, 4, 2)"]);
        refuses(Softmax::over(vec![]), &[[3, 4, 2].into()], &["[]"]);
    }
}
