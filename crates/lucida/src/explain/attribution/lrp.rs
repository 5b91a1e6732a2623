//! Layer-wise relevance propagation (Bach et al., 2015) with the epsilon rule: the score is the relevance of the output,
//! and each sum distributes its relevance over its terms in proportion:
//!
//! ```text
//! R_i = sum over j of x_i w_ij R_j / (z_j + epsilon sign z_j),   z_j = sum over i of x_i w_ij + b_j
//! ```
//!
//! The propagation is a backward pass with [`BackwardRule::Relevance`]. A bias is a term as well: it receives `b_j R_j /
//! z_j`, which the gradient of the bias under the same rule yields; so is the value 1/2 of a sigmoid at zero. The relevance
//! of the pixels and of the biases add up to the score, except for the part absorbed by epsilon.

use std::borrow::Cow;

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::{Readout, plan_back};
use crate::nn::layers::{BatchNormalization, Layer, Rescaling};
use crate::nn::{BackwardRule, Network, Node, Plan};
use crate::weights::Outputs;
use crate::{Cpu, Result};

/// A plan that propagates relevance.
pub(super) struct RelevancePass<'a> {
    network: Cow<'a, Network>,
    plan: Plan,
    /// For each layer whose gradient the plan keeps, its output at zero input, per channel.
    starts: Vec<Vec<f64>>,
}

impl<'a> RelevancePass<'a> {
    fn new(network: &'a Network, outputs: &Outputs, cpu: Cpu, epsilon: f32) -> Result<Self> {
        let network = with_shifts(network)?;
        let plan = plan_back(&network, outputs, cpu, 1).rule(BackwardRule::Relevance { epsilon });
        let mut plan = plan.input_gradient().shift_gradients();
        let mut starts = Vec::new();
        for node in network.nodes() {
            if let Some(start) = start(&network, node) {
                plan = plan.gradient(node.name());
                starts.push(start);
            }
        }
        let plan = plan.build()?;
        Ok(Self { network, plan, starts })
    }
}

impl Explainer<'_> {
    pub(super) fn lrp(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let Self { network, outputs, settings, relevance, passes, shape, .. } = self;
        passes.report(0, 1)?;
        let RelevancePass { network, plan, starts } = match relevance {
            Some(pass) => pass,
            none => none.insert(RelevancePass::new(network, outputs, settings.cpu, settings.epsilon)?),
        };
        plan.input_mut().copy_from_slice(input);
        plan.forward(network)?;
        let score = readout.score(plan.output(0));
        readout.score.write_gradient(plan.grad_output_mut(0));
        plan.backward(network);
        // A missing gradient belongs to an activation after the score.
        let of_start = |(index, start): (usize, &Vec<f64>)| -> f64 {
            let gradient = plan.gradient(index).unwrap_or_default();
            gradient.iter().zip(start.iter().cycle()).map(|(&g, start)| f64::from(g) * start).sum()
        };
        let of_starts: f64 = starts.iter().enumerate().map(of_start).sum();
        let gradient = plan.input_gradient().unwrap_or_default();
        let raw: Vec<f32> = gradient.iter().zip(input).map(|(g, x)| g * x).collect();
        let account = CompletenessCheck::Conservation {
            score: f64::from(score),
            inputs: raw.iter().map(|&r| f64::from(r)).sum(),
            biases: taken_by_biases(network, plan.weight_gradients()) + of_starts,
        };
        passes.report(1, 1)?;
        Ok(RawAttribution::sums(score, *shape, raw, account))
    }
}

/// The output of a layer without weights at zero input, per channel or per value, if it is not zero: the 1/2 of a sigmoid,
/// the offset of a rescaling, the value of a border.
fn start(network: &Network, node: &Node) -> Option<Vec<f64>> {
    let channels = node.shape().channels();
    let start = match node.layer() {
        Layer::Rescaling(rescaling) => Rescaling::per_channel(&rescaling.offset, channels),
        Layer::Pad2D(pad) => {
            let [height, width, _] = network.nodes()[node.inputs()[0]].shape().as_image()?;
            pad.border([height, width], channels)
        }
        // A reciprocal or a logarithm is not defined at zero.
        _ => vec![Some(node.activation().at_zero()).filter(|start| start.is_finite())?; channels],
    };
    start.iter().any(|&start| start != 0.0).then(|| start.into_iter().map(f64::from).collect())
}

/// The relevance of all biases. For a batch normalization, `y = f x + s`, it is that of the shift `s = beta - mean f` with
/// `f = gamma / sqrt(variance + epsilon)`.
fn taken_by_biases(network: &Network, gradients: &[Vec<f32>]) -> f64 {
    let dot = |values: &mut dyn Iterator<Item = f32>, gradient: &[f32]| -> f64 {
        values.zip(gradient).map(|(value, &g)| f64::from(value) * f64::from(g)).sum()
    };
    let of_node = |node: &Node| {
        let range = node.own_weights();
        let weights = &network.weights()[range.clone()];
        let shift = range.clone().find(|&index| !gradients[index].is_empty());
        let Some(index) = shift else { return 0.0 };
        let bias = network.weights()[index].values();
        let Layer::BatchNormalization(BatchNormalization { epsilon, scale, .. }) = *node.layer() else {
            return dot(&mut bias.iter().copied(), &gradients[index]);
        };
        let [first, .., mean, variance] = weights else { return 0.0 };
        let mut shifts = bias.iter().enumerate().map(|(c, beta)| {
            let gamma = if scale { first.values()[c] } else { 1.0 };
            beta - mean.values()[c] * gamma / (variance.values()[c] + epsilon).sqrt()
        });
        dot(&mut shifts, &gradients[index])
    };
    network.nodes().iter().map(of_node).sum()
}

/// The network with a zero `beta` in each batch normalization that has none, because its mean is a shift, too.
fn with_shifts(network: &Network) -> Result<Cow<'_, Network>> {
    let lacks = |layer: &Layer| matches!(layer, Layer::BatchNormalization(layer) if !layer.center);
    if !network.nodes().iter().any(|node| lacks(node.layer())) {
        return Ok(Cow::Borrowed(network));
    }
    let mut builder = Network::builder(network.name());
    for node in network.nodes() {
        let layer = match node.layer() {
            Layer::BatchNormalization(layer) => BatchNormalization { center: true, ..*layer }.into(),
            layer => layer.clone(),
        };
        builder.add_copy(node, layer, node.inputs())?;
    }
    let mut shifted = builder.build_zeroed(network.outputs())?;
    for weight in shifted.weights_mut() {
        if let Some(same) = network.weight(weight.name()) {
            weight.values_mut().copy_from_slice(same.values());
        }
    }
    Ok(Cow::Owned(shifted))
}
