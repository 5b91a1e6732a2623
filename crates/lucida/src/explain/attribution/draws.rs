//! Random numbers for attributions: seeded, and the same for ever.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A number from 0 to 1, without 1.
pub(super) fn unit(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Adds normal numbers of this deviation (Box and Muller, 1958).
pub(super) fn add_noise(values: &mut [f32], deviation: f64, generator: &mut ChaCha8Rng) {
    for pair in values.chunks_mut(2) {
        let radius = deviation * (-2.0 * (1.0 - unit(generator)).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * unit(generator)).sin_cos();
        for (value, part) in pair.iter_mut().zip([cosine, sine]) {
            *value += (radius * part) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::{Purpose, generator};

    #[test]
    fn noise_has_its_mean_and_deviation() {
        let mut values = vec![3.0_f32; 20_001];
        add_noise(&mut values, 0.5, &mut generator(1, Purpose::Noise, 0));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        // The standard errors are 0.0035 and 0.0025.
        assert!((mean - 3.0).abs() < 0.015 && (variance - 0.25).abs() < 0.01, "{mean} {variance}");
        let mut none = [1.0, 2.0];
        add_noise(&mut none, 0.0, &mut generator(1, Purpose::Noise, 0));
        assert_eq!(none, [1.0, 2.0]);
    }
}
