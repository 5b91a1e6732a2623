//! The update rules of the optimizers, with Keras's formulas: one pass over a weight, its gradient and its slots.

use crate::cpu::{Cpu, SharedMut};
use crate::simd::multiversion;

use super::MIN_PART;

/// Constants of one Adam step (Kingma and Ba, 2015; decoupled weight decay: Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// The learning rate with the bias corrections: `rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// What a weight is multiplied with first: `1 - rate * weight_decay`, or 1.
    pub keep: f32,
}

/// Constants of one step of gradient descent with momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub rate: f32,
    /// Decay of the velocity; zero for none.
    pub momentum: f32,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
}

/// Constants of one RMSprop step (Tieleman and Hinton, 2012).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmspropStep {
    /// The learning rate.
    pub rate: f32,
    /// Decay of the mean square.
    pub rho: f32,
    /// Added to the mean square under the root.
    pub epsilon: f32,
}

/// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, `w = keep w - rate m / (sqrt(v) + epsilon)`.
///
/// # Panics
/// When the lengths differ.
pub fn adam(cpu: Cpu, step: AdamStep, weights: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32]) {
    assert!(grad.len() == weights.len() && first.len() == weights.len() && second.len() == weights.len(), "length");
    let (w, m, v) = (SharedMut::new(weights), SharedMut::new(first), SharedMut::new(second));
    cpu.parallel_ranges(grad.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let (w, m, v) = unsafe { (w.slice(range.clone()), m.slice(range.clone()), v.slice(range.clone())) };
        adam_slice(cpu.isa(), step, w, &grad[range], m, v);
    });
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

/// `v = momentum v - rate g`, `w += v` (or, after Nesterov, `w += momentum v - rate g`).
///
/// # Panics
/// When the lengths differ; `velocity` may be empty when there is no momentum.
pub fn sgd(cpu: Cpu, step: SgdStep, weights: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
    assert_eq!(grad.len(), weights.len(), "gradient length");
    let w = SharedMut::new(weights);
    if step.momentum == 0.0 {
        cpu.parallel_ranges(grad.len(), MIN_PART, |_, range| {
            // SAFETY: the ranges are disjoint.
            let w = unsafe { w.slice(range.clone()) };
            w.iter_mut().zip(&grad[range]).for_each(|(w, g)| *w -= step.rate * g);
        });
        return;
    }
    assert_eq!(grad.len(), velocity.len(), "velocity length");
    let v = SharedMut::new(velocity);
    cpu.parallel_ranges(grad.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let (w, v) = unsafe { (w.slice(range.clone()), v.slice(range.clone())) };
        momentum_slice(cpu.isa(), step, w, &grad[range], v);
    });
}

multiversion! {
    fn momentum_slice[simd: S](step: SgdStep, weights: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
        for ((w, &g), v) in weights.iter_mut().zip(grad).zip(velocity) {
            *v = step.momentum * *v - step.rate * g;
            *w += if step.nesterov { step.momentum * *v - step.rate * g } else { *v };
        }
    }
}

/// `v += (g^2 - v)(1 - rho)`, `w -= rate g / sqrt(v + epsilon)`.
///
/// # Panics
/// When the lengths differ.
pub fn rmsprop(cpu: Cpu, step: RmspropStep, weights: &mut [f32], grad: &[f32], mean_square: &mut [f32]) {
    assert!(grad.len() == weights.len() && mean_square.len() == weights.len(), "length");
    let (w, v) = (SharedMut::new(weights), SharedMut::new(mean_square));
    cpu.parallel_ranges(grad.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let (w, v) = unsafe { (w.slice(range.clone()), v.slice(range.clone())) };
        rmsprop_slice(cpu.isa(), step, w, &grad[range], v);
    });
}

multiversion! {
    fn rmsprop_slice[simd: S](step: RmspropStep, weights: &mut [f32], grad: &[f32], mean_square: &mut [f32]) {
        for ((w, &g), v) in weights.iter_mut().zip(grad).zip(mean_square) {
            *v += (g * g - *v) * (1.0 - step.rho);
            *w -= step.rate * g / (*v + step.epsilon).sqrt();
        }
    }
}
