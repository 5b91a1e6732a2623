//! Style loss: distance between the feature correlations of the image and those of the style.
//!
//! The features `F` (M pixels, N channels) of a layer are reduced to their second moments `G / M = F^T F / M`, so that
//! images of different sizes are comparable. With `A / M'`, those of the style, the loss of a layer is
//!
//! ```text
//! E = c sum (G / M - A / M')^2,    dE/dF = 4 c / M  F (G / M - A / M')
//! ```
//!
//! where `c` is `1 / (4 N^2)` in the paper (Gatys et al., equations 4 to 6, where M = M').

use lucida_kernels::{Buffer, Cpu};

use crate::style::losses::wasserstein::Gaussian;

/// Feature statistics that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum StyleLoss {
    /// Gram matrices
    #[default]
    Gram,
    /// Wasserstein-2 distance of Gaussians; slower
    Wasserstein,
}

/// Normalization of a layer's squared differences: the factor `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StyleNorm {
    /// `1 / (4 N^2)`, as in the paper.
    Gatys,
    /// `1 / N^2`: their mean, as in TensorFlow's tutorial.
    Mean,
    /// One over the sum of squares for the style: 0 for the style itself, 1 for all-zero features.
    Relative,
}

impl StyleNorm {
    fn factor(self, channels: usize, wanted: &[f32]) -> f64 {
        let square = (channels * channels) as f64;
        match self {
            Self::Gatys => 0.25 / square,
            Self::Mean => 1.0 / square,
            Self::Relative => 1.0 / super::content::squares(wanted).max(f64::MIN_POSITIVE),
        }
    }
}

/// Moments of a layer's features.
#[derive(Debug, Clone)]
pub(in crate::style) struct Moments {
    /// Mean over the pixels of the products of all channel pairs.
    pub(in crate::style) second: Buffer,
    /// Channel means; empty if not needed.
    pub(in crate::style) mean: Vec<f32>,
}

impl Moments {
    /// Normalizes sums over pixels whose weights add up to `mass`.
    pub(in crate::style) fn of_sums(sums: &[f32], means: &[f64], mass: f64) -> Self {
        let mut second = Buffer::zeroed(sums.len());
        let factor = 1.0 / mass.max(f64::MIN_POSITIVE);
        second.iter_mut().zip(sums).for_each(|(value, sum)| *value = factor as f32 * sum);
        Self { second, mean: means.iter().map(|sum| (factor * sum) as f32).collect() }
    }

    /// Weighted mean of several; the weights add up to one.
    pub(in crate::style) fn blend(parts: &[(&Self, f32)]) -> Self {
        let mut second = Buffer::zeroed(parts[0].0.second.len());
        let mut mean = vec![0.0; parts[0].0.mean.len()];
        for (part, weight) in parts {
            second.iter_mut().zip(part.second.iter()).for_each(|(sum, value)| *sum += weight * value);
            mean.iter_mut().zip(&part.mean).for_each(|(sum, value)| *sum += weight * value);
        }
        Self { second, mean }
    }
}

/// The target of a style layer.
#[derive(Debug)]
pub(in crate::style) enum Target {
    Gram(Moments),
    Gaussian(Box<Gaussian>),
}

impl Target {
    pub(in crate::style) fn new(loss: StyleLoss, moments: &Moments, cpu: Cpu) -> Self {
        match loss {
            StyleLoss::Gram => Self::Gram(moments.clone()),
            StyleLoss::Wasserstein => Self::Gaussian(Box::new(Gaussian::new(cpu, moments))),
        }
    }

    /// Returns the loss of a layer, for features whose pixel weights add up to `mass`. Afterwards, the gradient, scaled by
    /// `weight`, with respect to the features (scaled by the root of their pixel weights) is their product with `slope`,
    /// plus `shift` unless that is empty.
    pub(in crate::style) fn compare(
        &mut self,
        norm: StyleNorm,
        got: &Moments,
        (weight, mass): (f64, f64),
        (slope, shift): (&mut [f32], &mut [f64]),
    ) -> f64 {
        let per_pixel = weight / mass.max(f64::MIN_POSITIVE);
        match self {
            Self::Gram(wanted) => {
                let channels = (slope.len() as f64).sqrt() as usize;
                let factor = norm.factor(channels, &wanted.second);
                let scale = (4.0 * factor * per_pixel) as f32;
                let mut loss = 0.0;
                let rows = got.second.chunks_exact(channels).zip(wanted.second.chunks_exact(channels));
                for (slope, (got, wanted)) in slope.chunks_exact_mut(channels).zip(rows) {
                    for ((slope, got), wanted) in slope.iter_mut().zip(got).zip(wanted) {
                        let difference = got - wanted;
                        *slope = scale * difference;
                        loss += f64::from(difference) * f64::from(difference);
                    }
                }
                factor * loss
            }
            Self::Gaussian(wanted) => {
                let difference = wanted.compare(got);
                let factor = match norm {
                    StyleNorm::Gatys | StyleNorm::Mean => 1.0 / shift.len() as f64,
                    StyleNorm::Relative => 1.0 / wanted.power().max(f64::MIN_POSITIVE),
                };
                let scale = factor * per_pixel;
                slope.iter_mut().zip(difference.second.iter()).for_each(|(slope, d)| *slope = (2.0 * scale) as f32 * d);
                shift.iter_mut().zip(difference.mean).for_each(|(shift, d)| *shift = scale * f64::from(d));
                factor * difference.loss
            }
        }
    }
}
