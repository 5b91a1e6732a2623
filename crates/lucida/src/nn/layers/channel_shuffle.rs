//! Channel shuffle: interleaves the channels of several groups, as in [ShuffleNet](https://arxiv.org/abs/1707.01083)
//! between grouped convolutions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use super::strided::StridedOp;
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// The first channel of each group, then the second of each, and so on; the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::ChannelShuffle;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("shuffled", [1, 1, 6]).add(ChannelShuffle::new(2)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelShuffle {
    /// The number of groups.
    pub groups: usize,
}

impl ChannelShuffle {
    /// Creates the layer for this number of groups.
    pub fn new(groups: usize) -> Self {
        Self { groups }
    }

    /// The output as a strided view of the input.
    pub(crate) fn axes(&self, input: &Shape) -> [(usize, isize); 3] {
        let channels = input.channels();
        let group = channels / self.groups;
        [(input.len() / channels, channels as isize), (group, 1), (self.groups, group as isize)]
    }
}

impl LayerSpec for ChannelShuffle {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        match self.groups > 0 && input.channels().is_multiple_of(self.groups) {
            true => Ok(input.clone()),
            false => Err(format!("the channels of {input} do not fall into {} equal groups", self.groups)),
        }
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        if inputs[0].as_image().is_some() { Extent::Same } else { Extent::Whole }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        Box::new(StridedOp::new(config, 0, &self.axes(&config.inputs[0])))
    }
}

impl BuiltInLayer for ChannelShuffle {
    const KERAS_CLASSES: &'static [&'static str] = &[];

    fn from_keras(class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Err(format!("{class} is not a layer of Keras"))
    }

    fn keras_class(&self) -> &'static str {
        "ChannelShuffle"
    }

    fn to_keras(&self) -> Result<Value, String> {
        Err("Keras has no layer that shuffles channels".into())
    }

    /// The same operators as PyTorch's exporter.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let shape = layer.shapes[0];
        let pixels = shape.as_image().map_or(vec![], |[height, width, _]| vec![height as i64, width as i64]);
        let (groups, group) = (self.groups as i64, (shape.channels() / self.groups) as i64);
        let split = [&[0, groups, group], &pixels[..]].concat();
        let merged = [&[0, groups * group], &pixels[..]].concat();
        let split = layer.constant("groups", &[split.len()], OnnxValues::Ints(split));
        let merged = layer.constant("shape", &[merged.len()], OnnxValues::Ints(merged));
        let order = if pixels.is_empty() { vec![0, 2, 1] } else { vec![0, 2, 1, 3, 4] };
        let input = layer.input();
        let grouped = layer.intermediate("grouped", "Reshape", vec![input, split], vec![]);
        let order = vec![("perm", OnnxAttribute::Ints(order))];
        let shuffled = layer.intermediate("shuffled", "Transpose", vec![grouped], order);
        layer.result("Reshape", vec![shuffled, merged], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        check_layer(ChannelShuffle::new(3), &[[2, 3, 6].into()]);
        check_layer(ChannelShuffle::new(2), &[[10].into()]);
        refuses(ChannelShuffle::new(4), &[[2, 3, 6].into()], &["(2, 3, 6)", "4 equal groups"]);
        refuses(ChannelShuffle::new(0), &[[2, 3, 6].into()], &["0 equal groups"]);
    }
}
