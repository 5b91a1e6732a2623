//! The network that a command line means: from scratch, a new head on a base, or a trained one.

use std::path::Path;

use anyhow::{Context as _, Result};
use lucida::data::{ColorMode, Dataset, Filter, Fit, Preprocessing};
use lucida::nn::Network;
use lucida::nn::applications::{self, Options};
use lucida::train::{Head, TargetSpec, Transfer, TransferModel, continue_training_on, end_of_features, end_of_frozen};
use lucida::weights::{IncludeTop, Model, ModelSpec, hub, inspect, is_builtin};

use crate::cli::TrainFolder;
use crate::commands::{Context, open_model};
use crate::exit::Usage;

/// Height and width of the images of a published base by default.
const SIZE: usize = 150;

/// A network before the classes are known.
#[derive(Clone)]
pub(super) enum Source {
    Scratch(&'static applications::Architecture, Preprocessing),
    Base(Box<Model>, Transfer),
    Continued(Box<Model>, Option<String>),
}

impl Source {
    pub(super) fn of(arguments: &TrainFolder, context: Context) -> Result<Self> {
        if let Some(run) = &arguments.continued {
            return Self::continued(run, arguments, context);
        }
        let size = arguments.size.map(|size| [size.height, size.width]);
        let file = |path: &Path| ModelSpec {
            size,
            preprocessing: arguments.preprocessing.clone(),
            ..ModelSpec::new(path.to_string_lossy())
        };
        let (spec, known) = match &arguments.base {
            Some(path) => (file(path), None),
            None => {
                let known = applications::find(&arguments.model)?;
                let spec = match &arguments.weights {
                    Some(path) if path.as_os_str() == "none" => return Self::scratch(known, arguments),
                    None if !is_builtin(known) && hub::published(known, true).is_err() => {
                        return Self::scratch(known, arguments);
                    }
                    // The file of a whole model knows the size and the classes that it was trained with.
                    Some(path) if inspect(path)?.architecture.is_some() => file(path),
                    weights => {
                        let size = Some(size.unwrap_or_else(|| default_size(known)));
                        ModelSpec { weights: weights.clone(), size, ..ModelSpec::new(&arguments.model) }
                    }
                };
                (spec, Some(known))
            }
        };
        let spec = ModelSpec { top: IncludeTop::Unneeded, ..spec };
        let base = with_preprocessing(open_model(&spec, context)?, arguments).with_context(|| spec.model)?;
        let end = match &arguments.cut {
            Some(layer) => base.network.nodes()[base.network.find(layer)?].name(),
            None => end_of_base(&base.network, known)?,
        };
        let node = &base.network.nodes()[base.network.find(end)?];
        let head = match &arguments.head {
            Some(head) => head.clone(),
            None => Head::behind(node.shape()),
        };
        // Cutting behind the last layer would change nothing.
        let cut = (base.network.output()?.name() != end).then(|| end.to_owned());
        Ok(Self::Base(Box::new(base), Transfer { cut, head, unfreeze: arguments.unfreeze.clone() }))
    }

    fn scratch(known: &'static applications::Architecture, arguments: &TrainFolder) -> Result<Self> {
        refuse_transfer(arguments)?;
        let [default_height, default_width, default_channels] = known.input;
        let [height, width] = arguments.size.map_or([default_height, default_width], |size| [size.height, size.width]);
        let mut preprocessing = known.pixels.preprocessing([height, width, default_channels])?;
        // A digit is normalized to MNIST's 28x28 pixels; a larger image would be blurred by it.
        preprocessing.digit &= [height, width] == [28, 28];
        let channels = arguments.channels.map_or(default_channels, usize::from);
        Ok(Self::Scratch(known, adjusted(preprocessing, channels, arguments)?))
    }

    /// A trained model, to be trained further as it is.
    fn continued(run: &Path, arguments: &TrainFolder, context: Context) -> Result<Self> {
        let model = open_model(&ModelSpec::new(run.to_string_lossy()), context)?;
        model.preprocessing().with_context(|| run.display().to_string())?;
        Ok(Self::Continued(Box::new(model), arguments.unfreeze.clone()))
    }

