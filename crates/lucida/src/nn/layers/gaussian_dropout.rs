//! Gaussian dropout (Srivastava et al., 2014): multiplicative noise with the variance of dropout.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::noise::{Noise, check_rate, noise_layer};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// In training, multiplies each value by a normal random number with mean one and standard deviation
/// `sqrt(rate / (1 - rate))`; the identity in inference.
///
/// ```
/// use lucida::nn::layers::GaussianDropout;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("noise", [8, 8, 4]).add(GaussianDropout::new(0.5)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().all(|&value| value == 1.0), "outside of training, nothing changes");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GaussianDropout {
    /// The rate of the equivalent dropout, in [0, 1).
    pub rate: f32,
}

impl GaussianDropout {
    fn check(&self) -> Result<(), String> {
        check_rate(self.rate)
    }

    fn noise(&self) -> Noise {
        Noise::Scale((self.rate / (1.0 - self.rate)).sqrt())
    }
}

noise_layer!(GaussianDropout, rate, keeps_sign: false);

impl BuiltInLayer for GaussianDropout {
    const KERAS_CLASSES: &'static [&'static str] = &["GaussianDropout"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.ignore(&["seed"]);
        Ok(Self::new(config.number("rate", 0.5)?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "rate": decimal(self.rate), "seed": null }))
    }

    /// The identity in inference.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        layer.output = layer.input();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients() {
        check_layer(GaussianDropout::new(0.4), &[[50].into()]);
        refuses(GaussianDropout::new(1.0), &[[50].into()], &["less than 1", "got 1"]);
    }

    #[test]
    fn factors_have_mean_one_and_their_deviation() {
        let ones = vec![1.0; 4 * 10_000];
        let output = run_training(GaussianDropout::new(0.2), &[10_000].into(), &ones, 4, 0);
        let mean = output.iter().sum::<f32>() / output.len() as f32;
        let deviation = (output.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / output.len() as f32).sqrt();
        assert!((mean - 1.0).abs() < 0.01 && (deviation - 0.5).abs() < 0.01, "{mean} {deviation}");
    }
}
