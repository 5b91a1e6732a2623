//! Alpha dropout (Klambauer et al., 2017): dropout for networks with SELU that preserves mean and variance.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::noise::{Noise, check_rate, noise_layer};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// In training, sets values to SELU's lower bound at random, and restores mean 0 and variance 1; the identity in inference.
///
/// ```
/// use lucida::nn::layers::AlphaDropout;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("noise", [8, 8, 4]).add(AlphaDropout::new(0.5)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().all(|&value| value == 1.0), "outside of training, nothing changes");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlphaDropout {
    /// The probability that a value is dropped, in [0, 1).
    pub rate: f32,
}

impl AlphaDropout {
    fn check(&self) -> Result<(), String> {
        check_rate(self.rate)
    }

    fn noise(&self) -> Noise {
        Noise::Alpha(self.rate)
    }
}

noise_layer!(AlphaDropout, rate, keeps_sign: false);

impl BuiltInLayer for AlphaDropout {
    const KERAS_CLASSES: &'static [&'static str] = &["AlphaDropout"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.must_be("noise_shape", &[])?;
        config.ignore(&["seed"]);
        Ok(Self::new(config.number("rate", 0.5)?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "rate": decimal(self.rate), "seed": null, "noise_shape": null }))
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
        check_layer(AlphaDropout::new(0.4), &[[50].into()]);
        refuses(AlphaDropout::new(-0.1), &[[50].into()], &["at least 0", "got -0.1"]);
    }

    #[test]
    fn mean_and_variance_stay() {
        // Values of mean 0 and variance 1.
        let signs: Vec<f32> = (0..4 * 10_000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let output = run_training(AlphaDropout::new(0.3), &[10_000].into(), &signs, 4, 0);
        let mean = output.iter().sum::<f32>() / output.len() as f32;
        let variance = output.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / output.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
