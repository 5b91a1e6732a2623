//! Permutes the axes of the input.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::reshape::channels_last;
use super::spec::{Extent, LayerSpec, one_input};
use super::strided::StridedOp;
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Op, OpConfig};

/// Axis `i` of the output is axis `dims[i]` of the input, where the first axis after the batch is 1, as in Keras.
///
/// ```
/// use lucida::nn::layers::Permute;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("moved", [2, 3, 4]).add(Permute::new([3, 1, 2])).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [4, 2, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permute {
    /// For each axis of the output, the axis of the input, starting from 1.
    pub dims: Vec<usize>,
}

impl Permute {
    /// Creates the layer with these axes of the input, starting from 1.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Self { dims: dims.into() }
    }
}

/// The strides of a row-major array, in values.
pub(super) fn strides(sizes: &[usize]) -> Vec<isize> {
    (0..sizes.len()).map(|axis| sizes[axis + 1..].iter().product::<usize>() as isize).collect()
}

impl LayerSpec for Permute {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(1..=input.sizes().len()) {
            return Err(format!("dims are {:?}, which are not the axes of {input}, from 1 on", self.dims));
        }
        let sizes: Vec<usize> = self.dims.iter().map(|&dim| input.sizes()[dim - 1]).collect();
        Ok(sizes.as_slice().into())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        match self.dims[..] {
            [1, 2, 3] | [1] => Extent::Same,
            // Extents treat rows and columns separately; a permutation between them cannot be expressed.
            _ => Extent::Whole,
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
        let strides = strides(sizes);
        let axes: Vec<_> = self.dims.iter().map(|&dim| (sizes[dim - 1], strides[dim - 1])).collect();
        Box::new(StridedOp::new(config, 0, &axes))
    }
}

impl BuiltInLayer for Permute {
    const KERAS_CLASSES: &'static [&'static str] = &["Permute"];
    /// The operation `keras.ops.transpose`, whose axes include the batch.
    const KERAS_ALIASES: &'static [&'static str] = &["Transpose"];

    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let value = config.required(if class == "Transpose" { "axes" } else { "dims" })?;
        let dims: Option<Vec<usize>> = serde_json::from_value(value.clone()).ok();
        match (class, dims.as_deref()) {
            ("Permute", Some(dims)) | ("Transpose", Some([0, dims @ ..])) => Ok(Self::new(dims).into()),
            _ => Err(format!("axes {} are not supported", short(value))),
        }
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "dims": self.dims }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let input = channels_last(layer);
        let mut order: Vec<i64> = std::iter::once(0).chain(self.dims.iter().map(|&dim| dim as i64)).collect();
        if order.len() == 4 {
            order = vec![order[0], order[3], order[1], order[2]];
        }
        layer.result("Transpose", vec![input], vec![("perm", OnnxAttribute::Ints(order))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients_and_shapes() {
        for dims in [[1, 2, 3], [2, 1, 3], [3, 1, 2], [1, 3, 2], [3, 2, 1]] {
            check_layer(Permute::new(dims), &[[2, 3, 4].into()]);
        }
        check_layer(Permute::new([2, 1]), &[[3, 5].into()]);
        check_layer(Permute::new([4, 2, 1, 3]), &[[2, 3, 2, 2].into()]);
        let values: Vec<f32> = (0..6).map(|value| value as f32).collect();
        let output = run_training(Permute::new([2, 1, 3]), &[2, 3, 1].into(), &values, 1, 0);
        assert_eq!(output, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        for bad in [&[0, 1, 2][..], &[1, 2], &[1, 1, 2], &[1, 2, 4]] {
            refuses(Permute::new(bad), &[[2, 3, 4].into()], &["(2, 3, 4)", &format!("{bad:?}")]);
        }
    }
}
