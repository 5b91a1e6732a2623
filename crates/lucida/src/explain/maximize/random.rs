//! Random numbers for images: from ChaCha, so that a seed gives the same image for ever.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator for one image: what is drawn for it depends on the seed and its number only, not on its batch.
pub(super) fn generator(seed: u64, number: usize) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(number as u64);
    generator
}

/// A number from 0 up to but not including 1.
pub(super) fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// A number of mean 0 and deviation 1: the sum of eight random bytes, which is as good as normal up to three deviations.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let sum: u32 = rng.next_u64().to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
    // Eight times the variance of a byte, (256^2 - 1) / 12.
    const DEVIATION: f32 = 209.022_3;
    (sum as f32 - 8.0 * 127.5) / DEVIATION
}

/// A whole number from `-most` to `most`.
pub(super) fn whole(most: usize, rng: &mut ChaCha8Rng) -> isize {
    (uniform(rng) * (2 * most + 1) as f32) as isize - most as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let mut rng = generator(1, 2);
        let draws: Vec<f32> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / draws.len() as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let draws: Vec<isize> = (0..1000).map(|_| whole(2, &mut rng)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&-2), Some(&2)));
        assert!(generator(1, 3).next_u64() != generator(1, 2).next_u64());
    }
}
