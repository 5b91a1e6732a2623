//! What a plan is asked for.

use lucida_kernels::Cpu;

use crate::nn::{BackwardRule, Network, Weight};

/// A value of a network: the number of a layer, and whether the value before its activation is meant.
pub(super) type NodeValue = (usize, bool);

/// What a plan is for, its layers known by their numbers.
pub(super) struct Request<'a> {
    pub(super) network: &'a Network,
    pub(super) cpu: Cpu,
    pub(super) batch: usize,
    pub(super) training: bool,
    pub(super) exact: bool,
    pub(super) rule: BackwardRule,
    /// The values that are kept.
    pub(super) outputs: Vec<NodeValue>,
    /// Where gradients are put in.
    pub(super) grad_outputs: Vec<NodeValue>,
    /// Where gradients come in that are linear functions of the value.
    pub(super) linear_gradients: Vec<NodeValue>,
    /// The values whose gradients are wanted.
    pub(super) gradients: Vec<NodeValue>,
    pub(super) input_gradient: bool,
    pub(super) weight_gradients: WeightGradients,
}

/// The weights whose gradients are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightGradients {
    /// None.
    None,
    /// All that training changes.
    Trainable,
    /// Biases and the shifts of batch normalizations, frozen or not.
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
