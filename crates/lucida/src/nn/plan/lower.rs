//! Lowers a graph of layers to a list of operations.

use std::collections::HashSet;

use crate::nn::layers::{ActivationKind, Layer};
use crate::nn::{Network, Shape};

/// An operation without buffers. Values are identified by numbers.
#[derive(Debug)]
pub(super) struct OpDraft {
    pub(super) node: usize,
    /// The activation, for an operation that computes only that; otherwise it is the layer without its activation.
    pub(super) activation: Option<ActivationKind>,
    /// The fused activation.
    pub(super) fused_activation: Option<ActivationKind>,
    /// Whether a 2x2 max pooling, the layer that follows, is fused.
    pub(super) max_pooling: bool,
    /// The node whose scale and shift per channel are fused.
    pub(super) affine: Option<usize>,
    /// The node whose addition of input 1 is fused.
    pub(super) residual: Option<usize>,
    /// The node whose zero padding of input 0 is fused.
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

    /// Whether the fused activation is a ReLU.
    pub(super) fn relu(&self) -> bool {
        self.fused_activation == Some(ActivationKind::Relu)
    }
}

/// The operations of the needed layers, and the values between them.
#[derive(Debug, Default)]
pub(super) struct LoweredOps {
    pub(super) drafts: Vec<OpDraft>,
    /// The shape of each value.
    pub(super) values: Vec<Shape>,
    /// For each node: the value of its output, and the value before its activation, if it exists.
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) before: Vec<Option<usize>>,
}

/// The values that must exist: nodes, and whether before the activation.
pub(super) type RequiredValues = HashSet<(usize, bool)>;

/// Creates an operation for each needed layer that is not just a view of its input, and one for its activation.
pub(super) fn lower(network: &Network, wanted: &RequiredValues, training: bool) -> LoweredOps {
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

    /// The value of a requested node.
    pub(super) fn at(&self, (node, before): (usize, bool)) -> usize {
        let values = if before { &self.before } else { &self.outputs };
        values[node].expect("what is wanted is lowered")
    }
}

/// The nodes that the requested values depend on.
fn needed(network: &Network, wanted: &RequiredValues) -> Vec<bool> {
    let mut needed = vec![false; network.nodes().len()];
    for &(node, _) in wanted {
        needed[node] = true;
    }
    for index in (0..needed.len()).rev() {
        if needed[index] {
            network.nodes()[index].inputs().iter().for_each(|&input| needed[input] = true);
        }
    }
    // The inputs of the network always exist, so that they can be filled.
    network.inputs().for_each(|input| needed[input] = true);
    needed
}

/// Whether the value after a node's activation is used: a plan that trains on logits omits the softmax.
fn used_after_activation(network: &Network, needed: &[bool], wanted: &RequiredValues, node: usize) -> bool {
    wanted.contains(&(node, false))
        || network.nodes().iter().enumerate().any(|(index, user)| needed[index] && user.inputs().contains(&node))
}
