//! The computation of one value of a feature map, step by step: the patch, the kernel, their products, the sum; and the
//! backward pass from the loss to the kernel and to the input.
//!
//! With input `X`, kernel `K`, bias `b`, output before the activation `O`, strides `s`, padding `p` and loss `L`:
//!
//! ```text
//! O[y,x,f]     = b[f] + sum over i,j,c of X[s y + i - p, s x + j - p, c] K[i,j,c,f]
//! dL/dK[i,j,c,f] = sum over y,x   of X[s y + i - p, s x + j - p, c] dL/dO[y,x,f]
//! dL/dX[u,v,c]   = sum over i,j,f of dL/dO[(u + p - i)/s, (v + p - j)/s, f] K[i,j,c,f]
//! ```
//!
//! All gradients come from the library. A test checks that the sums computed here, for display, agree with them.

mod site;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use lucida::nn::layers::ActivationKind;
use lucida::nn::{Network, Plan, TensorRef};
use lucida::train::Classifier;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::site::ConvolutionSite;
use super::jobs::read;
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum number of parameters of a network whose weights can be changed: it is copied for each request.
const PARAMETERS: usize = 30_000_000;
/// Maximum number of changed weights.
const CHANGES: usize = 512;

/// Request for one value of a convolution's output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvolutionRequest {
    image: String,
    layer: String,
    filter: usize,
    /// Row and column of the value in the map.
    position: [usize; 2],
    /// The input channel whose patch is shown.
    channel: usize,
    /// Row and column, in the patch, of the weight and the input pixel whose gradients are shown.
    place: [usize; 2],
    /// The class whose loss is backpropagated; by default the most probable one.
    class: Option<usize>,
    /// Changed weights of this filter.
    #[serde(default)]
    changes: Vec<Change>,
}

/// A weight's new value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    row: usize,
    column: usize,
    channel: usize,
    value: f32,
}

/// The value, and what it is computed from.
#[derive(Debug, Serialize)]
pub(crate) struct ConvolutionResponse {
    /// Rows and columns of the kernel, input channels, filters.
    kernel_shape: [usize; 4],
    strides: [usize; 2],
    padding: [usize; 2],
    /// Height and width of input and output.
    input_size: [usize; 2],
    output_size: [usize; 2],
    /// Row and column of the input where the patch begins; negative in the padding.
    corner: [i64; 2],
    activation: String,
    /// Patch, kernel and products of the channel, row by row.
    patch: Vec<f32>,
    kernel: Vec<f32>,
    products: Vec<f32>,
    /// The sum of the products for each input channel.
    channel_sums: Vec<f64>,
    bias: f32,
    /// The value before and after the activation, as computed by the library.
    sum: f32,
    output: f32,
    /// The feature map of the filter, and the channel of the input.
    map: Vec<f32>,
    input: Vec<f32>,
    back: Option<BackwardPass>,
}

/// Results of the backward pass.
#[derive(Debug, Serialize)]
pub(crate) struct BackwardPass {
    class: usize,
    class_name: String,
    loss: f64,
    probabilities: Vec<f32>,
    /// The probabilities with the original weights.
    probabilities_before: Vec<f32>,
    /// dL/dO of the filter, row by row, and at the position.
    map: Vec<f32>,
    at: f32,
    /// dL/dK of the filter and the channel.
    kernel: Vec<f32>,
    /// dL/dX of the channel in the patch; zero in the padding.
    patch: Vec<f32>,
    /// Gradient of the weight at `place`: its largest terms, and the number of nonzero terms.
    weight_terms: Vec<WeightTerm>,
    weight_count: usize,
    /// The input pixel at `place`, `None` in the padding; the terms of its gradient through this filter, and their sum for
    /// each filter.
    pixel: Option<[i64; 2]>,
    pixel_terms: Vec<PixelTerm>,
    pixel_filter_sums: Vec<f64>,
}

/// `X[row, column] dL/dO[y, x]`
#[derive(Debug, Serialize)]
struct WeightTerm {
    output: [usize; 2],
    value: f32,
    gradient: f32,
}

