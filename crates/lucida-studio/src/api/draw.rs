//! Live view: prediction and feature maps for every stroke of a drawing and every camera frame.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use lucida::data::Image;
use lucida::nn::{Layer, Network, Plan};
use lucida::weights::Outputs;
use serde::{Deserialize, Serialize};

use super::encoded::Maps;
use super::images::ImageQuery;
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum number of layers in the live view, maps per layer, and side of a map.
const LAYERS: usize = 14;
const MAPS: usize = 32;
const SIDE: usize = 48;
/// Maximum side of a drawing or camera frame, in pixels.
const PIXELS: usize = 512;

/// Size of the image in the body, which is pixels as bytes, row by row.
#[derive(Deserialize)]
pub(crate) struct Raw {
    width: usize,
    height: usize,
    /// 1 for gray, 3 for RGB.
    channels: usize,
}

/// Prediction and feature maps for an image.
#[derive(Serialize)]
pub(crate) struct LiveActivations {
    /// One for each class; empty if the network is not a classifier.
    probabilities: Vec<f32>,
    /// The input first.
    layers: Vec<Maps>,
    milliseconds: f64,
}

/// Prediction for an image.
#[derive(Serialize)]
pub(crate) struct Prediction {
    probabilities: Vec<f32>,
    classes: Vec<String>,
}

pub(crate) async fn from_pixels(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(raw): Query<Raw>,
    body: Bytes,
) -> Result<Json<LiveActivations>> {
    let Raw { width, height, channels } = raw;
    if !(1..=PIXELS).contains(&width) || !(1..=PIXELS).contains(&height) || ![1, 3].contains(&channels) {
        return Err(Problem::invalid(format!(
            "an image of {width}x{height} with {channels} channels: 1 to {PIXELS}, 1 or 3"
        )));
    }
    let run = move |studio: &Studio| {
        let image = Image::new(width, height, channels, body.to_vec())?;
        let loaded = studio.models.get(&model)?;
        let preprocessing = loaded.model.preprocessing()?;
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&image, &mut input)?;
        Ok(Json(live_activations(studio, &loaded, &input)?))
    };
    studio.compute(run).await
}

/// Like [`from_pixels`], for an image with an identifier. It is not downscaled first: the model's own preprocessing applies.
pub(crate) async fn from_image(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<LiveActivations>> {
    let run = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let input = studio.input(&loaded, &query.image)?;
        Ok(Json(live_activations(studio, &loaded, &input)?))
    };
    studio.compute(run).await
}

pub(crate) async fn prediction(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<Prediction>> {
    let predict = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let count = loaded.classes();
        if count == 0 {
            return Ok(Json(Prediction { probabilities: Vec::new(), classes: Vec::new() }));
        }
        let input = studio.input(&loaded, &query.image)?;
        let mut found = lucida::explain::ClassScore::outputs(&loaded.model, &[&input], studio.cpu)?;
        let classes = (0..count).map(|class| loaded.class_name(class)).collect();
        Ok(Json(Prediction { probabilities: found.pop().unwrap_or_default(), classes }))
    };
    studio.compute(predict).await
}

fn live_activations(studio: &Studio, loaded: &Loaded, input: &[f32]) -> Result<LiveActivations> {
    let started = Instant::now();
    let network = &loaded.model.network;
    let shown = shown(network);
    let output = network.output()?;
    let mut kept = loaded.live.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_none() {
        let builder = Plan::builder(network).cpu(studio.cpu).output(output.name());
        let builder = shown.iter().fold(builder, |builder, &node| builder.output(network.nodes()[node].name()));
        *kept = Some(builder.build()?);
    }
    let Some(plan) = kept.as_mut() else { return Err(Problem::not_found("the network cannot be run")) };
    plan.input_mut().copy_from_slice(input);
    plan.forward(network)?;
    let probabilities = match loaded.classes() {
        0 => Vec::new(),
        _ => Outputs::of(&loaded.model)?.read(plan.output(0)),
    };
    let of = |layer, shape, values| Maps::of_values(layer, shape, values, [0, MAPS, SIDE]);
    let mut layers = vec![of(("input", "Input"), network.input_shape()?, input)];
    for (index, &node) in shown.iter().enumerate() {
        let node = &network.nodes()[node];
        layers.push(of((node.name(), node.layer().class_name()), node.shape(), plan.output(index + 1)));
    }
    Ok(LiveActivations { probabilities, layers, milliseconds: started.elapsed().as_secs_f64() * 1e3 })
}

/// Returns the layers to show: all that compute something. In a deep network, only those where all branches meet, or a
/// selection at even intervals.
fn shown(network: &Network) -> Vec<usize> {
    let all: Vec<usize> = (0..network.nodes().len())
        .filter(|&node| {
            let layer = network.nodes()[node].layer();
            !matches!(layer, Layer::Input(_) | Layer::Dropout(_) | Layer::Flatten(_) | Layer::ZeroPadding2D(_))
        })
        .collect();
    if all.len() <= LAYERS {
        return all;
    }
    let mut last_use: Vec<usize> = (0..network.nodes().len()).collect();
    for (index, node) in network.nodes().iter().enumerate() {
        node.inputs().iter().for_each(|&input| last_use[input] = index);
    }
    // All branches meet at a layer that no connection bypasses.
    let meets = |node: usize| last_use[..node].iter().all(|&last| last <= node);
    let joins = |&node: &usize| {
        matches!(network.nodes()[node].layer(), Layer::Concatenate(_) | Layer::Add(_) | Layer::Dense(_)) && meets(node)
    };
    let mut some: Vec<usize> = all.iter().copied().filter(joins).collect();
    if some.len() < LAYERS / 2 {
        some = all;
    }
    if some.len() <= LAYERS {
        return some;
    }
    let last = some.len() - 1;
    (0..LAYERS).map(|at| some[at * last / (LAYERS - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::nn::applications::{self, Options};

    #[test]
    fn few_layers_of_deep_networks() {
        assert_eq!(shown(&applications::mnist_cnn(1).unwrap()).len(), 8);
        let network = applications::find("inception-v3").unwrap().build(&Options::default()).unwrap();
        let layers = shown(&network);
        assert!((8..=LAYERS).contains(&layers.len()));
        assert!(layers.iter().any(|&node| network.nodes()[node].name() == "mixed7"), "{layers:?}");
    }
}
