//! Selects positions of an axis, in any order and with repetition.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// Selects positions of one axis of the input, like `x[:, :, [0, 3, 3]]` in Python. For equal steps, a
/// [`Slice`](super::Slice) is faster.
///
/// ```
/// use lucida::nn::layers::Take;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("chosen", [4]).add(Take::new(0, [3, 0, 0])).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [4.0, 1.0, 1.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// The axis, the first after the batch being 0.
    pub axis: usize,
    /// The positions.
    pub indices: Vec<usize>,
}

impl Take {
    /// Selects these positions of an axis, the first after the batch being 0.
    pub fn new(axis: usize, indices: impl Into<Vec<usize>>) -> Self {
        Self { axis, indices: indices.into() }
    }
}

impl LayerSpec for Take {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let Some(&size) = input.sizes().get(self.axis) else {
            return Err(format!("takes positions of axis {} of {input}", self.axis));
        };
        if let Some(outside) = self.indices.iter().find(|&&index| index >= size) {
            return Err(format!("takes position {outside} of axis {} of {input}", self.axis));
        }
        if self.indices.is_empty() {
            return Err(format!("takes no position of {input}"));
        }
        let mut sizes = input.sizes().to_vec();
        sizes[self.axis] = self.indices.len();
        Ok(sizes.as_slice().into())
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        let Some([height, width, _]) = inputs[0].as_image() else { return Extent::Whole };
        let all = |size: usize| (0..size).map(|at| at..at + 1).collect::<Vec<_>>();
        let taken = || self.indices.iter().map(|&at| at..at + 1).collect::<Vec<_>>();
        match self.axis {
            0 => Extent::UnevenWindows([taken(), all(width)]),
            1 => Extent::UnevenWindows([all(height), taken()]),
            _ => Extent::Same,
        }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let sizes = config.inputs[0].sizes();
        let run = sizes[self.axis + 1..].iter().product();
        Box::new(TakeOp { indices: self.indices.clone(), size: sizes[self.axis], run })
    }
}

/// The selection prepared to compute.
struct TakeOp {
    indices: Vec<usize>,
    /// Number of positions of the axis.
    size: usize,
    /// Number of values per position.
    run: usize,
}

impl Op for TakeOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let Self { indices, size, run } = self;
        let rows = output.chunks_exact_mut(indices.len() * *run).zip(pass.inputs.get(0).chunks_exact(*size * *run));
        for (to, from) in rows {
            for (to, &index) in to.chunks_exact_mut(*run).zip(&*indices) {
                to.copy_from_slice(&from[index * *run..][..*run]);
            }
        }
    }

    /// A position gets the sum of the gradients of all its uses.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let Self { indices, size, run } = self;
        if !accumulate {
            grad_input.fill(0.0);
        }
        let rows = grad_input.chunks_exact_mut(*size * *run).zip(pass.grad_output.chunks_exact(indices.len() * *run));
        for (to, from) in rows {
            for (from, &index) in from.chunks_exact(*run).zip(&*indices) {
                to[index * *run..][..*run].iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}

impl BuiltInLayer for Take {
    /// The operation `keras.ops.take`, whose indices are an argument of its call.
    const KERAS_CLASSES: &'static [&'static str] = &["Take"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let (indices, axis, rank) = (config.required("indices")?, config.required("axis")?, config.rank() as i64);
        let bad = || format!("of indices {} along axis {} is not supported", short(indices), short(axis));
        let places = |at: i64, size: i64| usize::try_from(if at < 0 { at + size } else { at }).ok();
        let axis = axis.as_i64().and_then(|axis| places(axis, rank)?.checked_sub(1)).ok_or_else(bad)?;
        let size = *config.input_shape().sizes().get(axis).ok_or_else(bad)? as i64;
        let list: Vec<i64> = serde_json::from_value(indices.clone()).map_err(|_| bad())?;
        let list: Option<Vec<usize>> = list.into_iter().map(|at| places(at, size)).collect();
        Ok(Self::new(axis, list.ok_or_else(bad)?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "axis": self.axis + 1, "indices": self.indices }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        // In ONNX the channels of an image come first.
        let image = layer.shapes[0].as_image().is_some();
        let axis = if image { [2, 3, 1][self.axis] } else { self.axis as i64 + 1 };
        let indices = self.indices.iter().map(|&index| index as i64).collect();
        let indices = layer.constant("indices", &[self.indices.len()], OnnxValues::Ints(indices));
        layer.result("Gather", vec![layer.input(), indices], vec![("axis", OnnxAttribute::Int(axis))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients_and_shapes() {
        for axis in 0..3 {
            check_layer(Take::new(axis, [1, 0, 1, 2]), &[[3, 4, 3].into()]);
        }
        check_layer(Take::new(0, [4, 4, 1]), &[[5].into()]);
        check_layer(Take::new(1, [2, 0]), &[[2, 3, 2, 2].into()]);
        assert_eq!(Take::new(1, [2, 0]).output_shape(&[[2, 3, 4].into()]).unwrap(), [2, 2, 4].into());
        let taken = run_training(Take::new(1, [2, 0]), &[1, 3, 2].into(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1, 0);
        assert_eq!(taken, [5.0, 6.0, 1.0, 2.0]);
    }

    #[test]
    fn refusals_state_the_position() {
        refuses(Take::new(1, [0, 4]), &[[3, 4, 3].into()], &["position 4", "axis 1", "(3, 4, 3)"]);
        refuses(Take::new(3, [0]), &[[3, 4, 3].into()], &["axis 3"]);
        refuses(Take::new(0, []), &[[3].into()], &["no position"]);
    }
}
