//! Splits an inference plan into sections that process a few samples at a time.
//!
//! A layer of MobileNetV2 has 5 MB of values for an image of 224x224, and 154 MB for 32 of them: what one step writes and
//! the next reads goes through memory, which takes longer than the arithmetic. So consecutive steps form a section, which
//! takes a few images at a time through all its steps. If layers are small or have many weights, a section processes many
//! images at a time, because every pass reads all weights:
//!
//! ```text
//!   section 0, 1 image at a time      section 1, 8 images at a time
//!   112x112 ... 56x56                 28x28 ... 7x7
//! ```
//!
//! Values passed between sections are kept for the whole batch. Results do not depend on the sections: the values of a
//! sample are bitwise the same in any batch.

use std::ops::Range;

/// Floats of a step's inputs and output that should stay in the cache: 4 MiB, an eighth of the L3 cache of the measured
/// machine.
const CACHE: usize = 1 << 20;
/// Minimum ratio of the numbers of samples of two steps that starts a new section.
const RATIO: usize = 4;

/// Consecutive steps, and the number of samples that they process at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) steps: Range<usize>,
    pub(super) samples: usize,
}

/// The memory traffic of a step, in floats.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    /// Its inputs and its output, per sample.
    pub(super) values: usize,
    pub(super) weights: usize,
}

impl Traffic {
    /// The number of samples to process at a time: as many as the cache holds, or more if that makes their values outweigh
    /// the weights.
    fn samples(self, batch: usize) -> usize {
        (CACHE.max(self.weights) / self.values.max(1)).clamp(1, batch)
    }
}

impl Section {
    /// A single section with all steps.
    pub(super) fn whole(steps: usize, batch: usize) -> Vec<Self> {
        vec![Self { steps: 0..steps, samples: batch }]
    }

    /// Groups steps with this traffic into sections.
    pub(super) fn of(steps: &[Traffic], batch: usize) -> Vec<Self> {
        let mut sections: Vec<Self> = Vec::new();
        for (step, traffic) in steps.iter().enumerate() {
            let samples = traffic.samples(batch);
            match sections.last_mut() {
                Some(last) if samples < last.samples * RATIO && last.samples < samples * RATIO => {
                    last.steps.end = step + 1;
                    last.samples = last.samples.min(samples);
                }
                _ => sections.push(Self { steps: step..step + 1, samples }),
            }
        }
        sections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_layers_take_few_samples_and_small_ones_many() {
        let section = |steps, samples| Section { steps, samples };
        let few = |values| Traffic { values, weights: 9 };
        let steps = [CACHE, CACHE / 2, CACHE / 3, CACHE / 40, CACHE / 20, CACHE * 9].map(few);
        assert_eq!(Section::of(&steps, 32), [section(0..3, 1), section(3..5, 20), section(5..6, 1)]);
        assert_eq!(Section::of(&steps, 1), [section(0..6, 1)]);
        let many = Traffic { values: CACHE / 4, weights: CACHE * 50 };
        assert_eq!(Section::of(&[few(CACHE / 4), many], 32), [section(0..1, 4), section(1..2, 32)]);
        assert_eq!(Section::of(&[], 4), []);
    }
}
