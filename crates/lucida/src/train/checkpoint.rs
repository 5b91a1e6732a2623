//! Checkpoints, from which an interrupted training run resumes.
//!
//! A checkpoint holds the whole training state except data and configuration: the weights that change, the optimizer's
//! moments, the weights of the best epoch, the moving average of the weights, the history, and the sums of the current
//! epoch. No random state is stored: all random numbers are derived from the seed and the index of a step, sample or pass. A
//! resumed run therefore takes the same steps as an uninterrupted one, and ends with bit-identical weights.
//!
//! The file is in the safetensors format. It is written next to its target, synced and renamed, so a complete file exists
//! even if the process is killed.

use std::path::Path;

use lucida_kernels::ops::max_abs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::decimals;
use crate::nn::{Network, Weight};
use crate::weights::safetensors::{NamedTensor, TensorFile, write_tensors};
use crate::{Cpu, Error, Result};

use super::TrainConfig;
use super::training_loop::{LoopState, TrainingCounters};

const KEY: &str = "lucida_checkpoint";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    /// Settings that must match for the run to resume.
    identity: Value,
    optimizer_steps: u64,
    #[serde(rename = "numbers")]
    counters: TrainingCounters,
}

/// Settings that identify a run: its configuration without the number of epochs, and what the caller adds.
pub(super) fn identity(config: &TrainConfig, options: &Value, network: &Network, added: &Value) -> Value {
    let trainable: Vec<&str> =
        network.weights().iter().filter(|weight| weight.trainable()).map(|weight| weight.name()).collect();
    decimals(json!({
        "batch size": config.batch_size,
        "learning rate": config.learning_rate,
        "optimizer": config.optimizer,
        "seed": config.seed,
        "options": options,
        "network": network.architecture(),
        "trained weights": trainable,
        "run": added,
    }))
}

/// The first tensor of the file that has a value which is not finite, if any.
pub(super) fn not_finite(cpu: Cpu, network: &Network, changes: &[bool], state: &LoopState) -> Option<String> {
    let is_bad = |values: &[f32]| !max_abs(cpu, values).is_finite();
    let weights = network.weights().iter().enumerate().filter(|(index, _)| changes[*index]);
    weights.into_iter().find_map(|(index, weight)| {
        let copies = [("the best epoch's", &state.best), ("the average of", &state.average)];
        let copies = copies.into_iter().filter_map(|(what, copy)| Some((what, &copy.as_ref()?[index][..])));
        let moments = state.optimizer.slots()[index].iter().map(|values| ("the optimizer's moment of", &values[..]));
        let all = std::iter::once(("weight", weight.values())).chain(copies).chain(moments);
        all.into_iter().find(|(_, values)| is_bad(values)).map(|(what, _)| format!("{what} {}", weight.name()))
    })
}

/// Writes a checkpoint.
pub(super) fn save(
    path: &Path,
    identity: &Value,
    network: &Network,
    changes: &[bool],
    state: &LoopState,
) -> Result<()> {
    let description = Description {
        version: VERSION,
        identity: identity.clone(),
        optimizer_steps: state.optimizer.steps(),
        counters: state.counters.clone(),
    };
    let text = serde_json::to_string(&description)
        .map_err(|problem| Error::Bug(format!("a checkpoint that cannot be written as JSON: {problem}")))?;
    let mut tensors: Vec<NamedTensor> = Vec::new();
    let copies = [("best", &state.best), ("mean", &state.average)];
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
    write_tensors(path, KEY, text, &tensors)
}

