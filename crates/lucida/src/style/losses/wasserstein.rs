//! Wasserstein-2 distance between Gaussians, as a style loss.
//!
//! Features are modeled as samples of a Gaussian with mean `m` and covariance `S`; the loss is its distance to the style's
//! Gaussian, with mean `n` and covariance `C` (Givens and Shortt, 1984; Mroueh, "Wasserstein Style Transfer", 2019). With
//! the polar factor `U` of `B = S^1/2 C^1/2`, where `tr(U^T B)` is the sum of the singular values of `B`:
//!
//! ```text
//! W = |m - n|^2 + tr(S) + tr(C) - 2 tr(U^T B),    dW/dS = I - S^-1/2 U C^1/2,    dW/dm = 2 (m - n)
//! ```
//!
//! A small ridge is added to both covariances, so that directions without variance are well-conditioned. Matrix roots and
//! polar factors are computed by Newton-Schulz iterations, which need only matrix products (Higham, "Functions of Matrices",
//! equations 6.35 and 8.20). The usual form, with the root of `C^1/2 S C^1/2`, squares the condition number: in 32 bits its
//! iteration diverges.

use lucida_kernels::{Buffer, Conv2d, Conv2dGradients, Conv2dShape, Cpu};

use crate::style::losses::style::Moments;

/// Ridge: a share of the style's mean variance, plus a share of the covariance's own trace.
const RIDGE: f32 = 1e-2;
const OWN_RIDGE: f32 = 1e-5;
/// Maximum number of iterations, and the distance from the identity at which they stop.
const STEPS: usize = 40;
const CLOSE: f32 = 1e-4;

/// Products of square matrices.
#[derive(Debug)]
struct Square {
    size: usize,
    product: Conv2d,
}

impl Square {
    fn new(cpu: Cpu, size: usize) -> Self {
        let product = Conv2d::direct(cpu, Conv2dShape::dense(size, size), size, Conv2dGradients::default());
        Self { size, product }
    }

    fn multiply(&mut self, left: &[f32], right: &[f32], out: &mut [f32]) {
        self.product.set_kernel(right);
        self.product.forward(self.size, left, None, false, out);
    }

    /// Computes the square root of a symmetric positive definite matrix, and its inverse.
    fn roots(&mut self, matrix: &[f32]) -> (Buffer, Buffer) {
        let (size, len) = (self.size, matrix.len());
        let trace = (0..size).map(|i| matrix[i * (size + 1)]).sum::<f32>().max(f32::MIN_POSITIVE);
        let (mut y, mut z) = (Buffer::zeroed(len), Buffer::zeroed(len));
        let (mut turn, mut next) = (Buffer::zeroed(len), Buffer::zeroed(len));
        y.iter_mut().zip(matrix).for_each(|(y, value)| *y = value / trace);
        (0..size).for_each(|i| z[i * (size + 1)] = 1.0);
        let mut before = f32::INFINITY;
        for _ in 0..STEPS {
            self.multiply(&z, &y, &mut turn);
            if is_done(newton(size, &mut turn), size, &mut before) {
                break;
            }
            self.multiply(&y, &turn, &mut next);
            std::mem::swap(&mut y, &mut next);
            self.multiply(&turn, &z, &mut next);
            std::mem::swap(&mut z, &mut next);
        }
        let root = trace.sqrt();
        y.iter_mut().for_each(|value| *value *= root);
        z.iter_mut().for_each(|value| *value /= root);
        (y, z)
    }

    /// Computes the orthogonal polar factor of a matrix: all singular values become one.
    fn polar(&mut self, matrix: &[f32]) -> Buffer {
        let (size, len) = (self.size, matrix.len());
        let norm = matrix.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt().max(1e-30) as f32;
        let (mut x, mut mirrored) = (Buffer::zeroed(len), Buffer::zeroed(len));
        let (mut turn, mut next) = (Buffer::zeroed(len), Buffer::zeroed(len));
        x.iter_mut().zip(matrix).for_each(|(x, value)| *x = value / norm);
        let mut before = f32::INFINITY;
        for _ in 0..STEPS {
            transpose(size, &x, &mut mirrored);
            self.multiply(&mirrored, &x, &mut turn);
            if is_done(newton(size, &mut turn), size, &mut before) {
                break;
            }
            self.multiply(&x, &turn, &mut next);
            std::mem::swap(&mut x, &mut next);
        }
        x
    }
}

/// Replaces a product M by the Newton-Schulz factor (3 I - M) / 2, and returns the squared Frobenius norm of M - I.
fn newton(size: usize, product: &mut [f32]) -> f32 {
    let mut difference = 0.0;
    for (at, value) in product.iter_mut().enumerate() {
        let identity = if at % (size + 1) == 0 { 1.0 } else { 0.0 };
        difference += (*value - identity).powi(2);
        *value = 1.5 * identity - 0.5 * *value;
    }
    difference
}

