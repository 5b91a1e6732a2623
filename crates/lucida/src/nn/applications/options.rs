//! Options of the networks.

use crate::nn::layers::ActivationKind;
use crate::nn::{Network, NetworkBuilder};
use crate::{Error, Result};

/// The initial weights of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialWeights {
    /// Initialized from this seed, for training.
    Random(u64),
    /// Zeros, to be read from a file: allocating them takes no time, even for large networks.
    Zeros,
}

/// Options for building a network of the table.
///
/// ```
/// use lucida::prelude::*;
///
/// use lucida::nn::applications::Options;
///
/// let options = Options::default().size(96, 64).classes(5).seed(7);
/// let network = applications::find("basic-cnn")?.build(&options)?;
/// assert_eq!(network.input_shape()?.sizes(), [96, 64, 3]);
/// assert_eq!(network.output()?.shape().sizes(), [5]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Height and width of the input in pixels; by default those of the network.
    pub size: Option<[usize; 2]>,
    /// Channels of the input; by default those of the network. Networks with weights for color images do not support
    /// others.
    pub channels: Option<usize>,
    /// Whether to include the classifier at the end. Without it the output is the feature map before it.
    pub top: bool,
    /// Number of classes; by default that of the network. Only used with the top.
    pub classes: Option<usize>,
    /// The initial weights.
    pub initial_weights: InitialWeights,
}

impl Default for Options {
    /// The network as published, with zero weights.
    fn default() -> Self {
        Self { size: None, channels: None, top: true, classes: None, initial_weights: InitialWeights::Zeros }
    }
}

impl Options {
    /// The network as published, without its classifier, with zero weights.
    pub fn without_top() -> Self {
        Self { top: false, ..Self::default() }
    }

    /// Sets the input size.
    #[must_use]
    pub fn size(self, height: usize, width: usize) -> Self {
        Self { size: Some([height, width]), ..self }
    }

    /// Sets the number of input channels.
    #[must_use]
    pub fn channels(self, channels: usize) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// The activation of the classifier: a single output is a sigmoid for two classes.
    pub(super) fn top_activation(&self) -> ActivationKind {
        if self.classes == Some(1) { ActivationKind::Sigmoid } else { ActivationKind::Softmax }
    }

    /// Sets the number of classes.
    #[must_use]
    pub fn classes(self, classes: usize) -> Self {
        Self { classes: Some(classes), ..self }
    }

    /// Initializes the weights from this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { initial_weights: InitialWeights::Random(seed), ..self }
    }

    /// The input size: `self.size` or `default`.
    pub(super) fn input(&self, name: &str, default: usize, smallest: usize) -> Result<[usize; 2]> {
        let [height, width] = self.size.unwrap_or([default; 2]);
        if height.min(width) < smallest {
            return Err(Error::argument(format!(
                "{name} takes images of {smallest}x{smallest} pixels or more, not {height}x{width}"
            )));
        }
        Ok([height, width])
    }

    pub(super) fn build(&self, builder: NetworkBuilder, output: usize) -> Result<Network> {
        match self.initial_weights {
            InitialWeights::Random(seed) => builder.build(&[output], seed),
            InitialWeights::Zeros => builder.build_zeroed(&[output]),
        }
    }
}
