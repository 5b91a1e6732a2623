//! Stochastic depth (Huang et al., 2016): drops the branch of a residual block for some samples.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::noise::{Noise, NoiseSharing, check_rate, noise_layer};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// In training, sets whole samples to zero at random, and scales the others by `1 / (1 - rate)`; the identity in inference.
/// At the end of a residual branch, this reduces the block to its shortcut.
///
/// ```
/// use lucida::nn::layers::StochasticDepth;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("noise", [8, 8, 4]).add(StochasticDepth::new(0.5)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().all(|&value| value == 1.0), "outside of training, nothing changes");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StochasticDepth {
    /// The probability that a sample is dropped, in [0, 1).
    pub rate: f32,
}

impl StochasticDepth {
    fn check(&self) -> Result<(), String> {
        check_rate(self.rate)
    }

    fn noise(&self) -> Noise {
        Noise::Drop(self.rate, NoiseSharing::Samples)
    }
}

noise_layer!(StochasticDepth, rate, keeps_sign: true);

impl BuiltInLayer for StochasticDepth {
    const KERAS_CLASSES: &'static [&'static str] = &["StochasticDepth"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.ignore(&["seed"]);
        Ok(Self::new(config.number("drop_path_rate", 0.0)?).into())
    }

    fn keras_module(&self) -> &'static str {
        "keras.src.applications.convnext"
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "drop_path_rate": decimal(self.rate) }))
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
        check_layer(StochasticDepth::new(0.4), &[[3, 4, 5].into()]);
        refuses(StochasticDepth::new(1.0), &[[50].into()], &["less than 1", "got 1"]);
    }

    #[test]
    fn samples_are_dropped_whole() {
        let ones = vec![1.0; 1000 * 6];
        let output = run_training(StochasticDepth::new(0.25), &[6].into(), &ones, 1000, 0);
        assert!(output.chunks_exact(6).all(|sample| sample.iter().all(|&y| y == sample[0])));
        let dropped = output.iter().filter(|&&y| y == 0.0).count() as f64 / output.len() as f64;
        assert!((dropped - 0.25).abs() < 0.05, "{dropped}");
        let late = run_training(StochasticDepth::new(0.25), &[6].into(), &ones[..600], 100, 900);
        assert_eq!(output[900 * 6..], late);
    }
}
