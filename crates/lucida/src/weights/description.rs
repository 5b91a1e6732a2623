//! Lucida's own metadata in formats that have a place for it: architecture, preprocessing, class names and training record,
//! as JSON under the key `lucida`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Model, Task, json};
use crate::data::Preprocessing;
use crate::nn::Network;
use crate::{Error, Result};

/// The metadata key that marks a Lucida model.
pub(super) const KEY: &str = "lucida";
/// The version of the metadata that this code writes and reads.
const VERSION: u32 = 1;

/// The metadata of a model.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    network: Value,
    #[serde(default)]
    preprocessing: Option<Preprocessing>,
    #[serde(default)]
    class_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    #[serde(default)]
    training: Value,
    /// The layers that were frozen in training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    frozen: Vec<String>,
}

/// Serializes the metadata of a model.
pub(super) fn to_text(model: &Model) -> Result<String> {
    let description = Description {
        version: VERSION,
        network: model.network.architecture(),
        preprocessing: model.preprocessing.clone(),
        class_names: model.class_names.clone(),
        task: model.task,
        training: model.training.clone(),
        frozen: model.network.frozen().map(str::to_owned).collect(),
    };
    serde_json::to_string(&description)
        .map_err(|problem| Error::Bug(format!("a model that cannot be written as JSON: {problem}")))
}

/// Builds a model from its metadata, with zero weights.
///
/// # Errors
/// What is wrong with the metadata.
pub(super) fn from_text(text: &str) -> Result<Model, String> {
    let value: Value = json::parse(text.as_bytes())?;
    let version = value["version"].as_u64();
    if version != Some(u64::from(VERSION)) {
        let found = version.map_or("no version".to_owned(), |version| format!("version {version}"));
        return Err(format!("its description has {found}, this program reads version {VERSION}"));
    }
    let description = Description::deserialize(value).map_err(|problem| problem.to_string())?;
    let mut network = Network::from_architecture(&description.network).map_err(|problem| problem.to_string())?;
    for layer in &description.frozen {
        network.set_trainable(layer, false).map_err(|problem| problem.to_string())?;
    }
    let model = Model {
        preprocessing: description.preprocessing,
        class_names: description.class_names,
        task: description.task,
        training: description.training,
        ..Model::new(network)
    };
    model.check().map_err(|problem| problem.to_string())?;
    Ok(model)
}

/// The architecture in the metadata as JSON; `None` if it cannot be parsed.
pub(super) fn architecture(text: &str) -> Option<Value> {
    json::parse(text.as_bytes()).ok().map(|mut description| description["network"].take())
}
