//! Integrated gradients (Sundararajan, Taly and Yan, 2017). With `S` the score of the class, `x` the image and `x0` the
//! baseline:
//!
//! ```text
//! (x - x0) integral from 0 to 1 of dS/dx at x0 + a (x - x0), da
//! ```
//!
//! The values sum to `S(x) - S(x0)`, and those of a segment of the path to the difference of the scores at its ends: the
//! error of each segment is known. Most of it is near the baseline, where the first contrasts appear, so only the segments
//! with the largest errors are halved (selected as in W. Dörfler's adaptive mesh refinement, 1996). In a network of ReLUs
//! the gradient is piecewise constant, so rules of a higher order than the trapezoidal one would gain nothing.

use std::rc::Rc;

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::Readout;
use crate::Result;

/// The initial number of segments.
const PARTS: usize = 32;
/// The maximum number of gradients to compute, even if the sum is not accurate.
const MAX_GRADIENTS: usize = 2048;
/// The tolerance, relative to the difference of the scores.
const TOLERANCE: f64 = 2e-3;
/// The tolerance relative to the sum of all magnitudes: if the scores hardly differ, a fraction of their difference is
/// below the precision of 32-bit floats.
const FLOOR: f64 = 1e-6;
/// The fraction of the total error that the segments to be halved account for.
const HALVED: f64 = 0.5;
/// A segment is finished when its error is below this fraction of the tolerance; its gradients can then be dropped.
const NEGLIGIBLE: f64 = 1e-3;

/// A point on the path, at fraction `a` of the way from the baseline to the image.
struct Point {
    a: f64,
    score: f32,
    gradient: Vec<f32>,
    /// The derivative of the score along the path.
    slope: f64,
}

/// A segment of the path between two points.
struct Segment {
    from: Rc<Point>,
    to: Rc<Point>,
}

impl Segment {
    fn length(&self) -> f64 {
        self.to.a - self.from.a
    }

    /// The integral by the trapezoidal rule minus the difference of the scores.
    fn error(&self) -> f64 {
        let rise = f64::from(self.to.score) - f64::from(self.from.score);
        0.5 * self.length() * (self.from.slope + self.to.slope) - rise
    }

    /// Adds the integral of the gradient to `sum`.
    fn add_to(&self, sum: &mut [f64]) {
        let half = 0.5 * self.length();
        for ((sum, &from), &to) in sum.iter_mut().zip(&self.from.gradient).zip(&self.to.gradient) {
            *sum += half * (f64::from(from) + f64::from(to));
        }
    }
}

impl Explainer<'_> {
    pub(super) fn integrated_gradients(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let baseline = self.baseline(input);
        let path: Vec<f64> = input.iter().zip(&baseline).map(|(&x, &x0)| f64::from(x) - f64::from(x0)).collect();
        let places: Vec<f64> = (0..=PARTS).map(|i| i as f64 / PARTS as f64).collect();
        let points = self.points(&baseline, &path, &places, readout)?;
        let (first, last) = (f64::from(points[0].score), points[PARTS].score);
        let difference = f64::from(last) - first;
        let mut open: Vec<Segment> =
            points.windows(2).map(|ends| Segment { from: Rc::clone(&ends[0]), to: Rc::clone(&ends[1]) }).collect();
        drop(points);
        let tolerance = tolerance(&open, &path, difference);
        let (mut sum, mut done_error, mut computed) = (vec![0.0; input.len()], 0.0, PARTS + 1);
        loop {
            let error = done_error + open.iter().map(Segment::error).sum::<f64>();
            let halved = largest(&mut open, MAX_GRADIENTS - computed);
            // Comparisons with NaN are false: a network with NaN outputs ends the loop.
            if halved == 0 || error.abs() <= tolerance {
                break;
            }
            computed += halved;
            let kept = open.split_off(halved);
            open = self.halved(&baseline, &path, &open, readout)?;
            open.extend(kept);
            open.retain(|part| {
                let done = part.error().abs() <= NEGLIGIBLE * tolerance;
                if done {
                    part.add_to(&mut sum);
                    done_error += part.error();
                }
                !done
            });
        }
        open.iter().for_each(|part| part.add_to(&mut sum));
        sum.iter_mut().zip(&path).for_each(|(sum, step)| *sum *= step);
        let account = CompletenessCheck::Completeness { sum: sum.iter().sum(), difference, steps: computed - 1 };
        let raw = sum.into_iter().map(|value| value as f32).collect();
        Ok(RawAttribution::sums(last, self.shape, raw, account))
    }

    /// Halves each segment.
    fn halved(&mut self, baseline: &[f32], path: &[f64], parts: &[Segment], readout: &Readout) -> Result<Vec<Segment>> {
        let middles: Vec<f64> = parts.iter().map(|part| part.from.a + 0.5 * part.length()).collect();
        let middles = self.points(baseline, path, &middles, readout)?;
        let halves = |(part, middle): (&Segment, Rc<Point>)| {
            let first = Segment { from: Rc::clone(&part.from), to: Rc::clone(&middle) };
            [first, Segment { from: middle, to: Rc::clone(&part.to) }]
        };
        Ok(parts.iter().zip(middles).flat_map(halves).collect())
    }

    /// The points at these fractions of the path.
    fn points(&mut self, baseline: &[f32], path: &[f64], places: &[f64], readout: &Readout) -> Result<Vec<Rc<Point>>> {
        let mut points = Vec::with_capacity(places.len());
        let fill = |i: usize, to: &mut [f32]| {
            for ((to, &x0), step) in to.iter_mut().zip(baseline).zip(path) {
                *to = (f64::from(x0) + places[i] * step) as f32;
            }
        };
        self.gradients(readout, places.len(), fill, |i, row, gradient| {
            let slope = gradient.iter().zip(path).map(|(&slope, step)| f64::from(slope) * step).sum();
            points.push(Rc::new(Point { a: places[i], score: readout.score(row), gradient: gradient.to_vec(), slope }));
        })?;
        Ok(points)
    }
}

/// Sorts the segments by error, largest first, and returns how many of them, at most `most`, to halve.
fn largest(parts: &mut [Segment], most: usize) -> usize {
    parts.sort_by(|a, b| b.error().abs().total_cmp(&a.error().abs()));
    let enough = HALVED * parts.iter().map(|part| part.error().abs()).sum::<f64>();
    let mut sum = 0.0;
    let below = |part: &&Segment| {
        let below = sum < enough;
        sum += part.error().abs();
        below
    };
    parts.iter().take_while(below).count().min(most)
}

/// The permitted error of the integral.
fn tolerance(parts: &[Segment], path: &[f64], difference: f64) -> f64 {
    let mut sum = vec![0.0; path.len()];
    parts.iter().for_each(|part| part.add_to(&mut sum));
    let magnitude: f64 = sum.iter().zip(path).map(|(sum, step)| (sum * step).abs()).sum();
    (TOLERANCE * difference.abs()).max(FLOOR * magnitude)
}
