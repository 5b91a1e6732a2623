//! Activations, forward and backward. All backward passes need only the output.

use crate::cpu::{Cpu, SharedMut};
use crate::simd::multiversion;

use super::MIN_PART;

/// An activation that works on each value by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pointwise {
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x` where it is positive, `slope x` elsewhere; the slope is not negative.
    LeakyRelu {
        /// The slope.
        slope: f32,
    },
    /// `min(max(x, min), max)`
    Clip {
        /// The least value.
        min: f32,
        /// The largest value.
        max: f32,
    },
}

/// `output = f(input)`.
///
/// # Panics
/// When the lengths differ.
pub fn pointwise(cpu: Cpu, kind: Pointwise, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        forward(cpu.isa(), kind, &input[range], own);
    });
}

multiversion! {
    fn forward[simd: S](kind: Pointwise, input: &[f32], output: &mut [f32]) {
        let pairs = output.iter_mut().zip(input);
        match kind {
            Pointwise::Relu => pairs.for_each(|(y, &x)| *y = if x > 0.0 { x } else { 0.0 }),
            Pointwise::Sigmoid => pairs.for_each(|(y, &x)| *y = sigmoid(x)),
            Pointwise::Tanh => pairs.for_each(|(y, &x)| *y = x.tanh()),
            Pointwise::LeakyRelu { slope } => pairs.for_each(|(y, &x)| *y = if x > 0.0 { x } else { slope * x }),
            Pointwise::Clip { min, max } => pairs.for_each(|(y, &x)| *y = x.max(min).min(max)),
        }
    }
}

/// `1 / (1 + exp(-x))`, without overflow for any `x`.
pub fn sigmoid(x: f32) -> f32 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// Turns the gradient of the output into that of the input, in place.
///
/// # Panics
/// When the lengths differ.
pub fn pointwise_backward(cpu: Cpu, kind: Pointwise, output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "gradient length");
    let shared = SharedMut::new(grad);
    cpu.parallel_ranges(output.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        backward(cpu.isa(), kind, &output[range], own);
    });
}

multiversion! {
    fn backward[simd: S](kind: Pointwise, output: &[f32], grad: &mut [f32]) {
        let pairs = grad.iter_mut().zip(output);
        match kind {
            Pointwise::Relu => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
            Pointwise::Sigmoid => pairs.for_each(|(g, &y)| *g *= y * (1.0 - y)),
            Pointwise::Tanh => pairs.for_each(|(g, &y)| *g *= 1.0 - y * y),
            Pointwise::LeakyRelu { slope } => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { slope * *g }),
            Pointwise::Clip { min, max } => pairs.for_each(|(g, &y)| *g = if y > min && y < max { *g } else { 0.0 }),
        }
    }
}

/// `output = softmax(input)` over rows of `classes` values: `exp(x) / sum exp(x)`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn softmax(cpu: Cpu, classes: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(classes > 0 && input.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len() / classes, MIN_PART.div_ceil(8 * classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (y, x) in own.chunks_exact_mut(classes).zip(input[range].chunks_exact(classes)) {
            // The largest is taken off first: no exponential overflows, and the quotient is the same.
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - largest).exp();
                sum += *y;
            }
            y.iter_mut().for_each(|y| *y /= sum);
        }
    });
}

/// Turns the gradient of a softmax's output into that of its input, in place: `g <- y (g - sum(g y))`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn softmax_backward(cpu: Cpu, classes: usize, output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "gradient length");
    assert!(classes > 0 && output.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(grad);
    cpu.parallel_ranges(output.len() / classes, MIN_PART.div_ceil(classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (g, y) in own.chunks_exact_mut(classes).zip(output[range].chunks_exact(classes)) {
            let dot: f32 = g.iter().zip(y).map(|(g, y)| g * y).sum();
            for (g, y) in g.iter_mut().zip(y) {
                *g = y * (*g - dot);
            }
        }
    });
}

/// `output = log softmax(input)` over rows of `classes` values: `x - log sum exp(x)`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn log_softmax(cpu: Cpu, classes: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(classes > 0 && input.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len() / classes, MIN_PART.div_ceil(8 * classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (y, x) in own.chunks_exact_mut(classes).zip(input[range].chunks_exact(classes)) {
            // The largest is subtracted first, so that no exponential overflows.
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = x.iter().map(|x| (x - largest).exp()).sum();
            let log_sum = sum.ln();
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - largest - log_sum);
        }
    });
}

/// Turns the gradient of a log-softmax's output into that of its input, in place: `g <- g - exp(y) sum(g)`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn log_softmax_backward(cpu: Cpu, classes: usize, output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "gradient length");
    assert!(classes > 0 && output.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(grad);
    cpu.parallel_ranges(output.len() / classes, MIN_PART.div_ceil(classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (g, y) in own.chunks_exact_mut(classes).zip(output[range].chunks_exact(classes)) {
            let sum: f32 = g.iter().sum();
            g.iter_mut().zip(y).for_each(|(g, y)| *g -= y.exp() * sum);
        }
    });
}