    /// How images are prepared.
    pub(super) fn preprocessing(&self) -> Result<&Preprocessing> {
        match self {
            Self::Scratch(_, preprocessing) => Ok(preprocessing),
            Self::Base(model, _) | Self::Continued(model, _) => Ok(model.preprocessing()?),
        }
    }

    /// Whether there is a base that does not learn, or not as the rest does.
    pub(super) fn is_frozen(&self) -> Result<bool> {
        match self {
            Self::Scratch(..) => Ok(false),
            Self::Base(..) => Ok(true),
            Self::Continued(model, _) => Ok(end_of_frozen(model)? > 0),
        }
    }

    /// The network for the targets of these images; all of it is new when there is no base.
    pub(super) fn build(self, train: &dyn Dataset, seed: u64) -> Result<TransferModel> {
        let targets = TargetSpec::of(train);
        match self {
            Self::Scratch(known, preprocessing) => {
                let [height, width, channels] = preprocessing.output_shape();
                let options = Options::default().size(height, width).channels(channels);
                let network = known.build(&options.classes(targets.count()).seed(seed))?;
                let model = Model { preprocessing: Some(preprocessing), ..targets.build(network)? };
                Ok(TransferModel::from_scratch(model))
            }
            Self::Base(base, transfer) => Ok(transfer.apply_to(*base, &targets, seed)?),
            Self::Continued(model, unfreeze) => Ok(continue_training_on(*model, &targets, unfreeze.as_deref())?),
        }
    }
}

/// Height and width of the images of a known base by default: the built-in one is quick at its own size.
fn default_size(known: &applications::Architecture) -> [usize; 2] {
    let [height, width, _] = known.input;
    if is_builtin(known) { [height, width] } else { [SIZE; 2] }
}

/// A base with the preprocessing that the command line asks for.
fn with_preprocessing(mut base: Model, arguments: &TrainFolder) -> Result<Model> {
    let shape = base.network.input_shape()?.as_image();
    let [_, _, channels] = shape.context("the network does not take images")?;
    ColorMode::of_channels(channels)?;
    if arguments.channels.is_some_and(|request| usize::from(request) != channels) {
        return Err(Usage(format!("--channels is for networks trained from scratch; this one takes {channels}")).into());
    }
    base.preprocessing = Some(adjusted(base.preprocessing()?.clone(), channels, arguments)?);
    base.check()?;
    Ok(base)
}

/// The last layer of a base that is kept by default: of a known network the last one before its classifier, whether or not
/// the file has that. Of the built-in one it is the pooling, so that the cached features of an image are 1,280 values and not
/// 62,720, and a head on them does not overfit.
fn end_of_base<'a>(network: &'a Network, known: Option<&applications::Architecture>) -> Result<&'a str> {
    if let Some(known) = known.filter(|known| known.parameters_without_top.is_some() && !is_builtin(known)) {
        let shape = network.input_shape()?.as_image().unwrap_or(known.input);
        let bare = known.build(&Options::without_top().size(shape[0], shape[1]))?;
        if let Ok(end) = network.find(bare.output()?.name()) {
            return Ok(network.nodes()[end].name());
        }
    }
    Ok(end_of_features(network)?)
}

/// What the command line says beyond what the network was made for, for inputs of this many channels.
fn adjusted(preprocessing: Preprocessing, channels: usize, arguments: &TrainFolder) -> Result<Preprocessing> {
    let fit = arguments.fit.map_or(preprocessing.fit, Fit::from);
    let prepared = preprocessing.with_channels(channels)?.with_fit(fit, Filter::Bilinear);
    Ok(match &arguments.preprocessing {
        Some(choice) => choice.apply(prepared)?,
        None => prepared,
    })
}

/// A network that is trained from scratch has no base to cut or to unfreeze.
fn refuse_transfer(arguments: &TrainFolder) -> Result<()> {
    let given = [
        ("--cut", arguments.cut.is_some()),
        ("--head", arguments.head.is_some()),
        ("--unfreeze", arguments.unfreeze.is_some()),
        ("--augment-copies", arguments.augment_copies.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            Err(Usage(format!("{option} needs a pretrained network; {} is trained from scratch", arguments.model))
                .into())
        }
        None => Ok(()),
    }
}
