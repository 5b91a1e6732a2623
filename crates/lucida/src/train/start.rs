//! The network at the start of training: a known one from scratch, a base with a new head, or a trained one.

use crate::data::{ColorMode, Dataset, Filter, Fit, Preprocessing, PreprocessingChoice};
use crate::nn::Network;
use crate::nn::applications::{Architecture, Options};
use crate::weights::{Model, is_builtin};
use crate::{Error, Result};

use super::{Head, TargetSpec, Transfer, TransferModel, continue_training_on, end_of_features, end_of_frozen};

/// Default height and width of the images for a published base, in pixels.
const SIZE: usize = 150;

/// Options for the network at the start of training, each with a default.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// Height and width of the input in pixels for a network from scratch; by default the network's.
    pub size: Option<[usize; 2]>,
    /// Input channels for a network from scratch; by default the network's.
    pub channels: Option<usize>,
    /// How images with a different aspect ratio are fitted.
    pub fit: Option<Fit>,
    /// Preprocessing of the images.
    pub preprocessing: Option<PreprocessingChoice>,
    /// Last layer of the base to keep; by default the last one before its classifier.
    pub cut: Option<String>,
    /// Layers between the base and the output layer; by default as [`Head::default_for`].
    pub head: Option<Head>,
    /// First trainable layer of the base.
    pub unfreeze: Option<String>,
}

/// The network at the start of training, before the classes are known.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::train::{StartOptions, TrainStart};
///
/// let known = applications::find("basic-cnn")?;
/// let options = StartOptions { size: Some([32, 32]), ..StartOptions::default() };
/// let start = TrainStart::scratch(known, &options)?;
/// assert_eq!(start.preprocessing()?.output_shape(), [32, 32, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum TrainStart {
    /// A known network from scratch, and its preprocessing.
    Scratch(&'static Architecture, Preprocessing),
    /// A base, frozen in whole or in part, with a new head.
    Base(Box<Model>, Transfer),
    /// A trained model, and the layer to unfreeze from, if that changes.
    Continued(Box<Model>, Option<String>),
}

impl TrainStart {
    /// Starts from a known network with random weights.
    ///
    /// # Errors
    /// [`Error::Argument`] when the preprocessing does not fit the network.
    pub fn scratch(known: &'static Architecture, options: &StartOptions) -> Result<Self> {
        let [default_height, default_width, default_channels] = known.input;
        let [height, width] = options.size.unwrap_or([default_height, default_width]);
        let mut preprocessing = known.pixels.preprocessing([height, width, default_channels])?;
        // Digit normalization produces MNIST's 28x28 pixels; a larger image would be blurred.
        preprocessing.digit &= [height, width] == [28, 28];
        let channels = options.channels.unwrap_or(default_channels);
        Ok(Self::Scratch(known, adjusted(preprocessing, channels, options)?))
    }

    /// Starts from a base, either of a known network or of any other, with a new head.
    ///
    /// # Errors
    /// [`Error::Argument`] when the base does not take images, a layer does not exist, or the preprocessing does not fit.
    pub fn base(mut base: Model, known: Option<&Architecture>, options: &StartOptions) -> Result<Self> {
        let shape = base.network.input_shape()?.as_image();
        let [_, _, channels] = shape.ok_or_else(|| Error::argument("the network does not take images"))?;
        ColorMode::of_channels(channels)?;
        base.preprocessing = Some(adjusted(base.preprocessing()?.clone(), channels, options)?);
        base.check()?;
        let end = match &options.cut {
            Some(layer) => base.network.nodes()[base.network.find(layer)?].name(),
            None => end_of_base(&base.network, known)?,
        };
        let node = &base.network.nodes()[base.network.find(end)?];
        let head = options.head.clone().unwrap_or_else(|| Head::default_for(node.shape()));
        // Cutting after the last layer would change nothing.
        let cut = (base.network.output()?.name() != end).then(|| end.to_owned());
        Ok(Self::Base(Box::new(base), Transfer { cut, head, unfreeze: options.unfreeze.clone() }))
    }

    /// Continues training a trained model.
    ///
    /// # Errors
    /// [`Error::Argument`] when its preprocessing is unknown.
    pub fn continued(model: Model, unfreeze: Option<String>) -> Result<Self> {
        model.preprocessing()?;
        Ok(Self::Continued(Box::new(model), unfreeze))
    }

    /// Preprocessing of the images.
    ///
    /// # Errors
    /// As [`Model::preprocessing`].
    pub fn preprocessing(&self) -> Result<&Preprocessing> {
        match self {
            Self::Scratch(_, preprocessing) => Ok(preprocessing),
            Self::Base(model, _) | Self::Continued(model, _) => model.preprocessing(),
        }
    }

    /// Whether there is a base that is frozen or trained with a different learning rate.
    ///
    /// # Errors
    /// As [`end_of_frozen`].
    pub fn is_frozen(&self) -> Result<bool> {
        match self {
            Self::Scratch(..) => Ok(false),
            Self::Base(..) => Ok(true),
            Self::Continued(model, _) => Ok(end_of_frozen(model)? > 0),
        }
    }

    /// Builds the network for the targets of these images.
    ///
    /// # Errors
    /// As [`Architecture::build`], [`Transfer::apply_to`] and [`continue_training_on`]; [`Error::Argument`] when there are no
    /// images.
    pub fn build(self, train: &dyn Dataset, seed: u64) -> Result<TransferModel> {
        if train.is_empty() {
            return Err(Error::argument("there are no images to train on"));
        }
        let targets = TargetSpec::of(train);
        match self {
            Self::Scratch(known, preprocessing) => {
                let [height, width, channels] = preprocessing.output_shape();
                let options = Options::default().size(height, width).channels(channels);
                let network = known.build(&options.classes(targets.count()).seed(seed))?;
                let model = Model { preprocessing: Some(preprocessing), ..targets.build(network)? };
                Ok(TransferModel::from_scratch(model))
            }
            Self::Base(base, transfer) => transfer.apply_to(*base, &targets, seed),
            Self::Continued(model, unfreeze) => continue_training_on(*model, &targets, unfreeze.as_deref()),
        }
    }
}

/// Default height and width of the images for a known base: the built-in one is fast at its own size.
pub fn base_size(known: &Architecture) -> [usize; 2] {
    let [height, width, _] = known.input;
    if is_builtin(known) { [height, width] } else { [SIZE; 2] }
}

/// Last layer of a base that is kept by default: for a known network the last one before its classifier, whether or not the
/// file contains that. For the built-in one it is the pooling layer, which reduces the cached features of an image from
/// 62,720 values to 1,280, and keeps the head from overfitting.
fn end_of_base<'a>(network: &'a Network, known: Option<&Architecture>) -> Result<&'a str> {
    if let Some(known) = known.filter(|known| known.parameters_without_top.is_some() && !is_builtin(known)) {
        let shape = network.input_shape()?.as_image().unwrap_or(known.input);
        let bare = known.build(&Options::without_top().size(shape[0], shape[1]))?;
        if let Ok(end) = network.find(bare.output()?.name()) {
            return Ok(network.nodes()[end].name());
        }
    }
    end_of_features(network)
}

/// Applies the options to a preprocessing, for inputs with this many channels.
fn adjusted(preprocessing: Preprocessing, channels: usize, options: &StartOptions) -> Result<Preprocessing> {
    let fit = options.fit.unwrap_or(preprocessing.fit);
    let prepared = preprocessing.with_channels(channels)?.with_fit(fit, Filter::Bilinear);
    match &options.preprocessing {
        Some(choice) => choice.apply(prepared),
        None => Ok(prepared),
    }
}
