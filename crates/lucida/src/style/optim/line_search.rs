//! Line search for the strong Wolfe conditions: J. Moré and D. Thuente, "Line Search Algorithms with Guaranteed Sufficient
//! Decrease" (1994).
//!
//! The search evaluates values and slopes along a line, and maintains an interval that contains an acceptable step: `f(t) <=
//! f(0) + 1e-4 t f'(0)` and `|f'(t)| <= 0.9 |f'(0)|`. Each trial step is the minimizer of a cubic or quadratic interpolation
//! of known values and slopes.

use crate::Result;

/// Sufficient decrease: minimum mean slope, relative to the initial one.
const DECREASE: f64 = 1e-4;
/// Curvature condition: maximum final slope, relative to the initial one.
const CURVATURE: f64 = 0.9;
/// Maximum number of trials; then the best one is used.
const TRIALS: usize = 20;

/// A step length with its value and slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::style) struct Trial {
    pub(in crate::style) step: f64,
    pub(in crate::style) value: f64,
    pub(in crate::style) slope: f64,
}

/// The search interval: its best end, its other end, and whether it is known to contain an acceptable step.
#[derive(Debug, Clone, Copy)]
struct Interval {
    best: Trial,
    other: Trial,
    bracketed: bool,
    range: [f64; 2],
}

/// Searches from `start` (step 0), with `first` as the first trial; `evaluate` returns value and slope for a step. Returns
/// the last step evaluated, whose value does not exceed the initial one, or none if no such step was found.
pub(in crate::style) fn search(
    start: Trial,
    first: f64,
    mut evaluate: impl FnMut(f64) -> Result<(f64, f64)>,
) -> Result<Option<Trial>> {
    let most = f64::MAX.sqrt();
    let test = DECREASE * start.slope;
    let mut interval = Interval { best: start, other: start, bracketed: false, range: [0.0, first * 5.0] };
    let (mut width, mut width_before) = (most, 2.0 * most);
    let (mut step, mut first_stage) = (first, true);
    for trials in 1..=TRIALS {
        interval.range = match interval.bracketed {
            true => [interval.best.step.min(interval.other.step), interval.best.step.max(interval.other.step)],
            false => [interval.best.step, step + 4.0 * (step - interval.best.step)],
        };
        let [least, largest] = interval.range;
        let exhausted = interval.bracketed && (step <= least || step >= largest || largest - least <= 1e-10 * largest);
        if exhausted || trials == TRIALS {
            step = interval.best.step;
            if step == 0.0 {
                return Ok(None);
            }
        }
        let (value, slope) = evaluate(step)?;
        let trial = Trial { step, value, slope };
        let bound = start.value + step * test;
        let good = value <= bound && slope.abs() <= -CURVATURE * start.slope;
        if good || exhausted || trials == TRIALS {
            return Ok((value <= start.value).then_some(trial));
        }
        if !value.is_finite() {
            // The step overflowed: its value and slope are useless for interpolation.
            step = 0.1 * step + 0.9 * interval.best.step;
            continue;
        }
        if first_stage && value <= bound && slope >= DECREASE.min(CURVATURE) * start.slope {
            first_stage = false;
        }
        step = if first_stage && value <= interval.best.value && value > bound {
            // Until a step has a sufficiently low value, the search uses the auxiliary function: f minus the line of
            // sufficient decrease.
            let less = |t: Trial| Trial { value: t.value - t.step * test, slope: t.slope - test, ..t };
            let more = |t: Trial| Trial { value: t.value + t.step * test, slope: t.slope + test, ..t };
            (interval.best, interval.other) = (less(interval.best), less(interval.other));
            let step = interval.narrow(less(trial));
            (interval.best, interval.other) = (more(interval.best), more(interval.other));
            step
        } else {
            interval.narrow(trial)
        };
        if interval.bracketed {
            let difference = (interval.other.step - interval.best.step).abs();
            if difference >= 0.66 * width_before {
                step = interval.best.step + 0.5 * (interval.other.step - interval.best.step);
            }
            (width_before, width) = (width, difference);
        }
    }
    Ok(None)
}

