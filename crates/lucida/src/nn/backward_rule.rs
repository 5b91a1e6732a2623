//! How a backward pass treats rectifiers.
//!
//! The three rules of Springenberg et al. (2015, "Striving for simplicity", figure 1) differ only at the ReLU, where `y` is
//! its output and `dy` the gradient of the output:
//!
//! ```text
//! gradient          dx = dy   where y > 0, else 0
//! deconvnet         dx = dy   where dy > 0, else 0
//! guided backprop   dx = dy   where y > 0 and dy > 0, else 0
//! ```
//!
//! Layer-wise relevance propagation with the epsilon rule is a gradient too: with `R = x dx` as the relevance of a value,
//! `R_i = sum over j of x_i w_ij R_j / (z_j + eps sign z_j)` is the gradient with each derivative `f'(z)` replaced by
//! `f(z) / (z + eps sign z)` (Ancona et al., 2018, proposition 1). A sigmoid of zero is 1/2: that half belongs to no input
//! and keeps its relevance, as a bias does; only the rest, `f(z) - 1/2`, is propagated.

/// Replaces the derivative of a rectifier in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum BackwardRule {
    /// The plain gradient.
    #[default]
    Gradient,
    /// Rectifies the gradient itself (Zeiler and Fergus, 2014).
    Deconvnet,
    /// Both: keeps only positive gradients, where the rectifier's output is positive (Springenberg et al., 2015).
    GuidedBackprop,
    /// Layer-wise relevance propagation (Bach et al., 2015): the relevance of a value is its gradient times the value.
    Relevance {
        /// Stabilizer for sums close to zero.
        epsilon: f32,
    },
}

impl BackwardRule {
    /// Applies the rule to a gradient at a ReLU with this output, in place.
    pub(crate) fn rectify(self, output: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Gradient => map_gradient(output, gradient, |y, dy| if y > 0.0 { dy } else { 0.0 }),
            Self::Deconvnet => gradient.iter_mut().for_each(|dy| *dy = dy.max(0.0)),
            Self::GuidedBackprop => map_gradient(output, gradient, |y, dy| if y > 0.0 { dy.max(0.0) } else { 0.0 }),
            Self::Relevance { epsilon } => {
                map_gradient(output, gradient, |y, dy| if y > 0.0 { dy * y / (y + epsilon) } else { 0.0 });
            }
        }
    }
}

/// Replaces each gradient by the rule's function of the output and the gradient.
pub(super) fn map_gradient(output: &[f32], gradient: &mut [f32], rule: impl Fn(f32, f32) -> f32) {
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
