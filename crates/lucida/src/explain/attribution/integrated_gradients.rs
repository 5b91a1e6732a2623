//! Integrated gradients (Sundararajan, Taly and Yan, 2017). With `S` the score of the class, `x` the image and `x0` the
//! baseline:
//!
//! ```text
//! (x - x0) integral from 0 to 1 of dS/dx at x0 + a (x - x0), da
//! ```
//!
//! The values sum to `S(x) - S(x0)`, and those of a part of the path to the difference of the scores at its ends: the error
//! of each part is known. Most of it is near the baseline, where the network sees the first contrasts; the parts with
//! the largest errors alone are divided further (the rule that chooses them is that of Dörfler, 1996, for adaptive meshes).
//! Of a network of ReLUs the gradient is constant in pieces, so rules of a higher order than the trapezoidal one would gain
//! nothing.

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::Readout;
use crate::Result;

/// The parts that the path begins with, of one interval each.
const PARTS: usize = 32;
/// No more gradients than these are computed, whether or not the sum is right.
const MAX_GRADIENTS: usize = 2048;
/// Right is: within this part of the difference of the scores.
const TOLERANCE: f64 = 2e-3;
/// Or within this part of the sum of all magnitudes: where the scores hardly differ, a part of their difference is
/// beyond the precision of 32-bit floats.
const FLOOR: f64 = 1e-5;
/// The share of the error that the parts to divide have together.
const MARKED: f64 = 0.5;

/// A part of the path.
struct Part {
    /// The number of intervals of equal length.
    intervals: usize,
    /// The integral of the gradient over it, by the trapezoidal rule.
    integral: Vec<f32>,
    /// The difference of the scores at its ends.
    rise: f64,
}

/// The straight path from the baseline to the image.
struct Path<'a> {
    input: &'a [f32],
    baseline: Vec<f32>,
    parts: Vec<Part>,
    /// The score of the image.
    score: f32,
}

/// What the attributions sum to.
struct Sums {
    /// All of them.
    total: f64,
    /// Their magnitudes.
    magnitude: f64,
    /// The error of each part.
    errors: Vec<f64>,
}

impl Path<'_> {
    /// Writes the image at `a` of the path, from 0 to 1.
    fn write(&self, a: f64, to: &mut [f32]) {
        for ((to, &x), &x0) in to.iter_mut().zip(self.input).zip(&self.baseline) {
            *to = (f64::from(x0) + a * (f64::from(x) - f64::from(x0))) as f32;
        }
    }

    /// The attributions, in the order of the input.
    fn attributions(&self) -> Vec<f64> {
        let mut values = vec![0.0; self.input.len()];
        for part in &self.parts {
            values.iter_mut().zip(&part.integral).for_each(|(value, &part)| *value += f64::from(part));
        }
        for ((value, &x), &x0) in values.iter_mut().zip(self.input).zip(&self.baseline) {
            *value *= f64::from(x - x0);
        }
        values
    }

    fn sums(&self) -> Sums {
        let along = |part: &Part| -> f64 {
            let steps = self.input.iter().zip(&self.baseline).map(|(&x, &x0)| f64::from(x - x0));
            part.integral.iter().zip(steps).map(|(&slope, step)| f64::from(slope) * step).sum()
        };
        let attributions = self.attributions();
        Sums {
            total: attributions.iter().sum(),
            magnitude: attributions.iter().map(|value| value.abs()).sum(),
            errors: self.parts.iter().map(|part| (along(part) - part.rise).abs()).collect(),
        }
    }
}

/// The numbers of the largest errors that are [`MARKED`] of all of them, in ascending order.
fn largest(errors: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..errors.len()).collect();
    order.sort_by(|&a, &b| errors[b].total_cmp(&errors[a]));
    let enough = MARKED * errors.iter().sum::<f64>();
    let mut sum = 0.0;
    let count = order.iter().take_while(|&&number| {
        let wanted = sum < enough;
        sum += errors[number];
        wanted
    });
    let count = count.count();
    order.truncate(count);
    order.sort_unstable();
    order
}

impl Explainer<'_> {
    pub(super) fn integrated_gradients(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let mut path = self.path(input, readout)?;
        let mut computed = PARTS + 1;
        let difference: f64 = path.parts.iter().map(|part| part.rise).sum();
        loop {
            let Sums { total, magnitude, errors } = path.sums();
            let apart = (total - difference).abs();
            let divided = largest(&errors);
            let more: usize = divided.iter().map(|&number| path.parts[number].intervals).sum();
            let right = apart <= TOLERANCE * difference.abs() || apart <= FLOOR * magnitude;
            // No comparison with NaN is true: a broken network ends at the last gradient too.
            if right || more == 0 || computed + more > MAX_GRADIENTS {
                let raw = path.attributions().into_iter().map(|value| value as f32).collect();
                let account = CompletenessCheck::Completeness { sum: total, difference, steps: computed - 1 };
                return Ok(RawAttribution::sums(path.score, self.shape, raw, account));
            }
            for &number in &divided {
                self.divide(&mut path, number, readout)?;
            }
            computed += more;
        }
    }

    /// The path in its first parts.
    fn path<'a>(&mut self, input: &'a [f32], readout: &Readout) -> Result<Path<'a>> {
        let mut path = Path { input, baseline: self.baseline(input), parts: Vec::new(), score: f32::NAN };
        let (mut parts, mut before) = (Vec::with_capacity(PARTS), (f32::NAN, Vec::new()));
        self.gradients(
            readout,
            PARTS + 1,
            |i, to| path.write(i as f64 / PARTS as f64, to),
            |i, row, gradient| {
                let score = readout.score(row);
                if i > 0 {
                    let mean = |(a, b): (&f32, &f32)| 0.5 * (a + b) / PARTS as f32;
                    let integral = before.1.iter().zip(gradient).map(mean).collect();
                    parts.push(Part { intervals: 1, integral, rise: f64::from(score) - f64::from(before.0) });
                }
                before = (score, gradient.to_vec());
            },
        )?;
        (path.parts, path.score) = (parts, before.0);
        Ok(path)
    }

    /// Divides the intervals of a part in two: the trapezoidal rule uses its values again.
    fn divide(&mut self, path: &mut Path, number: usize, readout: &Readout) -> Result<()> {
        let intervals = path.parts[number].intervals;
        let share = 1.0 / (2 * intervals * PARTS) as f32;
        let mut integral = std::mem::take(&mut path.parts[number].integral);
        integral.iter_mut().for_each(|value| *value *= 0.5);
        let at = |i: usize| (number as f64 + (i as f64 + 0.5) / intervals as f64) / PARTS as f64;
        self.gradients(
            readout,
            intervals,
            |i, to| path.write(at(i), to),
            |_, _, gradient| integral.iter_mut().zip(gradient).for_each(|(value, &slope)| *value += share * slope),
        )?;
        path.parts[number] = Part { intervals: 2 * intervals, integral, ..path.parts[number] };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_errors_are_divided() {
        assert_eq!(largest(&[0.1, 3.0, 0.2, 4.0, 0.1]), [3]);
        assert_eq!(largest(&[1.0, 3.0, 2.0, 4.0]), [1, 3]);
        assert_eq!(largest(&[1.0; 4]), [0, 1]);
        assert!(largest(&[0.0; 4]).is_empty());
    }
}
