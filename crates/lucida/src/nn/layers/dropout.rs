//! Dropout (Srivastava et al., 2014): in training each value is dropped with probability `rate`, and the others are
//! divided by `1 - rate`, so that nothing has to change when the network is used.

use lucida_kernels::ops::multiply;
use lucida_kernels::{Buffer, Cpu};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::files::decimal;
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// Sets values to zero at random in training, and scales the others up by `1 / (1 - rate)`; does nothing otherwise.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("dropout", [100]).add(Dropout::new(0.5)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().all(|&value| value == 1.0), "outside of training, nothing is dropped");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// The probability that a value is dropped, from 0 up to but not including 1.
    pub rate: f32,
}

impl Dropout {
    /// Drops values with this probability.
    pub fn new(rate: f32) -> Self {
        Self { rate }
    }
}

impl LayerSpec for Dropout {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(format!("a dropout rate is at least 0 and less than 1, got {}", self.rate));
        }
        Ok(one_input(inputs)?.clone())
    }

    fn is_view(&self, training: bool) -> bool {
        !training || self.rate == 0.0
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let features = config.inputs[0].len();
        let factors = Buffer::zeroed(config.batch * features);
        Box::new(Dropping { cpu: config.cpu, rate: self.rate, features, factors })
    }
}

struct Dropping {
    cpu: Cpu,
    rate: f32,
    features: usize,
    /// What each value of the batch is multiplied with: zero or `1 / (1 - rate)`.
    factors: Buffer,
}

impl Op for Dropping {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let mut rng = pass.seed.expect("a plan for training is given a seed for each step").rng(self.features);
        let keep = 1.0 / (1.0 - self.rate);
        let threshold = (f64::from(self.rate) * 2.0_f64.powi(32)) as u32;
        let len = output.len();
        let factors = &mut self.factors[..len];
        factors.iter_mut().for_each(|factor| *factor = if rng.next_u32() < threshold { 0.0 } else { keep });
        multiply(self.cpu, pass.inputs.get(0), factors, output, false);
    }

    /// The gradient passes where the value passed, with the same factor.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        multiply(self.cpu, pass.grad_output, &self.factors[..grad_input.len()], grad_input, accumulate);
    }
}

impl BuiltInLayer for Dropout {
    const KERAS_CLASSES: &'static [&'static str] = &["Dropout"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.must_be("noise_shape", &[])?;
        config.ignore(&["seed"]);
        Ok(Self::new(config.number("rate", 0.5)?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "rate": decimal(self.rate), "seed": null, "noise_shape": null }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let ratio = layer.number("ratio", self.rate);
        layer.result("Dropout", vec![layer.input(), ratio], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients() {
        check_layer(Dropout::new(0.4), &[[50].into()]);
        refuses(Dropout::new(1.0), &[[50].into()], &["less than 1", "got 1"]);
    }

    #[test]
    fn drops_its_share_and_keeps_the_mean() {
        let ones = vec![1.0; 4 * 10_000];
        let output = run_training(Dropout::new(0.25), &[10_000].into(), &ones, 4, 0);
        let dropped = output.iter().filter(|&&y| y == 0.0).count() as f64 / output.len() as f64;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!(output.iter().all(|&y| y == 0.0 || (y - 4.0 / 3.0).abs() < 1e-6));
    }

    #[test]
    fn a_sample_drops_the_same_in_any_batch() {
        let ones = vec![1.0; 6 * 100];
        let whole = run_training(Dropout::new(0.5), &[100].into(), &ones, 6, 0);
        let late = run_training(Dropout::new(0.5), &[100].into(), &ones[..200], 2, 4);
        assert_eq!(whole[400..], late);
        assert_ne!(whole[..200], late);
    }
}
