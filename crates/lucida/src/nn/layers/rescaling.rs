//! Rescaling: a fixed factor and a fixed offset, as Keras's models that take raw pixels begin with.

use lucida_kernels::Cpu;
use lucida_kernels::ops::affine;
use serde::{Deserialize, Serialize};

use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// `output = scale * input + offset`, with one value for all channels or one per channel (the last axis).
///
/// It has no weights: what training learns per channel is a
/// [`BatchNormalization`](super::BatchNormalization).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rescaling {
    /// The factor: one value, or one per channel.
    pub scale: Vec<f32>,
    /// What is added to the product: one value, or one per channel.
    pub offset: Vec<f32>,
}

impl Rescaling {
    /// The same factor and offset for all channels.
    pub fn new(scale: f32, offset: f32) -> Self {
        Self { scale: vec![scale], offset: vec![offset] }
    }

    /// A value per channel of a [`scale`](Self::scale) or an [`offset`](Self::offset).
    pub(crate) fn per_channel(values: &[f32], channels: usize) -> Vec<f32> {
        if values.len() == 1 { vec![values[0]; channels] } else { values.to_vec() }
    }
}

impl LayerSpec for Rescaling {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let channels = input.channels();
        for (name, values) in [("scale", &self.scale), ("offset", &self.offset)] {
            if values.len() != 1 && values.len() != channels {
                return Err(format!("{name} has {} values, expected one, or one per channel of {input}", values.len()));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!("{name} is {value}, not a finite number"));
            }
        }
        Ok(input.clone())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let channels = config.output.channels();
        Box::new(ScaleAndOffset {
            cpu: config.cpu,
            scale: Self::per_channel(&self.scale, channels),
            offset: Self::per_channel(&self.offset, channels),
            zeros: vec![0.0; channels],
            scratch: Vec::new(),
        })
    }
}

/// Values per channel.
struct ScaleAndOffset {
    cpu: Cpu,
    scale: Vec<f32>,
    offset: Vec<f32>,
    zeros: Vec<f32>,
    /// The gradient where it has to be added to another.
    scratch: Vec<f32>,
}

impl Op for ScaleAndOffset {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        affine(self.cpu, pass.inputs.get(0), &self.scale, &self.offset, false, output);
    }

    /// `dx = scale dy`
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            affine(self.cpu, pass.grad_output, &self.scale, &self.zeros, false, grad_input);
            return;
        }
        self.scratch.resize(grad_input.len(), 0.0);
        affine(self.cpu, pass.grad_output, &self.scale, &self.zeros, false, &mut self.scratch);
        lucida_kernels::ops::transfer(self.cpu, &self.scratch, grad_input, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Rescaling::new(0.25, -1.0), &[[3, 4, 5].into()]);
        check_layer(Rescaling { scale: vec![0.5, -2.0, 3.0], offset: vec![0.0, 1.0, -4.0] }, &[[3, 4, 3].into()]);
    }

    #[test]
    fn refusals_state_the_values() {
        let uneven = Rescaling { scale: vec![1.0, 2.0], offset: vec![0.0] };
        refuses(uneven, &[[3, 4, 3].into()], &["scale", "2 values", "(3, 4, 3)"]);
        refuses(Rescaling::new(1.0, f32::NAN), &[[3, 4, 3].into()], &["offset", "NaN"]);
    }
}
