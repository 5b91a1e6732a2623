//! Deconvnet: projecting an activation back to the pixels that caused it.
//!
//! Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014): of all activations of a layer, one is
//! kept and the others are set to zero. Then, layer by layer, a pooling is reversed by moving each value to the position of
//! the maximum (its switch, recorded in the forward pass), the result is rectified, and convolved with the transposed
//! kernels. The result is not a gradient, because the backward signal is rectified instead of being masked by the forward
//! activations: it shows which of the patterns that activate the filter is present in this image.
//!
//! A batch normalization is reversed by its factors, a concatenation by splitting, and the signals of branches are summed.
//! Biases are ignored.
//!
//! The switches tie a projection to the image. A network without max pooling has none, and projections would be the same
//! for every image. There, guided backpropagation is used instead, which also masks by the forward activations
//! (Springenberg et al., "Striving for simplicity", 2015, section 3.4).

mod figure;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::explain::classic_filters::Plane;
use crate::explain::receptive_field::{ReceptiveField, receptive_field};
use crate::nn::layers::ActivationKind;
use crate::nn::{BackwardRule, Inference, Layer, Network, Plan, TensorRef};
use crate::{Cpu, Error, Result};

pub use figure::{DeconvFigure, Example, FilterExamples, outlined_fields, projection_sheet};

/// The maximum memory in bytes of a plan for several images; a plan for a single image may exceed it.
const MEMORY: usize = 384 << 20;

/// An activation to project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The channel.
    pub filter: usize,
    /// Row and column in the layer's [layout](ReceptiveField::layout); `None` for the channel's strongest activation.
    pub position: Option<[usize; 2]>,
}

/// An activation projected back to the pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The channel.
    pub filter: usize,
    /// The row and column of the activation.
    pub position: [usize; 2],
    /// The activation.
    pub activation: f32,
    /// The contribution of each pixel, `[height, width, channels]` of the network's input; zero outside the receptive
    /// field.
    pub values: Vec<f32>,
}

/// A network prepared to project activations of one layer, reusable for any number of images.
///
/// ```
/// use lucida::explain::{Deconvnet, Target};
/// use lucida::nn::applications;
/// use lucida::prelude::{Cpu, Dataset, Mnist, Model, Preprocessing};
///
/// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// # let mut input = vec![0.0; 28 * 28];
/// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
/// let mut deconvnet = Deconvnet::new(&model.network, "conv2d_1", 1, Cpu::detect())?;
/// let strongest = Target { filter: 7, position: None };
/// let projections = deconvnet.project(&model.network, &[&input], &[strongest])?;
/// assert_eq!((projections[0].filter, projections[0].values.len()), (7, 28 * 28));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct Deconvnet {
    plan: Plan,
    rule: BackwardRule,
    field: ReceptiveField,
    input_len: usize,
}

impl Deconvnet {
    /// Prepares a layer for up to `batch` projections at a time (fewer if they would take too much memory).
    ///
    /// # Errors
    /// [`Error::Argument`] when the layer does not exist (the nearest name is suggested) or is the input;
    /// [`Error::Unsupported`] when the network's input is not a single image.
    pub fn new(network: &Network, layer: &str, batch: usize, cpu: Cpu) -> Result<Self> {
        network.check_finite()?;
        let field = receptive_field(network, layer)?;
        let point = point(network, layer)?;
        let rule = if has_max_pooling(network) { BackwardRule::Deconvnet } else { BackwardRule::GuidedBackprop };
        // A saturated ReLU6, which is likely at the maximum, would block the gradient of its own activation.
        let rectified = matches!(network.nodes()[network.find(layer)?].activation(), ActivationKind::Relu6);
        let seed = match rule {
            BackwardRule::GuidedBackprop if rectified => TensorRef::before_activation(layer),
            _ => point.clone(),
        };
        let builder = Plan::builder(network).cpu(cpu).output(point).grad_output_at(seed).input_gradient().rule(rule);
        let plan = builder.build_within(batch, MEMORY)?;
        Ok(Self { plan, rule, field, input_len: network.input_shape()?.len() })
    }

