//! Layers: their descriptions, kernels, and feature maps.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use lucida::explain::{Deconvnet, Example, Field, LayerActivation, ReceptiveField, Target, activations};
use lucida::nn::Layer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoded::{Maps, data_url, floats};
use super::images::ImageQuery;
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum number of feature maps, and of kernels, in a response.
const MAPS: usize = 128;
const KERNELS: usize = 64;

/// A layer.
#[derive(Serialize)]
pub(crate) struct LayerDescription {
    name: String,
    kind: &'static str,
    shape: Vec<usize>,
    parameters: usize,
    config: Value,
    weights: Vec<WeightItem>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    field: Option<FieldItem>,
    /// Whether it has convolution kernels to show.
    kernels: bool,
}

#[derive(Serialize)]
struct WeightItem {
    name: String,
    shape: Vec<usize>,
    trainable: bool,
    mean: f64,
    deviation: f64,
    least: f32,
    most: f32,
}

/// Receptive fields of a layer.
#[derive(Serialize)]
struct FieldItem {
    /// Height and width of a field, padding included; `None` if the fields differ.
    size: Option<[i64; 2]>,
    stride: Option<[i64; 2]>,
    /// Row and column where the field of the first unit begins; negative in the padding.
    start: Option<[i64; 2]>,
    /// Rows, columns and channels of the layer.
    layout: [usize; 3],
}

/// A rectangle of the image: top, left, height and width.
#[derive(Serialize)]
pub(crate) struct Rectangle {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

/// Query parameters for feature maps.
#[derive(Deserialize)]
pub(crate) struct MapQuery {
    image: String,
    first: Option<usize>,
    count: Option<usize>,
    side: Option<usize>,
}

/// Query parameters for kernels.
#[derive(Deserialize)]
pub(crate) struct KernelQuery {
    first: Option<usize>,
    count: Option<usize>,
}

/// Values of kernels: filter by filter, (row, column, channel).
#[derive(Serialize)]
pub(crate) struct Kernels {
    rows: usize,
    columns: usize,
    /// Number of input channels per filter in `data`, and in the network.
    channels: usize,
    of_channels: usize,
    first: usize,
    filters: usize,
    of_filters: usize,
    data: String,
}

/// A feature map with all its values.
#[derive(Serialize)]
pub(crate) struct Channel {
    channel: usize,
    height: usize,
    width: usize,
    /// Row and column of the highest activation, and its receptive field.
    strongest: [usize; 2],
    field: Option<Rectangle>,
    mean: f64,
    least: f32,
    most: f32,
    /// Fraction of the values above zero.
    active: f64,
    data: String,
}

/// A deconvnet projection of an activation to the input.
#[derive(Serialize)]
pub(crate) struct DeconvProjection {
    position: [usize; 2],
    activation: f32,
    field: Option<Rectangle>,
    /// Data URLs of the image patch in the receptive field, and of its projection.
    patch: String,
    projection: String,
}

pub(crate) async fn describe(
    State(studio): State<Arc<Studio>>,
    Path((model, layer)): Path<(String, String)>,
) -> Result<Json<LayerDescription>> {
    studio.compute(move |studio| describe_layer(&*studio.models.get(&model)?, &layer).map(Json)).await
}

fn describe_layer(loaded: &Loaded, layer: &str) -> Result<LayerDescription> {
    let network = &loaded.model.network;
    let index = loaded.node(layer)?;
    let node = &network.nodes()[index];
    let name = |&node: &usize| network.nodes()[node].name().to_owned();
    let users = network.nodes().iter().filter(|other| other.inputs().contains(&index));
    let weights = network.weights()[node.weights()].iter().map(|weight| {
        let values = weight.values();
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        WeightItem {
            name: weight.name().to_owned(),
            shape: weight.shape().to_vec(),
            trainable: weight.trainable(),
            mean,
            deviation: variance.sqrt(),
            least: values.iter().copied().fold(f32::INFINITY, f32::min),
            most: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    });
    let config = serde_json::to_value(node.layer()).map(lucida::files::decimals);
    let config = config.map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(LayerDescription {
        name: node.name().to_owned(),
        kind: node.layer().class_name(),
        shape: node.shape().sizes().to_vec(),
        parameters: network.parameters_of(index),
        config: config.get("config").cloned().unwrap_or_default(),
        weights: weights.collect(),
        inputs: node.inputs().iter().map(name).collect(),
        outputs: users.map(|node| node.name().to_owned()).collect(),
        field: loaded.fields.get(index).map(|field| FieldItem {
            size: field.size(),
            stride: field.stride(),
            start: field.padding().map(|padding| padding.map(|padding| -padding)),
            layout: field.layout(),
        }),
        kernels: network.weights()[node.weights()].iter().any(|weight| weight.shape().len() == 4),
    })
}

/// Computes the output of one layer for an image.
fn activation(studio: &Studio, loaded: &Loaded, layer: &str, image: &str) -> Result<LayerActivation> {
    let node = loaded.node(layer)?;
    let input = studio.input(loaded, image)?;
    let network = &loaded.model.network;
    if matches!(network.nodes()[node].layer(), Layer::Input(_)) {
        let shape = network.nodes()[node].shape().clone();
        return Ok(LayerActivation { layer: layer.to_owned(), class_name: "Input", shape, values: input });
    }
    let found = activations(network, &[layer], &input, studio.cpu)?.pop();
    found.ok_or_else(|| Problem::not_found("the layer computes nothing"))
}

pub(crate) async fn maps(
    State(studio): State<Arc<Studio>>,
    Path((model, layer)): Path<(String, String)>,
    Query(query): Query<MapQuery>,
) -> Result<Json<Maps>> {
    let (first, count) = (query.first.unwrap_or(0), query.count.unwrap_or(64).min(MAPS));
    let side = query.side.unwrap_or(64).clamp(1, 256);
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let activation = activation(studio, &loaded, &layer, &query.image)?;
        Ok(Json(Maps::of(&activation, first, count, side)))
    };
    studio.compute(compute).await
}

pub(crate) async fn kernels(
    State(studio): State<Arc<Studio>>,
    Path((model, layer)): Path<(String, String)>,
    Query(query): Query<KernelQuery>,
) -> Result<Json<Kernels>> {
    let (first, count) = (query.first.unwrap_or(0), query.count.unwrap_or(KERNELS).min(KERNELS));
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let network = &loaded.model.network;
        let node = &network.nodes()[loaded.node(&layer)?];
        let mut weights = network.weights()[node.weights()].iter();
        let kernel = weights.find_map(|weight| Some((weight, <[usize; 4]>::try_from(weight.shape()).ok()?)));
        let (weight, [rows, columns, inputs, filters]) =
            kernel.ok_or_else(|| Problem::not_found("this layer has no kernels"))?;
        let channels = inputs.min(KERNELS);
        let (first, last) = (first.min(filters), first.saturating_add(count).min(filters));
        let mut data = Vec::with_capacity((last - first) * rows * columns * channels);
        for filter in first..last {
            for place in 0..rows * columns {
                data.extend(
                    (0..channels).map(|channel| weight.values()[(place * inputs + channel) * filters + filter]),
                );
            }
        }
        let filters_sent = last - first;
        Ok(Json(Kernels {
            rows,
            columns,
            channels,
            of_channels: inputs,
            first,
            filters: filters_sent,
            of_filters: filters,
            data: floats(&data),
        }))
    };
    studio.compute(compute).await
}

