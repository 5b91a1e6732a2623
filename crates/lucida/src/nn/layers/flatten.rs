//! Flatten: an image as a vector. The values stay where they are.

use serde::{Deserialize, Serialize};

use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::op::{Op, OpConfig};

/// All values of a sample in one axis: rows first, then columns, then channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flatten {}

impl Flatten {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for Flatten {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::flat(one_input(inputs)?.len()))
    }

    fn is_view(&self, _training: bool) -> bool {
        true
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, _setting: &OpConfig) -> Box<dyn Op> {
        unreachable!("a view computes nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::check_layer;

    #[test]
    fn gradients_and_shapes() {
        check_layer(Flatten::new(), &[[2, 3, 4].into()]);
        assert_eq!(Flatten::new().output_shape(&[[3, 3, 64].into()]).unwrap(), [576].into());
    }
}
