//! Changes the input size of a network.

use std::collections::HashMap;

use super::{Layer, Network, Weight};
use crate::nn::Shape;
use crate::{Error, Result};

impl Network {
    /// The same network for images of another height and width. Convolutions and poolings do not depend on the size; a
    /// dense layer after a flattened image does. Weights are moved, not copied.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let layers = [Conv2D::new(8, [3, 3]).padding(Padding::Same).into(), GlobalAveragePooling2D::new().into()];
    /// let network = Network::sequential("any_size", [32, 32, 3], layers, 42)?.with_input_size(48, 64)?;
    /// assert_eq!(network.input_shape()?.sizes(), [48, 64, 3]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] when the network does not take images, or names the weight whose shape depends on their size;
    /// [`Error::Layer`] when they are too small for a layer.
    pub fn with_input_size(self, height: usize, width: usize) -> Result<Self> {
        let Some([old_height, old_width, channels]) = self.input_shape()?.as_image() else {
            return Err(Error::argument(format!("network {} takes no images, so they have no size", self.name)));
        };
        if [old_height, old_width] == [height, width] {
            return Ok(self);
        }
        let mut builder = Self::builder(self.name.clone());
        for node in &self.nodes {
            let mut layer = node.layer.clone();
            if let Layer::Input(input) = &mut layer {
                input.shape = Shape::from([height, width, channels]);
            }
            builder.add_copy(node, layer, &node.inputs)?;
        }
        let mut resized = builder.finish(&self.outputs)?;
        resized.replace_with(self).map_err(|problem| {
            Error::argument(format!("{problem}: it fixes the size of the images at {old_height}x{old_width}"))
        })?;
        Ok(resized)
    }

    /// Moves the weights of another network, which has at least the same layers by name, into this one.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first weight that is missing there or has a different shape.
    pub(crate) fn replace_with(&mut self, other: Self) -> Result<()> {
        let name = other.name;
        let mut held: HashMap<String, Weight> =
            other.weights.into_iter().map(|weight| (weight.name().to_owned(), weight)).collect();
        for weight in &mut self.weights {
            let found = held.remove(weight.name());
            let found = found.ok_or_else(|| Error::argument(format!("network {name} has no {}", weight.name())))?;
            if found.shape() != weight.shape() {
                return Err(Error::argument(format!(
                    "{} of network {name} has the shape {:?}, not {:?}",
                    weight.name(),
                    found.shape(),
                    weight.shape()
                )));
            }
            *weight = found;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn convolutions_take_any_size_and_keep_their_weights() {
        let small = applications::vgg16_start([32, 32]).unwrap();
        let mut first = small.clone();
        first.weights_mut()[0].values_mut()[5] = 0.5;
        first.set_trainable("block1_conv2", false).unwrap();
        let resized = first.clone().with_input_size(48, 64).unwrap();
        assert_eq!(resized.input_shape().unwrap().as_image(), Some([48, 64, 3]));
        assert_eq!(resized.output().unwrap().shape(), &Shape::from([6, 8, 256]));
        for (a, b) in resized.weights().iter().zip(first.weights()) {
            assert_eq!((a.name(), a.values(), a.trainable()), (b.name(), b.values(), b.trainable()));
        }
        assert!(matches!(small.with_input_size(4, 64), Err(Error::Layer { .. })));
    }

    #[test]
    fn a_dense_layer_fixes_the_size() {
        let network = applications::mnist_cnn(1).unwrap();
        let message = network.clone().with_input_size(56, 56).unwrap_err().to_string();
        assert!(message.contains("dense/kernel") && message.contains("28x28"), "{message}");
        network.with_input_size(28, 28).unwrap();
    }
}