pub(crate) async fn channel(
    State(studio): State<Arc<Studio>>,
    Path((model, layer, channel)): Path<(String, String, usize)>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<Channel>> {
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let activation = activation(studio, &loaded, &layer, &query.image)?;
        let field = field(&loaded, &layer)?;
        let [height, width, channels] = field.layout();
        if channel >= channels {
            return Err(Problem::not_found(format!("layer {layer} has channels 0 to {}", channels.saturating_sub(1))));
        }
        let map: Vec<f32> = activation.values.iter().skip(channel).step_by(channels).copied().collect();
        let best = (0..map.len()).rev().max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap_or(0);
        let strongest = [best / width, best % width];
        let count = map.len().max(1) as f64;
        Ok(Json(Channel {
            channel,
            height,
            width,
            strongest,
            field: field.at(strongest).map(rectangle),
            mean: map.iter().map(|&value| f64::from(value)).sum::<f64>() / count,
            least: map.iter().copied().fold(f32::INFINITY, f32::min),
            most: map.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            active: map.iter().filter(|&&value| value > 0.0).count() as f64 / count,
            data: floats(&map),
        }))
    };
    studio.compute(compute).await
}

pub(crate) async fn deconv(
    State(studio): State<Arc<Studio>>,
    Path((model, layer, channel)): Path<(String, String, usize)>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<DeconvProjection>> {
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let node = loaded.node(&layer)?;
        let network = &loaded.model.network;
        let input = studio.input(&loaded, &query.image)?;
        let mut deconvnet = Deconvnet::new(network, network.nodes()[node].name(), 1, studio.cpu)?;
        let target = Target { filter: channel, position: None };
        let projection = deconvnet.project(network, &[&input], &[target])?.remove(0);
        let preprocessing = loaded.model.preprocessing()?;
        let example = Example::of(0, &input, &projection, deconvnet.field(), preprocessing)?;
        Ok(Json(DeconvProjection {
            position: projection.position,
            activation: projection.activation,
            field: example.field.map(rectangle),
            patch: data_url(&example.patch)?,
            projection: data_url(&example.projection)?,
        }))
    };
    studio.compute(compute).await
}

/// Returns the receptive fields of a layer.
pub(crate) fn field<'a>(loaded: &'a Loaded, layer: &str) -> Result<&'a ReceptiveField> {
    let none = || Problem::invalid("this network does not have one image as its input");
    loaded.fields.get(loaded.node(layer)?).ok_or_else(none)
}

/// Converts a field to its top left corner and size.
pub(crate) fn rectangle(field: Field) -> Rectangle {
    let Field { rows, columns } = field;
    Rectangle {
        top: rows.start.max(0) as usize,
        left: columns.start.max(0) as usize,
        height: rows.len().max(0) as usize,
        width: columns.len().max(0) as usize,
    }
}
