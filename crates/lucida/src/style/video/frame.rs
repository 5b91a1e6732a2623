//! Video frames and their timing.

use crate::data::Image;

/// A frame of a video or of an animated image.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFrame {
    /// The pixels, in color.
    pub image: Image,
    /// The opacity as a gray image, unless fully opaque.
    pub alpha: Option<Image>,
}

/// Timing of an animation.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTiming {
    /// Duration of each frame in milliseconds.
    pub delays: Vec<f64>,
    /// Number of plays; 0 loops forever.
    pub plays: u32,
}

impl FrameTiming {
    /// Timing of a video with a constant rate: frames per second as a fraction.
    pub fn of_rate(frames: usize, [numerator, denominator]: [u32; 2]) -> Self {
        let delay = 1000.0 * f64::from(denominator) / f64::from(numerator.max(1));
        Self { delays: vec![delay; frames], plays: 0 }
    }

    /// Delays in units of `unit` milliseconds. Frame ends are rounded, not durations, so errors do not accumulate.
    pub(super) fn rounded(&self, unit: f64) -> Vec<u32> {
        let (mut shown, mut end) = (0.0, 0);
        let round = |delay: &f64| {
            shown += delay / unit;
            let delay = (shown.round() as u64).saturating_sub(end).max(1);
            end += delay;
            u32::try_from(delay).unwrap_or(u32::MAX)
        };
        self.delays.iter().map(round).collect()
    }

    /// Returns a constant rate at which each frame can be shown for a whole number of periods, as a fraction of frames per
    /// second, and the number of periods of each frame.
    pub fn constant_rate(&self) -> ([u32; 2], Vec<usize>) {
        let delays = self.rounded(1.0);
        let gcd = |a: u32, b: u32| {
            let (mut a, mut b) = (a, b);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let common = delays.iter().copied().reduce(gcd).unwrap_or(1).max(1);
        // More than 100 frames per second are not perceptible: shift frames slightly instead.
        let period = common.max(10);
        let of_period = Self { delays: self.delays.clone(), plays: self.plays };
        ([1000, period], of_period.rounded(f64::from(period)).into_iter().map(|count| count as usize).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_does_not_add_up() {
        let timing = FrameTiming::of_rate(300, [30, 1]);
        let delays = timing.rounded(10.0);
        assert_eq!(&delays[..3], [3, 4, 3]);
        assert_eq!(delays.iter().sum::<u32>(), 1000);
    }

    #[test]
    fn a_rate_for_all_frames() {
        let timing = FrameTiming { delays: vec![100.0, 250.0, 50.0], plays: 0 };
        assert_eq!(timing.constant_rate(), ([1000, 50], vec![2, 5, 1]));
        let (rate, counts) = FrameTiming { delays: vec![33.0, 34.0], plays: 0 }.constant_rate();
        assert_eq!((rate, counts), ([1000, 10], vec![3, 4]));
    }
}
