//! Models, and the graphs of their layers.

use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lucida::weights::{OutputKind, Outputs};
use serde::Serialize;

use super::images::files_of;
use super::settings::is_assumed;
use crate::graph::{Block, Edge, arrange};
use crate::models::{Entry, Loaded};
use crate::problem::Result;
use crate::state::Studio;

/// A model of the list.
#[derive(Serialize)]
pub(crate) struct Item {
    id: String,
    name: String,
    group: &'static str,
}

/// A model and its layers.
#[derive(Serialize)]
pub(crate) struct ModelDescription {
    id: String,
    name: String,
    network: String,
    trained: bool,
    /// How to download its weights, if they are published and not on this machine.
    fetch: Option<Fetch>,
    /// Whether it reads handwritten digits.
    digits: bool,
    /// Whether the preprocessing is only assumed, because neither the model nor the user specifies it.
    assumed: bool,
    parameters: usize,
    /// Height, width and channels of its input; `None` if it takes no image.
    input: Option<[usize; 3]>,
    /// Names of the classes or labels; empty if it is not a classifier.
    classes: Vec<String>,
    /// Whether they are labels, any number of which can apply at once.
    multilabel: bool,
    layers: Vec<LayerItem>,
    blocks: Vec<Block>,
    wires: Vec<Edge>,
}

/// Published weights that are not on this machine.
#[derive(Serialize)]
struct Fetch {
    /// The command that downloads them.
    command: String,
    /// The size of the download, for display.
    size: String,
}

#[derive(Serialize)]
struct LayerItem {
    name: String,
    kind: &'static str,
    /// Shape of its output, without the batch.
    shape: Vec<usize>,
    parameters: usize,
}

pub(crate) async fn list(State(studio): State<Arc<Studio>>) -> Result<Json<Vec<Item>>> {
    let entries = studio.compute(|studio| Ok(studio.models.list())).await?;
    // A run of the studio is named after its job.
    let title = |id: &str| {
        let job = id.strip_prefix("job-")?;
        Some(format!("{} ({job})", studio.jobs.title(job)?))
    };
    let item = |entry: Entry| Item { name: title(&entry.id).unwrap_or(entry.name), id: entry.id, group: entry.group };
    Ok(Json(entries.into_iter().map(item).collect()))
}

/// Opens the model among the files in the form fields `model`, and stores them until it is removed.
pub(crate) async fn add(
    State(studio): State<Arc<Studio>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<Item>)> {
    let permit = studio.start_upload()?;
    let sent = files_of(form, &["model"], studio.limits.model_bytes).await?;
    let opened = studio.compute(move |studio| Ok(Entry::opened(&studio.models.opened.add(&sent)?))).await?;
    drop(permit);
    Ok((StatusCode::CREATED, Json(Item { id: opened.id, name: opened.name, group: opened.group })))
}

/// Removes an opened model.
pub(crate) async fn remove(State(studio): State<Arc<Studio>>, Path(model): Path<String>) -> Result<StatusCode> {
    studio.compute(move |studio| studio.models.opened.remove(&model)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn describe(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
) -> Result<Json<ModelDescription>> {
    let describe = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        Ok(Json(described(&loaded, &studio.models.find(&model)?)))
    };
    studio.compute(describe).await
}

fn described(loaded: &Loaded, entry: &Entry) -> ModelDescription {
    let network = &loaded.model.network;
    let (blocks, wires) = arrange(network);
    let nodes = network.nodes().iter().enumerate();
    ModelDescription {
        id: loaded.id.clone(),
        name: loaded.name.clone(),
        network: network.name().to_owned(),
        trained: loaded.trained,
        fetch: entry.unfetched().map(|file| Fetch { command: file.command(), size: file.size_text() }),
        digits: loaded.is_digits(),
        assumed: is_assumed(entry, loaded),
        parameters: network.parameters().0,
        input: network.input_shape().ok().and_then(|shape| shape.as_image()),
        classes: (0..loaded.classes()).map(|class| loaded.class_name(class)).collect(),
        multilabel: Outputs::of(&loaded.model).is_ok_and(|outputs| outputs.kind() == OutputKind::Labels),
        layers: nodes
            .map(|(index, node)| LayerItem {
                name: node.name().to_owned(),
                kind: node.layer().class_name(),
                shape: node.shape().sizes().to_vec(),
                parameters: network.parameters_of(index),
            })
            .collect(),
        blocks,
        wires,
    }
}
