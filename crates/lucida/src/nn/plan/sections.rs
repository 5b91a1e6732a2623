//! In which parts of the batch a plan for inference runs its steps.
//!
//! A layer of MobileNetV2 has 5 MB of values for an image of 224x224, and 154 MB for 32 of them: what one step writes and the
//! next reads goes through memory, which takes longer than the arithmetic. So steps that follow each other form a section,
//! which takes a few images at a time through all its steps. Where layers are small or weights are many a section takes many
//! images, because each part reads all weights:
//!
//! ```text
//!   section 0, 1 image at a time      section 1, 8 images at a time
//!   112x112 ... 56x56                 28x28 ... 7x7
//! ```
//!
//! What crosses from one section to another is kept for the whole batch. Results do not depend on it: a sample's values are
//! the same, to the bit, in any batch.

use std::ops::Range;

/// Floats of a step's inputs and output that a section keeps in the cache: 4 MiB, an eighth of the L3 cache of the machine
/// this was measured on.
const CACHE: usize = 1 << 20;
/// How much larger or smaller the parts of the batch must be for another section.
const RATIO: usize = 4;

/// Steps in a row, and the samples that they take at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) steps: Range<usize>,
    pub(super) samples: usize,
}

/// What a step reads and writes, in floats.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    /// Its inputs and its output, for a sample.
    pub(super) values: usize,
    pub(super) weights: usize,
}

impl Traffic {
    /// The samples that it should take at a time: as many as the cache holds, or more where that makes their values outweigh
    /// the weights.
    fn samples(self, batch: usize) -> usize {
        (CACHE.max(self.weights) / self.values.max(1)).clamp(1, batch)
    }
}

impl Section {
    /// All steps at once.
    pub(super) fn whole(steps: usize, batch: usize) -> Vec<Self> {
        vec![Self { steps: 0..steps, samples: batch }]
    }

    /// The sections of steps with this traffic.
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
