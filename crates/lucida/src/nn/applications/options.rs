//! What can be chosen about a known network.

use crate::nn::layers::ActivationKind;
use crate::nn::{Network, NetworkBuilder};
use crate::{Error, Result};

/// The weights of a network that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialWeights {
    /// Drawn from this seed, to be trained.
    Random(u64),
    /// Zero, to be read from a file: of large networks these take no time to make.
    Zeros,
}

/// What can be chosen about a network of the table.
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
    /// Height and width of the input in pixels; the network's default when there are none.
    pub size: Option<[usize; 2]>,
    /// Channels of the input; the network's default when there are none. Networks whose weights are for images in color
    /// alone take no others.
    pub channels: Option<usize>,
    /// Whether the classifier at the end is wanted. Without it the output is the image of features before it.
    pub top: bool,
    /// The number of classes; the network's default when there is none. Matters with the top only.
    pub classes: Option<usize>,
    /// The first weights.
    pub initial_weights: InitialWeights,
}

impl Default for Options {
    /// The network as it was published, with weights of zero.
    fn default() -> Self {
        Self { size: None, channels: None, top: true, classes: None, initial_weights: InitialWeights::Zeros }
    }
}

impl Options {
    /// The network as it was published but for the classifier, with weights of zero.
    pub fn without_top() -> Self {
        Self { top: false, ..Self::default() }
    }

    /// With an input of this size.
    #[must_use]
    pub fn size(self, height: usize, width: usize) -> Self {
        Self { size: Some([height, width]), ..self }
    }

    /// With an input of this many channels.
    #[must_use]
    pub fn channels(self, channels: usize) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// The activation of the classifier: one output is the sigmoid of two classes.
    pub(super) fn top_activation(&self) -> ActivationKind {
        if self.classes == Some(1) { ActivationKind::Sigmoid } else { ActivationKind::Softmax }
    }

    /// With this many classes.
    #[must_use]
    pub fn classes(self, classes: usize) -> Self {
        Self { classes: Some(classes), ..self }
    }

    /// With weights drawn from this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { initial_weights: InitialWeights::Random(seed), ..self }
    }

    /// The size of the input: the one chosen, or `default`.
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
