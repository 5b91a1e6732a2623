//! Random numbers: seeded, and the same for ever.
//!
//! All draws are written out here instead of taken from a crate, because crates promise the same numbers only within one
//! version, and a model must be reproducible from its seed after an upgrade. The bits are ChaCha's with 8 rounds, whose
//! streams and positions can be chosen: what is drawn for an image or a sample does not depend on what was drawn before
//! it, on its batch, its thread or its machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What random numbers are drawn for. Each purpose has its own streams, so that one seed serves them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights; the index is that of the weight.
    Weights,
    /// What a layer draws in training, such as dropout masks; the index is that of the layer.
    Layer,
    /// The initial image, the jitter and the noise of a maximization; the index is that of the image.
    Maximize,
    /// Random signs and images that measure effective receptive fields.
    ReceptiveField,
    /// The split of a data set.
    Split,
    /// The order of the images in an epoch; the index is that of the epoch.
    Order,
    /// A choice of some out of many.
    Choice,
    /// How an image is augmented; the index is that of the image.
    Augment,
    /// What an image is mixed with, and what is cut out of it; the index is that of the image.
    Mix,
    /// The directions that principal components are sought from.
    Embed,
    /// The noise of SmoothGrad.
    Noise,
    /// The masks of RISE.
    Masks,
    /// The order of pixels of equal importance.
    Ties,
    /// The initial noise of a style transfer, and where tiles are cut.
    Canvas,
    /// How a photo is cropped to train a feed-forward style; the index is that of the crop.
    StyleCrop,
}

impl Purpose {
    /// The upper half of the number of its streams. The first four are older than the others and share one number, which
    /// cannot change: trained models and checkpoints depend on it.
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

/// A generator of random numbers.
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
    /// The generator for use number `index` of `seed` for a purpose.
    pub fn keyed(seed: u64, purpose: Purpose, index: usize) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream((purpose.group() << 32) | index as u64);
        Self(generator)
    }

    /// The same generator, `words` words of 32 bits after its beginning.
    #[must_use]
    pub fn at(mut self, words: u128) -> Self {
        self.0.set_word_pos(words);
        self
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number from 0 up to but not including 1, all 53 bits of it random.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// As [`uniform`](Self::uniform), of 24 bits and half the work.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// A number between two others.
    pub fn between(&mut self, [least, most]: [f64; 2]) -> f64 {
        least + (most - least) * self.uniform()
    }

    /// True or false, equally likely.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 == 1
    }

    /// A whole number below `bound`, without bias: D. Lemire, "Fast Random Integer Generation in an Interval" (2019).
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

    /// A whole number from `-most` to `most`.
    pub fn offset(&mut self, most: usize) -> isize {
        (self.uniform_f32() * (2 * most + 1) as f32) as isize - most as isize
    }

    /// Two independent numbers of the standard normal distribution: G. Box and M. Muller (1958).
    pub fn normal_pair(&mut self) -> [f64; 2] {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        [radius * angle.cos(), radius * angle.sin()]
    }

    /// Adds normal numbers of this deviation to `values`.
    pub fn add_noise(&mut self, values: &mut [f32], deviation: f64) {
        for pair in values.chunks_mut(2) {
            let noise = self.normal_pair();
            pair.iter_mut().zip(noise).for_each(|(value, noise)| *value += (deviation * noise) as f32);
        }
    }

    /// A number of mean 0 and deviation 1: the sum of eight random bytes, which is as good as normal up to three deviations
    /// and much faster.
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

/// `some` of the numbers below `count`, all of them if there are no more, chosen at random and in their order.
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

    /// Numbers that are promised for ever: a model trained today must come out of its seed in ten years.
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
