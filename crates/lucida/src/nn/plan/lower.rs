//! From a graph of layers to a list of steps.

use std::collections::HashSet;
use std::ops::Range;

use super::profile::StepTimes;
use super::rule::Gate;
use crate::nn::layers::{ActivationKind, Layer, Operation, Padding};
use crate::nn::{Network, Shape};

/// A layer, or an activation, that computes.
pub(super) struct Step {
    pub(super) operation: Box<dyn Operation>,
    /// The layers that it computes, joined by `+`, and how long each pass took.
    pub(super) name: String,
    pub(super) times: StepTimes,
    /// For each input: its buffer, and its length for one sample.
    pub(super) inputs: Vec<(usize, usize)>,
    pub(super) output: (usize, usize),
    /// Its weights in the network, those of a normalization that it computes too among them, and which versions of them
    /// the operation has seen.
    pub(super) weights: Range<usize>,
    pub(super) versions: Vec<u64>,
    pub(super) back: Option<Back>,
}

/// What a step does on the way back.
pub(super) struct Back {
    /// The buffer with the gradient of the output.
    pub(super) gradient: usize,
    /// What that gradient has yet to pass.
    pub(super) gate: Option<Gate>,
    /// Whether gradients of weights are wanted.
    pub(super) weights: bool,
    pub(super) inputs: Vec<BackInput>,
}

/// An input whose gradient a step computes.
pub(super) struct BackInput {
    pub(super) index: usize,
    pub(super) gradient: usize,
    pub(super) accumulate: bool,
    /// The linear seed that the step adds to it.
    pub(super) linear_seed: Option<usize>,
}

/// A step before its buffers are known. Values are numbered.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) node: usize,
    /// The activation alone; otherwise the layer without it.
    pub(super) activation: Option<ActivationKind>,
    pub(super) relu: bool,
    /// The step also takes the maximum of windows of 2x2, as the layer that follows does.
    pub(super) pool: bool,
    /// The batch normalization with fixed statistics that the step, a convolution, computes too: its node.
    pub(super) normalization: Option<usize>,
    pub(super) inputs: Vec<usize>,
    pub(super) output: usize,
}

impl Draft {
    fn new(node: usize, inputs: Vec<usize>, output: usize) -> Self {
        Self { node, activation: None, relu: false, pool: false, normalization: None, inputs, output }
    }

    /// Whether it computes a node's output, or what is before its activation.
    fn computes(&self, node: usize) -> bool {
        self.node == node || self.normalization == Some(node)
    }
}

/// The steps of the layers that are needed, and the values between them.
#[derive(Debug, Default)]
pub(super) struct Lowered {
    pub(super) drafts: Vec<Draft>,
    /// The shape of each value.
    pub(super) values: Vec<Shape>,
    /// For each node: the value of its output, and the value before its activation where that exists.
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) before: Vec<Option<usize>>,
}

/// What must exist: nodes, and whether before or after the activation.
pub(super) type Wanted = HashSet<(usize, bool)>;

/// Which layers may be computed along with the convolution before them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fusions {
    pub(super) pooling: bool,
    pub(super) normalization: bool,
}

pub(super) fn lower(network: &Network, wanted: &Wanted, training: bool, fusions: Fusions) -> Lowered {
    let nodes = network.nodes();
    let needed = needed(network, wanted);
    let consumers = |node: usize| {
        nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| needed[*index])
            .flat_map(|(_, n)| n.inputs())
            .filter(|&&i| i == node)
            .count()
    };
    let mut lowered =
        Lowered { outputs: vec![None; nodes.len()], before: vec![None; nodes.len()], ..Default::default() };
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let inputs: Vec<usize> =
            node.inputs().iter().map(|&input| lowered.outputs[input].expect("inputs come first")).collect();
        let activation = node.activation();
        if matches!(node.layer(), Layer::Input(_)) {
            let value = lowered.value(node.shape());
            lowered.outputs[index] = Some(value);
            lowered.before[index] = Some(value);
            continue;
        }
        if node.layer().mechanics().is_view(training) {
            let value = inputs[0];
            lowered.before[index] = Some(value);
            lowered.outputs[index] = Some(match activation {
                ActivationKind::Linear => value,
                ActivationKind::Relu
                    if consumers(node.inputs()[0]) == 1
                        && !wanted.contains(&(index, true))
                        && lowered.fuse_relu(network, wanted, node.inputs()[0]) =>
                {
                    lowered.before[index] = None;
                    value
                }
                _ => lowered.activate(index, activation, value, node.shape()),
            });
            continue;
        }
        let alone =
            |node: usize| consumers(node) == 1 && !wanted.contains(&(node, false)) && !wanted.contains(&(node, true));
        if fusions.normalization
            && matches!(node.layer(), Layer::BatchNormalization(_))
            && alone(node.inputs()[0])
            && lowered.fuse_normalization(network, node.inputs()[0], index)
        {
            lowered.outputs[index] = Some(inputs[0]);
            lowered.before[index] = Some(inputs[0]);
            continue;
        }
        if fusions.pooling && is_pairing(node.layer()) {
            // Through views, such as a ReLU that is fused already, to the layer that computes.
            let mut source = node.inputs()[0];
            while alone(source) && nodes[source].layer().mechanics().is_view(training) {
                source = nodes[source].inputs()[0];
            }
            if alone(source) && lowered.fuse_pooling(network, source, inputs[0], node.shape()) {
                lowered.outputs[index] = Some(inputs[0]);
                lowered.before[index] = Some(inputs[0]);
                continue;
            }
        }
        let output = lowered.value(node.shape());
        let relu = activation == ActivationKind::Relu && !wanted.contains(&(index, true));
        lowered.drafts.push(Draft { relu, ..Draft::new(index, inputs, output) });
        if relu {
            lowered.outputs[index] = Some(output);
        } else {
            lowered.before[index] = Some(output);
            lowered.outputs[index] = Some(match activation {
                ActivationKind::Linear => output,
                _ if used_after_activation(network, &needed, wanted, index) => {
                    lowered.activate(index, activation, output, node.shape())
                }
                _ => output,
            });
        }
    }
    lowered
}