/// Restores a network and the training state from a checkpoint; returns whether the file exists.
///
/// # Errors
/// [`Error::File`] when it is not a checkpoint, or damaged; [`Error::Changed`] names the first setting that differs.
pub(super) fn load(
    path: &Path,
    identity: &Value,
    network: &mut Network,
    changes: &[bool],
    state: &mut LoopState,
) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let mut file = TensorFile::open(path)?;
    let damaged = |problem: String| Error::file(path, format!("not a usable checkpoint: {problem}"));
    let text = file.text(KEY).ok_or_else(|| damaged("it does not say what it is".to_owned()))?;
    let value: Value = serde_json::from_str(text).map_err(|problem| damaged(problem.to_string()))?;
    if value["version"] != VERSION {
        return Err(damaged(format!("it is of version {}, this program reads version {VERSION}", value["version"])));
    }
    let description = Description::deserialize(value).map_err(|problem| damaged(problem.to_string()))?;
    same(path, &description.identity, identity)?;

    // Older checkpoints lack the statistics of a batch normalization without scale and offset.
    let is_stored =
        |file: &TensorFile, weight: &Weight| weight.trainable() || file.contains(&format!("weight/{}", weight.name()));
    for (weight, _) in network.weights_mut().iter_mut().zip(changes).filter(|(_, changes)| **changes) {
        if is_stored(&file, weight) {
            file.read_into(&format!("weight/{}", weight.name()), weight.values_mut())?;
        }
    }
    let weights = network.weights();
    let mut copy = |what: &str| -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(weights.len());
        for (weight, changes) in weights.iter().zip(changes) {
            let mut values = if *changes { weight.values().to_vec() } else { Vec::new() };
            if *changes && is_stored(&file, weight) {
                file.read_into(&format!("{what}/{}", weight.name()), &mut values)?;
            }
            all.push(values);
        }
        Ok(all)
    };
    state.best = description.counters.best_epoch.map(|_| copy("best")).transpose()?;
    state.average = state.average.as_ref().map(|_| copy("mean")).transpose()?;
    state.optimizer.restore(description.optimizer_steps, |index, slot, values| {
        file.read_into(&format!("moment {slot}/{}", weights[index].name()), values)
    })?;
    state.counters = description.counters;
    Ok(true)
}

/// Rejects a checkpoint that was written with other settings; the error names the first one that differs.
pub(crate) fn same(path: &Path, before: &Value, now: &Value) -> Result<()> {
    // Older files store 32-bit numbers with the digits of their 64-bit value.
    let (before, now) = (decimals(before.clone()), decimals(now.clone()));
    let Some(Difference { keys, before, now }) = difference(&before, &now) else { return Ok(()) };
    let containers = ["run", "options", "layers", "config", "rate"];
    let names = keys.iter().filter(|key| !containers.contains(&key.as_str()));
    let names: Vec<String> = names.map(|name| name.replace("pictures", "images")).collect();
    let (before, now) = match (&before, &now) {
        (Value::Array(before), Value::Array(now)) if before.len().max(now.len()) > MOST => {
            (without(before, now), without(now, before))
        }
        (before, now) => (short(before), short(now)),
    };
    Err(Error::Changed { path: path.to_path_buf(), field: names.join(", "), before, now })
}

/// The first difference between two values.
#[derive(Debug, PartialEq)]
struct Difference {
    /// Path of keys to the difference; list items by name.
    keys: Vec<String>,
    before: Value,
    now: Value,
}

fn difference(before: &Value, now: &Value) -> Option<Difference> {
    if before == now {
        return None;
    }
    let within = |key: &str, before: &Value, now: &Value| {
        let mut inner = difference(before, now)?;
        inner.keys.insert(0, key.to_owned());
        Some(inner)
    };
    let found = match (before, now) {
        (Value::Object(old), Value::Object(new)) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            // Differences in the data explain those in the network, and its name those in its layers.
            keys.sort_by_key(|key| !matches!(key.as_str(), "run" | "classes" | "name"));
            // Missing keys read as null.
            return keys.into_iter().find_map(|key| within(&key.replace('_', " "), &before[key], &now[key]));
        }
        (Value::Array(old), Value::Array(new)) if old.iter().chain(new).all(Value::is_object) => {
            if old.len() != new.len() {
                return Some(Difference {
                    keys: vec!["number of layers".to_owned()],
                    before: old.len().into(),
                    now: new.len().into(),
                });
            }
            let name = |item: &Value| item["name"].as_str().map(|name| format!("layer {name}")).unwrap_or_default();
            old.iter().zip(new).find_map(|(old, new)| within(&name(old), old, new))
        }
        _ => None,
    };
    found.or_else(|| Some(Difference { keys: vec![], before: before.clone(), now: now.clone() }))
}

