//! Concatenation of channels.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{Columns, transfer_columns};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// Concatenates several inputs along the channels (the last axis, Keras's default); their other sizes are the same.
///
/// ```
/// use lucida::nn::layers::Input;
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("inception");
/// let image = builder.add(Input::new([16, 16, 8]), &[])?;
/// let narrow = builder.add(Conv2D::new(4, [1, 1]), &[image])?;
/// let wide = builder.add(Conv2D::new(6, [3, 3]).padding(Padding::Same), &[image])?;
/// let joined = builder.add(Concatenate::new(), &[narrow, wide])?;
/// assert_eq!(builder.build(&[joined], 42)?.output()?.shape().sizes(), [16, 16, 4 + 6]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Concatenate {}

impl Concatenate {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for Concatenate {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let Some((first, rest)) = inputs.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err(format!("takes two inputs or more, got {}", inputs.len()));
        };
        let leading = |shape: &Shape| shape.sizes()[..shape.sizes().len() - 1].to_vec();
        for other in rest {
            if leading(other) != leading(first) {
                return Err(format!("inputs {first} and {other} differ in more than their channels"));
            }
        }
        let mut sizes = leading(first);
        sizes.push(inputs.iter().map(Shape::channels).sum());
        Ok(Shape::from(&sizes[..]))
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Joined { elementwise: false }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let mut start = 0;
        let blocks = config.inputs.iter().map(|input| {
            let block = (start, input.channels());
            start += input.channels();
            block
        });
        let pixels = config.output.len() / config.output.channels();
        let (cpu, channels) = (config.cpu, config.output.channels());
        Box::new(Concatenation { cpu, pixels, channels, blocks: blocks.collect() })
    }
}

struct Concatenation {
    cpu: Cpu,
    pixels: usize,
    channels: usize,
    /// The first channel and the number of channels of each input.
    blocks: Vec<(usize, usize)>,
}

impl Op for Concatenation {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        for (index, &(start, width)) in self.blocks.iter().enumerate() {
            let from = (pass.inputs.get(index), Columns { start: 0, stride: width });
            let to = (&mut *output, Columns { start, stride: self.channels });
            transfer_columns(self.cpu, (pass.batch * self.pixels, width), from, to, false);
        }
    }

    /// Each input gets back the gradient of its own channels.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool) {
        let (start, width) = self.blocks[index];
        let from = (pass.grad_output, Columns { start, stride: self.channels });
        let to = (grad_input, Columns { start: 0, stride: width });
        transfer_columns(self.cpu, (pass.batch * self.pixels, width), from, to, accumulate);
    }
}

impl BuiltInLayer for Concatenate {
    const KERAS_CLASSES: &'static [&'static str] = &["Concatenate"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.last_axis("axis")?;
        Ok(Self::new().into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "axis": -1 }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        layer.result("Concat", layer.inputs.clone(), vec![("axis", OnnxAttribute::Int(1))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        check_layer(Concatenate::new(), &[[3, 4, 5].into(), [3, 4, 1].into(), [3, 4, 18].into()]);
        check_layer(Concatenate::new(), &[[5].into(), [4].into()]);
        assert_eq!(Concatenate::new().output_shape(&[[3, 4, 5].into(), [3, 4, 2].into()]).unwrap(), [3, 4, 7].into());
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(Concatenate::new(), &[[3, 4, 5].into(), [4, 4, 5].into()], &["(3, 4, 5)", "(4, 4, 5)"]);
        refuses(Concatenate::new(), &[[3, 4, 5].into()], &["two inputs", "got 1"]);
    }
}
