//! The input of a network.

use serde::{Deserialize, Serialize};

use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::op::{Op, OpConfig};

/// Where the data comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The shape of one sample.
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
