//! The backward pass of a fused activation, before that of the operation.

use crate::nn::BackwardRule;

/// How the gradient of an operation's output is changed before the operation uses it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ActivationBackward {
    /// The fused ReLU, by the rule.
    Rectifier(BackwardRule),
    /// A weighted sum without a fused ReLU, in relevance propagation.
    Sum { epsilon: f32 },
}

impl ActivationBackward {
    /// Whether it reads the output of the forward pass.
    pub(super) fn reads_output(self) -> bool {
        self != Self::Rectifier(BackwardRule::Deconvnet)
    }

    pub(super) fn apply(self, output: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Rectifier(rule) => rule.rectify(output, gradient),
            Self::Sum { epsilon } => {
                for (dy, &y) in gradient.iter_mut().zip(output) {
                    *dy *= y.abs() / (y.abs() + epsilon);
                }
            }
        }
    }
}
