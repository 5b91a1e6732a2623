//! What is minimized: the objective, over the part of the image that may change, and near to what it should be near to.

use super::{Canvas, Losses, Objective};
use crate::Result;

/// An image to stay near to.
#[derive(Debug, Clone)]
pub(super) struct Anchor {
    pub(super) canvas: Canvas,
    /// How much each pixel is to stay, from 0 to 1.
    pub(super) mask: Vec<f32>,
    /// The weight of the mean squared difference, where pixels go from 0 to 1.
    pub(super) weight: f32,
}

/// A part that is not painted.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// What is there.
    pub(super) canvas: Canvas,
    /// How much each pixel is kept, from 0 to 1.
    pub(super) mask: Vec<f32>,
}

/// All that a step evaluates.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) objective: Objective,
    pub(super) kept: Option<Kept>,
    pub(super) anchor: Option<Anchor>,
}

impl Scene {
    /// The losses of what is seen, and their gradient with respect to what is painted.
    pub(super) fn evaluate(&mut self, painted: &Canvas, phase: [usize; 2], gradient: &mut [f32]) -> Result<Losses> {
        let Some(kept) = &self.kept else { return self.losses(painted, phase, gradient) };
        let seen = kept.over(painted);
        let losses = self.losses(&seen, phase, gradient)?;
        if let Some(kept) = &self.kept {
            for (gradient, keep) in gradient.chunks_exact_mut(3).zip(&kept.mask) {
                gradient.iter_mut().for_each(|value| *value *= 1.0 - keep);
            }
        }
        Ok(losses)
    }

    fn losses(&mut self, seen: &Canvas, phase: [usize; 2], gradient: &mut [f32]) -> Result<Losses> {
        let mut losses = self.objective.evaluate_at(seen, phase, gradient)?;
        if let Some(anchor) = &self.anchor {
            losses.total += anchor.add(seen, gradient);
        }
        Ok(losses)
    }

    /// What is seen of what is painted.
    pub(super) fn seen(&self, painted: Canvas) -> Canvas {
        match &self.kept {
            Some(kept) => kept.over(&painted),
            None => painted,
        }
    }
}

impl Kept {
    pub(super) fn over(&self, painted: &Canvas) -> Canvas {
        let pixels = painted.values.chunks_exact(3).zip(self.canvas.values.chunks_exact(3)).zip(&self.mask);
        let mix = pixels.flat_map(|((new, old), &keep)| [0, 1, 2].map(|c: usize| new[c] + keep * (old[c] - new[c])));
        Canvas { size: painted.size, values: mix.collect() }
    }
}

impl Anchor {
    fn add(&self, seen: &Canvas, gradient: &mut [f32]) -> f64 {
        let factor = f64::from(self.weight) / (seen.values.len() as f64 * 255.0 * 255.0);
        let mut total = 0.0;
        let pixels = seen.values.chunks_exact(3).zip(self.canvas.values.chunks_exact(3));
        for (((now, wanted), gradient), &mask) in pixels.zip(gradient.chunks_exact_mut(3)).zip(&self.mask) {
            for c in 0..3 {
                let apart = now[c] - wanted[c];
                gradient[c] += (2.0 * factor) as f32 * mask * apart;
                total += f64::from(mask * apart * apart);
            }
        }
        factor * total
    }
}
