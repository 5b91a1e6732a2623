//! Total variation: the differences between neighboring pixels. It suppresses noise.

use crate::style::Canvas;

/// Penalty that is summed over all pairs of horizontal and vertical neighbors, and all three colors.
///
/// ```
/// use lucida::style::{Canvas, TotalVariation};
///
/// let mut canvas = Canvas::filled([2, 2], [100.0, 100.0, 100.0]);
/// let mut gradient = vec![0.0; 2 * 2 * 3];
/// assert_eq!(TotalVariation::Absolute.add(&canvas, 1.0, &mut gradient), 0.0);
/// canvas.values[0] = 110.0; // the red of a pixel with two neighbors
/// assert_eq!(TotalVariation::Absolute.add(&canvas, 1.0, &mut gradient), 20.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalVariation {
    /// Absolute differences (`tf.image.total_variation`).
    Absolute,
    /// Squared differences (Mahendran and Vedaldi, 2015, with exponent 2).
    Squared,
    /// Mean squared differences of pixels from 0 to 1: independent of the image size.
    MeanSquared,
}

impl TotalVariation {
    /// Returns the variation, and adds `weight` times its gradient to `gradient`.
    pub fn add(self, canvas: &Canvas, weight: f32, gradient: &mut [f32]) -> f64 {
        let [height, width] = canvas.size;
        let factor = match self {
            Self::Absolute | Self::Squared => 1.0,
            Self::MeanSquared => 1.0 / (canvas.values.len() as f64 * 255.0 * 255.0),
        };
        let weight = (f64::from(weight) * factor) as f32;
        let row = 3 * width;
        let mut total = 0.0;
        for y in 0..height {
            let mut sum = 0.0;
            for at in y * row..(y + 1) * row {
                if at + 3 < (y + 1) * row {
                    sum += self.pair(&canvas.values, [at, at + 3], weight, gradient);
                }
                if y + 1 < height {
                    sum += self.pair(&canvas.values, [at, at + row], weight, gradient);
                }
            }
            total += f64::from(sum);
        }
        factor * total
    }

    #[inline]
    fn pair(self, values: &[f32], [a, b]: [usize; 2], weight: f32, gradient: &mut [f32]) -> f32 {
        let difference = values[b] - values[a];
        let (value, slope) = match self {
            // Subgradient 0 at zero.
            Self::Absolute => (difference.abs(), if difference == 0.0 { 0.0 } else { difference.signum() }),
            Self::Squared | Self::MeanSquared => (difference * difference, 2.0 * difference),
        };
        gradient[b] += weight * slope;
        gradient[a] -= weight * slope;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_image_by_hand() {
        // Reds 1 4 / 3 9, other colors constant: |3| + |2| + |5| + |6| = 16; squares 9 + 4 + 25 + 36 = 74.
        let values = vec![1., 5., 5., 4., 5., 5., 3., 5., 5., 9., 5., 5.];
        let canvas = Canvas { size: [2, 2], values };
        let mut gradient = vec![0.0; 12];
        assert_eq!(TotalVariation::Absolute.add(&canvas, 0.5, &mut gradient), 16.0);
        assert_eq!(gradient.iter().step_by(3).copied().collect::<Vec<_>>(), [-1.0, 0.0, 0.0, 1.0]);
        gradient.fill(0.0);
        assert_eq!(TotalVariation::Squared.add(&canvas, 1.0, &mut gradient), 74.0);
        assert_eq!(gradient.iter().step_by(3).copied().collect::<Vec<_>>(), [-10.0, -4.0, -8.0, 22.0]);
        assert_eq!(gradient[1], 0.0);
        gradient.fill(0.0);
        let mean = TotalVariation::MeanSquared.add(&canvas, 12.0 * 255.0 * 255.0, &mut gradient);
        assert!((mean * 12.0 * 255.0 * 255.0 - 74.0).abs() < 1e-9 && (gradient[0] + 10.0).abs() < 1e-4);
    }
}
