//! The network to train: from scratch, a new head on a base, or a trained model.

use std::path::Path;

use anyhow::{Context as _, Result};
use lucida::nn::applications;
use lucida::train::{StartOptions, TrainStart, base_size};
use lucida::weights::{IncludeTop, ModelSpec, hub, inspect, is_builtin};

use crate::cli::TrainFolder;
use crate::commands::{Context, open_model};
use crate::exit::Usage;

/// The network to start from.
pub(super) fn start(arguments: &TrainFolder, context: Context) -> Result<TrainStart> {
    if let Some(run) = &arguments.continued {
        let model = open_model(&ModelSpec::new(run.to_string_lossy()), context)?;
        let start = TrainStart::continued(model, arguments.unfreeze.clone());
        return start.with_context(|| run.display().to_string());
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
            let scratch = || {
                refuse_transfer(arguments)?;
                Ok(TrainStart::scratch(known, &options(arguments))?)
            };
            let spec = match &arguments.weights {
                Some(path) if path.as_os_str() == "none" => return scratch(),
                None if !is_builtin(known) && hub::published(known, true).is_err() => return scratch(),
                // A whole-model file stores its own input size and classes.
                Some(path) if inspect(path)?.architecture.is_some() => file(path),
                weights => {
                    let size = Some(size.unwrap_or_else(|| base_size(known)));
                    ModelSpec { weights: weights.clone(), size, ..ModelSpec::new(&arguments.model) }
                }
            };
            (spec, Some(known))
        }
    };
    let spec = ModelSpec { top: IncludeTop::Unneeded, ..spec };
    let base = open_model(&spec, context)?;
    let channels = base.network.input_shape()?.as_image().map(|[_, _, channels]| channels);
    if let (Some(wanted), Some(channels)) = (arguments.channels, channels)
        && usize::from(wanted) != channels
    {
        return Err(Usage(format!(
            "--channels is for networks trained from scratch, such as --model basic-cnn; this one takes {channels}"
        ))
        .into());
    }
    TrainStart::base(base, known, &options(arguments)).with_context(|| spec.model)
}

fn options(arguments: &TrainFolder) -> StartOptions {
    StartOptions {
        size: arguments.size.map(|size| [size.height, size.width]),
        channels: arguments.channels.map(usize::from),
        fit: arguments.fit,
        preprocessing: arguments.preprocessing.clone(),
        cut: arguments.cut.clone(),
        head: arguments.head.clone(),
        unfreeze: arguments.unfreeze.clone(),
    }
}

/// Refuses transfer-learning options for a network trained from scratch.
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
