//! The feature network and its pixel preprocessing.

use crate::data::{ColorMode, Preprocessing};
use crate::nn::Network;
use crate::weights::Model;
use crate::{Error, Result};

/// The pooling between the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Pooling {
    /// Max pooling, as in training
    #[default]
    Max,
    /// Average pooling, for smoother images (Gatys et al., 2016)
    Average,
}

/// A feature network for images of any size, with its preprocessing.
#[derive(Debug, Clone)]
pub struct StyleNetwork {
    pub(super) network: Network,
    preprocessing: Preprocessing,
}

impl StyleNetwork {
    /// Prepares a model, with the given pooling.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it does not take color images, or its preprocessing is unknown.
    pub fn new(model: Model, pooling: Pooling) -> Result<Self> {
        let preprocessing = model.preprocessing()?.clone();
        preprocessing.check()?;
        let shape = model.network.input_shape()?;
        let takes_color = matches!(shape.as_image(), Some([_, _, 3]));
        if !takes_color || preprocessing.color == ColorMode::Grayscale || preprocessing.digit {
            let name = model.network.name();
            return Err(Error::Unsupported(format!("network {name} takes {shape}; style needs one for color images")));
        }
        let network = match pooling {
            Pooling::Max => model.network,
            Pooling::Average => model.network.with_average_pooling()?,
        };
        Ok(Self { network, preprocessing })
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        self.network.name()
    }

    /// The underlying network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Truncates the network after the deepest of these layers.
    ///
    /// # Errors
    /// [`Error::Argument`] when a layer does not exist.
    pub fn cut(&self, layers: &[&str]) -> Result<Self> {
        let mut deepest = 0;
        for layer in layers {
            deepest = deepest.max(self.network.find(layer)?);
        }
        let name = self.network.nodes()[deepest].name().to_owned();
        Ok(Self { network: self.network.clone().cut(&name)?, preprocessing: self.preprocessing.clone() })
    }

    /// Changes the input size.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::LayerWeight`] when the network cannot take them.
    pub(super) fn with_size(self, [height, width]: [usize; 2]) -> Result<Self> {
        Ok(Self { network: self.network.with_input_size(height, width)?, ..self })
    }

    /// Converts pixels of red, green and blue to the network's input.
    pub(super) fn to_input(&self, pixels: &[f32], input: &mut [f32]) {
        let Preprocessing { divisor, mean, std, .. } = &self.preprocessing;
        let from = self.order();
        for (input, pixel) in input.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
            for channel in 0..3 {
                input[channel] = (pixel[from[channel]] / divisor - mean[channel]) / std[channel];
            }
        }
    }

    /// Adds the gradient with respect to the network's input to that with respect to red, green and blue.
    pub(super) fn add_gradient(&self, input: &[f32], pixels: &mut [f32]) {
        let Preprocessing { divisor, std, .. } = &self.preprocessing;
        let from = self.order();
        let factors = [0, 1, 2].map(|channel: usize| 1.0 / (divisor * std[channel]));
        for (input, pixel) in input.chunks_exact(3).zip(pixels.chunks_exact_mut(3)) {
            for channel in 0..3 {
                pixel[from[channel]] += factors[channel] * input[channel];
            }
        }
    }

    /// For each channel of the input, the image channel that it is taken from.
    fn order(&self) -> [usize; 3] {
        if self.preprocessing.color == ColorMode::Bgr { [2, 1, 0] } else { [0, 1, 2] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::builtin_vgg16_at;

    #[test]
    fn pixels_and_their_gradients() {
        let network = StyleNetwork::new(builtin_vgg16_at(16, 16).unwrap(), Pooling::Average).unwrap();
        let mut input = [0.0; 3];
        network.to_input(&[10.0, 20.0, 30.0], &mut input);
        assert_eq!(input, [30.0 - 103.939, 20.0 - 116.779, 10.0 - 123.68]);
        let mut pixel = [1.0; 3];
        network.add_gradient(&[1.0, 2.0, 3.0], &mut pixel);
        assert_eq!(pixel, [4.0, 3.0, 2.0]);
        let cut = network.cut(&["block1_conv1", "block2_conv1"]).unwrap();
        assert_eq!(cut.network().output().unwrap().name(), "block2_conv1");
        assert!(cut.cut(&["block5_conv1"]).unwrap_err().to_string().contains("block5_conv1"));
        assert!(cut.network().nodes().iter().any(|node| node.layer().class_name() == "AveragePooling2D"));
    }
}
