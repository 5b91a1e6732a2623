//! The network that a training starts from: a known one from scratch, a new head on a base, or a trained one.

use crate::data::{ColorMode, Dataset, Filter, Fit, Preprocessing, PreprocessingChoice};
use crate::nn::Network;
use crate::nn::applications::{Architecture, Options};
use crate::weights::{Model, is_builtin};
use crate::{Error, Result};

use super::{Head, TargetSpec, Transfer, TransferModel, continue_training_on, end_of_features, end_of_frozen};

/// Height and width of the images of a published base by default, in pixels.
const SIZE: usize = 150;

/// What is chosen about the network of a training, with a default for everything.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// Height and width of the input in pixels, of a network from scratch; by default the network's.
    pub size: Option<[usize; 2]>,
    /// Input channels of a network from scratch; by default the network's.
    pub channels: Option<usize>,
    /// How images of another aspect ratio are fitted.
    pub fit: Option<Fit>,
    /// How images are prepared.
    pub preprocessing: Option<PreprocessingChoice>,
    /// The last layer of the base to keep; by default the last before its classifier.
    pub cut: Option<String>,
    /// The layers between the base and the output layer; by default as [`Head::behind`].
    pub head: Option<Head>,
    /// Train the base from this layer on, too.
    pub unfreeze: Option<String>,
}

/// The network that a training starts from, before the classes are known.
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
    /// A known network from scratch, and how its images are prepared.
    Scratch(&'static Architecture, Preprocessing),
    /// A new head on a base that is frozen, or partly.
    Base(Box<Model>, Transfer),
    /// A trained model as it is, and the layer from which it is trained if not as before.
    Continued(Box<Model>, Option<String>),
}

impl TrainStart {
    /// A known network from scratch.
    ///
    /// # Errors
    /// [`Error::Argument`] when the preprocessing does not fit the network.
    pub fn scratch(known: &'static Architecture, options: &StartOptions) -> Result<Self> {
        let [default_height, default_width, default_channels] = known.input;
        let [height, width] = options.size.unwrap_or([default_height, default_width]);
        let mut preprocessing = known.pixels.preprocessing([height, width, default_channels])?;
        // A digit is normalized to MNIST's 28x28 pixels; a larger image would be blurred by it.
        preprocessing.digit &= [height, width] == [28, 28];
        let channels = options.channels.unwrap_or(default_channels);
        Ok(Self::Scratch(known, adjusted(preprocessing, channels, options)?))
    }

    /// A new head on a model, which is that of a known network or any other.
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
        let head = options.head.clone().unwrap_or_else(|| Head::behind(node.shape()));
        // Cutting behind the last layer would change nothing.
        let cut = (base.network.output()?.name() != end).then(|| end.to_owned());
        Ok(Self::Base(Box::new(base), Transfer { cut, head, unfreeze: options.unfreeze.clone() }))
    }

    /// A trained model, to be trained further as it is.
    ///
    /// # Errors
    /// [`Error::Argument`] when it does not say how images are prepared.
    pub fn continued(model: Model, unfreeze: Option<String>) -> Result<Self> {
        model.preprocessing()?;
        Ok(Self::Continued(Box::new(model), unfreeze))
    }

    /// How images are prepared.
    ///
    /// # Errors
    /// As [`Model::preprocessing`].
    pub fn preprocessing(&self) -> Result<&Preprocessing> {
        match self {
            Self::Scratch(_, preprocessing) => Ok(preprocessing),
            Self::Base(model, _) | Self::Continued(model, _) => model.preprocessing(),
        }
    }

    /// Whether there is a base that does not learn, or not as the rest does.
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

    /// The network for the targets of these images; all of it is new when there is no base.
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

/// Height and width of the images of a known base by default: the built-in one is quick at its own size.
pub fn base_size(known: &Architecture) -> [usize; 2] {
    let [height, width, _] = known.input;
    if is_builtin(known) { [height, width] } else { [SIZE; 2] }
}

/// The last layer of a base that is kept by default: of a known network the last one before its classifier, whether or not
/// the file has that. Of the built-in one it is the pooling, so that the cached features of an image are 1,280 values and not
/// 62,720, and a head on them does not overfit.
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

/// What is chosen beyond what the network was made for, for inputs of this many channels.
fn adjusted(preprocessing: Preprocessing, channels: usize, options: &StartOptions) -> Result<Preprocessing> {
    let fit = options.fit.unwrap_or(preprocessing.fit);
    let prepared = preprocessing.with_channels(channels)?.with_fit(fit, Filter::Bilinear);
    match &options.preprocessing {
        Some(choice) => choice.apply(prepared),
        None => Ok(prepared),
    }
}
