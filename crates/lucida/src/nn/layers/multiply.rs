//! The elementwise product of inputs, such as the gate of a squeeze-and-excitation block (Hu, Shen and Sun, 2018).

use serde::{Deserialize, Serialize};

use super::merge::{Merge, merge_layer};

/// The elementwise product of several inputs. Axes of size 1 are broadcast: `[1, 1, channels]` gates the channels of an
/// image.
///
/// ```
/// use lucida::nn::layers::{Multiply, Input};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("merged");
/// let image = builder.add(Input::new([4, 4, 2]), &[])?;
/// let other = builder.add(Input::new([1, 1, 2]), &[])?;
/// let merged = builder.add(Multiply::new(), &[image, other])?;
/// let network = builder.build(&[merged], 42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut_at(0).fill(6.0);
/// plan.input_mut_at(1).copy_from_slice(&[2.0, 8.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0)[..2], [12.0, 48.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Multiply {}

merge_layer!(Multiply, Merge::Product, keeps_sign: true, keras: ["Multiply"], to_keras: Ok(serde_json::json!({})));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        for other in [[3, 4, 5], [1, 1, 5], [3, 4, 1], [1, 4, 1], [3, 1, 5]] {
            check_layer(Multiply::new(), &[[3, 4, 5].into(), other.into()]);
            check_layer(Multiply::new(), &[other.into(), [3, 4, 5].into()]);
        }
        check_layer(Multiply::new(), &[[3, 4, 5].into(), [3, 4, 5].into(), [5].into()]);
        check_layer(Multiply::new(), &[[3, 1, 5].into(), [1, 4, 5].into()]);
        refuses(Multiply::new(), &[[3, 4, 5].into(), [3, 4, 6].into()], &["(3, 4, 5)", "(3, 4, 6)"]);
        refuses(Multiply::new(), &[[3, 4, 5].into()], &["two inputs", "got 1"]);
    }
}
