//! Additive noise in training.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::noise::{Noise, noise_layer};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// In training, adds a normal random number to each value; the identity in inference.
///
/// ```
/// use lucida::nn::layers::GaussianNoise;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("noise", [8, 8, 4]).add(GaussianNoise::new(0.5)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().all(|&value| value == 1.0), "outside of training, nothing changes");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GaussianNoise {
    /// The standard deviation of the noise, not negative.
    pub stddev: f32,
}

impl GaussianNoise {
    fn check(&self) -> Result<(), String> {
        match (0.0..=f32::MAX).contains(&self.stddev) {
            true => Ok(()),
            false => Err(format!("noise of the deviation {} is invalid", self.stddev)),
        }
    }

    fn noise(&self) -> Noise {
        Noise::Add(self.stddev)
    }
}

noise_layer!(GaussianNoise, stddev, keeps_sign: false);

impl BuiltInLayer for GaussianNoise {
    const KERAS_CLASSES: &'static [&'static str] = &["GaussianNoise"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.ignore(&["seed"]);
        Ok(Self::new(config.number("stddev", 0.0)?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "stddev": decimal(self.stddev), "seed": null }))
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
        check_layer(GaussianNoise::new(0.4), &[[50].into()]);
        refuses(GaussianNoise::new(-1.0), &[[50].into()], &["-1"]);
    }

    #[test]
    fn noise_has_its_deviation_and_a_sample_its_own() {
        let zeros = vec![0.0; 4 * 9_999];
        let output = run_training(GaussianNoise::new(0.25), &[9_999].into(), &zeros, 4, 0);
        let deviation = (output.iter().map(|y| y * y).sum::<f32>() / output.len() as f32).sqrt();
        assert!((deviation - 0.25).abs() < 0.01, "{deviation}");
        let late = run_training(GaussianNoise::new(0.25), &[9_999].into(), &zeros[..2 * 9_999], 2, 2);
        assert_eq!(output[2 * 9_999..], late);
    }
}