/// Whether an iteration has converged, given its squared distance from the identity; `before` is the previous distance.
fn is_done(squares: f32, size: usize, before: &mut f32) -> bool {
    let difference = (squares / size as f32).sqrt();
    // Near convergence, rounding errors make the distance grow again.
    let done = difference < CLOSE || (difference < 0.1 && difference > *before);
    *before = difference;
    done
}

fn transpose(size: usize, from: &[f32], to: &mut [f32]) {
    for (i, row) in from.chunks_exact(size).enumerate() {
        row.iter().enumerate().for_each(|(j, value)| to[j * size + i] = *value);
    }
}

/// The Gaussian of a style, with precomputed quantities.
#[derive(Debug)]
pub(in crate::style) struct Gaussian {
    square: Square,
    mean: Vec<f32>,
    root: Buffer,
    ridge: f32,
    /// Trace of the covariance, including the ridge.
    trace: f64,
    /// Mean square of the features.
    power: f64,
}

/// The loss, and its gradients with respect to the second moments and the mean.
pub(in crate::style) struct GaussianLoss {
    pub(in crate::style) loss: f64,
    pub(in crate::style) second: Buffer,
    pub(in crate::style) mean: Vec<f32>,
}

impl Gaussian {
    pub(in crate::style) fn new(cpu: Cpu, moments: &Moments) -> Self {
        let size = moments.mean.len();
        let power: f64 = (0..size).map(|i| f64::from(moments.second[i * (size + 1)])).sum();
        let variance: f32 = covariance(moments, 0.0).iter().step_by(size + 1).sum();
        let ridge = RIDGE / size as f32 * variance.max(1e-6 * power as f32).max(f32::MIN_POSITIVE);
        let covariance = covariance(moments, ridge);
        let trace = trace(size, &covariance);
        let mut square = Square::new(cpu, size);
        let (root, _) = square.roots(&covariance);
        Self { square, mean: moments.mean.clone(), root, ridge, trace, power }
    }

    /// Mean square of the style's features, used to normalize losses.
    pub(in crate::style) fn power(&self) -> f64 {
        self.power
    }

