//! The elementwise minimum of inputs.

use serde::{Deserialize, Serialize};

use super::merge::{Merge, merge_layer};

/// The elementwise minimum of several inputs. Axes of size 1 are broadcast.
///
/// ```
/// use lucida::nn::layers::{Minimum, Input};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("merged");
/// let image = builder.add(Input::new([4, 4, 2]), &[])?;
/// let other = builder.add(Input::new([1, 1, 2]), &[])?;
/// let merged = builder.add(Minimum::new(), &[image, other])?;
/// let network = builder.build(&[merged], 42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut_at(0).fill(6.0);
/// plan.input_mut_at(1).copy_from_slice(&[2.0, 8.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0)[..2], [2.0, 6.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Minimum {}

merge_layer!(Minimum, Merge::Minimum, keeps_sign: true, keras: ["Minimum"], to_keras: Ok(serde_json::json!({})));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{merged, refuses};

    #[test]
    fn gradients() {
        let (output, gradients) = merged(Minimum::new(), [&[6.0, -2.0, -3.0, -4.0], &[2.0, -4.0]]);
        assert_eq!(output, [2.0, -4.0, -3.0, -4.0]);
        // dy = 1, 2, 3, 4; of equal values the first one counts.
        assert_eq!(gradients[0], [0.0, 0.0, 3.0, 4.0]);
        assert_eq!(gradients[1], [1.0, 2.0]);
        refuses(Minimum::new(), &[[5].into(), [4].into()], &["(5)", "(4)"]);
    }
}