/// Maximum number of list items in a message.
const MOST: usize = 10;

/// Shortens a long list for a message: its length, and the items that the other list lacks.
fn without(items: &[Value], others: &[Value]) -> String {
    let own: Vec<Value> = items.iter().filter(|item| !others.contains(item)).cloned().collect();
    match own.as_slice() {
        [] => items.len().to_string(),
        own => format!("{} with {}", items.len(), short(&own.into())),
    }
}

/// Formats a value for a message.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let mut texts: Vec<String> = items.iter().take(MOST).map(short).collect();
            if items.len() > MOST {
                texts.push("…".to_owned());
            }
            texts.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(before: &Value, now: &Value) -> String {
        same(Path::new("c"), before, now).unwrap_err().to_string()
    }

    #[test]
    fn numbers_of_32_bits_in_the_digits_of_64_are_the_same() {
        let before = json!({"options": {"ema": 0.9_f32}, "optimizer": {"beta_1": 0.9_f32, "beta_2": 0.999_f32}});
        assert!(before.to_string().contains("0.8999999761581421"), "{before}");
        let now = json!({"options": {"ema": 0.9}, "optimizer": {"beta_1": 0.9, "beta_2": 0.999}});
        same(Path::new("c"), &before, &now).unwrap();
        let other = json!({"options": {"ema": 0.99}, "optimizer": {"beta_1": 0.9, "beta_2": 0.999}});
        assert!(message(&before, &other).contains("(ema: 0.9 then, 0.99 now)"), "{}", message(&before, &other));
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let of = |units: u32, classes: &[&str], smoothing: f64| {
            json!({
                "batch size": 8,
                "network": {"name": "basic_cnn", "layers": [
                    {"name": "flatten", "class_name": "Flatten"},
                    {"name": "dense_2", "class_name": "Dense", "config": {"units": units}},
                ]},
                "options": {"label_smoothing": smoothing, "early_stopping": null},
                "run": {"classes": classes, "training pictures": 10 * classes.len()},
            })
        };
        let two = of(1, &["cats", "dogs"], 0.0);
        same(Path::new("c"), &two, &two).unwrap();
        // Additional classes also change the network; the message names the classes.
        let text = message(&two, &of(3, &["cats", "dogs", "foxes"], 0.0));
        assert!(text.contains("classes: cats, dogs then, cats, dogs, foxes now"), "{text}");
        let text = message(&two, &of(4, &["cats", "dogs"], 0.0));
        assert!(text.contains("network, layer dense_2, units: 1 then, 4 now"), "{text}");
        assert!(message(&two, &of(1, &["cats", "dogs"], 0.1)).contains("label smoothing: 0.0 then, 0.1 now"));
        let text = message(&json!({"run": {"training pictures": 48}}), &json!({"run": {"training pictures": 60}}));
        assert!(text.contains("training images: 48 then, 60 now"), "{text}");
        let text = message(&json!({"options": {"early_stopping": null}}), &json!({"options": {"early_stopping": 5}}));
        assert!(text.contains("early stopping: none then, 5 now"), "{text}");
        // Older files have null for options that are off.
        let named = json!({"options": {"plateau": null, "ema": 0.9}});
        same(Path::new("c"), &named, &json!({"options": {"ema": 0.9}})).unwrap();
        let many =
            |count: usize| json!({"run": {"classes": (0..count).map(|class| format!("c{class}")).collect::<Vec<_>>()}});
        let text = message(&many(12), &many(14));
        assert!(text.contains("classes: 12 then, 14 with c12, c13 now"), "{text}");
        let text = message(&json!({"learning rate": {"rate": 0.1}}), &json!({"learning rate": {"rate": 0.2}}));
        assert!(text.contains("(learning rate: 0.1 then, 0.2 now)"), "{text}");
        let layers = |count: usize| json!({"network": {"layers": vec![json!({"name": "a"}); count]}});
        assert!(
            message(&layers(2), &layers(3)).contains("network, number of layers: 2 then, 3 now"),
            "{}",
            message(&layers(2), &layers(3))
        );
    }
}
