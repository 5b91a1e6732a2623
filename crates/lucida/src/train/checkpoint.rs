//! The file from which a training goes on.
//!
//! It holds all that a training has beside its data and its settings: the weights that change, the optimizer's moments, the
//! weights of the best epoch, the running mean, the numbers of all epochs, and the sums of the one at hand. Random numbers
//! need no place in it: each is drawn from the seed and the number of a step, a sample or a pass. So a training that goes
//! on makes the same steps as one that was never interrupted, and ends with the same weights, to the bit.
//!
//! The file is one of safetensors, written beside its target, synced and renamed: whenever a process is killed, there is a
//! whole one.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::decimals;
use crate::nn::Network;
use crate::weights::safetensors::{NamedTensor, TensorFile, write_tensors};
use crate::{Error, Result};

use super::course::{Numbers, State};
use super::{Checkpoints, Fit};

const KEY: &str = "lucida_checkpoint";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    /// What must be the same for the training to go on.
    identity: Value,
    optimizer_steps: u64,
    numbers: Numbers,
}

/// What makes a training the same: all settings but the number of epochs, and what the caller adds.
fn identity(checkpoints: &Checkpoints, fit: &Fit, network: &Network) -> Value {
    let settings = &fit.settings;
    let trainable: Vec<&str> =
        network.weights().iter().filter(|weight| weight.trainable()).map(|weight| weight.name()).collect();
    decimals(json!({
        "batch size": settings.batch_size,
        "learning rate": settings.schedule,
        "optimizer": settings.optimizer,
        "seed": settings.seed,
        "options": fit.options,
        "network": network.architecture(),
        "trained weights": trainable,
        "run": checkpoints.identity,
    }))
}

/// Writes the file.
pub(super) fn save(
    checkpoints: &Checkpoints,
    fit: &Fit,
    network: &Network,
    changes: &[bool],
    state: &State,
) -> Result<()> {
    let description = Description {
        version: VERSION,
        identity: identity(checkpoints, fit, network),
        optimizer_steps: state.optimizer.steps(),
        numbers: state.numbers.clone(),
    };
    let text = serde_json::to_string(&description)
        .map_err(|problem| Error::Bug(format!("a checkpoint that cannot be written as JSON: {problem}")))?;
    let mut tensors: Vec<NamedTensor> = Vec::new();
    let copies = [("best", &state.best), ("mean", &state.mean)];
    for (index, weight) in network.weights().iter().enumerate().filter(|(index, _)| changes[*index]) {
        let (name, shape) = (weight.name(), weight.shape());
        tensors.push((format!("weight/{name}"), shape, weight.values()));
        for (what, copy) in copies.iter().filter_map(|(what, copy)| Some((what, copy.as_ref()?))) {
            tensors.push((format!("{what}/{name}"), shape, &copy[index]));
        }
        for (slot, values) in state.optimizer.slots()[index].iter().enumerate() {
            tensors.push((format!("moment {slot}/{name}"), shape, values));
        }
    }
    write_tensors(&checkpoints.path, KEY, text, &tensors)
}

/// Reads the file, if there is one, into a network and a state; whether there is one.
///
/// # Errors
/// [`Error::File`] when it is no checkpoint or damaged; [`Error::Argument`] names the first setting that was another one.
pub(super) fn load(
    checkpoints: &Checkpoints,
    fit: &Fit,
    network: &mut Network,
    changes: &[bool],
    state: &mut State,
) -> Result<bool> {
    let path = &checkpoints.path;
    if !path.exists() {
        return Ok(false);
    }
    let mut file = TensorFile::open(path)?;
    let damaged = |problem: String| Error::file(path, format!("is not a usable checkpoint: {problem}"));
    let text = file.text(KEY).ok_or_else(|| damaged("it does not say what it is".to_owned()))?;
    let value: Value = serde_json::from_str(text).map_err(|problem| damaged(problem.to_string()))?;
    if value["version"] != VERSION {
        return Err(damaged(format!("it is of version {}, this program reads version {VERSION}", value["version"])));
    }
    let description = Description::deserialize(value).map_err(|problem| damaged(problem.to_string()))?;
    same(path, "", &description.identity, &identity(checkpoints, fit, network))?;

    for (weight, _) in network.weights_mut().iter_mut().zip(changes).filter(|(_, changes)| **changes) {
        let name = format!("weight/{}", weight.name());
        file.read_into(&name, weight.values_mut())?;
    }
    let weights = network.weights();
    let mut copy = |what: &str| -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(weights.len());
        for (weight, changes) in weights.iter().zip(changes) {
            let mut values = vec![0.0; if *changes { weight.values().len() } else { 0 }];
            if *changes {
                file.read_into(&format!("{what}/{}", weight.name()), &mut values)?;
            }
            all.push(values);
        }
        Ok(all)
    };
    state.best = description.numbers.best_epoch.map(|_| copy("best")).transpose()?;
    state.mean = state.mean.as_ref().map(|_| copy("mean")).transpose()?;
    state.optimizer.restore(description.optimizer_steps, |index, slot, values| {
        file.read_into(&format!("moment {slot}/{}", weights[index].name()), values)
    })?;
    state.numbers = description.numbers;
    Ok(true)
}

/// Compares what a checkpoint was made with, entry by entry.
fn same(path: &Path, name: &str, before: &Value, now: &Value) -> Result<()> {
    // Older files have 32-bit numbers in all the digits of 64 bits.
    if before == now || decimals(before.clone()) == decimals(now.clone()) {
        return Ok(());
    }
    if let (Value::Object(old), Value::Object(new)) = (before, now) {
        for key in old.keys().chain(new.keys()) {
            let (old, new) = (&before[key], &now[key]);
            let inner = if name.is_empty() || name == "run" || name == "options" {
                key.replace('_', " ")
            } else {
                name.to_owned()
            };
            same(path, &inner, old, new)?;
        }
    }
    let short = |value: &Value| {
        let text = value.to_string();
        if text.chars().count() > 80 { "another one".to_owned() } else { text }
    };
    Err(Error::argument(format!(
        "{}: this training was begun otherwise ({name}: {} then, {} now); go on with the same options, or begin anew with \
         --force",
        path.display(),
        short(before),
        short(now)
    )))
}
