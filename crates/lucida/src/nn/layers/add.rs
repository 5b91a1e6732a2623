//! Addition of inputs, as in residual networks.

use lucida_kernels::Cpu;
use lucida_kernels::ops::transfer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::merge::Merge;
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// The elementwise sum of several inputs, the end of a residual block. Axes of size 1 are broadcast.
///
/// ```
/// use lucida::nn::layers::Input;
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("residual");
/// let image = builder.add(Input::new([16, 16, 8]), &[])?;
/// let conv = builder.add(Conv2D::new(8, [3, 3]).padding(Padding::Same), &[image])?;
/// let sum = builder.add(Add::new(), &[conv, image])?;
/// assert_eq!(builder.build(&[sum], 42)?.output()?.shape().sizes(), [16, 16, 8]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Add {}

impl Add {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for Add {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Merge::Sum.output_shape(inputs)
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Merge::Sum.extent()
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        match config.inputs.iter().all(|input| input == config.output) {
            true => Box::new(AddOp { cpu: config.cpu }),
            false => Merge::Sum.prepare(config),
        }
    }
}

/// The sum of inputs of equal shape, which needs no value of the forward pass.
struct AddOp {
    cpu: Cpu,
}

impl Op for AddOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        for index in 0..pass.inputs.count() {
            transfer(self.cpu, pass.inputs.get(index), output, index > 0);
        }
    }

    /// A sum propagates its gradient unchanged to each of its terms.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        transfer(self.cpu, pass.grad_output, grad_input, accumulate);
    }
}

impl BuiltInLayer for Add {
    const KERAS_CLASSES: &'static [&'static str] = &["Add"];

    fn from_keras(_class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Ok(Self::new().into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({}))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        Merge::Sum.to_onnx(layer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Add::new(), &[[3, 4, 5].into(), [3, 4, 5].into(), [3, 4, 5].into()]);
        check_layer(Add::new(), &[[3, 4, 5].into(), [1, 1, 5].into(), [3, 4, 1].into()]);
        refuses(Add::new(), &[[3, 4, 5].into(), [3, 4, 6].into()], &["(3, 4, 5)", "(3, 4, 6)"]);
    }
}
