//! The overview of a network: feature maps of many layers at once, the inputs of a channel and how strong they are, and the
//! values of one operation.

mod feeding;
mod operation;

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use self::feeding::{ChannelInputs, channel_inputs};
use self::operation::Operation;
use super::encoded::Maps;
use crate::activations::{groups, with_activations};
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum number of layers in a response, and of feature maps per layer.
const LAYERS: usize = 64;
const MAPS: usize = 64;
/// Number of strongest kernels in a response by default, and at most.
const KERNELS: usize = 6;
const MOST_KERNELS: usize = 64;

/// Query parameters for feature maps.
#[derive(Deserialize)]
pub(crate) struct OverviewQuery {
    image: String,
    /// Names of layers, separated by commas.
    layers: String,
    first: Option<usize>,
    maps: Option<usize>,
    side: Option<usize>,
}

/// Feature maps of several layers.
#[derive(Serialize)]
pub(crate) struct Overview {
    layers: Vec<Maps>,
    /// Time for the forward pass, if there was one, and the encoding.
    milliseconds: f64,
}

/// Query parameters for the inputs of a channel.
#[derive(Deserialize)]
pub(crate) struct InputQuery {
    /// With an image, the strongest kernels come with the maps that they are applied to.
    image: Option<String>,
    kernels: Option<usize>,
}

/// Query parameters for an operation.
#[derive(Deserialize)]
pub(crate) struct OperationQuery {
    image: String,
    /// The input channel to show, for layers that read several.
    input: Option<usize>,
    /// Row and column of an output: `3,4`.
    at: Option<String>,
}

pub(crate) async fn maps(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(query): Query<OverviewQuery>,
) -> Result<Json<Overview>> {
    let compute = move |studio: &Studio| {
        let started = Instant::now();
        let loaded = studio.models.get(&model)?;
        let network = &loaded.model.network;
        let asked = network.find_list(&query.layers).map_err(|error| Problem::not_found(error.to_string()))?;
        if asked.len() > LAYERS {
            return Err(Problem::invalid(format!("{} layers: at most {LAYERS} per request", asked.len())));
        }
        let (first, count) = (query.first.unwrap_or(0), query.maps.unwrap_or(12).min(MAPS));
        let side = query.side.unwrap_or(32).clamp(1, 256);
        let mut layers = Vec::new();
        for group in groups(network, &asked) {
            with_activations(studio, &loaded, &query.image, group, |activations| {
                layers.extend(group.iter().map(|&node| {
                    let named = &network.nodes()[node];
                    let layer = (named.name(), named.layer().class_name());
                    Maps::of_values(layer, named.shape(), activations.of(node), [first, count, side])
                }));
                Ok(())
            })?;
        }
        Ok(Json(Overview { layers, milliseconds: started.elapsed().as_secs_f64() * 1e3 }))
    };
    studio.compute(compute).await
}

pub(crate) async fn inputs(
    State(studio): State<Arc<Studio>>,
    Path((model, layer, channel)): Path<(String, String, usize)>,
    Query(query): Query<InputQuery>,
) -> Result<Json<ChannelInputs>> {
    let kernels = query.kernels.unwrap_or(KERNELS).min(MOST_KERNELS);
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let node = loaded.node(&layer)?;
        let network = &loaded.model.network;
        let mut found = channel_inputs(network, node, channel, kernels)?;
        if let Some(image) = &query.image {
            let asked = network.nodes()[node].inputs();
            with_activations(studio, &loaded, image, asked, |activations| {
                found.add_maps(network, asked, activations);
                Ok(())
            })?;
        }
        Ok(Json(found))
    };
    studio.compute(compute).await
}

pub(crate) async fn operation(
    State(studio): State<Arc<Studio>>,
    Path((model, layer, channel)): Path<(String, String, usize)>,
    Query(query): Query<OperationQuery>,
) -> Result<Json<Operation>> {
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let network = &loaded.model.network;
        let node = loaded.node(&layer)?;
        let at = query.at.as_deref().map(position).transpose()?;
        let mut asked = network.nodes()[node].inputs().to_vec();
        asked.push(node);
        with_activations(studio, &loaded, &query.image, &asked, |activations| {
            Operation::of(network, activations, node, channel, query.input, at).map(Json)
        })
    };
    studio.compute(compute).await
}

/// Reads a row and a column.
fn position(text: &str) -> Result<[usize; 2]> {
    let parsed = text.split_once(',').and_then(|(row, column)| Some([row.parse().ok()?, column.parse().ok()?]));
    parsed.ok_or_else(|| Problem::invalid(format!("{text:?} is not a position: a row and a column, as in 3,4")))
}