impl Lowered {
    fn value(&mut self, shape: &Shape) -> usize {
        self.values.push(shape.clone());
        self.values.len() - 1
    }

    fn activate(&mut self, node: usize, kind: ActivationKind, value: usize, shape: &Shape) -> usize {
        let output = self.value(shape);
        self.drafts.push(Draft { activation: Some(kind), ..Draft::new(node, vec![value], output) });
        output
    }

    /// Lets the step that computes `node`'s output apply the ReLU that follows, if it can and nobody wants the value
    /// before.
    fn fuse_relu(&mut self, network: &Network, wanted: &Wanted, node: usize) -> bool {
        let able =
            matches!(network.nodes()[node].layer(), Layer::Conv2D(_) | Layer::Dense(_) | Layer::BatchNormalization(_));
        let free = !wanted.contains(&(node, false)) && !wanted.contains(&(node, true));
        let linear = network.nodes()[node].activation() == ActivationKind::Linear;
        match self.drafts.iter_mut().find(|draft| draft.computes(node)) {
            Some(draft) if able && free && linear => {
                draft.relu = true;
                true
            }
            _ => false,
        }
    }

    /// Lets the convolution `node`, which has no bias, compute the batch normalization that follows it.
    fn fuse_normalization(&mut self, network: &Network, node: usize, normalization: usize) -> bool {
        let nodes = network.nodes();
        let able = matches!(nodes[node].layer(), Layer::Conv2D(convolution) if !convolution.use_bias)
            && nodes[node].activation() == ActivationKind::Linear
            // The weights of both, in one piece.
            && nodes[node].weights().end == nodes[normalization].weights().start;
        match self.drafts.iter_mut().find(|draft| draft.node == node) {
            Some(draft) if able && draft.activation.is_none() => {
                draft.normalization = Some(normalization);
                self.outputs[node] = None;
                self.before[node] = None;
                true
            }
            _ => false,
        }
    }

    /// Lets the convolution that computes `value`, node `node`, take the maxima of a pooling layer that follows, with this
    /// shape.
    fn fuse_pooling(&mut self, network: &Network, node: usize, value: usize, shape: &Shape) -> bool {
        let convolves = |draft: &Draft| matches!(network.nodes()[draft.node].layer(), Layer::Conv2D(_));
        match self.drafts.iter_mut().find(|draft| draft.output == value) {
            Some(draft) if draft.computes(node) && convolves(draft) && draft.activation.is_none() && !draft.pool => {
                draft.pool = true;
                self.values[value] = shape.clone();
                for at in self.outputs.iter_mut().chain(&mut self.before) {
                    at.take_if(|at| *at == value);
                }
                true
            }
            _ => false,
        }
    }

    /// The value at a wanted point.
    pub(super) fn at(&self, (node, before): (usize, bool)) -> usize {
        let values = if before { &self.before } else { &self.outputs };
        values[node].expect("what is wanted is lowered")
    }
}

/// Whether a layer takes the maxima of windows of 2x2, side by side, and leaves out what does not fill one.
fn is_pairing(layer: &Layer) -> bool {
    let Layer::MaxPooling2D(pooling) = layer else { return false };
    pooling.pool_size == [2, 2] && pooling.strides == [2, 2] && pooling.padding == Padding::Valid
}

/// The nodes on the way to what is wanted.
fn needed(network: &Network, wanted: &Wanted) -> Vec<bool> {
    let mut needed = vec![false; network.nodes().len()];
    for &(node, _) in wanted {
        needed[node] = true;
    }
    for index in (0..needed.len()).rev() {
        if needed[index] {
            network.nodes()[index].inputs().iter().for_each(|&input| needed[input] = true);
        }
    }
    // The inputs of the network are always there to be filled.
    network.inputs().for_each(|input| needed[input] = true);
    needed
}

/// Whether anybody needs the value after a node's activation: a plan that trains on logits leaves the softmax out.
fn used_after_activation(network: &Network, needed: &[bool], wanted: &Wanted, node: usize) -> bool {
    wanted.contains(&(node, false))
        || network.nodes().iter().enumerate().any(|(index, user)| needed[index] && user.inputs().contains(&node))
}
