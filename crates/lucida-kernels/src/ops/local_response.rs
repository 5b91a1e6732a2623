//! Local response normalization (Krizhevsky, Sutskever and Hinton, 2012): divides each value by a function of the
//! neighboring channels at the same pixel.

use crate::cpu::{Cpu, SharedMut};
use crate::simd::multiversion;

use super::MIN_PART;

/// `y = x / s^beta` with `s = bias + alpha / size * sum(x^2)`, the sum over the `size` (an odd number of) channels around
/// that of `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalResponse {
    /// Channels of a pixel.
    pub channels: usize,
    /// Number of channels in the window, centered on the channel itself.
    pub size: usize,
    /// The factor of the sum.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// Added to the sum.
    pub bias: f32,
}

#[inline(always)]
fn inverse_power(s: f32, beta: f32) -> f32 {
    // Fast paths for common exponents; a general power is a function call per value.
    if beta == 0.75 {
        let root = s.sqrt();
        1.0 / (root * root.sqrt())
    } else if beta == 0.5 {
        1.0 / s.sqrt()
    } else {
        s.powf(-beta)
    }
}

/// `sums[c]` is the sum of `values[c - reach..=c + reach]`, clipped to the valid channels.
#[inline(always)]
fn window_sums(values: &[f32], reach: usize, sums: &mut [f32]) {
    let len = values.len();
    sums.copy_from_slice(values);
    for shift in 1..=reach.min(len.saturating_sub(1)) {
        sums[shift..].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        sums[..len - shift].iter_mut().zip(&values[shift..]).for_each(|(sum, value)| *sum += value);
    }
}

impl LocalResponse {
    /// `s` of each channel of a pixel.
    #[inline(always)]
    fn damping(self, x: &[f32], squares: &mut [f32], s: &mut [f32]) {
        squares.iter_mut().zip(x).for_each(|(square, x)| *square = x * x);
        window_sums(squares, self.size / 2, s);
        let factor = self.alpha / self.size as f32;
        s.iter_mut().for_each(|s| *s = self.bias + factor * *s);
    }
}

multiversion! {
    fn forward[simd: S](norm: LocalResponse, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
        let (squares, s) = scratch.split_at_mut(norm.channels);
        for (y, x) in output.chunks_exact_mut(norm.channels).zip(input.chunks_exact(norm.channels)) {
            norm.damping(x, squares, s);
            for ((y, x), s) in y.iter_mut().zip(x).zip(s.iter()) {
                *y = x * inverse_power(*s, norm.beta);
            }
        }
    }
}

/// Normalizes each pixel's channels.
///
/// # Panics
/// When a length does not fit.
pub fn local_response(cpu: Cpu, norm: LocalResponse, input: &[f32], output: &mut [f32]) {
    let channels = norm.channels;
    assert!(channels > 0 && input.len().is_multiple_of(channels) && output.len() == input.len(), "length");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len() / channels, MIN_PART.div_ceil(channels), |_, rows| {
        let range = rows.start * channels..rows.end * channels;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        forward(cpu.isa(), norm, &input[range], own, &mut vec![0.0; 2 * channels]);
    });
}

multiversion! {
    fn backward[simd: S](
        norm: LocalResponse,
        grad: &[f32],
        input: &[f32],
        fixed: bool,
        grad_input: &mut [f32],
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        let channels = norm.channels;
        let (first, rest) = scratch.split_at_mut(channels);
        let (s, sums) = rest.split_at_mut(channels);
        let factor = if fixed { 0.0 } else { 2.0 * norm.alpha * norm.beta / norm.size as f32 };
        let pixels = grad_input.chunks_exact_mut(channels).zip(grad.chunks_exact(channels));
        for ((out, g), x) in pixels.zip(input.chunks_exact(channels)) {
            norm.damping(x, first, s);
            for ((((shared, s), g), x), out) in first.iter_mut().zip(s.iter()).zip(g).zip(x).zip(out.iter_mut()) {
                let direct = g * inverse_power(*s, norm.beta);
                *shared = direct * x / s;
                *out = if accumulate { *out + direct } else { direct };
            }
            window_sums(first, norm.size / 2, sums);
            for ((out, x), sum) in out.iter_mut().zip(x).zip(sums.iter()) {
                *out -= factor * x * sum;
            }
        }
    }
}

/// The gradient of the input, added to `grad_input` when `accumulate`:
/// `dx = dy / s^beta - 2 alpha beta / size x sum(dy x / s^(beta + 1))`, the sum over the channels whose window contains
/// that of `x`. If `fixed`, `s` is treated as a constant and the second term dropped.
///
/// # Panics
/// When a length does not fit.
pub fn local_response_backward(
    cpu: Cpu,
    norm: LocalResponse,
    (grad, input): (&[f32], &[f32]),
    fixed: bool,
    grad_input: &mut [f32],
    accumulate: bool,
) {
    let channels = norm.channels;
    assert!(channels > 0 && input.len().is_multiple_of(channels), "channels");
    assert!(grad.len() == input.len() && grad_input.len() == input.len(), "gradient length");
    let shared = SharedMut::new(grad_input);
    cpu.parallel_ranges(input.len() / channels, MIN_PART.div_ceil(channels), |_, rows| {
        let range = rows.start * channels..rows.end * channels;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        let mut scratch = vec![0.0; 3 * channels];
        backward(cpu.isa(), norm, &grad[range.clone()], &input[range], fixed, own, accumulate, &mut scratch);
    });
}
