//! The functions that follow a layer's sums.

use serde::{Deserialize, Serialize};

use crate::nn::backward_rule::{BackwardRule, map_gradient};

/// The functions that follow a layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// The value itself.
    #[default]
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x) / sum exp(x)` over the last axis.
    Softmax,
    /// `x - log sum exp(x)` over the last axis: the logarithm of the softmax.
    LogSoftmax,
    /// `x` where it is positive, `negative_slope x` elsewhere (Maas, Hannun and Ng, 2013).
    LeakyRelu {
        /// The slope for negative values: a finite number, not negative itself.
        negative_slope: f32,
    },
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `min(max(x, min), max)`
    Clip {
        /// The least value: finite, and less than the largest.
        min: f32,
        /// The largest value, finite.
        max: f32,
    },
}

impl ActivationKind {
    /// Its value at zero, where it works on each value alone: its output where the sum is zero.
    pub(crate) fn at_zero(self) -> f32 {
        match self {
            Self::Sigmoid => 0.5,
            Self::Clip { min, max } => 0.0_f32.clamp(min, max),
            _ => 0.0,
        }
    }

    /// Checks the function's parameters.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::LeakyRelu { negative_slope } if !(0.0..=f32::MAX).contains(&negative_slope) => {
                Err(format!("a leaky ReLU with the slope {negative_slope}: it must be finite and not negative"))
            }
            Self::Clip { min, max } if !(min.is_finite() && max.is_finite() && min < max) => {
                Err(format!("clipping to values from {min} to {max} is invalid"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the rule's backward pass reads the input too: the output does not say where a clipped sum has been.
    pub(super) fn rule_reads_input(self, rule: BackwardRule) -> bool {
        matches!((rule, self), (BackwardRule::Relevance { .. }, Self::Relu6 | Self::Clip { .. }))
    }

    /// Takes a gradient through an activation with this output, in place, if the rule differs from the gradient there. `input` is
    /// read only where [`rule_reads_input`](Self::rule_reads_input) says so.
    pub(super) fn backward_by_rule(
        self,
        rule: BackwardRule,
        input: &[f32],
        output: &[f32],
        gradient: &mut [f32],
    ) -> bool {
        match (rule, self) {
            (BackwardRule::Gradient, _) => return false,
            (_, Self::Relu) => rule.rectify(output, gradient),
            (BackwardRule::Relevance { epsilon }, Self::Tanh) => {
                map_gradient(output, gradient, |y, dy| {
                    dy * share(y, y.clamp(-1.0 + 1e-7, 1.0 - 1e-7).atanh(), epsilon)
                });
            }
            (BackwardRule::Relevance { epsilon }, Self::Sigmoid) => {
                map_gradient(output, gradient, |y, dy| {
                    let y = y.clamp(1e-7, 1.0 - 1e-7);
                    dy * share(y - 0.5, (y / (1.0 - y)).ln(), epsilon)
                });
            }
            (BackwardRule::Relevance { epsilon }, Self::Relu6 | Self::Clip { .. }) => {
                let start = self.at_zero();
                for ((dy, &y), &z) in gradient.iter_mut().zip(output).zip(input) {
                    *dy *= share(y - start, z, epsilon);
                }
            }
            // A rectifier with a ceiling: beyond it nothing passes, as in its gradient.
            (BackwardRule::GuidedBackprop, Self::Relu6) => {
                map_gradient(output, gradient, |y, dy| if y > 0.0 && y < 6.0 { dy.max(0.0) } else { 0.0 });
            }
            (BackwardRule::Deconvnet, Self::Relu6) => rule.rectify(output, gradient),
            _ => return false,
        }
        true
    }
}

/// `y / (z + eps sign z)`
fn share(y: f32, z: f32, epsilon: f32) -> f32 {
    y / (z + epsilon.copysign(z))
}
