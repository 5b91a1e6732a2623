//! Images parameterized by spatial frequencies.
//!
//! The image is `sigmoid(start + C H(s c))`: `c` are the trained coefficients, one for each frequency and channel; `s`
//! falls with the frequency, so that equal steps change low frequencies most, which dominate in photographs; `H` is the
//! two-dimensional Hartley transform, a real-valued relative of the Fourier transform and its own inverse; and `C`
//! correlates the channels as in photographs. The idea is from Olah, Mordvintsev and Schubert (2017), section
//! "Preconditioning and parameterization".

use std::sync::Arc;

use lucida_kernels::Cpu;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

/// The color correlation of photographs: the square root of the covariance of red, green and blue (rows) over a thousand
/// photos of cats and dogs, with the columns brightness, red against blue, and green against the rest, divided by the norm
/// of the first column.
const COLORS: [[f32; 3]; 3] = [[0.580, 0.152, 0.042], [0.582, -0.003, -0.085], [0.570, -0.152, 0.044]];

/// The frequency parameterization of images of one size.
pub(super) struct Spectrum {
    height: usize,
    width: usize,
    channels: usize,
    /// The factor of each coefficient, `[height, width]`.
    scales: Vec<f32>,
    /// The image before the sigmoid for zero coefficients.
    start: f32,
    rows: Arc<dyn Fft<f32>>,
    columns: Arc<dyn Fft<f32>>,
}

impl Spectrum {
    /// For images of `height` x `width` pixels with 1 or 3 `channels`. The weight of frequency `f` (in waves over the
    /// longer side) is `f^-decay`, where frequencies below `lowest` count as `lowest`.
    pub(super) fn new([height, width, channels]: [usize; 3], decay: f32, lowest: f32, start: f32) -> Self {
        let scale = |index: usize| {
            let area = (height * width) as f32;
            // Frequency 0, the constant term, is covered by every unit.
            let waves = if index == 0 { 1.0 } else { waves(index, height, width).max(lowest) };
            0.25 * area.sqrt() * waves.powf(-decay)
        };
        let mut planner = FftPlanner::new();
        Self {
            height,
            width,
            channels,
            scales: (0..height * width).map(scale).collect(),
            start,
            rows: planner.plan_fft_forward(width),
            columns: planner.plan_fft_forward(height),
        }
    }

    /// The frequency of a coefficient, in waves over the longer side.
    fn waves(&self, index: usize) -> f32 {
        waves(index, self.height, self.width)
    }

    /// The number of coefficients, which is also the number of values of an image.
    pub(super) fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The pixel value of an image with zero coefficients.
    pub(super) fn background(&self) -> f32 {
        sigmoid(self.start)
    }

    /// Scales the coefficients of an image down until its contrast, the root mean square deviation from `start` before the
    /// sigmoid, is at most `limit`.
    pub(super) fn limit_contrast(&self, coefficients: &mut [f32], limit: f32) {
        let area = self.height * self.width;
        let energy: f64 = (0..area).map(|at| self.energy(coefficients, at)).sum();
        let contrast = (energy / self.len() as f64).sqrt();
        if contrast > f64::from(limit) {
            let scale = (f64::from(limit) / contrast) as f32;
            coefficients.iter_mut().for_each(|c| *c *= scale);
        }
    }

    /// The energy of frequency `at` in the channels of an image (the transform preserves the sum of squares).
    fn energy(&self, coefficients: &[f32], at: usize) -> f64 {
        let area = self.height * self.width;
        let part = |channel: usize| f64::from(self.scales[at] * coefficients[channel * area + at]);
        match self.channels {
            3 => COLORS.iter().map(|row| (0..3).map(|c| f64::from(row[c]) * part(c)).sum::<f64>().powi(2)).sum(),
            _ => (0..self.channels).map(|channel| part(channel).powi(2)).sum(),
        }
    }

    /// Computes images `[height, width, channels]` in 0..1 from coefficients `[channels, height, width]`.
    pub(super) fn images(&self, cpu: Cpu, coefficients: &[f32], images: &mut [f32]) {
        let (len, area) = (self.len(), self.height * self.width);
        cpu.parallel_chunks(images, len, |sample, image| {
            let coefficients = &coefficients[sample * len..][..len];
            for channel in 0..self.channels {
                let values = coefficients[channel * area..][..area].iter().zip(&self.scales).map(|(c, s)| c * s);
                for (at, value) in self.hartley(values).enumerate() {
                    image[at * self.channels + channel] = value;
                }
            }
            for pixel in image.chunks_exact_mut(self.channels) {
                if let [red, green, blue] = pixel {
                    let parts = [*red, *green, *blue];
                    [*red, *green, *blue] = COLORS.map(|row| row.iter().zip(parts).map(|(m, v)| m * v).sum());
                }
                pixel.iter_mut().for_each(|value| *value = sigmoid(self.start + *value));
            }
        });
    }

