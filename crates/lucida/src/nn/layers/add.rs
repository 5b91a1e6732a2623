//! Addition of inputs, as in residual networks.

use lucida_kernels::Cpu;
use lucida_kernels::ops::transfer;
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Mechanics, Operation, Setting, Shape};

/// The sum of several inputs of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Add {}

impl Mechanics for Add {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let Some((first, rest)) = inputs.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err(format!("takes two inputs or more, got {}", inputs.len()));
        };
        match rest.iter().find(|other| *other != first) {
            Some(other) => Err(format!("inputs {first} and {other} differ in shape")),
            None => Ok(first.clone()),
        }
    }

    fn prepare(&self, setting: &Setting) -> Box<dyn Operation> {
        Box::new(Addition { cpu: setting.cpu })
    }
}

struct Addition {
    cpu: Cpu,
}

impl Operation for Addition {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        for index in 0..pass.inputs.count() {
            transfer(self.cpu, pass.inputs.get(index), output, index > 0);
        }
    }

    /// A sum passes its gradient on to each of its terms unchanged.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        transfer(self.cpu, pass.grad_output, grad_input, accumulate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Add {}, &[[3, 4, 5].into(), [3, 4, 5].into(), [3, 4, 5].into()]);
        refuses(Add {}, &[[3, 4, 5].into(), [3, 4, 6].into()], &["(3, 4, 5)", "(3, 4, 6)"]);
    }
}
