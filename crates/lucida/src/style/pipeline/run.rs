//! The optimization steps at one scale.

use std::ops::ControlFlow;

use crate::core::{Detail, Progress, Step, StyleProgress, Unit};
use crate::core::{Purpose, Rng};
use crate::style::optim::adam::AdamState;
use crate::style::optim::lbfgs::{LbfgsState, TensorRef};
use crate::style::pipeline::constrained_objective::ConstrainedObjective;
use crate::style::pipeline::geometry::Geometry;
use crate::style::{Canvas, Losses, StyleConfig};
use crate::{Error, Result};

/// The result at one scale.
pub(in crate::style) struct ScaleResult {
    pub(in crate::style) image: Canvas,
    pub(in crate::style) geometry: Geometry,
    pub(in crate::style) adam: Option<AdamState>,
    pub(in crate::style) start: Losses,
    pub(in crate::style) end: Losses,
    pub(in crate::style) stopped: bool,
}

/// The optimization steps at one scale.
pub(in crate::style) struct Run<'a> {
    pub(in crate::style) config: &'a StyleConfig,
    pub(in crate::style) geometry: Geometry,
    pub(in crate::style) scale: [usize; 2],
    pub(in crate::style) steps: usize,
    pub(in crate::style) progress: &'a mut dyn Progress,
    /// Work done and total work, in pixels times steps.
    pub(in crate::style) work: &'a mut [u64; 2],
    /// Steps so far, at all scales.
    pub(in crate::style) taken: &'a mut usize,
}

impl Run<'_> {
    pub(in crate::style) fn adam(
        &mut self,
        objective: &mut ConstrainedObjective,
        start: Canvas,
        mut state: AdamState,
    ) -> Result<ScaleResult> {
        let (config, geometry) = (self.config, self.geometry);
        let (averaging, clip, cpu) = (config.averaging, config.clip, config.cpu);
        let mut canvas = start;
        let mut gradient = vec![0.0; canvas.values.len()];
        let mut mean = Canvas::filled(canvas.size, [0.0; 3]);
        // Total weight of the images in the mean.
        let mut filled = 0.0;
        let mut phases = Rng::keyed(config.seed, Purpose::Canvas, 1);
        let mut first = None;
        let mut stopped = false;
        for step in 1..=self.steps {
            let phase = [0, 1].map(|_| phases.below(64));
            let losses = objective.evaluate(&canvas, phase, &mut gradient).map_err(|problem| self.at(step, problem))?;
            state.step(cpu, &mut canvas.values, &gradient);
            if clip {
                canvas.values.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
            }
            if averaging > 0.0 {
                filled = averaging * filled + (1.0 - averaging);
                let pairs = mean.values.iter_mut().zip(&canvas.values);
                pairs.for_each(|(mean, value)| *mean = averaging * *mean + (1.0 - averaging) * value);
            }
            let current = || geometry.cropped(&objective.visible(of_mean(&mean, filled, &canvas)));
            let flow = self.report(step, &losses, &current);
            first.get_or_insert(losses);
            if flow.is_break() {
                stopped = true;
                break;
            }
        }
        let result = objective.visible(of_mean(&mean, filled, &canvas));
        // The last step may have had a gradient that is not finite.
        let end = objective.evaluate(&result, [0, 0], &mut gradient).map_err(|problem| self.at(self.steps, problem))?;
        let start = first.unwrap_or_default();
        Ok(ScaleResult { image: geometry.cropped(&result), geometry, adam: Some(state), start, end, stopped })
    }

    pub(in crate::style) fn lbfgs(
        &mut self,
        objective: &mut ConstrainedObjective,
        start: Canvas,
        mut state: LbfgsState,
    ) -> Result<ScaleResult> {
        let mut gradient = vec![0.0; start.values.len()];
        let first = objective.evaluate(&start, [0, 0], &mut gradient).map_err(|problem| self.at(1, problem))?;
        let (size, geometry) = (start.size, self.geometry);
        let mut scratch = Canvas { size, values: start.values.clone() };
        let mut at = TensorRef { values: start.values, loss: first.total, gradient };
        let mut losses = first.clone();
        let (mut stopped, mut failed) = (false, false);
        for step in 1..=self.steps {
            let moved = state.step(&mut at, |values, gradient| {
                scratch.values.copy_from_slice(values);
                losses = objective.evaluate(&scratch, [0, 0], gradient)?;
                Ok(losses.total)
            });
            let moved = moved.map_err(|problem| self.at(step, problem))?;
            let current = || geometry.cropped(&objective.visible(Canvas { size, values: at.values.clone() }));
            let flow = self.report(step, &losses, &current);
            if flow.is_break() {
                stopped = true;
                break;
            }
            if !moved && failed {
                break;
            }
            failed = !moved;
        }
        let result = objective.visible(Canvas { size, values: at.values });
        let end = objective.evaluate(&result, [0, 0], &mut at.gradient)?;
        Ok(ScaleResult { image: geometry.cropped(&result), geometry, adam: None, start: first, end, stopped })
    }

    /// The error of a step, with its number.
    fn at(&self, step: usize, problem: Error) -> Error {
        let ([height, width], steps) = (self.geometry.image, self.steps);
        match problem {
            Error::Argument(text) => {
                Error::argument(format!("step {step} of {steps} at {width}x{height} pixels: {text}"))
            }
            other => other,
        }
    }

    /// Reports a step, with the losses before it and access to the image after it.
    fn report(&mut self, step: usize, losses: &Losses, current: &dyn Fn() -> Canvas) -> ControlFlow<()> {
        let [number, scales] = self.scale;
        let size = self.geometry.image;
        *self.taken += 1;
        self.work[0] += (size[0] * size[1]) as u64;
        let [done, total] = *self.work;
        let detail = Detail::Style(StyleProgress {
            scale: [number + 1, scales],
            size,
            step: [step, self.steps],
            frame: None,
            loss: losses.total,
            content_loss: losses.content,
            style_loss: losses.style.iter().sum(),
            rgb: &|| current().bytes(),
        });
        self.progress.update(&Step { stage: "", unit: Unit::Pixels, done, total: Some(total), detail })
    }
}

/// The bias-corrected mean image; the last image if averaging is off.
fn of_mean(mean: &Canvas, filled: f32, last: &Canvas) -> Canvas {
    if filled == 0.0 {
        return last.clone();
    }
    Canvas { size: mean.size, values: mean.values.iter().map(|value| value / filled).collect() }
}
