//! The request for a plan.

use lucida_kernels::Cpu;

use crate::nn::{BackwardRule, Network, Weight};

/// A value of a network: the index of a layer, and whether it is the value before the activation.
pub(super) type NodeValue = (usize, bool);

/// What a plan must compute, with layers as indices.
pub(super) struct Request<'a> {
    pub(super) network: &'a Network,
    pub(super) cpu: Cpu,
    pub(super) batch: usize,
    pub(super) training: bool,
    pub(super) exact: bool,
    pub(super) rule: BackwardRule,
    /// The outputs of the plan.
    pub(super) outputs: Vec<NodeValue>,
    /// The values whose gradients the caller provides.
    pub(super) grad_outputs: Vec<NodeValue>,
    /// The values with linear gradients.
    pub(super) linear_gradients: Vec<NodeValue>,
    /// The values whose gradients are requested.
    pub(super) gradients: Vec<NodeValue>,
    pub(super) input_gradient: bool,
    pub(super) weight_gradients: WeightGradients,
}

/// The weights whose gradients are requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightGradients {
    /// None.
    None,
    /// All trainable weights.
    Trainable,
    /// Biases and the offsets of batch normalizations, frozen or not.
    Shifts,
}

impl WeightGradients {
    pub(super) fn include(self, weight: &Weight) -> bool {
        match self {
            Self::None => false,
            Self::Trainable => weight.trainable(),
            Self::Shifts => ["/bias", "/beta"].iter().any(|name| weight.name().ends_with(name)),
        }
    }
}
