//! The elementwise mean of inputs.

use serde::{Deserialize, Serialize};

use super::merge::{Merge, merge_layer};

/// The elementwise mean of several inputs. Axes of size 1 are broadcast.
///
/// ```
/// use lucida::nn::layers::{Average, Input};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("merged");
/// let image = builder.add(Input::new([4, 4, 2]), &[])?;
/// let other = builder.add(Input::new([1, 1, 2]), &[])?;
/// let merged = builder.add(Average::new(), &[image, other])?;
/// let network = builder.build(&[merged], 42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut_at(0).fill(6.0);
/// plan.input_mut_at(1).copy_from_slice(&[2.0, 8.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0)[..2], [4.0, 7.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Average {}

merge_layer!(Average, Merge::Mean, keeps_sign: true, keras: ["Average"], to_keras: Ok(serde_json::json!({})));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(Average::new(), &[[3, 4, 5].into(), [3, 4, 5].into(), [3, 4, 5].into()]);
        check_layer(Average::new(), &[[1, 1, 5].into(), [3, 4, 5].into()]);
        refuses(Average::new(), &[[5].into(), [4].into()], &["(5)", "(4)"]);
    }
}
