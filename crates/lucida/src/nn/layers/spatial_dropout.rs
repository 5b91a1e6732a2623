//! Spatial dropout (Tompson et al., 2015): drops whole channels, since neighboring pixels are correlated.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::noise::{Noise, NoiseSharing, check_rate, noise_layer};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// In training, sets whole channels to zero at random, and scales the others by `1 / (1 - rate)`; the identity in
/// inference.
///
/// ```
/// use lucida::nn::layers::SpatialDropout2D;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("noise", [8, 8, 4]).add(SpatialDropout2D::new(0.5)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// assert!(plan.output(0).iter().all(|&value| value == 1.0), "outside of training, nothing changes");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpatialDropout2D {
    /// The probability that a channel is dropped, in [0, 1).
    pub rate: f32,
}

impl SpatialDropout2D {
    fn check(&self) -> Result<(), String> {
        check_rate(self.rate)
    }

    fn noise(&self) -> Noise {
        Noise::Drop(self.rate, NoiseSharing::Channels)
    }
}

noise_layer!(SpatialDropout2D, rate, keeps_sign: true);

impl BuiltInLayer for SpatialDropout2D {
    const KERAS_CLASSES: &'static [&'static str] = &["SpatialDropout2D", "SpatialDropout1D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        config.ignore(&["seed", "noise_shape"]);
        Ok(Self::new(config.number("rate", 0.5)?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "rate": decimal(self.rate), "seed": null, "data_format": "channels_last" }))
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
        check_layer(SpatialDropout2D::new(0.4), &[[3, 4, 5].into()]);
        refuses(SpatialDropout2D::new(1.0), &[[50].into()], &["less than 1", "got 1"]);
    }

    #[test]
    fn channels_are_dropped_whole() {
        let ones = vec![1.0; 4 * 9 * 500];
        let output = run_training(SpatialDropout2D::new(0.25), &[3, 3, 500].into(), &ones, 4, 0);
        for sample in output.chunks_exact(9 * 500) {
            assert!(sample.chunks_exact(500).all(|pixel| pixel == &sample[..500]));
        }
        let dropped = output.iter().filter(|&&y| y == 0.0).count() as f64 / output.len() as f64;
        assert!((dropped - 0.25).abs() < 0.04, "{dropped}");
    }
}
