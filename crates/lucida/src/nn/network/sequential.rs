//! Networks in which each layer takes the output of the previous one.

use super::Network;
use crate::Result;
use crate::nn::{Layer, Shape};

/// Builds a network layer by layer, like Keras's `Sequential`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("small", [28, 28, 1])
///     .add(Conv2D::new(24, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu))
///     .add(MaxPooling2D::default())
///     .add(Flatten::new())
///     .add(Dense::new(10).activation(ActivationKind::Softmax))
///     .build(42)?;
/// assert_eq!(network.parameters().0, 24 * 10 + 14 * 14 * 24 * 10 + 10);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Sequential {
    name: String,
    input: Shape,
    layers: Vec<Layer>,
}

impl Sequential {
    /// Starts a network for inputs of this shape, without the batch axis: `[height, width, channels]`.
    pub fn new(name: impl Into<String>, input: impl Into<Shape>) -> Self {
        Self { name: name.into(), input: input.into(), layers: Vec::new() }
    }

    /// Adds a layer.
    // Not the trait `Add`, which is for sums; Keras calls this `add`.
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Builds the network, with weights initialized from `seed`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) names the first layer that does not accept its input.
    pub fn build(self, seed: u64) -> Result<Network> {
        Network::sequential(self.name, self.input, self.layers, seed)
    }
}