impl Interval {
    /// Updates the interval with a trial, and returns the next step to try.
    fn narrow(&mut self, trial: Trial) -> f64 {
        let (best, step) = (self.best, trial.step);
        let opposite = trial.slope * best.slope.signum() < 0.0;
        let parabola = |a: Trial, b: Trial| b.step + b.slope / (b.slope - a.slope) * (a.step - b.step);
        let mut limited = false;
        let mut next = if trial.value > best.value {
            // Higher value: the minimum is bracketed. The cubic step is preferred if it is closer to the best one.
            limited = true;
            self.bracketed = true;
            let difference = step - best.step;
            let cubic = cubic(best, trial, false);
            let fall = (best.value - trial.value) / difference + best.slope;
            let parabola = best.step + best.slope / fall / 2.0 * difference;
            if (cubic - best.step).abs() < (parabola - best.step).abs() {
                cubic
            } else {
                cubic + (parabola - cubic) / 2.0
            }
        } else if opposite {
            // Lower value, and a slope of opposite sign: the minimum is bracketed.
            self.bracketed = true;
            let (cubic, parabola) = (cubic(trial, best, false), parabola(best, trial));
            if (cubic - step).abs() > (parabola - step).abs() { cubic } else { parabola }
        } else if trial.slope.abs() < best.slope.abs() {
            // Lower value, and a flatter slope of the same sign: extrapolate, within limits.
            limited = true;
            let far = if step > best.step { self.range[1] } else { self.range[0] };
            let beyond = cubic(trial, best, true);
            let cubic = if beyond.is_finite() { beyond } else { far };
            let parabola = parabola(best, trial);
            let nearer = (step - cubic).abs() < (step - parabola).abs();
            if nearer == self.bracketed { cubic } else { parabola }
        } else if self.bracketed {
            cubic(trial, self.other, false)
        } else if step > best.step {
            self.range[1]
        } else {
            self.range[0]
        };
        if trial.value > best.value {
            self.other = trial;
        } else {
            if opposite {
                self.other = best;
            }
            self.best = trial;
        }
        next = next.clamp(self.range[0], self.range[1]);
        if self.bracketed && limited {
            let limit = self.best.step + 0.66 * (self.other.step - self.best.step);
            next = if self.other.step > self.best.step { next.min(limit) } else { next.max(limit) };
        }
        next
    }
}

/// Step that minimizes the cubic through the values and slopes at two steps. With `beyond` it must lie beyond `from`, as
/// seen from `to`; the result is infinite if there is none.
fn cubic(from: Trial, to: Trial, beyond: bool) -> f64 {
    let theta = 3.0 * (from.value - to.value) / (to.step - from.step) + from.slope + to.slope;
    let scale = theta.abs().max(from.slope.abs()).max(to.slope.abs());
    let square = (theta / scale).powi(2) - (from.slope / scale) * (to.slope / scale);
    let mut gamma = scale * square.max(0.0).sqrt();
    if to.step < from.step {
        gamma = -gamma;
    }
    let p = (gamma - from.slope) + theta;
    let q = ((gamma - from.slope) + gamma) + to.slope;
    let ratio = p / q;
    if beyond && !(ratio < 0.0 && gamma != 0.0) {
        return f64::INFINITY;
    }
    from.step + ratio * (to.step - from.step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(f: impl Fn(f64) -> (f64, f64), first: f64) -> (Trial, usize) {
        let (value, slope) = f(0.0);
        let mut count = 0;
        let found = search(Trial { step: 0.0, value, slope }, first, |step| {
            count += 1;
            Ok(f(step))
        });
        let found = found.unwrap().unwrap();
        assert!(found.value <= value + 1e-4 * found.step * slope && found.slope.abs() <= 0.9 * slope.abs());
        assert_eq!((found.value, found.slope), f(found.step));
        (found, count)
    }

    #[test]
    fn steps_that_are_good_enough_are_found_from_far_and_near() {
        for first in [1e-3, 0.1, 1.0, 10.0, 1e3] {
            // Test functions from section 5 of the paper.
            let (_, count) = searched(|x| (-x / (x * x + 2.0), (x * x - 2.0) / (x * x + 2.0).powi(2)), first);
            assert!(count < 15, "{count}");
            let quintic = |x: f64| {
                let y = x + 0.004;
                (y.powi(5) - 2.0 * y.powi(4), 5.0 * y.powi(4) - 8.0 * y.powi(3))
            };
            assert!(searched(quintic, first).1 < 20);
        }
        // An acceptable first step is used as is.
        let (found, count) = searched(|x| ((x - 1.0).powi(2), 2.0 * (x - 1.0)), 0.9);
        assert_eq!((found.step, count), (0.9, 1));
    }

    #[test]
    fn values_that_are_no_numbers_are_backed_away_from() {
        let cliff = |x: f64| if x > 1.0 { (f64::NAN, f64::NAN) } else { (-x, -1.0 + x * 0.5) };
        let found = search(Trial { step: 0.0, value: 0.0, slope: -1.0 }, 5.0, |x| Ok(cliff(x))).unwrap().unwrap();
        assert!(found.step <= 1.0 && found.value < 0.0);
    }
}
