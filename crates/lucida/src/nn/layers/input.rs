//! The input of a network.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, with_batch};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Op, OpConfig};

/// An input of the network, like Keras's `Input`.
///
/// ```
/// use lucida::nn::layers::Input;
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("two_inputs");
/// let left = builder.add(Input::new([8]), &[])?;
/// let right = builder.add(Input::new([8]), &[])?;
/// let sum = builder.add(Add::new(), &[left, right])?;
/// assert_eq!(builder.build(&[sum], 42)?.inputs().count(), 2);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The shape of one sample, without the batch axis: `[height, width, channels]` for an image.
    pub shape: Shape,
}

impl Input {
    /// An input of this shape.
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into() }
    }
}

impl LayerSpec for Input {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if !inputs.is_empty() {
            return Err(format!("an input layer has no inputs, got {}", inputs.len()));
        }
        if self.shape.sizes().is_empty() || self.shape.sizes().contains(&0) || self.shape.checked_len().is_none() {
            return Err(format!("an input of shape {} cannot exist", self.shape));
        }
        Ok(self.shape.clone())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, _setting: &OpConfig) -> Box<dyn Op> {
        unreachable!("the plan fills the inputs itself")
    }
}

impl BuiltInLayer for Input {
    const KERAS_CLASSES: &'static [&'static str] = &["InputLayer"];

    /// Inputs are created by the model reader, which resolves an open height or width.
    fn from_keras(class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Err(format!("an {class} cannot follow other layers"))
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "batch_shape": with_batch(&self.shape), "sparse": false, "ragged": false }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        layer.graph.inputs.push((layer.name.to_owned(), self.shape.clone()));
        if self.shape.as_image().is_some() {
            let order = vec![("perm", OnnxAttribute::ints([0, 3, 1, 2]))];
            layer.graph.node(&layer.output, "Transpose", vec![layer.name.to_owned()], &layer.output, order);
        }
    }
}
