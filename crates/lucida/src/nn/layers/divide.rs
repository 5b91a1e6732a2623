//! The elementwise quotient of two inputs.

use serde::{Deserialize, Serialize};

use super::merge::{Merge, merge_layer};

/// The elementwise quotient of two inputs. Axes of size 1 are broadcast.
///
/// ```
/// use lucida::nn::layers::{Divide, Input};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("merged");
/// let image = builder.add(Input::new([4, 4, 2]), &[])?;
/// let other = builder.add(Input::new([1, 1, 2]), &[])?;
/// let merged = builder.add(Divide::new(), &[image, other])?;
/// let network = builder.build(&[merged], 42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut_at(0).fill(6.0);
/// plan.input_mut_at(1).copy_from_slice(&[2.0, 8.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0)[..2], [3.0, 0.75]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Divide {}

merge_layer!(Divide, Merge::Quotient, keeps_sign: true, keras: ["Divide", "TrueDivide"], to_keras: Ok(serde_json::json!({})));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{merged, refuses};

    #[test]
    fn gradients() {
        // Divisors far from zero.
        let (output, gradients) = merged(Divide::new(), [&[6.0, 2.0, -3.0, 8.0], &[2.0, -4.0]]);
        assert_eq!(output, [3.0, -0.5, -1.5, -2.0]);
        // dy = 1, 2, 3, 4: dy / b, and the sum over pixels of -dy a / b^2.
        assert_eq!(gradients[0], [0.5, -0.5, 1.5, -1.0]);
        assert_eq!(gradients[1], [-1.5 + 2.25, -0.25 - 2.0]);
        refuses(Divide::new(), &[[5].into(), [5].into(), [5].into()], &["two inputs", "got 3"]);
    }
}