/// `dL/dO[y, x] K[i, j]`
#[derive(Debug, Serialize)]
struct PixelTerm {
    output: [usize; 2],
    weight: [usize; 2],
    gradient: f32,
    value: f32,
}

/// Number of terms of a weight's gradient that are shown.
const TERMS: usize = 6;

pub(crate) async fn compute(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<ConvolutionResponse>> {
    let request: ConvolutionRequest = read(body)?;
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let input = studio.input(&loaded, &request.image)?;
        answer(studio, &loaded, &input, &request).map(Json)
    };
    studio.compute(compute).await
}

fn answer(
    studio: &Studio,
    loaded: &Loaded,
    image: &[f32],
    request: &ConvolutionRequest,
) -> Result<ConvolutionResponse> {
    let original = &loaded.model.network;
    let site = ConvolutionSite::find(original, loaded.node(&request.layer)?)?;
    site.check(request)?;
    let network = changed(original, &site, request)?;
    let network = network.as_ref();
    let weights = &network.weights()[network.nodes()[site.node].weights()];
    let kernel = weights[0].values();
    let bias = weights.get(1).map_or(0.0, |bias| bias.values()[request.filter]);

    // Without classes there is no loss to backpropagate.
    let classifier = Classifier::of(network).ok().filter(|_| loaded.classes() > 0);
    let from_input = reads_image(network, &site);
    let mut plan = plan(studio, network, &site, classifier.as_ref())?;
    plan.input_mut().copy_from_slice(image);
    plan.forward(network)?;
    let input = if from_input { image.to_vec() } else { plan.output(2).to_vec() };
    let (filters, at) = (site.output[2], request.position[0] * site.output[1] + request.position[1]);
    let of_filter = |values: &[f32]| values.iter().skip(request.filter).step_by(filters).copied().collect::<Vec<f32>>();
    let (sums, outputs) = (of_filter(plan.output(0)), of_filter(plan.output(1)));

    let corner = site.corner(request.position);
    let pixel_at = |place: [usize; 2]| [corner[0] + place[0] as i64, corner[1] + place[1] as i64];
    let patch_of =
        |channel| site.places().map(|place| site.pixel(&input, pixel_at(place), channel)).collect::<Vec<f32>>();
    let kernel_of =
        |channel| site.places().map(|place| site.weight(kernel, place, channel, request.filter)).collect::<Vec<f32>>();
    let products = |channel| -> Vec<f32> {
        patch_of(channel).iter().zip(kernel_of(channel)).map(|(value, weight)| value * weight).collect()
    };
    let sum_of = |channel| products(channel).iter().map(|&product| f64::from(product)).sum();
    let back = match &classifier {
        None => None,
        Some(_) => {
            let run = Run { studio, loaded, site: &site, request, network, kernel, image, input: &input, from_input };
            Some(run.back(&mut plan)?)
        }
    };
    Ok(ConvolutionResponse {
        kernel_shape: [site.conv.kernel_size[0], site.conv.kernel_size[1], site.input[2], filters],
        strides: site.conv.strides,
        padding: site.padding,
        input_size: [site.input[0], site.input[1]],
        output_size: [site.output[0], site.output[1]],
        corner,
        activation: activation_name(site.conv.activation),
        patch: patch_of(request.channel),
        kernel: kernel_of(request.channel),
        products: products(request.channel),
        channel_sums: (0..site.input[2]).map(sum_of).collect(),
        bias,
        sum: sums[at],
        output: outputs[at],
        map: outputs,
        input: input.iter().skip(request.channel).step_by(site.input[2]).copied().collect(),
        back,
    })
}

/// Whether the input of the layer is the image itself.
fn reads_image(network: &Network, site: &ConvolutionSite) -> bool {
    network.nodes()[site.from].inputs().is_empty()
}

