//! Faithfulness of a map by deletion and insertion (Petsiuk, Das and Saenko, 2018, section 4.2).
//!
//! The pixels are sorted by the map, most important first. *Deletion* successively replaces them with a constant color
//! (that of the baseline, black by default) while the probability falls; *insertion* starts from a blurred image and
//! restores the original pixels. The area under each curve, over the fraction of pixels from 0 to 1, is the metric: a good
//! map has a small deletion area and a large insertion area.
//!
//! As in the authors' code, the blur is a Gaussian with a standard deviation of 5 pixels, truncated after 5 pixels; for
//! images larger than 224 pixels it grows in proportion. Pixels of equal importance are shuffled, so that a partly constant
//! map does not profit from their order.

use super::explainer::Explainer;
use super::passes::Readout;
use crate::Result;
use crate::core::{Purpose, Rng};

/// The standard deviation of the blur and its reach in pixels, for images of up to [`SIDE`] pixels.
const BLUR: f64 = 5.0;
const SIDE: usize = 224;

/// The probability of a class while pixels are deleted and inserted, most important first.
#[derive(Debug, Clone, PartialEq)]
pub struct Faithfulness {
    /// The probability after equal steps of deletion, from no pixels to all.
    pub deletion: Vec<f32>,
    /// The probability after equal steps of insertion, from no pixels to all.
    pub insertion: Vec<f32>,
}

impl Faithfulness {
    /// The area under the deletion curve, 0 to 1; lower is better.
    pub fn deletion_area(&self) -> f64 {
        area(&self.deletion)
    }

    /// The area under the insertion curve, 0 to 1; higher is better.
    pub fn insertion_area(&self) -> f64 {
        area(&self.insertion)
    }
}

/// The area under an evenly sampled curve over 0..1, by the trapezoidal rule.
fn area(curve: &[f32]) -> f64 {
    let pairs = curve.windows(2).map(|pair| (f64::from(pair[0]) + f64::from(pair[1])) / 2.0);
    pairs.sum::<f64>() / (curve.len() - 1) as f64
}

impl Explainer<'_> {
    pub(super) fn curves(&mut self, input: &[f32], readout: &Readout, map: &[f32]) -> Result<Faithfulness> {
        let order = order(map, self.settings.seed);
        let steps = self.settings.curve_steps.min(order.len());
        let blurred = blur(input, self.shape);
        let baseline = self.baseline(input);
        self.passes.stage = "deletion";
        let deletion = self.curve(readout, &order, steps, input, &baseline)?;
        self.passes.stage = "insertion";
        let insertion = self.curve(readout, &order, steps, &blurred, input)?;
        Ok(Faithfulness { deletion, insertion })
    }

    /// The probability while pixels change, in this order, from one image to another.
    fn curve(
        &mut self,
        readout: &Readout,
        order: &[usize],
        steps: usize,
        from: &[f32],
        over: &[f32],
    ) -> Result<Vec<f32>> {
        let Self { scorer, passes, shape, .. } = self;
        let channels = shape[2];
        let fill = |step: usize, to: &mut [f32]| {
            to.copy_from_slice(from);
            for &pixel in &order[..(order.len() * step).div_ceil(steps)] {
                let at = pixel * channels..(pixel + 1) * channels;
                to[at.clone()].copy_from_slice(&over[at]);
            }
        };
        let mut curve = vec![f32::NAN; steps + 1];
        scorer.run(steps + 1, passes, fill, |step, row| curve[step] = readout.probability(row))?;
        Ok(curve)
    }
}

/// The pixel indices, most important first, ties in random order.
fn order(map: &[f32], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    Rng::keyed(seed, Purpose::Ties, 0).shuffle(&mut order);
    order.sort_by(|&a, &b| map[b].total_cmp(&map[a]));
    order
}

/// Blurs an image; at the border, the Gaussian is renormalized over the part inside.
fn blur(input: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
    let deviation = BLUR * (height.max(width) as f64 / SIDE as f64).max(1.0);
    let reach = deviation.round() as usize;
    let weights: Vec<f64> = (0..=reach).map(|d| (-0.5 * (d as f64 / deviation).powi(2)).exp()).collect();
    // Along an axis of `size` positions with a stride of `stride` values.
    let along = |values: &[f32], size: usize, stride: usize| -> Vec<f32> {
        let one = |at: usize| {
            let place = at / stride % size;
            let (mut sum, mut weight) = (0.0, 0.0);
            for other in place.saturating_sub(reach)..(place + reach + 1).min(size) {
                let share = weights[place.abs_diff(other)];
                sum += share * f64::from(values[at + other * stride - place * stride]);
                weight += share;
            }
            (sum / weight) as f32
        };
        (0..values.len()).map(one).collect()
    };
    along(&along(input, width, channels), height, width * channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_orders() {
        let curves = Faithfulness { deletion: vec![1.0, 0.5, 0.0], insertion: vec![0.0, 1.0, 1.0, 1.0, 1.0] };
        assert!((curves.deletion_area() - 0.5).abs() < 1e-12);
        assert!((curves.insertion_area() - 0.875).abs() < 1e-12);
        let order = order(&[0.0, 3.0, 0.0, -1.0, 0.0, 5.0], 1);
        assert_eq!((order[0], order[1], order[5]), (5, 1, 3));
        assert_eq!(order.len(), 6);
    }

    #[test]
    fn a_blur_keeps_what_is_even_and_spreads_what_is_not() {
        let even = vec![0.7; 9 * 12 * 2];
        assert!(blur(&even, [9, 12, 2]).iter().all(|value| (value - 0.7).abs() < 1e-6));
        let mut point = vec![0.0; 30 * 30];
        point[15 * 30 + 14] = 1.0;
        let blurred = blur(&point, [30, 30, 1]);
        assert!((blurred.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(blurred[15 * 30 + 12], blurred[15 * 30 + 16]);
        // The rows are rounded before the columns are summed.
        let (across, down) = (blurred[15 * 30 + 12], blurred[13 * 30 + 14]);
        assert!((across - down).abs() <= 2.0 * f32::EPSILON * across, "{across} {down}");
        assert!(blurred[15 * 30 + 14] > blurred[15 * 30 + 13] && blurred[15 * 30 + 8] == 0.0);
        // Channels do not mix.
        let two: Vec<f32> = (0..50).map(|i| if i % 2 == 0 { 0.0 } else { i as f32 }).collect();
        assert!(blur(&two, [5, 5, 2]).iter().step_by(2).all(|&value| value == 0.0));
    }
}
