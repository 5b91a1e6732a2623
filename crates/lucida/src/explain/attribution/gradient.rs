//! Attributions from gradients with respect to the input. With `S` the score of the class and `x` the image:
//!
//! ```text
//! gradient              dS/dx
//! SmoothGrad            mean over n of dS/dx at x + noise_n
//! gradient x input      x dS/dx
//! guided backprop       dS/dx, its negative parts dropped at each ReLU on the way
//! ```

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::{Gradients, Readout, plan_back};
use crate::Result;
use crate::core::{Purpose, Rng};
use crate::nn::BackwardRule;

impl Explainer<'_> {
    /// Computes the gradients for `count` variations of an image written by `fill`, and passes each to `each` with the row
    /// of the last layer.
    pub(super) fn gradients(
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

    /// SmoothGrad. The standard deviation of the noise is a fraction of the image's value range, as in figure 3 of the
    /// paper.
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
