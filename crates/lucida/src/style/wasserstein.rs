//! The Wasserstein-2 distance of Gaussians, as a style loss.
//!
//! Features are taken for draws from a Gaussian of their mean `m` and covariance `S`; its distance from that of the style,
//! `n` and `R R`, is what it costs to carry the one over into the other (Givens and Shortt, 1984; Mroueh, "Wasserstein
//! Style Transfer", 2019):
//!
//! ```text
//! W = |m - n|^2 + tr(S + R R - 2 (R S R)^1/2),    dW/dS = I - R (R S R)^-1/2 R,    dW/dm = 2 (m - n)
//! ```
//!
//! Both covariances get a little of the identity first, so that directions without variance do no harm. Roots are found
//! by the coupled iteration of Newton and Schulz, which has nothing but products of matrices (Higham, "Functions of
//! Matrices", equation 6.35).

use lucida_kernels::{Buffer, Conv2d, Conv2dGradients, Conv2dShape, Cpu};

use super::style_loss::Moments;

/// What is added to the variances: a part of the mean variance of the style.
const RIDGE: f32 = 1e-2;
/// The most steps to a root, and how near to the identity it ends.
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

    /// The root of a symmetric positive matrix, and its inverse.
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
            let mut apart = 0.0_f32;
            for (at, value) in turn.iter_mut().enumerate() {
                let identity = if at % (size + 1) == 0 { 1.0 } else { 0.0 };
                apart += (*value - identity).powi(2);
                *value = 1.5 * identity - 0.5 * *value;
            }
            let apart = (apart / size as f32).sqrt();
            // Rounding grows again once it is as near as it gets.
            if apart < CLOSE || (apart < 0.1 && apart > before) {
                break;
            }
            before = apart;
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
}

/// The Gaussian of a style, prepared to be compared with.
#[derive(Debug)]
pub(super) struct Gaussian {
    square: Square,
    mean: Vec<f32>,
    root: Buffer,
    ridge: f32,
    /// The trace of the covariance, with its ridge.
    trace: f64,
    /// The mean square of the features.
    power: f64,
}

/// The loss, and its gradients with respect to the second moments and to the mean.
pub(super) struct Apart {
    pub(super) loss: f64,
    pub(super) second: Buffer,
    pub(super) mean: Vec<f32>,
}

impl Gaussian {
    pub(super) fn new(cpu: Cpu, moments: &Moments) -> Self {
        let size = moments.mean.len();
        let power: f64 = (0..size).map(|i| f64::from(moments.second[i * (size + 1)])).sum();
        let mut covariance = covariance(moments, 0.0);
        let mean_variance = (0..size).map(|i| covariance[i * (size + 1)]).sum::<f32>() / size as f32;
        let ridge = RIDGE * mean_variance.max(1e-6 * (power / size as f64) as f32).max(f32::MIN_POSITIVE);
        (0..size).for_each(|i| covariance[i * (size + 1)] += ridge);
        let trace = (0..size).map(|i| f64::from(covariance[i * (size + 1)])).sum();
        let mut square = Square::new(cpu, size);
        let (root, _) = square.roots(&covariance);
        Self { square, mean: moments.mean.clone(), root, ridge, trace, power }
    }

    /// The mean square of the style's features, to measure losses by.
    pub(super) fn power(&self) -> f64 {
        self.power
    }

    pub(super) fn compare(&mut self, got: &Moments) -> Apart {
        let size = self.mean.len();
        let covariance = covariance(got, self.ridge);
        let (mut half, mut inner) = (Buffer::zeroed(size * size), Buffer::zeroed(size * size));
        self.square.multiply(&covariance, &self.root, &mut half);
        self.square.multiply(&self.root, &half, &mut inner);
        let (root, inverse) = self.square.roots(&inner);
        let trace = |matrix: &[f32]| (0..size).map(|i| f64::from(matrix[i * (size + 1)])).sum::<f64>();
        let shift = || got.mean.iter().zip(&self.mean).map(|(m, n)| m - n);
        let loss = shift().map(|apart| f64::from(apart).powi(2)).sum::<f64>() + trace(&covariance) + self.trace
            - 2.0 * trace(&root);
        self.square.multiply(&inverse, &self.root, &mut half);
        self.square.multiply(&self.root, &half, &mut inner);
        let mut second = Buffer::zeroed(size * size);
        for i in 0..size {
            for j in 0..size {
                let map = 0.5 * (inner[i * size + j] + inner[j * size + i]);
                second[i * size + j] = if i == j { 1.0 - map } else { -map };
            }
        }
        // The covariance is the second moment less the product of the means.
        let along = |row: &[f32]| row.iter().zip(&got.mean).map(|(a, b)| a * b).sum::<f32>();
        let mean = shift().zip(second.chunks_exact(size)).map(|(apart, row)| 2.0 * apart - 2.0 * along(row)).collect();
        Apart { loss: loss.max(0.0), second, mean }
    }
}

/// The covariance, with something added to the variances.
fn covariance(moments: &Moments, ridge: f32) -> Buffer {
    let size = moments.mean.len();
    let mut covariance = moments.second.clone();
    for (i, row) in covariance.chunks_exact_mut(size).enumerate() {
        row.iter_mut().zip(&moments.mean).for_each(|(value, mean)| *value -= moments.mean[i] * mean);
        row[i] += ridge;
    }
    covariance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(size: usize, seed: usize) -> Moments {
        // The digits behind the point of a large sine: as good as random.
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
    }

    /// For one channel the distance is that of the means and of the deviations.
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
        let apart = gaussian.compare(&of(3.0, 9.0));
        let ridge = 0.04_f64;
        let expected = 4.0 + ((9.0 + ridge).sqrt() - (4.0 + ridge).sqrt()).powi(2);
        assert!((apart.loss - expected).abs() < 1e-3, "{} {expected}", apart.loss);
        assert!(gaussian.compare(&of(1.0, 4.0)).loss < 1e-4);
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let size = 6;
        let (style, mut got) = (moments(size, 3), moments(size, 5));
        let mut gaussian = Gaussian::new(Cpu::detect(), &style);
        let apart = gaussian.compare(&got);
        assert!(apart.loss > 0.0);
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
            let expected = f64::from(apart.second[i * size + j]) * if i == j { 1.0 } else { 2.0 };
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
            assert!((slope - f64::from(apart.mean[i])).abs() < 0.05 * (1.0 + slope.abs()), "{i}: {slope}");
        }
    }
}
