//! Checkpoints of the training of a feed-forward style, in the same format as those of [`crate::train`]. No random state is
//! stored: all random numbers are derived from the seed and the index of a crop.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LossRecord;
use super::parameters::Parameters;
use crate::nn::OptimizerState;
use crate::weights::safetensors::{NamedTensor, TensorFile, write_tensors};
use crate::{Error, Result};

const KEY: &str = "lucida_style_checkpoint";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    /// Settings that must match for the training to resume.
    identity: Value,
    steps: usize,
    /// Number of steps per style.
    own_steps: Vec<u64>,
    history: Vec<LossRecord>,
}

/// Training progress.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct TrainingProgress {
    pub(super) steps: usize,
    pub(super) history: Vec<LossRecord>,
}

/// Optimizer states to save: name, state.
fn moments(parameters: &Parameters) -> impl Iterator<Item = (String, &OptimizerState)> {
    let own = parameters.own.iter().enumerate().map(|(style, state)| (format!("style {style}"), state));
    std::iter::once(("shared".to_owned(), &parameters.shared)).chain(own)
}

/// Writes a checkpoint.
pub(super) fn save(path: &Path, identity: &Value, parameters: &mut Parameters, done: &TrainingProgress) -> Result<()> {
    parameters.keep();
    let parameters = &*parameters;
    let description = Description {
        version: VERSION,
        identity: identity.clone(),
        steps: done.steps,
        own_steps: parameters.own.iter().map(OptimizerState::steps).collect(),
        history: done.history.clone(),
    };
    let text = serde_json::to_string(&description)
        .map_err(|problem| Error::Bug(format!("a checkpoint that cannot be written as JSON: {problem}")))?;
    let weights = parameters.network.weights();
    let mut tensors: Vec<NamedTensor> = Vec::new();
    for weight in weights {
        tensors.push((format!("weight/{}", weight.name()), weight.shape(), weight.values()));
    }
    for (style, set) in parameters.style.sets.iter().enumerate() {
        for (&weight, values) in parameters.style.conditional.iter().zip(set) {
            tensors.push((format!("style {style}/{}", weights[weight].name()), weights[weight].shape(), values));
        }
    }
    for (what, state) in moments(parameters) {
        for (weight, slots) in weights.iter().zip(state.slots()) {
            for (slot, values) in slots.iter().enumerate() {
                tensors.push((format!("moment {slot}/{what}/{}", weight.name()), weight.shape(), values));
            }
        }
    }
    write_tensors(path, KEY, text, &tensors)
}

/// Restores the training state from a checkpoint.
///
/// # Errors
/// [`Error::File`] when it is not a checkpoint, or damaged; [`Error::Changed`] names the first setting that differs.
pub(super) fn load(path: &Path, identity: &Value, parameters: &mut Parameters) -> Result<TrainingProgress> {
    let mut file = TensorFile::open(path)?;
    let damaged = |problem: String| Error::file(path, format!("not a usable checkpoint: {problem}"));
    let text = file.text(KEY).ok_or_else(|| damaged("it does not say what it is".to_owned()))?;
    let value: Value = serde_json::from_str(text).map_err(|problem| damaged(problem.to_string()))?;
    if value["version"] != VERSION {
        return Err(damaged(format!("it is of version {}, this program reads version {VERSION}", value["version"])));
    }
    let description = Description::deserialize(value).map_err(|problem| damaged(problem.to_string()))?;
    crate::train::same_run(path, &description.identity, identity)?;
    let Parameters { network, style, shared, own, .. } = parameters;
    if description.own_steps.len() != own.len() {
        return Err(damaged(format!("it has {} styles", description.own_steps.len())));
    }
    for weight in network.weights_mut() {
        let name = format!("weight/{}", weight.name());
        file.read_into(&name, weight.values_mut())?;
    }
    let weights = network.weights();
    for (number, set) in style.sets.iter_mut().enumerate() {
        for (&weight, values) in style.conditional.iter().zip(set) {
            file.read_into(&format!("style {number}/{}", weights[weight].name()), values)?;
        }
    }
    let mut restore = |what: &str, steps: u64, state: &mut OptimizerState| {
        state.restore(steps, |index, slot, values| {
            file.read_into(&format!("moment {slot}/{what}/{}", weights[index].name()), values)
        })
    };
    restore("shared", description.steps as u64, shared)?;
    for (number, (state, steps)) in own.iter_mut().zip(description.own_steps).enumerate() {
        restore(&format!("style {number}"), steps, state)?;
    }
    parameters.restart();
    Ok(TrainingProgress { steps: description.steps, history: description.history })
}
