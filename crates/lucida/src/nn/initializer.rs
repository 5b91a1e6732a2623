//! Weight initializers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keras_config::{KerasConfig, short};
use crate::core::{Purpose, Rng};
use crate::files::decimal;

/// A weight initializer, as in Keras. `fan_in` and `fan_out` are the numbers of inputs and outputs of a unit.
///
/// ```
/// use lucida::nn::Initializer;
/// use lucida::prelude::*;
///
/// let conv = Conv2D { kernel_initializer: Initializer::HeUniform, ..Conv2D::new(16, [3, 3]) };
/// let network = Sequential::new("he", [8, 8, 4]).add(conv).build(42)?;
/// let limit = (6.0_f32 / (3.0 * 3.0 * 4.0)).sqrt();
/// assert!(network.weights()[0].values().iter().all(|weight| weight.abs() <= limit));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initializer {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// Uniform in `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    GlorotUniform,
    /// Uniform in `±sqrt(6 / fan_in)` (He et al., 2015).
    HeUniform,
    /// Normal with standard deviation `sqrt(2 / fan_in)` (He et al., 2015).
    HeNormal,
    /// The same value everywhere.
    Constant(f32),
}

impl Initializer {
    /// Fills a weight of this shape; `index` is its index in the network.
    pub(crate) fn fill(self, shape: &[usize], values: &mut [f32], seed: u64, index: usize) {
        let mut rng = Rng::keyed(seed, Purpose::Weights, index);
        let (fan_in, fan_out) = fans(shape);
        match self {
            Self::Zeros => values.fill(0.0),
            Self::Ones => values.fill(1.0),
            Self::Constant(value) => values.fill(value),
            Self::GlorotUniform => uniform(&mut rng, (6.0 / (fan_in + fan_out)).sqrt(), values),
            Self::HeUniform => uniform(&mut rng, (6.0 / fan_in).sqrt(), values),
            Self::HeNormal => {
                let deviation = (2.0 / fan_in).sqrt();
                values.iter_mut().for_each(|value| *value = (rng.normal_pair()[0] * deviation) as f32);
            }
        }
    }
}

/// `fan_in` and `fan_out` of a unit, multiplied by the area of the kernel, as in Keras.
fn fans(shape: &[usize]) -> (f64, f64) {
    match shape {
        [] => (1.0, 1.0),
        [n] => (*n as f64, *n as f64),
        [area @ .., inputs, outputs] => {
            let area = area.iter().product::<usize>() as f64;
            (area * *inputs as f64, area * *outputs as f64)
        }
    }
}

fn uniform(rng: &mut Rng, limit: f64, values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = (limit * (2.0 * rng.uniform() - 1.0)) as f32);
}

/// Conversion from and to Keras.
impl Initializer {
    /// Reads an option of a layer. An unknown initializer is only noted, as the weights are read anyway.
    pub(super) fn from_keras(config: &mut KerasConfig, name: &'static str) -> Self {
        let Some(value) = config.get(name) else { return Self::GlorotUniform };
        match value["class_name"].as_str().or_else(|| value.as_str()) {
            Some("GlorotUniform" | "glorot_uniform") => Self::GlorotUniform,
            Some("HeUniform" | "he_uniform") => Self::HeUniform,
            Some("HeNormal" | "he_normal") => Self::HeNormal,
            Some("Zeros" | "zeros") => Self::Zeros,
            Some("Ones" | "ones") => Self::Ones,
            Some("Constant") if value["config"]["value"].is_number() => {
                Self::Constant(value["config"]["value"].as_f64().unwrap_or_default() as f32)
            }
            // Older files have `VarianceScaling`, of which Glorot's rule is a special case.
            _ => {
                config.add_note(format!("{name} {}", short(value)));
                Self::GlorotUniform
            }
        }
    }

    /// The Keras configuration.
    pub(super) fn to_keras(self) -> Value {
        match self {
            Self::Zeros => "zeros".into(),
            Self::Ones => "ones".into(),
            Self::GlorotUniform => "glorot_uniform".into(),
            Self::HeUniform => "he_uniform".into(),
            Self::HeNormal => "he_normal".into(),
            Self::Constant(value) => json!({
                "module": "keras.initializers",
                "class_name": "Constant",
                "config": { "value": decimal(value) },
                "registered_name": null,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(initializer: Initializer, shape: &[usize], seed: u64, index: usize) -> Vec<f32> {
        let mut values = vec![f32::NAN; shape.iter().product()];
        initializer.fill(shape, &mut values, seed, index);
        values
    }

    #[test]
    fn glorot_stays_in_its_limits_and_fills_them() {
        let shape = [3, 3, 24, 48];
        let values = filled(Initializer::GlorotUniform, &shape, 1, 0);
        let limit = (6.0_f64 / (9.0 * 24.0 + 9.0 * 48.0)).sqrt() as f32;
        let largest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        assert!(largest <= limit && largest > 0.99 * limit);
        let variance = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
        assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.05);
    }

    #[test]
    fn he_normal_has_its_deviation() {
        let values = filled(Initializer::HeNormal, &[200, 300], 3, 1);
        let variance = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
        assert!((variance / 0.01 - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn seeds_and_indices_distinguish_weights() {
        let shape = [5, 7];
        let one = filled(Initializer::GlorotUniform, &shape, 1, 0);
        assert_eq!(one, filled(Initializer::GlorotUniform, &shape, 1, 0));
        assert_ne!(one, filled(Initializer::GlorotUniform, &shape, 2, 0));
        assert_ne!(one, filled(Initializer::GlorotUniform, &shape, 1, 1));
    }
}