/// Builds a plan whose outputs are the layer before and after its activation; the layer's input, unless that is the image;
/// and the probabilities, if there is a classifier. In that case, it also computes the gradients of the loss with respect
/// to the layer before its activation, to its input, and to the weights.
fn plan(studio: &Studio, network: &Network, site: &ConvolutionSite, classifier: Option<&Classifier>) -> Result<Plan> {
    let (from, name) = (network.nodes()[site.from].name(), network.nodes()[site.node].name());
    let from_input = reads_image(network, site);
    let before = TensorRef::before_activation(name);
    let mut builder = Plan::builder(network).cpu(studio.cpu).exact(true).output(before.clone()).output(name);
    if !from_input {
        builder = builder.output(from);
    }
    if let Some(classifier) = classifier {
        builder = builder.output(classifier.probabilities.clone());
        builder = builder.grad_output_at(classifier.logits.clone()).gradient(before).weight_gradients();
        builder = if from_input { builder.input_gradient() } else { builder.gradient(from) };
    }
    Ok(builder.build()?)
}

/// Returns the name of an activation, without its options.
pub(super) fn activation_name(activation: ActivationKind) -> String {
    let value = serde_json::to_value(activation).unwrap_or_default();
    value.as_str().map(str::to_owned).or_else(|| Some(value.as_object()?.keys().next()?.clone())).unwrap_or_default()
}

/// Returns the network with the weights of the request. The layer is unfrozen, because its gradient is shown.
fn changed<'a>(network: &'a Network, site: &ConvolutionSite, request: &ConvolutionRequest) -> Result<Cow<'a, Network>> {
    let node = &network.nodes()[site.node];
    let (layer, first) = (node.name(), node.weights().start);
    if request.changes.is_empty() && network.weights()[first].trainable() {
        return Ok(Cow::Borrowed(network));
    }
    if !request.changes.is_empty() && network.parameters().0 > PARAMETERS {
        return Err(Problem::invalid("this network is too large to change its weights here"));
    }
    let mut network = network.clone();
    network.set_trainable(layer, true)?;
    let values = network.weights_mut()[first].values_mut();
    for change in &request.changes {
        let place = (change.row * site.conv.kernel_size[1] + change.column) * site.input[2] + change.channel;
        values[place * site.output[2] + request.filter] = change.value;
    }
    Ok(Cow::Owned(network))
}

/// The context of a backward pass.
struct Run<'a> {
    studio: &'a Studio,
    loaded: &'a Loaded,
    site: &'a ConvolutionSite<'a>,
    request: &'a ConvolutionRequest,
    network: &'a Network,
    kernel: &'a [f32],
    image: &'a [f32],
    input: &'a [f32],
    from_input: bool,
}

