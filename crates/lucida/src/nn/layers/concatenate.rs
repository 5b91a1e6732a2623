//! Concatenation along an axis.

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

/// Concatenates several inputs along an axis, by default the last one, the channels; the other axes must have equal sizes.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concatenate {
    /// The axis, including the batch axis as in Keras: 1 is the height of an image, -1 or 3 are its channels.
    #[serde(default = "last", skip_serializing_if = "is_last")]
    pub axis: isize,
}

fn last() -> isize {
    -1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so serde calls it")]
fn is_last(axis: &isize) -> bool {
    *axis == last()
}

impl Default for Concatenate {
    fn default() -> Self {
        Self { axis: last() }
    }
}

impl Concatenate {
    /// Concatenates along the channels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Concatenates along this axis, which includes the batch axis.
    #[must_use]
    pub fn along(axis: isize) -> Self {
        Self { axis }
    }

    /// The corresponding axis of a sample of this shape.
    fn axis_of(self, shape: &Shape) -> Option<usize> {
        let rank = shape.sizes().len();
        let axis = if self.axis < 0 { self.axis + rank as isize } else { self.axis - 1 };
        usize::try_from(axis).ok().filter(|&axis| axis < rank)
    }

    /// The stride of the axis in values.
    fn stride(self, shape: &Shape) -> usize {
        self.axis_of(shape).map_or(1, |axis| shape.sizes()[axis + 1..].iter().product())
    }
}

impl LayerSpec for Concatenate {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let Some((first, rest)) = inputs.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err(format!("takes two inputs or more, got {}", inputs.len()));
        };
        let axis = self.axis_of(first).ok_or_else(|| format!("has no axis {} in inputs of {first}", self.axis))?;
        let others = |shape: &Shape| {
            let mut sizes = shape.sizes().to_vec();
            (axis < sizes.len()).then(|| sizes.remove(axis));
            sizes
        };
        for other in rest {
            if other.sizes().len() != first.sizes().len() || others(other) != others(first) {
                let along =
                    if axis + 1 == first.sizes().len() { "channels".into() } else { format!("axis {}", axis + 1) };
                return Err(format!("inputs {first} and {other} differ in more than their {along}"));
            }
        }
        let mut sizes = first.sizes().to_vec();
        sizes[axis] = inputs.iter().map(|input| input.sizes()[axis]).sum();
        Ok(Shape::from(&sizes[..]))
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        // Concatenated along a spatial axis, each position depends on only one of the inputs; `Whole` is the closest
        // available description.
        match self.axis_of(&inputs[0]).is_some_and(|axis| axis + 1 == inputs[0].sizes().len()) {
            true => Extent::Joined { elementwise: false },
            false => Extent::Whole,
        }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let axis = self.axis_of(config.output).expect("the shape rule has accepted the inputs");
        let stride = self.stride(config.output);
        let mut start = 0;
        let blocks = config.inputs.iter().map(|input| {
            let width = input.sizes()[axis] * stride;
            let block = (start, width);
            start += width;
            block
        });
        let blocks = blocks.collect();
        let rows = config.output.len() / start;
        Box::new(Concatenation { cpu: config.cpu, rows, width: start, blocks })
    }
}

struct Concatenation {
    cpu: Cpu,
    /// Number of rows per sample, each with a part of every input: the pixels, when channels are concatenated.
    rows: usize,
    /// Length of a row of the output.
    width: usize,
    /// Start and length of each input's part of a row.
    blocks: Vec<(usize, usize)>,
}

impl Op for Concatenation {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        for (index, &(start, width)) in self.blocks.iter().enumerate() {
            let from = (pass.inputs.get(index), Columns { start: 0, stride: width });
            let to = (&mut *output, Columns { start, stride: self.width });
            transfer_columns(self.cpu, (pass.batch * self.rows, width), from, to, false);
        }
    }

    /// The gradient of each input is that of its part of the output.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool) {
        let (start, width) = self.blocks[index];
        let from = (pass.grad_output, Columns { start, stride: self.width });
        let to = (grad_input, Columns { start: 0, stride: width });
        transfer_columns(self.cpu, (pass.batch * self.rows, width), from, to, accumulate);
    }
}

impl BuiltInLayer for Concatenate {
    const KERAS_CLASSES: &'static [&'static str] = &["Concatenate"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let rank = config.input().sizes().len();
        match config.axes("axis")?.as_deref() {
            None => Ok(Self::new().into()),
            Some(&[axis]) if axis + 1 == rank => Ok(Self::new().into()),
            Some(&[axis]) => Ok(Self::along(axis as isize + 1).into()),
            Some(_) => Err("is along several axes".into()),
        }
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "axis": self.axis }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let shape = layer.shapes[0];
        let axis = self.axis_of(shape).expect("the shape rule has accepted the inputs");
        // In ONNX the channels of an image come first.
        let axis = if shape.as_image().is_some() { [2, 3, 1][axis] } else { axis as i64 + 1 };
        layer.result("Concat", layer.inputs.clone(), vec![("axis", OnnxAttribute::Int(axis))]);
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
        check_layer(Concatenate::along(1), &[[3, 4, 5].into(), [2, 4, 5].into()]);
        check_layer(Concatenate::along(-2), &[[3, 4, 2].into(), [3, 1, 2].into(), [3, 2, 2].into()]);
        assert_eq!(serde_json::to_string(&Concatenate::new()).unwrap(), "{}");
        assert_eq!(Concatenate::new().output_shape(&[[3, 4, 5].into(), [3, 4, 2].into()]).unwrap(), [3, 4, 7].into());
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(Concatenate::new(), &[[3, 4, 5].into(), [4, 4, 5].into()], &["(3, 4, 5)", "(4, 4, 5)"]);
        refuses(Concatenate::new(), &[[3, 4, 5].into()], &["two inputs", "got 1"]);
        refuses(Concatenate::along(1), &[[3, 4, 5].into(), [3, 5, 5].into()], &["(3, 5, 5)", "axis 1"]);
        refuses(Concatenate::along(4), &[[3, 4, 5].into(), [3, 5, 5].into()], &["axis 4"]);
    }
}
