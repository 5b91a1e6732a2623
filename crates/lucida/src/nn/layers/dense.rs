//! Dense layers: `y = x W + b`.

use lucida_kernels::Conv2dShape;
use serde::{Deserialize, Serialize};

use super::conv2d::{Convolution, kernel_and_bias};
use super::{ActivationKind, Mechanics, Operation, Setting, one_input};
use crate::nn::{Initializer, Shape, WeightSpec};

/// A layer in which each unit sees all inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// Outputs.
    pub units: usize,
    /// What follows the sum.
    #[serde(default)]
    pub activation: ActivationKind,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// How the kernel starts.
    #[serde(default = "glorot")]
    pub kernel_initializer: Initializer,
}

fn yes() -> bool {
    true
}

fn glorot() -> Initializer {
    Initializer::GlorotUniform
}

impl Dense {
    /// A dense layer with Keras's defaults: a bias, no activation.
    pub fn new(units: usize) -> Self {
        Self { units, activation: ActivationKind::Linear, use_bias: true, kernel_initializer: glorot() }
    }

    /// With this activation.
    pub fn activation(self, activation: ActivationKind) -> Self {
        Self { activation, ..self }
    }

    /// Without a bias.
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }
}

impl Mechanics for Dense {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        self.activation.check()?;
        match input.as_flat() {
            Some(features) if features > 0 && self.units > 0 => Ok(Shape::flat(self.units)),
            Some(features) => Err(format!("a dense layer of {features} inputs and {} units", self.units)),
            None => Err(format!(
                "takes a flat input (features), got {input}: put a Flatten or a global pooling layer before it"
            )),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        kernel_and_bias(vec![inputs[0].len(), self.units], self.units, self.use_bias, self.kernel_initializer)
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    /// A dense layer is the 1x1 convolution of a 1x1 picture, in all passes: `dx = dy W^T`, `dW = x^T dy`, `db = sum dy`.
    fn prepare(&self, setting: &Setting) -> Box<dyn Operation> {
        Box::new(Convolution::new(setting, Conv2dShape::dense(setting.inputs[0].len(), self.units), self.use_bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Dense::new(7), &[[13].into()]);
        check_layer(Dense::new(33).without_bias(), &[[20].into()]);
        check_layer(Dense::new(5).activation(ActivationKind::Softmax), &[[9].into()]);
        check_layer(Dense::new(5).activation(ActivationKind::Sigmoid), &[[9].into()]);
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(Dense::new(7), &[[7, 7, 64].into()], &["(7, 7, 64)", "Flatten"]);
        refuses(Dense::new(7), &[[7].into(), [8].into()], &["one input", "2"]);
    }
}