impl Run<'_> {
    fn back(&self, plan: &mut Plan) -> Result<BackwardPass> {
        let Self { site, request, .. } = *self;
        let first = if self.from_input { 2 } else { 3 };
        let raw = plan.output(first).to_vec();
        let probabilities = lucida::weights::Outputs::of(&self.loaded.model)?.read(&raw);
        let best = (!probabilities.is_empty()).then(|| lucida::weights::argmax(&probabilities));
        let class = request.class.or(best).unwrap_or(0);
        if class >= probabilities.len() {
            return Err(Problem::invalid(format!("classes are 0 to {}", probabilities.len() - 1)));
        }
        // Gradient of the cross-entropy with respect to the logits: probabilities minus one-hot target.
        let grad_logits = plan.grad_output_mut(0);
        if raw.len() == 1 {
            grad_logits[0] = raw[0] - class as f32;
        } else {
            grad_logits.copy_from_slice(&raw);
            grad_logits[class] -= 1.0;
        }
        let loss = -f64::from(probabilities[class]).max(1e-30).ln();
        plan.backward(self.network);

        let none = || Problem::invalid("no gradient reaches this layer");
        let outputs = plan.gradient(0).ok_or_else(none)?;
        let inputs = if self.from_input { plan.input_gradient() } else { plan.gradient(1) }.ok_or_else(none)?;
        let first_weight = self.network.nodes()[site.node].weights().start;
        let kernel = &plan.weight_gradients()[first_weight];
        let corner = site.corner(request.position);
        let pixel_at = |place: [usize; 2]| [corner[0] + place[0] as i64, corner[1] + place[1] as i64];
        let map: Vec<f32> = outputs.iter().skip(request.filter).step_by(site.output[2]).copied().collect();
        let at = map[request.position[0] * site.output[1] + request.position[1]];
        let (weight_terms, weight_count) = self.weight_terms(&map);
        let pixel = pixel_at(request.place);
        let inside = (0..2).all(|axis| (0..site.input[axis] as i64).contains(&pixel[axis]));
        let (pixel_terms, pixel_filter_sums) =
            if inside { self.pixel_terms(outputs, pixel) } else { (Vec::new(), Vec::new()) };
        Ok(BackwardPass {
            class,
            class_name: self.loaded.class_name(class),
            loss,
            probabilities_before: self.before(&probabilities)?,
            probabilities,
            at,
            kernel: site.places().map(|place| site.weight(kernel, place, request.channel, request.filter)).collect(),
            patch: site.places().map(|place| site.pixel(inputs, pixel_at(place), request.channel)).collect(),
            weight_terms,
            weight_count,
            pixel: inside.then_some(pixel),
            pixel_terms,
            pixel_filter_sums,
            map,
        })
    }

    /// Returns the probabilities with the original weights.
    fn before(&self, now: &[f32]) -> Result<Vec<f32>> {
        if self.request.changes.is_empty() {
            return Ok(now.to_vec());
        }
        let found = lucida::explain::ClassScore::outputs(&self.loaded.model, &[self.image], self.studio.cpu)?.pop();
        Ok(found.unwrap_or_default())
    }

    /// Returns the largest terms of the gradient of the weight at `place`, and the number of nonzero terms.
    fn weight_terms(&self, map: &[f32]) -> (Vec<WeightTerm>, usize) {
        let Self { site, request, input, .. } = *self;
        let mut terms: Vec<WeightTerm> = Vec::new();
        for (index, &gradient) in map.iter().enumerate() {
            let output = [index / site.output[1], index % site.output[1]];
            let corner = site.corner(output);
            let at = [corner[0] + request.place[0] as i64, corner[1] + request.place[1] as i64];
            let value = site.pixel(input, at, request.channel);
            if value * gradient != 0.0 {
                terms.push(WeightTerm { output, value, gradient });
            }
        }
        let count = terms.len();
        terms.sort_by(|a, b| (b.value * b.gradient).abs().total_cmp(&(a.value * a.gradient).abs()));
        terms.truncate(TERMS);
        (terms, count)
    }

    /// Returns the terms of the gradient of an input pixel through this filter, and their sum for each filter.
    fn pixel_terms(&self, outputs: &[f32], pixel: [i64; 2]) -> (Vec<PixelTerm>, Vec<f64>) {
        let Self { site, request, kernel, .. } = *self;
        let filters = site.output[2];
        let (mut terms, mut sums) = (Vec::new(), vec![0.0; filters]);
        for weight in site.places() {
            let over = [0, 1].map(|axis| pixel[axis] + site.padding[axis] as i64 - weight[axis] as i64);
            let strides = site.conv.strides.map(|stride| stride as i64);
            let fits = |axis: usize| {
                over[axis] >= 0
                    && over[axis] % strides[axis] == 0
                    && over[axis] / strides[axis] < site.output[axis] as i64
            };
            if !fits(0) || !fits(1) {
                continue;
            }
            let output = [0, 1].map(|axis| (over[axis] / strides[axis]) as usize);
            let row = &outputs[(output[0] * site.output[1] + output[1]) * filters..][..filters];
            for (filter, &gradient) in row.iter().enumerate() {
                let value = site.weight(kernel, weight, request.channel, filter);
                sums[filter] += f64::from(gradient) * f64::from(value);
                if filter == request.filter {
                    terms.push(PixelTerm { output, weight, gradient, value });
                }
            }
        }
        (terms, sums)
    }
}
