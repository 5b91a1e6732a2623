//! The deconvnet: the part of an image that activates a filter, projected back to pixels.
//!
//! Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014): of all activations of a layer one
//! is kept and the others are set to zero; then, layer by layer downwards, a pooling is undone by putting each value
//! where the maximum came from (its switch, recorded on the way up), the result is rectified, and filtered with the
//! transposed kernels. What arrives at the pixels is not a gradient, as the signal on its way down is rectified in
//! place of the one on its way up: it shows the pattern, of all those that the filter answers to, that this image has.
//!
//! A batch normalization is undone by its factors, a concatenation by splitting it, and branches add up where they
//! part. Biases play no role on the way down.
//!
//! It is the switches that tie a projection to the image. In a network without max pooling there are none, and projections
//! would be the same grid for every image; there, guided backpropagation takes the deconvnet's place, which also keeps to
//! what was active on the way up (Springenberg et al., "Striving for simplicity", 2015, section 3.4).

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

/// The most memory that a plan over several images may take, in bytes, as long as one image alone takes less.
const MEMORY: usize = 384 << 20;

/// Which activation of an image to project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The channel.
    pub filter: usize,
    /// Row and column in the layer's [layout](ReceptiveField::layout); the strongest of the channel when there is none.
    pub position: Option<[usize; 2]>,
}

/// An activation projected back to pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The channel.
    pub filter: usize,
    /// The row and column of the activation.
    pub position: [usize; 2],
    /// The activation.
    pub activation: f32,
    /// What the image contributes: (height, width, channels) of the network's input, zero outside of the receptive
    /// field.
    pub values: Vec<f32>,
}

/// A network prepared to project the activations of one layer. It owns its memory, and can be used for any number of
/// images.
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
    /// For a layer, and up to `batch` projections at a time (fewer where they would take too much memory).
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such layer (the nearest name is suggested) or it is the input;
    /// [`Error::Unsupported`] when the network does not take one image.
    pub fn new(network: &Network, layer: &str, batch: usize, cpu: Cpu) -> Result<Self> {
        network.check_finite()?;
        let field = receptive_field(network, layer)?;
        let point = point(network, layer)?;
        let rule = if has_max_pooling(network) { BackwardRule::Deconvnet } else { BackwardRule::GuidedBackprop };
        // A rectifier that is saturated, as a ReLU6 may be at its strongest, would let nothing of its own activation pass.
        let rectified = matches!(network.nodes()[network.find(layer)?].activation(), ActivationKind::Relu6);
        let seed = match rule {
            BackwardRule::GuidedBackprop if rectified => TensorRef::before_activation(layer),
            _ => point.clone(),
        };
        let plan = |batch| {
            Plan::builder(network)
                .cpu(cpu)
                .batch_size(batch)
                .output(point.clone())
                .grad_output_at(seed.clone())
                .input_gradient()
                .rule(rule)
                .build()
        };
        let mut one = plan(1)?;
        let batch = batch.clamp(1, (MEMORY / one.memory().max(1)).max(1));
        if batch > 1 {
            drop(one);
            one = plan(batch)?;
        }
        Ok(Self { plan: one, rule, field, input_len: network.input_shape()?.len() })
    }

    /// How the projections pass rectifiers: as in a deconvnet, or, where a network has no max pooling, by guided
    /// backpropagation.
    pub fn rule(&self) -> BackwardRule {
        self.rule
    }

    /// The most projections that are made at a time.
    pub fn capacity(&self) -> usize {
        self.plan.capacity()
    }

    /// What the units of the layer see.
    pub fn field(&self) -> &ReceptiveField {
        &self.field
    }

    /// The activations of a layer for one image, (row, column, channel) in the layer's layout.
    ///
    /// # Errors
    /// [`Error::Argument`] when `input` is not one image for the network.
    pub fn activations(&mut self, network: &Network, input: &[f32]) -> Result<&[f32]> {
        self.forward(network, &[input])?;
        Ok(self.plan.output(0))
    }

    /// Projects one activation of each image: target `i` is one of image `i`.
    ///
    /// # Errors
    /// [`Error::Argument`] when an image has another size than the network takes, their number is not that of the
    /// targets, or the layer has no such filter or place.
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

/// What a filter answers to one image, before its activation: its map, whatever rectifier follows.
///
/// # Errors
/// [`Error::Argument`] when there is no such layer (the nearest name is suggested) or filter, or `input` is not one image
/// for the network.
pub fn activation_before(network: &Network, layer: &str, filter: usize, input: &[f32], cpu: Cpu) -> Result<Plane> {
    let field = receptive_field(network, layer)?;
    check_filter(&field, filter)?;
    let plan = Plan::builder(network).cpu(cpu).exact(true).output(TensorRef::before_activation(layer));
    let mut inference = Inference::new(plan)?;
    let [_, width, channels] = field.layout();
    let values = inference.run(1, input)?.flatten();
    Ok(Plane::new(width, values.skip(filter).step_by(channels).copied().collect()))
}

/// Checks that a layer has a filter of this number.
pub(super) fn check_filter(field: &ReceptiveField, filter: usize) -> Result<()> {
    let filters = field.layout()[2];
    if filter < filters {
        return Ok(());
    }
    let layer = field.layer();
    Err(Error::argument(format!("layer {layer} has no filter {filter}: its filters are 0 to {}", filters - 1)))
}

/// Where a layer's activations are taken: after its rectifier, and for classes before the softmax, after which what is
/// subtracted from one would count as much as what speaks for another.
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

/// The place and the value of a channel's greatest activation; the first of several. NaN is skipped.
pub(super) fn strongest(values: &[f32], [_, width, channels]: [usize; 3], channel: usize) -> ([usize; 2], f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (place, &value) in values[channel..].iter().step_by(channels).enumerate() {
        if value > best.1 {
            best = (place, value);
        }
    }
    ([best.0 / width, best.0 % width], best.1)
}

/// The places of a channel whose activation is greater than that of all eight neighbors (of equal neighbors the first
/// counts), the strongest first, without those of no activation; at most `count`.
///
/// # Panics
/// When the layout is not that of the values, or the channel not below its last number.
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

/// The channels with the greatest activations anywhere, the strongest first, without those of no activation; at most
/// `count`.
///
/// # Panics
/// When the layout is not that of the values.
pub fn strongest_filters(values: &[f32], layout: [usize; 3], count: usize) -> Vec<usize> {
    let mut filters: Vec<(f32, usize)> =
        (0..layout[2]).map(|filter| (strongest(values, layout, filter).1, filter)).collect();
    filters.retain(|(value, _)| value.is_finite() && *value != 0.0);
    filters.sort_by(|a, b| b.0.total_cmp(&a.0));
    filters.into_iter().take(count).map(|(_, filter)| filter).collect()
}
