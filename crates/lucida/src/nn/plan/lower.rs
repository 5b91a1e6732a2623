//! From a graph of layers to a list of operations.

use std::collections::HashSet;

use crate::nn::layers::{ActivationKind, Layer};
use crate::nn::{Network, Shape};

/// An operation before its buffers are known. Values are numbered.
#[derive(Debug)]
pub(super) struct OpDraft {
    pub(super) node: usize,
    /// The activation alone; otherwise the layer without it.
    pub(super) activation: Option<ActivationKind>,
    /// The activation that it also computes.
    pub(super) fused_activation: Option<ActivationKind>,
    /// Whether it also takes the maximum of windows of 2x2, as the layer that follows does.
    pub(super) max_pooling: bool,
    /// The node whose factor and shift of each channel it also computes.
    pub(super) affine: Option<usize>,
    /// The node whose addition of input 1 it also computes.
    pub(super) residual: Option<usize>,
    /// The node whose border of zeros around input 0 it also computes.
    pub(super) padding: Option<usize>,
    pub(super) inputs: Vec<usize>,
    pub(super) output: usize,
}

impl OpDraft {
    fn new(node: usize, inputs: Vec<usize>, output: usize) -> Self {
        Self {
            node,
            activation: None,
            fused_activation: None,
            max_pooling: false,
            affine: None,
            residual: None,
            padding: None,
            inputs,
            output,
        }
    }

    /// Whether it also computes the ReLU that follows.
    pub(super) fn relu(&self) -> bool {
        self.fused_activation == Some(ActivationKind::Relu)
    }
}

/// The operations of the layers that are needed, and the values between them.
#[derive(Debug, Default)]
pub(super) struct LoweredOps {
    pub(super) drafts: Vec<OpDraft>,
    /// The shape of each value.
    pub(super) values: Vec<Shape>,
    /// For each node: the value of its output, and the value before its activation where that exists.
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) before: Vec<Option<usize>>,
}

/// What must exist: nodes, and whether before or after the activation.
pub(super) type Wanted = HashSet<(usize, bool)>;

/// An operation for each layer that is needed and is not just a view of its input, and one for its activation.
pub(super) fn lower(network: &Network, wanted: &Wanted, training: bool) -> LoweredOps {
    let nodes = network.nodes();
    let needed = needed(network, wanted);
    let mut lowered =
        LoweredOps { outputs: vec![None; nodes.len()], before: vec![None; nodes.len()], ..Default::default() };
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let inputs: Vec<usize> =
            node.inputs().iter().map(|&input| lowered.outputs[input].expect("inputs come first")).collect();
        let value = if matches!(node.layer(), Layer::Input(_)) {
            lowered.value(node.shape())
        } else if node.layer().spec().is_view(training) {
            inputs[0]
        } else {
            let output = lowered.value(node.shape());
            lowered.drafts.push(OpDraft::new(index, inputs, output));
            output
        };
        lowered.before[index] = Some(value);
        lowered.outputs[index] = Some(match node.activation() {
            ActivationKind::Linear => value,
            kind if used_after_activation(network, &needed, wanted, index) => {
                lowered.activate(index, kind, value, node.shape())
            }
            _ => value,
        });
    }
    lowered
}

impl LoweredOps {
    fn value(&mut self, shape: &Shape) -> usize {
        self.values.push(shape.clone());
        self.values.len() - 1
    }

    fn activate(&mut self, node: usize, kind: ActivationKind, value: usize, shape: &Shape) -> usize {
        let output = self.value(shape);
        self.drafts.push(OpDraft { activation: Some(kind), ..OpDraft::new(node, vec![value], output) });
        output
    }

    /// The value at a wanted point.
    pub(super) fn at(&self, (node, before): (usize, bool)) -> usize {
        let values = if before { &self.before } else { &self.outputs };
        values[node].expect("what is wanted is lowered")
    }
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

/// Whether the value after a node's activation is used: a plan that trains on logits leaves the softmax out.
fn used_after_activation(network: &Network, needed: &[bool], wanted: &Wanted, node: usize) -> bool {
    wanted.contains(&(node, false))
        || network.nodes().iter().enumerate().any(|(index, user)| needed[index] && user.inputs().contains(&node))
}
