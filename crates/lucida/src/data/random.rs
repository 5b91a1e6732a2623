//! The random order of things: seeded, and the same for ever.
//!
//! The shuffle is written out here instead of taken from a crate, because the crates promise the same numbers only
//! within one version, and a model must be reproducible from its seed after an upgrade.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What random numbers are drawn for. Each purpose has its own streams, so that one seed serves them all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// The split of a data set.
    Split = 1,
    /// The order of the images in an epoch.
    Order = 2,
    /// A choice of some out of many.
    Choice = 3,
    /// How an image is augmented.
    Augment = 4,
    /// What an image is mixed with, and what is covered of it.
    Mix = 5,
    /// The directions that the main ones are sought from.
    Embed = 6,
    /// The initial noise of a style transfer, and where tiles are cut.
    Canvas = 21,
    /// The noise of SmoothGrad.
    Noise = 11,
    /// The masks of RISE.
    Masks = 12,
    /// The order of pixels of equal importance.
    Ties = 13,
}

/// The generator for the `number`-th use of `seed` for a purpose.
pub(crate) fn generator(seed: u64, purpose: Purpose, number: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((purpose as u64) << 32) | u64::from(number));
    generator
}

/// `some` of the numbers below `count`, all of them if there are no more, chosen at random and in their order.
pub fn choose(count: usize, some: usize, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    shuffle(&mut numbers, &mut generator(seed, Purpose::Choice, 0));
    numbers.truncate(some);
    numbers.sort_unstable();
    numbers
}

/// As [`generator`], for the `number`-th image in an epoch: 2^20 words of 32 bits from one to the next epoch are more
/// than an image uses.
pub(crate) fn generator_in_epoch(seed: u64, purpose: Purpose, number: u32, epoch: u32) -> ChaCha8Rng {
    let mut generator = generator(seed, purpose, number);
    generator.set_word_pos(u128::from(epoch) << 20);
    generator
}

/// A number from 0 to 1 (excluded), all 53 bits of it random.
pub(crate) fn unit(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Two independent numbers of the normal distribution: G. Box and M. Muller (1958).
pub(crate) fn normal_pair(generator: &mut ChaCha8Rng) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - unit(generator)).ln()).sqrt();
    let angle = std::f64::consts::TAU * unit(generator);
    [radius * angle.cos(), radius * angle.sin()]
}

/// Shuffles `items` (Fisher and Yates): every order is equally likely.
pub(crate) fn shuffle<T>(items: &mut [T], generator: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last as u64 + 1, generator) as usize);
    }
}

/// A number below `bound`, without bias: D. Lemire, "Fast Random Integer Generation in an Interval" (2019).
pub(crate) fn below(bound: u64, generator: &mut ChaCha8Rng) -> u64 {
    let rejected = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(generator.next_u64()) * u128::from(bound);
        if product as u64 >= rejected {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut generator = generator(7, Purpose::Order, 0);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            shuffle(&mut items, &mut generator);
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
    fn purposes_and_numbers_have_streams_of_their_own() {
        let first = |purpose, number| generator(1, purpose, number).next_u64();
        assert_eq!(first(Purpose::Split, 0), first(Purpose::Split, 0));
        assert_ne!(first(Purpose::Split, 0), first(Purpose::Order, 0));
        assert_ne!(first(Purpose::Order, 0), first(Purpose::Order, 1));
    }
}
