//! The description of a network that can be built by name.

use super::options::Options;
use crate::nn::Network;
use crate::{Error, Result};

/// The range of the pixel values that a network takes. The names are those of Keras's `imagenet_utils.preprocess_input`,
/// which are common for other networks too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// From 0 to 1.
    Unit,
    /// From -1 to 1.
    Tf,
    /// Blue, green, and red minus the mean color of ImageNet.
    Caffe,
    /// Standardized with the means and standard deviations of ImageNet, as torchvision does.
    Torch,
    /// From -1 to 1, as in EfficientNet-Lite: minus 127, divided by 128.
    Lite,
    /// From 0 to 255: the network scales them.
    Raw,
    /// From 0 to 1; the image is first normalized to look like a digit of MNIST.
    Digit,
}

/// The publisher of a network's weights, whose layer names it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Publisher {
    /// No published weights: the network is for training.
    Nobody,
    /// Keras's applications.
    Keras,
    /// torchvision's models.
    Torchvision,
    /// The authors of EfficientNet-Lite, as checkpoints of TensorFlow.
    TensorFlow,
}

impl Publisher {
    /// Its display name; `None` for [`Publisher::Nobody`].
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Keras => Some("Keras"),
            Self::Torchvision => Some("torchvision"),
            Self::TensorFlow => Some("TensorFlow"),
        }
    }
}

/// An entry of the table of networks.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// Its name on the command line: `inception-v3`.
    pub name: &'static str,
    /// A one-line description.
    pub description: &'static str,
    /// The publisher of its weights.
    pub publisher: Publisher,
    /// Its default input: height, width, channels.
    pub input: [usize; 3],
    /// The minimum height and width of its input.
    pub smallest: usize,
    /// The pixel values of its input.
    pub pixels: PixelFormat,
    /// Its default number of classes. 1 stands for two classes with one sigmoid.
    pub classes: usize,
    /// Its default number of parameters.
    pub parameters: usize,
    /// Its number of parameters without the classifier, if it can be built without.
    pub parameters_without_top: Option<usize>,
    pub(super) build: fn(&Options) -> Result<Network>,
}

impl Architecture {
    /// Builds the network.
    ///
    /// # Errors
    /// [`Error::Argument`] when the input is too small, or the network does not support an option; [`Error::Limit`] when it
    /// would be too large.
    pub fn build(&self, options: &Options) -> Result<Network> {
        if !options.top && self.parameters_without_top.is_none() {
            return Err(Error::argument(format!("{} cannot be built without its classifier", self.name)));
        }
        let network = (self.build)(options)?;
        // Published weights have a fixed number of channels: those networks ignore the option.
        match (options.channels, network.input_shape()?.as_image()) {
            (Some(wanted), Some([.., channels])) if wanted != channels => Err(Error::argument(format!(
                "{} takes images of {channels} channels, not {wanted}; basic-cnn takes any number",
                self.name
            ))),
            _ => Ok(network),
        }
    }
}
