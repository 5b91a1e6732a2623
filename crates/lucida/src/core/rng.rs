//! Random numbers: seeded, and stable across versions.
//!
//! All distributions are implemented here rather than taken from a crate, because crates guarantee the same numbers only
//! within one version, and a model must be reproducible from its seed after an upgrade. The bits come from ChaCha8, whose
//! streams and positions can be chosen: the numbers for an image or a sample do not depend on earlier draws, nor on its
//! batch, thread or machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// The purpose of random numbers. Each purpose has its own streams, so that one seed serves them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights; the index is that of the weight.
    Weights,
    /// Draws of a layer in training, such as dropout masks; the index is that of the layer.
    Layer,
    /// The initial image, the jitter and the noise of activation maximization; the index is that of the image.
    Maximize,
    /// Random signs and images for measuring effective receptive fields.
    ReceptiveField,
    /// The split of a data set.
    Split,
    /// The order of the images in an epoch; the index is that of the epoch.
    Order,
    /// A random subset.
    Choice,
    /// How an image is augmented; the index is that of the image.
    Augment,
    /// The images and cutouts that an image is mixed with; the index is that of the image.
    Mix,
    /// The initial directions for principal components.
    Embed,
    /// The noise of SmoothGrad.
    Noise,
    /// The masks of RISE.
    Masks,
    /// The order of equally important pixels.
    Ties,
    /// The initial noise of style transfer, and the positions of tiles.
    Canvas,
    /// Random crops for training a feed-forward style; the index is that of the crop.
    StyleCrop,
}

impl Purpose {
    /// The upper half of the stream number. The first four purposes share one number, which cannot change: existing models
    /// and checkpoints depend on it.
    fn group(self) -> u64 {
        match self {
            Self::Weights | Self::Layer | Self::Maximize | Self::ReceptiveField => 0,
            Self::Split => 1,
            Self::Order => 2,
            Self::Choice => 3,
            Self::Augment => 4,
            Self::Mix => 5,
            Self::Embed => 6,
            Self::Noise => 11,
            Self::Masks => 12,
            Self::Ties => 13,
            Self::Canvas => 21,
            Self::StyleCrop => 22,
        }
    }
}

/// A random number generator.
///
/// ```
/// use lucida::core::{Purpose, Rng};
///
/// let mut rng = Rng::keyed(42, Purpose::Choice, 0);
/// let uniform = rng.uniform();
/// assert!((0.0..1.0).contains(&uniform));
/// // The same seed, purpose and index draw the same numbers.
/// assert_eq!(Rng::keyed(42, Purpose::Choice, 0).uniform(), uniform);
/// assert_ne!(Rng::keyed(42, Purpose::Choice, 1).uniform(), uniform);
/// ```
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator for `index` of a purpose, from a seed.
    pub fn keyed(seed: u64, purpose: Purpose, index: usize) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream((purpose.group() << 32) | index as u64);
        Self(generator)
    }

    /// Moves the generator to this position, in 32-bit words from the start of its stream.
    #[must_use]
    pub fn at(mut self, words: u128) -> Self {
        self.0.set_word_pos(words);
        self
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A uniform number in `[0, 1)` with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// As [`uniform`](Self::uniform), with 24 random bits at half the cost.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// A uniform number in `[least, most)`.
    pub fn between(&mut self, [least, most]: [f64; 2]) -> f64 {
        least + (most - least) * self.uniform()
    }

    /// `true` or `false` with equal probability.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 == 1
    }

    /// An unbiased uniform integer below `bound`: D. Lemire, "Fast Random Integer Generation in an Interval" (2019).
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        let rejected = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= rejected {
                return (product >> 64) as usize;
            }
        }
    }

    /// A uniform integer from `-most` to `most`.
    pub fn offset(&mut self, most: usize) -> isize {
        (self.uniform_f32() * (2 * most + 1) as f32) as isize - most as isize
    }

    /// Two independent standard normal numbers: G. Box and M. Muller (1958).
    pub fn normal_pair(&mut self) -> [f64; 2] {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        [radius * angle.cos(), radius * angle.sin()]
    }

    /// Adds normal noise of this standard deviation to `values`.
    pub fn add_noise(&mut self, values: &mut [f32], deviation: f64) {
        for pair in values.chunks_mut(2) {
            let noise = self.normal_pair();
            pair.iter_mut().zip(noise).for_each(|(value, noise)| *value += (deviation * noise) as f32);
        }
    }

    /// A number with mean 0 and standard deviation 1: the normalized sum of eight random bytes, which is close to normal up
    /// to three standard deviations and much faster.
    pub fn approximately_normal(&mut self) -> f32 {
        let sum: u32 = self.0.next_u64().to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
        // Eight times the variance of a byte, (256^2 - 1) / 12.
        const DEVIATION: f32 = 209.022_3;
        (sum as f32 - 8.0 * 127.5) / DEVIATION
    }

    /// Shuffles `items` (Fisher and Yates): every order is equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// `some` distinct numbers below `count` (all, if there are no more), chosen at random, in ascending order.
