//! What is known of a network that can be built by its name.

use super::options::Options;
use crate::nn::Network;
use crate::{Error, Result};

/// What a network takes of pixel values from 0 to 255. The names are those of Keras's
/// `imagenet_utils.preprocess_input`, which are common for other networks too.
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
    /// From -1 to 1, as the lite EfficientNets have it: minus 127, divided by 128.
    Lite,
    /// From 0 to 255: the network scales them itself.
    Raw,
    /// From 0 to 1; the image is first normalized to look like a digit of MNIST.
    Digit,
}

/// Who publishes a network's weights, under these names of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Publisher {
    /// Nobody: the network is there to be trained.
    Nobody,
    /// Keras's applications.
    Keras,
    /// torchvision's models.
    Torchvision,
    /// The authors of EfficientNet-Lite, as checkpoints of TensorFlow.
    TensorFlow,
}

impl Publisher {
    /// Its name for people; none of [`Publisher::Nobody`].
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Keras => Some("Keras"),
            Self::Torchvision => Some("torchvision"),
            Self::TensorFlow => Some("TensorFlow"),
        }
    }
}

/// A network of the table.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// Its name on the command line: `inception-v3`.
    pub name: &'static str,
    /// What it is, in a line.
    pub description: &'static str,
    /// Who publishes its weights.
    pub publisher: Publisher,
    /// Its input by default: height, width, channels.
    pub input: [usize; 3],
    /// The least height and width of its input.
    pub smallest: usize,
    /// The pixels of its input.
    pub pixels: PixelFormat,
    /// Its classes by default. One stands for two, classified with one sigmoid.
    pub classes: usize,
    /// Its parameters by default.
    pub parameters: usize,
    /// Its parameters without the classifier, if it is known without.
    pub parameters_without_top: Option<usize>,
    pub(super) build: fn(&Options) -> Result<Network>,
}

impl Architecture {
    /// Builds the network.
    ///
    /// # Errors
    /// [`Error::Argument`] when the input is too small, or the network cannot be built so; [`Error::Limit`] when it would
    /// be too large.
    pub fn build(&self, options: &Options) -> Result<Network> {
        if !options.top && self.parameters_without_top.is_none() {
            return Err(Error::argument(format!("{} cannot be built without its classifier", self.name)));
        }
        let network = (self.build)(options)?;
        // Published weights are for the channels of the publication: those networks do not read the option.
        match (options.channels, network.input_shape()?.as_image()) {
            (Some(wanted), Some([.., channels])) if wanted != channels => Err(Error::argument(format!(
                "{} takes images of {channels} channels, not {wanted}; basic-cnn takes any number",
                self.name
            ))),
            _ => Ok(network),
        }
    }
}
