//! Elementwise powers of two inputs.

use lucida_kernels::ops::{Arithmetic, Broadcast, arithmetic, sum_broadcast};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::merge::{Merge, merged_on_images};
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// The first input to the power of the second, elementwise. Axes of size 1 are broadcast. For a negative base the power is
/// NaN unless the exponent is an integer.
///
/// ```
/// use lucida::nn::layers::{Input, Power};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("merged");
/// let image = builder.add(Input::new([4, 4, 2]), &[])?;
/// let other = builder.add(Input::new([1, 1, 2]), &[])?;
/// let merged = builder.add(Power::new(), &[image, other])?;
/// let network = builder.build(&[merged], 42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut_at(0).fill(4.0);
/// plan.input_mut_at(1).copy_from_slice(&[2.0, 0.5]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0)[..2], [16.0, 2.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Power {}

impl Power {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

impl LayerSpec for Power {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        // Base and exponent are broadcast like the operands of a quotient.
        Merge::Quotient.output_shape(inputs)
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Joined { elementwise: true }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let sizes = config.output.sizes();
        let map = |input: &Shape| Broadcast::new(input.sizes(), sizes).expect("the shape rule has accepted the inputs");
        let values = || vec![0.0; config.batch * config.output.len()];
        Box::new(Powers {
            cpu: config.cpu,
            maps: [map(&config.inputs[0]), map(&config.inputs[1])],
            bases: values(),
            exponents: values(),
        })
    }
}

/// The power prepared to compute.
struct Powers {
    cpu: lucida_kernels::Cpu,
    maps: [Broadcast; 2],
    /// Both inputs after broadcasting.
    bases: Vec<f32>,
    exponents: Vec<f32>,
}

impl Powers {
    fn repeat(&mut self, inputs: crate::nn::op::Inputs, len: usize) {
        for (index, values) in [&mut self.bases, &mut self.exponents].into_iter().enumerate() {
            arithmetic(self.cpu, Arithmetic::Copy, &self.maps[index], inputs.get(index), &mut values[..len]);
        }
    }
}

impl Op for Powers {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        self.repeat(pass.inputs, output.len());
        for ((y, a), &b) in output.iter_mut().zip(&self.bases).zip(&self.exponents) {
            *y = a.powf(b);
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// The gradients of `a^b` are `dy b a^(b-1)` and `dy a^b ln a`, the latter where `a` is positive, as in TensorFlow; a
    /// broadcast input gets the sum over its uses.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool) {
        let len = pass.grad_output.len();
        self.repeat(pass.inputs, len);
        // The gradients overwrite the bases.
        for ((a, &b), &dy) in self.bases.iter_mut().zip(&self.exponents).zip(pass.grad_output) {
            *a = dy
                * match index {
                    0 if b == 0.0 => 0.0,
                    0 => b * a.powf(b - 1.0),
                    _ if *a > 0.0 => a.powf(b) * a.ln(),
                    _ => 0.0,
                };
        }
        sum_broadcast(self.cpu, &self.maps[index], &self.bases[..len], grad_input, accumulate);
    }
}

impl BuiltInLayer for Power {
    /// The operation `keras.ops.power`.
    const KERAS_CLASSES: &'static [&'static str] = &["Power"];

    fn from_keras(_class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Ok(Self::new().into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({}))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let inputs = merged_on_images(layer);
        layer.result("Pow", inputs, vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{merged, refuses};

    #[test]
    fn gradients() {
        let (output, gradients) = merged(Power::new(), [&[4.0, 2.0, 9.0, 1.0], &[0.5, 3.0]]);
        assert_eq!(output, [2.0, 8.0, 3.0, 1.0]);
        // dy = 1, 2, 3, 4: dy b a^(b-1), and the sum over pixels of dy a^b ln a.
        assert_eq!(gradients[0], [0.25, 24.0, 0.5, 12.0]);
        let expected = [2.0 * 4.0_f32.ln() + 9.0 * 9.0_f32.ln(), 16.0 * 2.0_f32.ln()];
        for (gradient, expected) in gradients[1].iter().zip(expected) {
            assert!((gradient - expected).abs() < 1e-5, "{gradient} instead of {expected}");
        }
        refuses(Power::new(), &[[5].into(), [5].into(), [5].into()], &["two inputs", "got 3"]);
    }

    #[test]
    fn gradients_agree_with_differences() {
        let (a, b): ([f32; 4], [f32; 2]) = ([1.3, 0.7, 2.1, 1.6], [1.7, -0.6]);
        let importance = [1.0, 2.0, 3.0, 4.0];
        let loss = |a: &[f32], b: &[f32]| -> f64 {
            let (output, _) = merged(Power::new(), [a, b]);
            output.iter().zip(importance).map(|(&y, r)| f64::from(y) * r).sum()
        };
        let (_, gradients) = merged(Power::new(), [&a, &b]);
        let step = 1e-2;
        for (index, gradient) in gradients.concat().into_iter().enumerate() {
            let moved = |step: f32| {
                let (mut a, mut b) = (a, b);
                *if index < 4 { &mut a[index] } else { &mut b[index - 4] } += step;
                loss(&a, &b)
            };
            let slope = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            assert!((f64::from(gradient) - slope).abs() < 2e-3 * slope.abs().max(1.0), "{gradient} and {slope}");
        }
    }

    #[test]
    fn a_negative_base_has_whole_powers() {
        let (output, gradients) = merged(Power::new(), [&[-2.0, -1.0, 0.0, 4.0], &[2.0, 0.5]]);
        assert!(output[0] == 4.0 && output[1].is_nan() && output[2..] == [0.0, 2.0], "{output:?}");
        assert_eq!((gradients[0][0], gradients[0][2], gradients[1][0]), (-4.0, 0.0, 0.0));
    }
}