    /// Computes the gradients with respect to the coefficients from those with respect to the images.
    pub(super) fn back(&self, cpu: Cpu, images: &[f32], gradients: &[f32], coefficients: &mut [f32]) {
        let (len, area) = (self.len(), self.height * self.width);
        cpu.parallel_chunks(coefficients, len, |sample, coefficients| {
            let (images, gradients) = (&images[sample * len..][..len], &gradients[sample * len..][..len]);
            for channel in 0..self.channels {
                let pixels = images.chunks_exact(self.channels).zip(gradients.chunks_exact(self.channels));
                let values = pixels.map(|(image, gradient)| {
                    let through = |from: usize| gradient[from] * image[from] * (1.0 - image[from]);
                    match self.channels {
                        3 => (0..3).map(|from| COLORS[from][channel] * through(from)).sum(),
                        _ => through(channel),
                    }
                });
                let to = coefficients[channel * area..][..area].iter_mut().zip(&self.scales);
                to.zip(self.hartley(values)).for_each(|((to, s), value)| *to = s * value);
            }
        });
    }

    /// Replaces a gradient with respect to an image `[height, width, channels]` by the pixel direction of a step along the
    /// gradient of the coefficients: its frequencies and colors are weighted as in photographs. Frequencies below `lowest`
    /// waves over the longer side are removed.
    pub(super) fn precondition(&self, gradient: &mut [f32], lowest: f32) {
        let count = self.channels;
        let mixed = |pixel: &mut [f32], transposed: bool| {
            if let [red, green, blue] = pixel {
                let parts = [*red, *green, *blue];
                let at = |to: usize, from: usize| if transposed { COLORS[from][to] } else { COLORS[to][from] };
                [*red, *green, *blue] = [0, 1, 2].map(|to| (0..3).map(|from| at(to, from) * parts[from]).sum());
            }
        };
        gradient.chunks_exact_mut(count).for_each(|pixel| mixed(pixel, true));
        for channel in 0..count {
            let plane = gradient.iter().skip(channel).step_by(count).copied();
            let weighted = self.hartley(plane).zip(&self.scales).enumerate();
            let weighted: Vec<f32> =
                weighted.map(|(at, (c, s))| if self.waves(at) < lowest { 0.0 } else { c * s * s }).collect();
            let smooth: Vec<f32> = self.hartley(weighted.into_iter()).collect();
            gradient.iter_mut().skip(channel).step_by(count).zip(smooth).for_each(|(to, value)| *to = value);
        }
        gradient.chunks_exact_mut(count).for_each(|pixel| mixed(pixel, false));
    }

    /// The two-dimensional Hartley transform, orthonormal: `h(u, v) = sum over y, x of p(y, x) cas(2 pi (u y / height + v x
    /// / width)) / sqrt(height width)` with `cas t = cos t + sin t`; it is the real minus the imaginary part of the Fourier
    /// transform.
    fn hartley(&self, values: impl Iterator<Item = f32>) -> impl Iterator<Item = f32> {
        let (height, width) = (self.height, self.width);
        let mut values: Vec<Complex32> = values.map(|value| Complex32::new(value, 0.0)).collect();
        self.rows.process(&mut values);
        let mut turned: Vec<Complex32> = (0..height * width).map(|i| values[i % height * width + i / height]).collect();
        self.columns.process(&mut turned);
        let scale = 1.0 / ((height * width) as f32).sqrt();
        (0..height * width).map(move |i| {
            let value = turned[i % width * height + i / width];
            (value.re - value.im) * scale
        })
    }
}

