//! The network that a command line means: from scratch, or a new head on a base.

use anyhow::{Context as _, Result};
use lucida::data::{Filter, Preprocessing};
use lucida::explain::embed::last_features;
use lucida::nn::zoo::{self, Options};
use lucida::train::{Head, Transfer, Transferred};
use lucida::weights::{Model, ModelSpec, Top, hub, open};

use crate::cli::TrainFolder;

/// Height and width of the pictures, unless told otherwise.
const SIZE: usize = 150;

/// A network before the classes are known.
pub(super) enum Source {
    Scratch(&'static zoo::Architecture, Preprocessing),
    Base(Box<Model>, Transfer),
}

impl Source {
    pub(super) fn of(arguments: &TrainFolder) -> Result<Self> {
        let size = arguments.size.map(|size| [size.height, size.width]);
        let (spec, size) = match &arguments.base {
            Some(path) => (ModelSpec { size, ..ModelSpec::new(path.to_string_lossy()) }, size),
            None => {
                let known = zoo::find(&arguments.model)?;
                let size = size.unwrap_or([SIZE; 2]);
                if arguments.weights.is_none() && hub::published(known, true).is_err() {
                    refuse_transfer(arguments)?;
                    let numbers = Model::preprocessing_of(known.pixels, size[0], size[1]);
                    return Ok(Self::Scratch(known, adjusted(numbers, arguments)));
                }
                let weights = arguments.weights.clone();
                (ModelSpec { weights, size: Some(size), ..ModelSpec::new(&arguments.model) }, Some(size))
            }
        };
        let mut base = open(&ModelSpec { top: Top::Unneeded, ..spec })?;
        let preprocessing = match (base.preprocessing.take(), arguments.pixels, size) {
            (Some(known), _, _) => known,
            // The file does not say how pictures are prepared; the command line does.
            (None, Some(pixels), size) => {
                let shape = base.network.input_shape()?.as_picture().context("the base takes no pictures")?;
                let [height, width] = size.unwrap_or([shape[0], shape[1]]);
                Model::preprocessing_of(pixels.into(), height, width)
            }
            (None, None, _) => {
                return Err(crate::exit::Usage(
                    "--pixels is missing: the file does not say how pictures are prepared for the network".to_owned(),
                )
                .into());
            }
        };
        base.preprocessing = Some(adjusted(preprocessing, arguments));
        let cut = match (&arguments.cut, &arguments.base) {
            (Some(layer), _) => Some(layer.clone()),
            // Of a classifier, all but the layer that tells its classes.
            (None, Some(_)) => Some(last_features(&base.network)?.to_owned()),
            (None, None) => None,
        };
        let end = match &cut {
            Some(layer) => &base.network.nodes()[base.network.find(layer)?],
            None => base.network.output()?,
        };
        let fallback = if end.shape().as_flat().is_some() { "dense:256,dropout:0.5".parse()? } else { Head::default() };
        let head = arguments.head.clone().unwrap_or(fallback);
        Ok(Self::Base(Box::new(base), Transfer { cut, head, unfreeze: arguments.unfreeze.clone() }))
    }

    /// How pictures are prepared.
    pub(super) fn preprocessing(&self) -> Result<&Preprocessing> {
        match self {
            Self::Scratch(_, preprocessing) => Ok(preprocessing),
            Self::Base(base, _) => Ok(base.preprocessing()?),
        }
    }

    /// The network for these classes; all of it is new when there is no base.
    pub(super) fn build(self, class_names: &[String], seed: u64) -> Result<Transferred> {
        match self {
            Self::Scratch(known, preprocessing) => {
                let options = Options::default().size(preprocessing.height, preprocessing.width);
                let network = known.build(&options.classes(class_names.len()).seed(seed))?;
                let class_names = class_names.to_vec();
                let model = Model { preprocessing: Some(preprocessing), class_names, ..Model::new(network) };
                Ok(Transferred { model, head: 0, seam: 0 })
            }
            Self::Base(base, transfer) => Ok(transfer.apply(*base, class_names, seed)?),
        }
    }
}

/// What the command line says beyond what the network was made for.
fn adjusted(preprocessing: Preprocessing, arguments: &TrainFolder) -> Preprocessing {
    let (height, width) = (preprocessing.height, preprocessing.width);
    let numbers = match arguments.pixels {
        Some(pixels) => Model::preprocessing_of(pixels.into(), height, width),
        None => preprocessing,
    };
    numbers.with_fit(arguments.fit.into(), Filter::Bilinear)
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
        Some((option, _)) => Err(crate::exit::Usage(format!(
            "{option} is for a network that has learned something before: {} is trained from scratch",
            arguments.model
        ))
        .into()),
        None => Ok(()),
    }
}
