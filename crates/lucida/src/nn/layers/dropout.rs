//! Dropout (Srivastava et al., 2014): in training each value is dropped with probability `rate`, and the others are divided
//! by `1 - rate`, so that inference needs no scaling.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::noise::{Noise, NoiseSharing, check_rate};
use super::spatial_dropout::SpatialDropout2D;
use super::spec::{Extent, LayerSpec, one_input};
use super::stochastic_depth::StochasticDepth;
use crate::files::decimal;
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Op, OpConfig};

/// In training, sets values to zero at random, and scales the others by `1 / (1 - rate)`; the identity in inference.
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
    /// The probability that a value is dropped, in [0, 1).
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
        check_rate(self.rate)?;
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
        Noise::Drop(self.rate, NoiseSharing::Values).prepare(config)
    }
}

impl BuiltInLayer for Dropout {
    const KERAS_CLASSES: &'static [&'static str] = &["Dropout"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.ignore(&["seed"]);
        let rate = config.number("rate", 0.5)?;
        // Values along an axis of size 1 are dropped together.
        let Some(shape) = config.get("noise_shape") else { return Ok(Self::new(rate).into()) };
        let sizes = config.input().sizes();
        let own = shape.as_array().filter(|own| own.len() == sizes.len() + 1 && own[0].is_null());
        let whole = |(own, &size): (&Value, &usize)| own.is_null() || *own == size;
        match own.map(|own| &own[1..]) {
            Some(own) if own.iter().zip(sizes).all(whole) => Ok(Self::new(rate).into()),
            Some(own) if own.iter().all(|own| *own == 1) => Ok(StochasticDepth::new(rate).into()),
            Some([before @ .., last]) if before.iter().all(|own| *own == 1) && whole((last, &sizes[before.len()])) => {
                Ok(SpatialDropout2D::new(rate).into())
            }
            _ => Err(format!("noise_shape {} is not supported", short(shape))),
        }
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
