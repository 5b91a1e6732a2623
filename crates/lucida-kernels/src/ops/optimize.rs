//! Update rules of the optimizers, with Keras's formulas: one pass over a weight, its gradient and its slots.

use std::ops::Range;

use crate::cpu::{Cpu, SharedMut};
use crate::simd::{Isa, multiversion};

use super::MIN_PART;

/// Constants of one Adam step (Kingma and Ba, 2015; decoupled weight decay: Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// The learning rate with bias correction: `learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the square root of the second moment.
    pub epsilon: f32,
    /// The factor by which weights are multiplied first: `1 - learning_rate * weight_decay`, or 1.
    pub keep: f32,
}

/// Constants of one step of gradient descent, with or without momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub rate: f32,
    /// Momentum: the decay of the velocity; zero disables it.
    pub momentum: f32,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
}

/// Constants of one RMSprop step (Tieleman and Hinton, 2012).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmspropStep {
    /// The learning rate.
    pub rate: f32,
    /// Decay of the mean square.
    pub rho: f32,
    /// Added to the mean square under the square root.
    pub epsilon: f32,
}

/// An optimizer step on some weights: its constants, and the moments of these weights.
#[derive(Debug)]
pub enum Update<'a> {
    /// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, `w = keep w - rate m / (sqrt(v) + epsilon)`.
    Adam {
        /// The constants.
        step: AdamStep,
        /// `m`.
        first: &'a mut [f32],
        /// `v`.
        second: &'a mut [f32],
    },
    /// `v = momentum v - rate g`, `w += v` (or, with Nesterov momentum, `w += momentum v - rate g`).
    Sgd {
        /// The constants.
        step: SgdStep,
        /// `v`; may be empty without momentum.
        velocity: &'a mut [f32],
    },
    /// `v += (g^2 - v)(1 - rho)`, `w -= rate g / sqrt(v + epsilon)`.
    Rmsprop {
        /// The constants.
        step: RmspropStep,
        /// `v`.
        mean_square: &'a mut [f32],
    },
}

impl Update<'_> {
    /// Updates the weights.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn apply(self, cpu: Cpu, weights: &mut [f32], grad: &[f32]) {
        assert_eq!(grad.len(), weights.len(), "gradient length");
        let update = SharedUpdate::new(self, weights);
        cpu.parallel_ranges(grad.len(), MIN_PART, |_, range| {
            // SAFETY: the ranges are disjoint.
            unsafe { update.apply(cpu.isa(), range.clone(), &grad[range]) };
        });
    }
}

/// [`Update::Adam`].
///
/// # Panics
/// When the lengths differ.
pub fn adam(cpu: Cpu, step: AdamStep, weights: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32]) {
    Update::Adam { step, first, second }.apply(cpu, weights, grad);
}

/// An [`Update`] that several threads apply, each to its own weights.
pub(crate) enum SharedUpdate<'a> {
    Adam { step: AdamStep, weights: SharedMut<'a>, first: SharedMut<'a>, second: SharedMut<'a> },
    Descent { step: SgdStep, weights: SharedMut<'a> },
    Momentum { step: SgdStep, weights: SharedMut<'a>, velocity: SharedMut<'a> },
    Rmsprop { step: RmspropStep, weights: SharedMut<'a>, mean_square: SharedMut<'a> },
}

impl<'a> SharedUpdate<'a> {
    /// # Panics
    /// When the lengths differ.
    pub(crate) fn new(update: Update<'a>, weights: &'a mut [f32]) -> Self {
        let len = weights.len();
        let weights = SharedMut::new(weights);
        let slot = |slot: &'a mut [f32]| {
            assert_eq!(slot.len(), len, "length of a moment");
            SharedMut::new(slot)
        };
        match update {
            Update::Adam { step, first, second } => {
                Self::Adam { step, weights, first: slot(first), second: slot(second) }
            }
            Update::Sgd { step, .. } if step.momentum == 0.0 => Self::Descent { step, weights },
            Update::Sgd { step, velocity } => Self::Momentum { step, weights, velocity: slot(velocity) },
            Update::Rmsprop { step, mean_square } => Self::Rmsprop { step, weights, mean_square: slot(mean_square) },
        }
    }

    /// Updates the weights in `range`; `grad` is their gradient.
    ///
    /// # Safety
    /// No other thread accesses them.
    pub(crate) unsafe fn apply(&self, isa: Isa, range: Range<usize>, grad: &[f32]) {
        let at = || range.clone();
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Adam { step, weights, first, second } => {
                    adam_slice(isa, *step, weights.slice(at()), grad, first.slice(at()), second.slice(at()));
                }
                Self::Descent { step, weights } => {
                    weights.slice(at()).iter_mut().zip(grad).for_each(|(w, g)| *w -= step.rate * g);
                }
                Self::Momentum { step, weights, velocity } => {
                    momentum_slice(isa, *step, weights.slice(at()), grad, velocity.slice(at()));
                }
                Self::Rmsprop { step, weights, mean_square } => {
                    rmsprop_slice(isa, *step, weights.slice(at()), grad, mean_square.slice(at()));
                }
            }
        }
    }
}

multiversion! {
    fn adam_slice[simd: S](step: AdamStep, weights: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32]) {
        for (((w, &g), m), v) in weights.iter_mut().zip(grad).zip(first).zip(second) {
            *m += (g - *m) * (1.0 - step.beta_1);
            *v += (g * g - *v) * (1.0 - step.beta_2);
            *w = *w * step.keep - step.rate * *m / (v.sqrt() + step.epsilon);
        }
    }
}

multiversion! {
    fn momentum_slice[simd: S](step: SgdStep, weights: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
        for ((w, &g), v) in weights.iter_mut().zip(grad).zip(velocity) {
            *v = step.momentum * *v - step.rate * g;
            *w += if step.nesterov { step.momentum * *v - step.rate * g } else { *v };
        }
    }
}

multiversion! {
    fn rmsprop_slice[simd: S](step: RmspropStep, weights: &mut [f32], grad: &[f32], mean_square: &mut [f32]) {
        for ((w, &g), v) in weights.iter_mut().zip(grad).zip(mean_square) {
            *v += (g * g - *v) * (1.0 - step.rho);
            *w -= step.rate * g / (*v + step.epsilon).sqrt();
        }
    }
}