    /// The backward rule: that of a deconvnet, or guided backpropagation for a network without max pooling.
    pub fn rule(&self) -> BackwardRule {
        self.rule
    }

    /// The maximum number of projections at a time.
    pub fn capacity(&self) -> usize {
        self.plan.capacity()
    }

    /// The receptive field of the layer.
    pub fn field(&self) -> &ReceptiveField {
        &self.field
    }

    /// The activations of a layer for one image, `[row, column, channel]` in the layer's layout.
    ///
    /// # Errors
    /// [`Error::Argument`] when `input` does not have the network's input size.
    pub fn activations(&mut self, network: &Network, input: &[f32]) -> Result<&[f32]> {
        self.forward(network, &[input])?;
        Ok(self.plan.output(0))
    }

    /// Projects one activation of each image: target `i` belongs to image `i`.
    ///
    /// # Errors
    /// [`Error::Argument`] when an image does not have the network's input size, the numbers of images and targets differ,
    /// or the layer does not have the filter or position.
    pub fn project(&mut self, network: &Network, inputs: &[&[f32]], targets: &[Target]) -> Result<Vec<Projection>> {
        if inputs.len() != targets.len() {
            let (images, targets) = (inputs.len(), targets.len());
            return Err(Error::argument(format!("{images} images for {targets} activations to project")));
        }
        targets.iter().try_for_each(|target| self.check(target))?;
        let mut projections = Vec::with_capacity(targets.len());
        let capacity = self.plan.capacity();
        for (inputs, targets) in inputs.chunks(capacity).zip(targets.chunks(capacity)) {
            self.forward(network, inputs)?;
            self.project_batch(network, targets, &mut projections);
        }
        Ok(projections)
    }

    fn project_batch(&mut self, network: &Network, targets: &[Target], projections: &mut Vec<Projection>) {
        let layout = self.field.layout();
        let len: usize = layout.iter().product();
        let first = projections.len();
        let (values, seed) = self.plan.output_and_grad_mut(0, 0);
        seed.fill(0.0);
        for (index, target) in targets.iter().enumerate() {
            let values = &values[index * len..][..len];
            let position = target.position.unwrap_or_else(|| strongest(values, layout, target.filter).0);
            let at = (position[0] * layout[1] + position[1]) * layout[2] + target.filter;
            seed[index * len + at] = values[at];
            let activation = values[at];
            projections.push(Projection { filter: target.filter, position, activation, values: Vec::new() });
        }
        self.plan.backward(network);
        let gradient = self.plan.input_gradient().unwrap_or_default();
        for (projection, values) in projections[first..].iter_mut().zip(gradient.chunks_exact(self.input_len)) {
            projection.values = values.to_vec();
        }
    }

    fn forward(&mut self, network: &Network, inputs: &[&[f32]]) -> Result<()> {
        if let Some(wrong) = inputs.iter().find(|input| input.len() != self.input_len) {
            let (got, expected) = (wrong.len(), self.input_len);
            return Err(Error::argument(format!("the image has {got} values, the network expects {expected}")));
        }
        self.plan.set_batch(inputs.len());
        for (place, input) in self.plan.input_mut().chunks_exact_mut(self.input_len).zip(inputs) {
            place.copy_from_slice(input);
        }
        self.plan.forward(network)
    }

    fn check(&self, target: &Target) -> Result<()> {
        let [rows, columns, filters] = self.field.layout();
        check_filter(&self.field, target.filter)?;
        match target.position {
            Some([row, column]) if row >= rows || column >= columns => Err(Error::argument(format!(
                "layer {} has no position ({row}, {column}): its {filters} feature maps have {rows} rows and {columns} columns",
                self.field.layer()
            ))),
            _ => Ok(()),
        }
    }
}

fn has_max_pooling(network: &Network) -> bool {
    network.nodes().iter().any(|node| matches!(node.layer(), Layer::MaxPooling2D(_)))
}