///
/// ```
/// assert_eq!(lucida::core::choose(3, 8, 1), [0, 1, 2]);
/// assert_eq!(lucida::core::choose(100, 8, 1).len(), 8);
/// ```
pub fn choose(count: usize, some: usize, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    Rng::keyed(seed, Purpose::Choice, 0).shuffle(&mut numbers);
    numbers.truncate(some);
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These numbers must never change: a model trained today must be reproducible from its seed in ten years.
    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut rng = Rng::keyed(7, Purpose::Order, 3);
        let drawn = (rng.next_u32(), rng.next_u32(), rng.uniform(), rng.below(1000));
        let far = Rng::keyed(7, Purpose::Layer, 3).at(1 << 26).next_u32();
        assert_eq!((drawn, far), ((3_284_415_937, 3_276_397_612, 0.846_740_603_234_151_9, 481), 357_569_002));
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut rng = Rng::keyed(7, Purpose::Order, 0);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            rng.shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // The standard deviation of each count is 29.
        assert!(counts.values().all(|&n: &i32| (n - 1000).abs() < 150), "{counts:?}");
    }

    #[test]
    fn choices_are_distinct_and_in_order() {
        let some = choose(100, 8, 5);
        assert_eq!(some.len(), 8);
        assert!(some.windows(2).all(|pair| pair[0] < pair[1]) && some[7] < 100);
        assert_ne!(some, choose(100, 8, 6));
        assert_eq!(choose(3, 8, 5), [0, 1, 2]);
    }

    #[test]
    fn purposes_and_indices_have_streams_of_their_own() {
        let first = |purpose, index| Rng::keyed(1, purpose, index).next_u32();
        assert_eq!(first(Purpose::Split, 0), first(Purpose::Split, 0));
        assert_ne!(first(Purpose::Split, 0), first(Purpose::Order, 0));
        assert_ne!(first(Purpose::Order, 0), first(Purpose::Order, 1));
    }

    #[test]
    fn noise_has_its_mean_and_deviation() {
        let mut values = vec![3.0_f32; 20_001];
        Rng::keyed(1, Purpose::Noise, 0).add_noise(&mut values, 0.5);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        // The standard errors are 0.0035 and 0.0025.
        assert!((mean - 3.0).abs() < 0.015 && (variance - 0.25).abs() < 0.01, "{mean} {variance}");
        let mut none = [1.0, 2.0];
        Rng::keyed(1, Purpose::Noise, 0).add_noise(&mut none, 0.0);
        assert_eq!(none, [1.0, 2.0]);
    }

    #[test]
    fn moments() {
        let moments = |draws: &[f64]| {
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            (mean, draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / draws.len() as f64)
        };
        let mut rng = Rng::keyed(1, Purpose::Maximize, 2);
        let sums: Vec<f64> = (0..20_000).map(|_| f64::from(rng.approximately_normal())).collect();
        let pairs: Vec<f64> = (0..10_000).flat_map(|_| rng.normal_pair()).collect();
        for (mean, variance) in [moments(&sums), moments(&pairs)] {
            assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        }
        let offsets: Vec<isize> = (0..1000).map(|_| rng.offset(2)).collect();
        assert_eq!((offsets.iter().min(), offsets.iter().max()), (Some(&-2), Some(&2)));
        let heads = (0..1000).filter(|_| rng.coin()).count();
        assert!(heads.abs_diff(500) < 80, "{heads}");
    }
}
