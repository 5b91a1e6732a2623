//! Shared code of the layers that are random in training: each value becomes `factor x + shift`, with random factors and
//! shifts, and its gradient is multiplied by the same factor. In inference they are the identity.

use lucida_kernels::ops::{multiply, transfer};
use lucida_kernels::{Buffer, Cpu};

use crate::core::Rng;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// The distribution of the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Noise {
    /// Adds a normal random number with this standard deviation to each value.
    Add(f32),
    /// Multiplies each value by a normal random number with mean one and this standard deviation.
    Scale(f32),
    /// Drops values with this probability, individually or together, and scales the others by `1 / (1 - rate)`.
    Drop(f32, NoiseSharing),
    /// Sets values to SELU's lower bound with this probability, and transforms all values to restore mean and variance.
    Alpha(f32),
}

/// The values that share a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoiseSharing {
    /// No sharing.
    Values,
    /// All values of a channel.
    Channels,
    /// All values of a sample.
    Samples,
}

/// Checks a dropout rate.
///
/// # Errors
/// A message if it is not in [0, 1).
pub(super) fn check_rate(rate: f32) -> Result<(), String> {
    match (0.0..1.0).contains(&rate) {
        true => Ok(()),
        false => Err(format!("a dropout rate is at least 0 and less than 1, got {rate}")),
    }
}

/// SELU's lower bound: the negative product of its factors.
const SELU_LEAST: f32 = -1.758_099_3;

impl Noise {
    /// Prepares the operation for training.
    pub(super) fn prepare(self, config: &OpConfig) -> Box<dyn Op> {
        let features = config.inputs[0].len();
        let of = |used: bool| Buffer::zeroed(if used { config.batch * features } else { 0 });
        Box::new(NoiseOp {
            cpu: config.cpu,
            noise: self,
            features,
            channels: config.inputs[0].channels(),
            factors: of(!matches!(self, Self::Add(_))),
            shifts: of(matches!(self, Self::Add(_) | Self::Alpha(_))),
        })
    }

    /// Number of 32-bit words that a sample draws.
    fn words(self, features: usize, channels: usize) -> usize {
        match self {
            // Normal numbers are generated in pairs, from two uniform 64-bit numbers.
            Self::Add(_) | Self::Scale(_) => 4 * features.div_ceil(2),
            Self::Drop(_, NoiseSharing::Values) | Self::Alpha(_) => features,
            Self::Drop(_, NoiseSharing::Channels) => channels,
            Self::Drop(_, NoiseSharing::Samples) => 1,
        }
    }
}

struct NoiseOp {
    cpu: Cpu,
    noise: Noise,
    features: usize,
    channels: usize,
    /// The factor of each value of the batch; empty if all are one.
    factors: Buffer,
    /// The shift of each value of the batch; empty if all are zero.
    shifts: Buffer,
}

impl NoiseOp {
    /// Draws the random numbers of one sample.
    fn draw(noise: Noise, channels: usize, rng: &mut Rng, factors: &mut [f32], shifts: &mut [f32]) {
        let threshold = |rate: f32| (f64::from(rate) * 2.0_f64.powi(32)) as u32;
        match noise {
            Noise::Add(deviation) => {
                shifts.fill(0.0);
                rng.add_noise(shifts, deviation.into());
            }
            Noise::Scale(deviation) => {
                factors.fill(1.0);
                rng.add_noise(factors, deviation.into());
            }
            Noise::Drop(rate, together) => {
                let (keep, threshold) = (1.0 / (1.0 - rate), threshold(rate));
                let mut factor = || if rng.next_u32() < threshold { 0.0 } else { keep };
                match together {
                    NoiseSharing::Values => factors.iter_mut().for_each(|value| *value = factor()),
                    NoiseSharing::Samples => factors.fill(factor()),
                    NoiseSharing::Channels => {
                        let (first, rest) = factors.split_at_mut(channels);
                        first.iter_mut().for_each(|value| *value = factor());
                        rest.chunks_exact_mut(channels).for_each(|row| row.copy_from_slice(first));
                    }
                }
            }
            Noise::Alpha(rate) => {
                let scale = ((1.0 - rate) * (1.0 + rate * SELU_LEAST * SELU_LEAST)).sqrt().recip();
                let shift = -scale * SELU_LEAST * rate;
                let threshold = threshold(rate);
                for (factor, added) in factors.iter_mut().zip(shifts) {
                    let dropped = rng.next_u32() < threshold;
                    *factor = if dropped { 0.0 } else { scale };
                    *added = if dropped { shift + scale * SELU_LEAST } else { shift };
                }
            }
        }
    }
}

impl Op for NoiseOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let Self { cpu, noise, features, channels, factors, shifts } = self;
        let seed = pass.seed.expect("a plan for training is given a seed for each step");
        let mut rng = seed.rng(noise.words(*features, *channels));
        let of = |buffer: &Buffer, sample: usize| match buffer.is_empty() {
            true => 0..0,
            false => sample * *features..(sample + 1) * *features,
        };
        for sample in 0..pass.batch {
            let (own, added) = (of(factors, sample), of(shifts, sample));
            Self::draw(*noise, *channels, &mut rng, &mut factors[own], &mut shifts[added]);
        }
        if factors.is_empty() {
            transfer(*cpu, pass.inputs.get(0), output, false);
        } else {
            multiply(*cpu, pass.inputs.get(0), &factors[..output.len()], output, false);
        }
        if !shifts.is_empty() {
            transfer(*cpu, &shifts[..output.len()], output, true);
        }
    }

    /// The gradient is multiplied by the same factors.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        match self.factors.is_empty() {
            true => transfer(self.cpu, pass.grad_output, grad_input, accumulate),
            false => {
                multiply(self.cpu, pass.grad_output, &self.factors[..grad_input.len()], grad_input, accumulate);
            }
        }
    }
}

/// Defines a layer that is the identity in inference, from a type with a field and a method `noise`.
macro_rules! noise_layer {
    ($kind:ident, $field:ident, keeps_sign: $keeps_sign:literal) => {
        impl $kind {
            /// Creates the layer.
            pub fn new($field: f32) -> Self {
                Self { $field }
            }
        }

        impl $crate::nn::layers::LayerSpec for $kind {
            fn output_shape(&self, inputs: &[$crate::nn::Shape]) -> Result<$crate::nn::Shape, String> {
                self.check()?;
                Ok($crate::nn::layers::spec::one_input(inputs)?.clone())
            }

            fn is_view(&self, training: bool) -> bool {
                !training || self.$field == 0.0
            }

            fn extent(&self, _inputs: &[$crate::nn::Shape]) -> $crate::nn::layers::Extent {
                $crate::nn::layers::Extent::Same
            }

            fn keeps_sign(&self) -> bool {
                $keeps_sign
            }

            fn only_resamples(&self) -> bool {
                true
            }

            fn prepare(&self, config: &$crate::nn::OpConfig) -> Box<dyn $crate::nn::Op> {
                self.noise().prepare(config)
            }
        }
    };
}
pub(super) use noise_layer;
