//! RISE (Petsiuk, Das and Saenko, 2018): the network runs on randomly masked images, and a pixel's value is the mean
//! probability over the masks that keep it:
//!
//! ```text
//! value = sum over n of P(image seen through M_n) M_n / sum over n of M_n
//! ```
//!
//! The paper divides by `N E[M]` (equation 6), which converges to the same. With few masks, dividing by the actual sum
//! corrects for how often each pixel was kept: if the probability is nearly the same for all masks, that sampling noise
//! would dominate the map.
//!
//! A mask is a grid of cells, each kept with probability 1/2, interpolated to the image size and shifted by a random
//! fraction of a cell (section 3.2 of the paper). Masked pixels are replaced by the baseline.

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::Readout;
use crate::Result;
use crate::core::{Purpose, Rng};

/// The probability that a cell is kept.
const OPEN: f64 = 0.5;

impl Explainer<'_> {
    pub(super) fn rise(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let baseline = self.baseline(input);
        let Self { settings, scorer, passes, shape, .. } = self;
        let [height, width, channels] = *shape;
        let (masks, cells) = (settings.masks, settings.cells);
        // Each mask is generated twice, for masking and for summing, because that is cheaper than storing it.
        let draw = |i: usize, mask: &mut [f32]| {
            let mut rng = Rng::keyed(settings.seed, Purpose::Masks, i);
            draw(mask, [height, width], cells.min(height).min(width), &mut rng);
        };
        let (mut applied, mut added) = (vec![0.0; height * width], vec![0.0; height * width]);
        let (mut sum, mut seen) = (vec![0.0_f64; height * width], vec![0.0_f64; height * width]);
        let mut score = f32::NAN;
        let fill = |i: usize, to: &mut [f32]| {
            to.copy_from_slice(input);
            if i == masks {
                return;
            }
            draw(i, &mut applied);
            for ((to, hidden), &share) in
                to.chunks_exact_mut(channels).zip(baseline.chunks_exact(channels)).zip(&applied)
            {
                to.iter_mut().zip(hidden).for_each(|(to, hidden)| *to = hidden + share * (*to - hidden));
            }
        };
        // The last image is not masked.
        scorer.run(masks + 1, passes, fill, |i, row| {
            if i == masks {
                score = readout.score(row);
                return;
            }
            draw(i, &mut added);
            let probability = f64::from(readout.probability(row));
            for ((sum, seen), &share) in sum.iter_mut().zip(&mut seen).zip(&added) {
                *sum += probability * f64::from(share);
                *seen += f64::from(share);
            }
        })?;
        // With very few masks, a pixel may never be kept; its value is then zero.
        let mean = |(sum, &seen): (&f64, &f64)| if seen > 0.0 { (sum / seen) as f32 } else { 0.0 };
        let values: Vec<f32> = sum.iter().zip(&seen).map(mean).collect();
        let raw_shape = [height, width, 1];
        Ok(RawAttribution { score, raw_shape, raw: values.clone(), values, completeness: CompletenessCheck::None })
    }
}

/// Draws a mask with values from 0 (masked) to 1 (kept).
fn draw(mask: &mut [f32], [height, width]: [usize; 2], cells: usize, rng: &mut Rng) {
    // One additional cell for the shift.
    let grid: Vec<f32> = (0..(cells + 1) * (cells + 1)).map(|_| f32::from(rng.uniform() < OPEN)).collect();
    let mut taps = |size: usize| -> Vec<(usize, f32)> {
        let shift = rng.uniform() as f32;
        let tap = |i: usize| {
            let at = ((i as f32 + 0.5) * cells as f32 / size as f32 - 0.5 + shift).clamp(0.0, cells as f32);
            let low = (at as usize).min(cells - 1);
            (low, at - low as f32)
        };
        (0..size).map(tap).collect()
    };
    let (down, across) = (taps(height), taps(width));
    for (row, &(top, below)) in mask.chunks_exact_mut(width).zip(&down) {
        for (value, &(left, part)) in row.iter_mut().zip(&across) {
            let line = |row: usize| {
                let from = row * (cells + 1) + left;
                grid[from] + part * (grid[from + 1] - grid[from])
            };
            let (upper, lower) = (line(top), line(top + 1));
            *value = upper + below * (lower - upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_every_place_is_open_on_average() {
        let size = [9, 14];
        let (mut mask, mut sum) = (vec![0.0; 126], vec![0.0; 126]);
        for i in 0..4000 {
            draw(&mut mask, size, 4, &mut Rng::keyed(3, Purpose::Masks, i));
            assert!(mask.iter().all(|value| (0.0..=1.0).contains(value)));
            sum.iter_mut().zip(&mask).for_each(|(sum, value)| *sum += value);
        }
        // The standard deviation of a mean is at most 0.008.
        assert!(sum.iter().all(|sum| (sum / 4000.0 - 0.5).abs() < 0.035), "{sum:?}");
    }
}
