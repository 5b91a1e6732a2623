//! The parametric ReLU (He et al., 2015): a ReLU with a learned slope for negative values.
//!
//! ```text
//! y = x where x > 0, else alpha x
//! ```

use lucida_kernels::ops::{channel_workspace, gradient_moments, sloped, transfer};
use lucida_kernels::{Buffer, Cpu};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// A ReLU with learned slopes: one per value of a sample, shared along some axes. The shape is unchanged.
///
/// ```
/// use lucida::nn::layers::PReLU;
/// use lucida::prelude::*;
///
/// // A slope for each channel, as in PyTorch: height and width share it.
/// let network = Sequential::new("prelu", [8, 8, 16]).add(PReLU::shared(vec![0, 1])).build(42)?;
/// assert_eq!(network.weights()[0].shape(), [1, 1, 16]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PReLU {
    /// The axes along which slopes are shared, in order; the first axis of a sample is 0.
    #[serde(default)]
    pub shared_axes: Vec<usize>,
}

impl PReLU {
    /// One slope per value of a sample.
    pub fn new() -> Self {
        Self::default()
    }

    /// Slopes shared along these axes.
    pub fn shared(shared_axes: Vec<usize>) -> Self {
        Self { shared_axes }
    }

    /// The shape of the slopes.
    fn slopes(&self, input: &Shape) -> Vec<usize> {
        let size = |(axis, &size)| if self.shared_axes.contains(&axis) { 1 } else { size };
        input.sizes().iter().enumerate().map(size).collect()
    }
}

impl LayerSpec for PReLU {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let sorted = self.shared_axes.windows(2).all(|pair| pair[0] < pair[1]);
        if !sorted || self.shared_axes.last().is_some_and(|&last| last >= input.sizes().len()) {
            return Err(format!("shared_axes {:?} are not of {input}", self.shared_axes));
        }
        Ok(input.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        // Keras initializes with 0, PyTorch with 0.25.
        let shape = self.slopes(&inputs[0]);
        vec![WeightSpec { name: "alpha", shape, initializer: Initializer::Zeros, trainable: true }]
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let slopes = self.slopes(config.output);
        let (sizes, len) = (config.output.sizes(), config.output.len());
        // If all axes but the last share their slopes, a row of channels is sufficient.
        let period = if slopes.iter().rev().skip(1).all(|&size| size == 1) { config.output.channels() } else { len };
        let place = |mut index: usize| {
            let (mut at, mut stride) = (0, 1);
            for (&size, &own) in sizes.iter().zip(&slopes).rev() {
                at += if own == 1 { 0 } else { index % size * stride };
                index /= size;
                stride *= own;
            }
            at
        };
        let row = || Buffer::zeroed(period);
        Box::new(Slopes {
            cpu: config.cpu,
            places: (0..period).map(place).collect(),
            slopes: row(),
            zeros: row(),
            sums: row(),
            products: row(),
            scratch: Buffer::zeroed(config.batch * len),
            workspace: Buffer::zeroed(channel_workspace(config.cpu, period)),
        })
    }
}

struct Slopes {
    cpu: Cpu,
    /// For each value of a row: the index of its slope.
    places: Vec<usize>,
    /// The slope of each value of a row.
    slopes: Buffer,
    zeros: Buffer,
    sums: Buffer,
    products: Buffer,
    scratch: Buffer,
    workspace: Buffer,
}

impl Op for Slopes {
    fn set_weights(&mut self, weights: &[Weight]) {
        let alpha = weights[0].values();
        self.slopes.iter_mut().zip(&self.places).for_each(|(slope, &place)| *slope = alpha[place]);
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let input = pass.inputs.get(0);
        sloped(self.cpu, &self.slopes, input, input, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// `dx = dy` where `x > 0`, else `alpha dy`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let input = pass.inputs.get(0);
        if !accumulate {
            return sloped(self.cpu, &self.slopes, pass.grad_output, input, grad_input);
        }
        let scratch = &mut self.scratch[..grad_input.len()];
        sloped(self.cpu, &self.slopes, pass.grad_output, input, scratch);
        transfer(self.cpu, scratch, grad_input, true);
    }

    /// `dalpha = sum(dy x)` over the values `x <= 0` that share the slope.
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let Self { cpu, places, zeros, sums, products, scratch, workspace, .. } = self;
        let Some(gradient) = gradients.first_mut().filter(|gradient| !gradient.is_empty()) else { return };
        let input = pass.inputs.get(0);
        let negative = &mut scratch[..input.len()];
        for ((value, &x), &dy) in negative.iter_mut().zip(input).zip(pass.grad_output) {
            *value = if x > 0.0 { 0.0 } else { dy };
        }
        gradient_moments(*cpu, negative, input, zeros, sums, products, workspace);
        gradient.fill(0.0);
        places.iter().zip(products.iter()).for_each(|(&place, product)| gradient[place] += product);
    }
}

impl BuiltInLayer for PReLU {
    const KERAS_CLASSES: &'static [&'static str] = &["PReLU"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let shared_axes = config.axes("shared_axes")?.unwrap_or_default();
        config.ignore(&["alpha_initializer"]);
        config.note(&["alpha_regularizer", "alpha_constraint"]);
        Ok(Self { shared_axes }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        let axes: Vec<usize> = self.shared_axes.iter().map(|axis| axis + 1).collect();
        Ok(json!({ "shared_axes": if axes.is_empty() { Value::Null } else { axes.into() } }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let mut slope = layer.weights[0].clone();
        if layer.shapes[0].as_image().is_some() {
            let order = vec![("perm", OnnxAttribute::ints([2, 0, 1]))];
            slope = layer.intermediate("slope", "Transpose", vec![slope], order);
        }
        layer.result("PRelu", vec![layer.input(), slope], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        for axes in [vec![], vec![0, 1], vec![1], vec![0, 1, 2], vec![2]] {
            check_layer(PReLU::shared(axes), &[[3, 4, 5].into()]);
        }
        check_layer(PReLU::new(), &[[10].into()]);
        refuses(PReLU::shared(vec![3]), &[[3, 4, 5].into()], &["[3]", "(3, 4, 5)"]);
    }
}
