//! Properties of Lucida's models that Keras has no place for, stored as JSON under their own name.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::data::Preprocessing;
use crate::weights::{Model, Task};

/// The name.
pub(in crate::weights) const LUCIDA: &str = "lucida";

#[derive(Debug, Deserialize)]
struct LucidaMetadata {
    preprocessing: Option<Preprocessing>,
    #[serde(default)]
    class_names: Vec<String>,
    #[serde(default)]
    task: Option<Task>,
    #[serde(default)]
    training: Value,
}

/// The preprocessing, class names and training record.
pub(in crate::weights) fn own(model: &Model) -> Value {
    let mut own = json!({
        "preprocessing": model.preprocessing,
        "class_names": model.class_names,
        "training": model.training,
    });
    if let Some(task) = model.task {
        own["task"] = task.to_string().into();
    }
    own
}

/// Restores what [`own`] has stored.
///
/// # Errors
/// What is invalid in it.
pub(in crate::weights) fn restore_own(model: &mut Model, own: Value) -> Result<(), String> {
    let own: LucidaMetadata = serde_json::from_value(own).map_err(|problem| problem.to_string())?;
    model.preprocessing = own.preprocessing;
    model.class_names = own.class_names;
    model.task = own.task;
    if !own.training.is_null() {
        model.training = own.training;
    }
    model.check().map_err(|problem| problem.to_string())
}