    pub(in crate::style) fn compare(&mut self, got: &Moments) -> GaussianLoss {
        let size = self.mean.len();
        let covariance = covariance(got, self.ridge);
        let (own_root, inverse) = self.square.roots(&covariance);
        let (mut both, mut map) = (Buffer::zeroed(size * size), Buffer::zeroed(size * size));
        self.square.multiply(&own_root, &self.root, &mut both);
        let factor = self.square.polar(&both);
        let common: f64 = factor.iter().zip(both.iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let shift = || got.mean.iter().zip(&self.mean).map(|(m, n)| m - n);
        let loss = shift().map(|difference| f64::from(difference).powi(2)).sum::<f64>()
            + trace(size, &covariance)
            + self.trace
            - 2.0 * common;
        self.square.multiply(&factor, &self.root, &mut both);
        self.square.multiply(&inverse, &both, &mut map);
        let mut second = Buffer::zeroed(size * size);
        for i in 0..size {
            for j in 0..size {
                let map = 0.5 * (map[i * size + j] + map[j * size + i]);
                second[i * size + j] = if i == j { 1.0 - map } else { -map };
            }
        }
        // The ridge depends on the trace, so the trace's gradient contributes to the diagonal.
        let own = OWN_RIDGE * trace(size, &second) as f32;
        second.iter_mut().step_by(size + 1).for_each(|value| *value += own);
        // Chain rule for covariance = second moment - mean mean^T.
        let along = |row: &[f32]| row.iter().zip(&got.mean).map(|(a, b)| a * b).sum::<f32>();
        let mean = shift()
            .zip(second.chunks_exact(size))
            .map(|(difference, row)| 2.0 * difference - 2.0 * along(row))
            .collect();
        GaussianLoss { loss: loss.max(0.0), second, mean }
    }
}

/// Computes the covariance, with `ridge` and a share of the trace added to the diagonal.
fn covariance(moments: &Moments, ridge: f32) -> Buffer {
    let size = moments.mean.len();
    let mut covariance = moments.second.clone();
    for (i, row) in covariance.chunks_exact_mut(size).enumerate() {
        row.iter_mut().zip(&moments.mean).for_each(|(value, mean)| *value -= moments.mean[i] * mean);
    }
    let ridge = ridge + OWN_RIDGE * trace(size, &covariance) as f32;
    covariance.iter_mut().step_by(size + 1).for_each(|value| *value += ridge);
    covariance
}

fn trace(size: usize, matrix: &[f32]) -> f64 {
    matrix.iter().step_by(size + 1).map(|&value| f64::from(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(size: usize, seed: usize) -> Moments {
        // Fractional part of a large sine: pseudorandom values.
        let draw = |i: usize| ((i * seed) as f64 * 12.9898).sin() * 43_758.545_3;
        let draws: Vec<f32> = (0..40 * size).map(|i| (2.0 * draw(i).rem_euclid(1.0)) as f32).collect();
        let mut second = Buffer::zeroed(size * size);
        let mut mean = vec![0.0; size];
        for draw in draws.chunks(size) {
            for i in 0..size {
                mean[i] += draw[i] / 40.0;
                (0..size).for_each(|j| second[i * size + j] += draw[i] * draw[j] / 40.0);
            }
        }
        Moments { second, mean }
    }

    #[test]
    fn roots_multiply_to_the_matrix() {
        let size = 12;
        let matrix = covariance(&moments(size, 3), 0.01);
        let mut square = Square::new(Cpu::detect(), size);
        let (root, inverse) = square.roots(&matrix);
        let mut out = vec![0.0; size * size];
        square.multiply(&root, &root, &mut out);
        assert!(out.iter().zip(matrix.iter()).all(|(a, b)| (a - b).abs() < 1e-3));
        square.multiply(&root, &inverse, &mut out);
        assert!((0..size).all(|i| (out[i * (size + 1)] - 1.0).abs() < 1e-2), "{out:?}");
        // The polar factor of a positive definite matrix with two rows swapped is that permutation.
        let mut turned = matrix.clone();
        let (first, second) = turned.split_at_mut(size);
        first.swap_with_slice(&mut second[..size]);
        let factor = square.polar(&turned);
        for (at, value) in factor.iter().enumerate() {
            let from = [1, 0].get(at / size).copied().unwrap_or(at / size);
            assert!((value - if from == at % size { 1.0 } else { 0.0 }).abs() < 1e-3, "{at}: {value}");
        }
    }

    /// Many nearly constant channels that are much stronger than those of the style: all results are finite, and the
    /// distance of the style from itself is 0.
    #[test]
    fn features_that_hardly_vary_are_no_harm() {
        let size = 96;
        let like = |gain: f32, ratio: f32| {
            let mean: Vec<f32> = (0..size).map(|i| gain * (1.0 + (i % 3) as f32)).collect();
            let mut second = Buffer::zeroed(size * size);
            for i in 0..size {
                (0..size).for_each(|j| second[i * size + j] = (1.0 + ratio) * mean[i] * mean[j]);
            }
            Moments { second, mean }
        };
        let style = like(1.0, 0.3);
        let mut gaussian = Gaussian::new(Cpu::detect(), &style);
        assert!(gaussian.compare(&style).loss < 1e-3 * gaussian.power());
        for (gain, ratio) in [(40.0, 2.0), (0.0, 0.0), (1e-3, 5.0)] {
            let difference = gaussian.compare(&like(gain, ratio));
            assert!(
                difference.loss.is_finite() && difference.loss > 0.1 * gaussian.power(),
                "{gain}: {}",
                difference.loss
            );
            assert!(difference.second.iter().chain(&difference.mean).all(|value| value.is_finite()));
        }
    }

    /// For a single channel, the squared distance is that of the means plus that of the standard deviations.
    #[test]
    fn one_channel_by_hand() {
        let of = |mean: f32, variance: f32| Moments {
            second: {
                let mut second = Buffer::zeroed(1);
                second[0] = variance + mean * mean;
                second
            },
            mean: vec![mean],
        };
        let mut gaussian = Gaussian::new(Cpu::detect(), &of(1.0, 4.0));
        let difference = gaussian.compare(&of(3.0, 9.0));
        // 1 % of the style's variance is added to both, plus the share of each one's own variance.
        let expected = 4.0 + (9.04009_f64.sqrt() - 4.04004_f64.sqrt()).powi(2);
        assert!((difference.loss - expected).abs() < 1e-3, "{} {expected}", difference.loss);
        assert!(gaussian.compare(&of(1.0, 4.0)).loss < 1e-4);
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let size = 6;
        let (style, mut got) = (moments(size, 3), moments(size, 5));
        let mut gaussian = Gaussian::new(Cpu::detect(), &style);
        let difference = gaussian.compare(&got);
        assert!(difference.loss > 0.0);
        for (i, j) in [(0, 0), (1, 4), (3, 3), (5, 2)] {
            let mut at = |step: f32| {
                got.second[i * size + j] += step;
                got.second[j * size + i] += if i == j { 0.0 } else { step };
                let loss = gaussian.compare(&got).loss;
                got.second[i * size + j] -= step;
                got.second[j * size + i] -= if i == j { 0.0 } else { step };
                loss
            };
            let slope = (at(0.02) - at(-0.02)) / 0.04;
            let expected = f64::from(difference.second[i * size + j]) * if i == j { 1.0 } else { 2.0 };
            assert!((slope - expected).abs() < 0.03 * (1.0 + expected.abs()), "{i} {j}: {slope} {expected}");
        }
        for i in 0..size {
            let mut at = |step: f32| {
                got.mean[i] += step;
                let loss = gaussian.compare(&got).loss;
                got.mean[i] -= step;
                loss
            };
            let slope = (at(0.01) - at(-0.01)) / 0.02;
            assert!((slope - f64::from(difference.mean[i])).abs() < 0.05 * (1.0 + slope.abs()), "{i}: {slope}");
        }
    }
}
