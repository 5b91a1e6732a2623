//! Objective with constraints: preserved areas and temporal consistency.

use crate::Result;
use crate::style::losses::objective::not_finite;
use crate::style::{Canvas, Losses, Objective};

/// Target of the temporal loss: the previous stylized frame, warped.
#[derive(Debug, Clone)]
pub(in crate::style) struct TemporalTarget {
    pub(in crate::style) canvas: Canvas,
    /// Weight of each pixel, from 0 to 1.
    pub(in crate::style) mask: Vec<f32>,
    /// Weight of the mean squared difference, for pixels from 0 to 1.
    pub(in crate::style) weight: f32,
}

/// An area that keeps the pixels of the content.
#[derive(Debug, Clone)]
pub(in crate::style) struct PreserveMask {
    /// The content.
    pub(in crate::style) canvas: Canvas,
    /// How much each pixel is preserved, from 0 to 1.
    pub(in crate::style) mask: Vec<f32>,
}

/// An objective with optional constraints.
#[derive(Debug)]
pub(in crate::style) struct ConstrainedObjective {
    pub(in crate::style) objective: Objective,
    pub(in crate::style) preserve: Option<PreserveMask>,
    pub(in crate::style) temporal: Option<TemporalTarget>,
}

impl ConstrainedObjective {
    /// Computes the losses of the visible image, and their gradient with respect to the optimized one.
    pub(in crate::style) fn evaluate(
        &mut self,
        image: &Canvas,
        phase: [usize; 2],
        gradient: &mut [f32],
    ) -> Result<Losses> {
        let Some(preserve) = &self.preserve else { return self.losses(image, phase, gradient) };
        let visible = preserve.over(image);
        let losses = self.losses(&visible, phase, gradient)?;
        if let Some(preserve) = &self.preserve {
            for (gradient, keep) in gradient.chunks_exact_mut(3).zip(&preserve.mask) {
                gradient.iter_mut().for_each(|value| *value *= 1.0 - keep);
            }
        }
        Ok(losses)
    }

    fn losses(&mut self, visible: &Canvas, phase: [usize; 2], gradient: &mut [f32]) -> Result<Losses> {
        let mut losses = self.objective.evaluate_at(visible, phase, gradient)?;
        if let Some(temporal) = &self.temporal {
            losses.total += temporal.add(visible, gradient);
            if !losses.total.is_finite() {
                return Err(not_finite(losses.total));
            }
        }
        Ok(losses)
    }

    /// The visible image: the optimized one, overlaid with the preserved areas.
    pub(in crate::style) fn visible(&self, image: Canvas) -> Canvas {
        match &self.preserve {
            Some(preserve) => preserve.over(&image),
            None => image,
        }
    }
}

impl PreserveMask {
    pub(in crate::style) fn over(&self, image: &Canvas) -> Canvas {
        let pixels = image.values.chunks_exact(3).zip(self.canvas.values.chunks_exact(3)).zip(&self.mask);
        let mix = pixels.flat_map(|((new, old), &keep)| [0, 1, 2].map(|c: usize| new[c] + keep * (old[c] - new[c])));
        Canvas { size: image.size, values: mix.collect() }
    }
}

impl TemporalTarget {
    fn add(&self, visible: &Canvas, gradient: &mut [f32]) -> f64 {
        let factor = f64::from(self.weight) / (visible.values.len() as f64 * 255.0 * 255.0);
        let mut total = 0.0;
        let pixels = visible.values.chunks_exact(3).zip(self.canvas.values.chunks_exact(3));
        for (((now, wanted), gradient), &mask) in pixels.zip(gradient.chunks_exact_mut(3)).zip(&self.mask) {
            for c in 0..3 {
                let difference = now[c] - wanted[c];
                gradient[c] += (2.0 * factor) as f32 * mask * difference;
                total += f64::from(mask * difference * difference);
            }
        }
        factor * total
    }
}