fn waves(index: usize, height: usize, width: usize) -> f32 {
    let longer = height.max(width) as f32;
    let along = |index: usize, size: usize| index.min(size - index) as f32 / size as f32 * longer;
    along(index / width, height).hypot(along(index % width, width))
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Purpose, Rng};

    fn draws(len: usize, number: usize) -> Vec<f32> {
        let mut rng = Rng::keyed(5, Purpose::Maximize, number);
        (0..len).map(|_| rng.approximately_normal()).collect()
    }

    #[test]
    fn the_transform_follows_its_definition_and_is_its_own_inverse() {
        let spectrum = Spectrum::new([4, 6, 1], 1.0, 1.0, 0.0);
        let image = draws(24, 0);
        let transformed: Vec<f32> = spectrum.hartley(image.iter().copied()).collect();
        for (index, value) in transformed.iter().enumerate() {
            let (u, v) = ((index / 6) as f32, (index % 6) as f32);
            let term = |(at, p): (usize, &f32)| {
                let t = std::f32::consts::TAU * (u * (at / 6) as f32 / 4.0 + v * (at % 6) as f32 / 6.0);
                p * (t.cos() + t.sin())
            };
            let expected: f32 = image.iter().enumerate().map(term).sum::<f32>() / 24_f32.sqrt();
            assert!((value - expected).abs() < 1e-4, "{index}: {value}, not {expected}");
        }
        let back: Vec<f32> = spectrum.hartley(transformed.into_iter()).collect();
        assert!(back.iter().zip(&image).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_limit_scales_contrast_and_keeps_less() {
        let spectrum = Spectrum::new([8, 6, 3], 1.0, 1.0, 0.0);
        let contrast = |coefficients: &[f32]| {
            let mut image = vec![0.0; 144];
            spectrum.images(Cpu::detect(), coefficients, &mut image);
            let logits = image.iter().map(|p| f64::from(p / (1.0 - p)).ln());
            (logits.map(|logit| logit * logit).sum::<f64>() / 144.0).sqrt()
        };
        let coefficients: Vec<f32> = draws(144, 6).iter().map(|c| 2.0 * c).collect();
        let mut limited = coefficients.clone();
        assert!(contrast(&coefficients) > 0.6);
        spectrum.limit_contrast(&mut limited, 0.5);
        assert!((contrast(&limited) - 0.5).abs() < 1e-3, "{}", contrast(&limited));
        let before = limited.clone();
        spectrum.limit_contrast(&mut limited, 0.6);
        assert_eq!(limited, before);
    }

    #[test]
    fn a_preconditioned_step_is_the_step_of_the_coefficients() {
        let spectrum = Spectrum::new([4, 6, 3], 1.0, 1.0, 0.0);
        // For zero coefficients the slope of the sigmoid is 1/4 everywhere, and it applies twice: in the gradient and in
        // the step.
        let (gradient, zero) = (draws(72, 7), vec![0.0; 72]);
        let (mut even, mut step) = (vec![0.0; 72], vec![0.0; 72]);
        spectrum.images(Cpu::detect(), &zero, &mut even);
        spectrum.back(Cpu::detect(), &even, &gradient, &mut step);
        step.iter_mut().for_each(|step| *step *= 1e-3);
        let mut moved = vec![0.0; 72];
        spectrum.images(Cpu::detect(), &step, &mut moved);
        let mut found = gradient.clone();
        spectrum.precondition(&mut found, 0.0);
        for (found, moved) in found.iter().zip(&moved) {
            let expected = (moved - 0.5) / 1e-3 * 16.0;
            assert!((found - expected).abs() < 0.02, "{found}, not {expected}");
        }
    }

    #[test]
    fn gradients_by_finite_differences() {
        for channels in [1, 3] {
            let spectrum = Spectrum::new([4, 6, channels], 1.2, 1.0, -0.5);
            let cpu = Cpu::detect();
            let (coefficients, direction, weights) =
                (draws(2 * spectrum.len(), 1), draws(2 * spectrum.len(), 2), draws(2 * spectrum.len(), 3));
            let images = |coefficients: &[f32]| {
                let mut images = vec![0.0; coefficients.len()];
                spectrum.images(cpu, coefficients, &mut images);
                images
            };
            let value = |by: f32| {
                let moved: Vec<f32> = coefficients.iter().zip(&direction).map(|(c, d)| c + by * d).collect();
                images(&moved).iter().zip(&weights).map(|(p, w)| f64::from(p * w)).sum::<f64>()
            };
            let mut gradient = vec![0.0; coefficients.len()];
            spectrum.back(cpu, &images(&coefficients), &weights, &mut gradient);
            let expected = (value(1e-2) - value(-1e-2)) / 2e-2;
            let found: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!((found - expected).abs() < 2e-3 * expected.abs().max(0.1), "{found}, not {expected}");
        }
    }

    #[test]
    fn long_waves_weigh_as_the_lowest_does_and_even_ground_keeps_its_weight() {
        let [all, local] = [1.0, 4.0].map(|lowest| Spectrum::new([16, 16, 3], 1.0, lowest, 0.0));
        assert_eq!(local.scales[0], all.scales[0]);
        assert_eq!(local.scales[1], all.scales[4]);
        assert_eq!(local.scales[4..8], all.scales[4..8]);
    }
}