/// The response of a filter to an image before its activation function, as a plane.
///
/// # Errors
/// [`Error::Argument`] when the layer (the nearest name is suggested) or the filter does not exist, or `input` does not
/// have the network's input size.
pub fn activation_before(network: &Network, layer: &str, filter: usize, input: &[f32], cpu: Cpu) -> Result<Plane> {
    let field = receptive_field(network, layer)?;
    check_filter(&field, filter)?;
    let plan = Plan::builder(network).cpu(cpu).exact(true).output(TensorRef::before_activation(layer));
    let mut inference = Inference::new(plan)?;
    let [_, width, channels] = field.layout();
    let values = inference.run(1, input)?.flatten();
    Ok(Plane::new(width, values.skip(filter).step_by(channels).copied().collect()))
}

/// Checks that a layer has this filter.
pub(super) fn check_filter(field: &ReceptiveField, filter: usize) -> Result<()> {
    let filters = field.layout()[2];
    if filter < filters {
        return Ok(());
    }
    let layer = field.layer();
    Err(Error::argument(format!("layer {layer} has no filter {filter}: its filters are 0 to {}", filters - 1)))
}

/// Where a layer's activations are read: after its rectifier, but before a softmax, sigmoid or tanh. After a softmax,
/// evidence against other classes would count as much as evidence for the class.
pub(super) fn point(network: &Network, layer: &str) -> Result<TensorRef> {
    let node = &network.nodes()[network.find(layer)?];
    if node.inputs().is_empty() {
        return Err(Error::argument(format!("layer {layer} is the input: it has no filters")));
    }
    Ok(match node.activation() {
        ActivationKind::Softmax
        | ActivationKind::LogSoftmax
        | ActivationKind::Sigmoid
        | ActivationKind::HardSigmoid { .. }
        | ActivationKind::Tanh => TensorRef::before_activation(layer),
        _ => TensorRef::output(layer),
    })
}

/// The position and value of a channel's maximum; the first one if several are equal. NaN is skipped.
pub(super) fn strongest(values: &[f32], [_, width, channels]: [usize; 3], channel: usize) -> ([usize; 2], f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (place, &value) in values[channel..].iter().step_by(channels).enumerate() {
        if value > best.1 {
            best = (place, value);
        }
    }
    ([best.0 / width, best.0 % width], best.1)
}

/// The local maxima of a channel, which exceed all eight neighbors (of equal neighbors, the first counts), strongest first,
/// without zero activations; at most `count`.
///
/// # Panics
/// When the layout does not match the values, or the channel is out of range.
pub fn peaks(values: &[f32], [height, width, channels]: [usize; 3], channel: usize, count: usize) -> Vec<[usize; 2]> {
    let at = |row: usize, column: usize| values[(row * width + column) * channels + channel];
    let mut found = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let value = at(row, column);
            let mut neighbors = (row.saturating_sub(1)..(row + 2).min(height))
                .flat_map(|r| (column.saturating_sub(1)..(column + 2).min(width)).map(move |c| (r, c)));
            let beaten = |(r, c): (usize, usize)| match at(r, c).partial_cmp(&value) {
                Some(Ordering::Less) => false,
                Some(Ordering::Equal) => (r, c) < (row, column),
                _ => true,
            };
            if value.is_finite() && value != 0.0 && !neighbors.any(beaten) {
                found.push((value, [row, column]));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(count).map(|(_, position)| position).collect()
}

/// The channels with the highest maxima, strongest first, without channels of zero activation; at most `count`.
///
/// # Panics
/// When the layout does not match the values.
pub fn strongest_filters(values: &[f32], layout: [usize; 3], count: usize) -> Vec<usize> {
    let mut filters: Vec<(f32, usize)> =
        (0..layout[2]).map(|filter| (strongest(values, layout, filter).1, filter)).collect();
    filters.retain(|(value, _)| value.is_finite() && *value != 0.0);
    filters.sort_by(|a, b| b.0.total_cmp(&a.0));
    filters.into_iter().take(count).map(|(_, filter)| filter).collect()
}
