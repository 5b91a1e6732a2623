//! How a pass backward goes through rectifiers.
//!
//! The three ways of Springenberg et al. (2015, "Striving for simplicity", figure 1) differ at the ReLU alone, with `y` its
//! output and `dy` what comes from above:
//!
//! ```text
//! gradient          dx = dy   where y > 0, else 0
//! deconvnet         dx = dy   where dy > 0, else 0
//! guided backprop   dx = dy   where y > 0 and dy > 0, else 0
//! ```
//!
//! Layer-wise relevance propagation with the epsilon rule is a gradient too: with `R = x dx` as the relevance of a value,
//! `R_i = sum over j of x_i w_ij R_j / (z_j + eps sign z_j)` is the gradient with each derivative `f'(z)` replaced by
//! `f(z) / (z + eps sign z)` (Ancona et al., 2018, proposition 1). A sigmoid is 1/2 where its sum is nothing: that half is no
//! term's doing and keeps its relevance, as a bias does; the rest, `f(z) - 1/2`, is handed on.

use super::super::layers::ActivationKind;

/// What takes the place of the derivative of a rectifier on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum BackwardRule {
    /// Nothing: the gradient.
    #[default]
    Gradient,
    /// The signal on its way back is rectified itself (Zeiler and Fergus, 2014).
    Deconvnet,
    /// Both: only where the rectifier was open, and only what is positive (Springenberg et al., 2015).
    GuidedBackprop,
    /// Layer-wise relevance propagation (Bach et al., 2015): the gradient that arrives at a value, times that value, is
    /// its relevance.
    Relevance {
        /// What keeps small sums from blowing up.
        epsilon: f32,
    },
}

/// What happens to the gradient of a step's output before the step takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gate {
    /// It passes the fused ReLU by the rule.
    Rectifier(BackwardRule),
    /// A sum with weights, without a fused ReLU, in relevance propagation.
    Sum { epsilon: f32 },
}

impl Gate {
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

impl BackwardRule {
    /// Takes a gradient through a ReLU with this output, in place.
    pub(crate) fn rectify(self, output: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Gradient => keep(output, gradient, |y, dy| if y > 0.0 { dy } else { 0.0 }),
            Self::Deconvnet => gradient.iter_mut().for_each(|dy| *dy = dy.max(0.0)),
            Self::GuidedBackprop => keep(output, gradient, |y, dy| if y > 0.0 { dy.max(0.0) } else { 0.0 }),
            Self::Relevance { epsilon } => {
                keep(output, gradient, |y, dy| if y > 0.0 { dy * y / (y + epsilon) } else { 0.0 });
            }
        }
    }

    /// Whether the way through an activation is told by its input too: where a clipped sum has been, its output does not
    /// say.
    pub(crate) fn reads_input(self, kind: ActivationKind) -> bool {
        matches!((self, kind), (Self::Relevance { .. }, ActivationKind::Relu6 | ActivationKind::Clip { .. }))
    }

    /// Takes a gradient through an activation with this output, in place, if the rule has a way of its own there. `input` is
    /// read only where [`reads_input`](Self::reads_input) says so.
    pub(crate) fn activation(self, kind: ActivationKind, input: &[f32], output: &[f32], gradient: &mut [f32]) -> bool {
        match (self, kind) {
            (Self::Gradient, _) => return false,
            (_, ActivationKind::Relu) => self.rectify(output, gradient),
            (Self::Relevance { epsilon }, ActivationKind::Tanh) => {
                keep(output, gradient, |y, dy| dy * share(y, y.clamp(-1.0 + 1e-7, 1.0 - 1e-7).atanh(), epsilon));
            }
            (Self::Relevance { epsilon }, ActivationKind::Sigmoid) => {
                keep(output, gradient, |y, dy| {
                    let y = y.clamp(1e-7, 1.0 - 1e-7);
                    dy * share(y - 0.5, (y / (1.0 - y)).ln(), epsilon)
                });
            }
            (Self::Relevance { epsilon }, ActivationKind::Relu6 | ActivationKind::Clip { .. }) => {
                let start = kind.at_zero();
                for ((dy, &y), &z) in gradient.iter_mut().zip(output).zip(input) {
                    *dy *= share(y - start, z, epsilon);
                }
            }
            // A rectifier with a ceiling: beyond it nothing passes, as in its gradient.
            (Self::GuidedBackprop, ActivationKind::Relu6) => {
                keep(output, gradient, |y, dy| if y > 0.0 && y < 6.0 { dy.max(0.0) } else { 0.0 });
            }
            (Self::Deconvnet, ActivationKind::Relu6) => self.rectify(output, gradient),
            _ => return false,
        }
        true
    }
}

/// `y / (z + eps sign z)`
fn share(y: f32, z: f32, epsilon: f32) -> f32 {
    y / (z + epsilon.copysign(z))
}

fn keep(output: &[f32], gradient: &mut [f32], rule: impl Fn(f32, f32) -> f32) {
    for (dy, &y) in gradient.iter_mut().zip(output) {
        *dy = rule(y, *dy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_figure_one() {
        let (output, gradient) = ([2.0, 2.0, 0.0, 0.0], [3.0, -3.0, 3.0, -3.0]);
        let by = |rule: BackwardRule| {
            let mut gradient = gradient;
            rule.rectify(&output, &mut gradient);
            gradient
        };
        assert_eq!(by(BackwardRule::Gradient), [3.0, -3.0, 0.0, 0.0]);
        assert_eq!(by(BackwardRule::Deconvnet), [3.0, 0.0, 3.0, 0.0]);
        assert_eq!(by(BackwardRule::GuidedBackprop), [3.0, 0.0, 0.0, 0.0]);
        assert_eq!(by(BackwardRule::Relevance { epsilon: 2.0 }), [1.5, -1.5, 0.0, 0.0]);
    }
}
