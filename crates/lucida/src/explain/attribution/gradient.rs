//! Attributions from gradients of the input. With `S` the score of the class and `x` the image:
//!
//! ```text
//! gradient              dS/dx
//! SmoothGrad            mean over n of dS/dx at x + noise_n
//! gradient x input      x dS/dx
//! integrated gradients  (x - x0) integral from 0 to 1 of dS/dx at x0 + a (x - x0), da
//! guided backprop       dS/dx, its negative parts dropped at each ReLU on the way
//! ```

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::{Gradients, Readout, plan_back};
use crate::Result;
use crate::core::{Purpose, Rng};
use crate::nn::BackwardRule;

/// Integrated gradients begin with this many intervals and double them until the sum is right.
const FIRST_INTERVALS: usize = 32;
/// The most intervals, whether or not the sum is right.
const LAST_INTERVALS: usize = 2048;
/// Right is: within this part of the difference of the scores.
const TOLERANCE: f64 = 2e-3;
/// Or within this part of the sum of all magnitudes: where the scores hardly differ, a part of their difference is
/// beyond the precision of 32-bit floats.
const FLOOR: f64 = 1e-5;

impl Explainer<'_> {
    /// The gradients of `count` variations of an image that `fill` writes, told to `each` with the row of the last layer.
    fn gradients(
        &mut self,
        readout: &Readout,
        count: usize,
        fill: impl FnMut(usize, &mut [f32]),
        mut each: impl FnMut(usize, &[f32], &[f32]),
    ) -> Result<()> {
        let Self { network, outputs, settings, gradients, passes, .. } = self;
        let gradients = match gradients {
            Some(gradients) => gradients,
            none => none.insert(Gradients::new(network, outputs, settings.cpu)?),
        };
        gradients.run(network, readout, count, passes, fill, |i, slope| each(i, slope.row, slope.gradient))
    }

    fn score_and_gradient(&mut self, input: &[f32], readout: &Readout) -> Result<(f32, Vec<f32>)> {
        let mut found = (f32::NAN, Vec::new());
        let fill = |_, to: &mut [f32]| to.copy_from_slice(input);
        self.gradients(readout, 1, fill, |_, row, gradient| found = (readout.score(row), gradient.to_vec()))?;
        Ok(found)
    }

    pub(super) fn gradient(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let (score, gradient) = self.score_and_gradient(input, readout)?;
        Ok(RawAttribution::magnitudes(score, self.shape, gradient))
    }

    pub(super) fn gradient_x_input(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let (score, mut gradient) = self.score_and_gradient(input, readout)?;
        gradient.iter_mut().zip(input).for_each(|(g, x)| *g *= x);
        Ok(RawAttribution::sums(score, self.shape, gradient, CompletenessCheck::None))
    }

    /// The deviation of the noise is a part of the range of the image's values, as in the paper's figure 3.
    pub(super) fn smooth_grad(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let (seed, samples) = (self.settings.seed, self.settings.samples);
        let (low, high) = input.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        let deviation = f64::from(self.settings.noise) * f64::from(high - low);
        let mut sum = vec![0.0_f64; input.len()];
        let noisy = |i: usize, to: &mut [f32]| {
            to.copy_from_slice(input);
            if deviation > 0.0 {
                Rng::keyed(seed, Purpose::Noise, i).add_noise(to, deviation);
            }
        };
        self.gradients(readout, samples, noisy, |_, _, gradient| {
            sum.iter_mut().zip(gradient).for_each(|(sum, &g)| *sum += f64::from(g));
        })?;
        let (score, _) = self.score_and_gradient(input, readout)?;
        let mean = sum.into_iter().map(|sum| (sum / samples as f64) as f32).collect();
        Ok(RawAttribution::magnitudes(score, self.shape, mean))
    }

    /// The integral is the trapezoidal rule, which can use its values again when the intervals are halved; that is done
    /// until the attributions sum to the difference of the scores. Of a network of ReLUs the gradient is constant in
    /// pieces, so rules of a higher order would gain nothing.
    pub(super) fn integrated_gradients(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let baseline = self.baseline(input);
        let at = |a: f64, to: &mut [f32]| {
            for ((to, &x), &x0) in to.iter_mut().zip(input).zip(&baseline) {
                *to = (f64::from(x0) + a * (f64::from(x) - f64::from(x0))) as f32;
            }
        };
        let mut sum = vec![0.0_f64; input.len()];
        let mut scores = [0.0_f32; 2];
        let mut steps = FIRST_INTERVALS;
        let ends = |i: usize| i == 0 || i == FIRST_INTERVALS;
        self.gradients(
            readout,
            steps + 1,
            |i, to| at(i as f64 / FIRST_INTERVALS as f64, to),
            |i, row, gradient| {
                let share = if ends(i) { 0.5 } else { 1.0 };
                sum.iter_mut().zip(gradient).for_each(|(sum, &g)| *sum += share * f64::from(g));
                if ends(i) {
                    scores[usize::from(i > 0)] = readout.score(row);
                }
            },
        )?;
        let difference = f64::from(scores[1]) - f64::from(scores[0]);
        loop {
            let parts = || sum.iter().zip(input).zip(&baseline).map(|((g, &x), &x0)| g * f64::from(x - x0));
            let n = steps as f64;
            let (total, magnitude) = parts().fold((0.0, 0.0), |(t, m), part| (t + part / n, m + part.abs() / n));
            let apart = (total - difference).abs();
            // No comparison with NaN is true: a broken network ends at the last interval too.
            if apart <= TOLERANCE * difference.abs() || apart <= FLOOR * magnitude || steps >= LAST_INTERVALS {
                let raw = parts().map(|part| (part / n) as f32).collect();
                let account = CompletenessCheck::Completeness { sum: total, difference, steps };
                return Ok(RawAttribution::sums(scores[1], self.shape, raw, account));
            }
            let between = |i: usize, to: &mut [f32]| at((2 * i + 1) as f64 / (2 * steps) as f64, to);
            self.gradients(readout, steps, between, |_, _, gradient| {
                sum.iter_mut().zip(gradient).for_each(|(sum, &g)| *sum += f64::from(g));
            })?;
            steps *= 2;
        }
    }

    pub(super) fn guided_backprop(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let Self { network, outputs, settings, guided, passes, shape, .. } = self;
        passes.report(0, 1)?;
        let plan = match guided {
            Some(plan) => plan,
            none => {
                let builder = plan_back(network, outputs, settings.cpu, 1).rule(BackwardRule::GuidedBackprop);
                none.insert(builder.input_gradient().build()?)
            }
        };
        plan.input_mut().copy_from_slice(input);
        plan.forward(network)?;
        let score = readout.score(plan.output(0));
        readout.score.write_gradient(plan.grad_output_mut(0));
        plan.backward(network);
        let raw = plan.input_gradient().unwrap_or_default().to_vec();
        passes.report(1, 1)?;
        Ok(RawAttribution::magnitudes(score, *shape, raw))
    }
}
