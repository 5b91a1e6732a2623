//! How a backward pass goes through rectifiers.
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
//! Layer-wise relevance propagation with the epsilon rule is a gradient too: with `R = x dx` as the relevance of a
//! value, `R_i = sum over j of x_i w_ij R_j / (z_j + eps sign z_j)` is the gradient with each derivative `f'(z)`
//! replaced by `f(z) / (z + eps sign z)` (Ancona et al., 2018, proposition 1). A sigmoid is 1/2 where its sum is
//! nothing: that half belongs to no term and keeps its relevance, as a bias does; the rest, `f(z) - 1/2`, is handed
//! on.

/// What takes the place of the derivative of a rectifier in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum BackwardRule {
    /// Nothing: the gradient.
    #[default]
    Gradient,
    /// The gradient is rectified itself (Zeiler and Fergus, 2014).
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

impl BackwardRule {
    /// Takes a gradient through a ReLU with this output, in place.
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
