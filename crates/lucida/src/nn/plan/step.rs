//! The steps of a plan with their inputs and outputs.

use std::ops::Range;

use lucida_kernels::ChannelMap;
use lucida_kernels::clock::Stopwatch;

use super::activation_backward::ActivationBackward;
use crate::nn::Shape;
use crate::nn::op::{Op, StepSlot};

/// An operation with its buffers.
pub(super) struct Step {
    pub(super) op: Box<dyn Op>,
    /// The names of its layers, joined by `+`, and the time of each pass.
    pub(super) name: String,
    pub(super) times: StepTimes,
    /// The index of its layer in the network.
    pub(super) node: usize,
    pub(super) inputs: Vec<StepSlot>,
    pub(super) output: StepSlot,
    /// Its weights in the network, including those of fused layers, and the versions last passed to the operation.
    pub(super) weights: Range<usize>,
    pub(super) versions: Vec<u64>,
    pub(super) backward: Option<StepBackward>,
}

/// The backward passes of a step.
pub(super) struct StepBackward {
    /// The buffer of the gradient of the output.
    pub(super) gradient: usize,
    /// The activation through which that gradient must be propagated first.
    pub(super) activation: Option<ActivationBackward>,
    /// Whether gradients of weights are requested.
    pub(super) weights: bool,
    /// For a layer that is called several times: the gradients of its weights are sums over the calls.
    pub(super) shared: Option<SharedGradients>,
    pub(super) inputs: Vec<InputGradient>,
}

/// How a call of a shared layer handles the gradients of the weights.
#[derive(Debug, Default)]
pub(super) struct SharedGradients {
    /// Space for the sums of later calls, which run first in the backward pass; empty if there are none.
    pub(super) sums: Vec<Vec<f32>>,
    /// Whether an earlier call adds to them.
    pub(super) unfinished: bool,
}

/// An input whose gradient a step computes.
pub(super) struct InputGradient {
    pub(super) index: usize,
    pub(super) gradient: usize,
    pub(super) accumulate: bool,
    /// The linear gradient that the step adds to it.
    pub(super) linear_gradient: Option<usize>,
}

/// A tensor in a buffer, with its length per sample.
#[derive(Debug, Clone)]
pub(super) struct BufferSlot {
    pub(super) buffer: usize,
    pub(super) len: usize,
    pub(super) shape: Shape,
}

/// A gradient that is a linear function of a value.
#[derive(Debug)]
pub(super) struct LinearGradient {
    pub(super) map: ChannelMap,
    pub(super) value: BufferSlot,
    /// The buffer it is written to before the backward pass; `None` if a step adds it to the gradient of its input.
    pub(super) gradient: Option<usize>,
    /// Whether that buffer already contains a gradient.
    pub(super) accumulate: bool,
}

/// The times of each pass of a step in seconds, one entry per run.
#[derive(Debug, Clone, Default)]
pub(super) struct StepTimes {
    pub(super) pack: Vec<f64>,
    pub(super) forward: Vec<f64>,
    pub(super) activation_backward: Vec<f64>,
    pub(super) backward_input: Vec<f64>,
    pub(super) backward_weights: Vec<f64>,
}

/// Runs a part of a pass, and adds its time to that of the pass, which starts with the first part.
pub(super) fn timed_part(wanted: bool, first: bool, times: &mut Vec<f64>, run: impl FnOnce()) {
    timed(wanted, times, run);
    if wanted && !first {
        let part = times.pop().unwrap_or_default();
        *times.last_mut().expect("the first part begins the pass") += part;
    }
}

/// Runs a pass, and records its time if `wanted`.
pub(super) fn timed(wanted: bool, times: &mut Vec<f64>, run: impl FnOnce()) {
    if !wanted {
        return run();
    }
    let start = Stopwatch::start();
    run();
    times.push(start.seconds());
}
