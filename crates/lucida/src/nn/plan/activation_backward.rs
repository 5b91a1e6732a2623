//! What the gradient of an operation's output passes before the operation takes it.

use crate::nn::BackwardRule;

/// What happens to the gradient of an operation's output before the operation takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ActivationBackward {
    /// It passes the fused ReLU by the rule.
    Rectifier(BackwardRule),
    /// A sum with weights, without a fused ReLU, in relevance propagation.
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
