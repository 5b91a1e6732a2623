//! The steps of a plan and what they read and write.

use std::ops::Range;
use std::time::Instant;

use lucida_kernels::ChannelMap;

use super::activation_backward::ActivationBackward;
use crate::nn::Shape;
use crate::nn::op::{Op, StepSlot};

/// An operation with its buffers.
pub(super) struct Step {
    pub(super) op: Box<dyn Op>,
    /// The layers that it computes, joined by `+`, and how long each pass took.
    pub(super) name: String,
    pub(super) times: StepTimes,
    /// The number of its layer in the network.
    pub(super) node: usize,
    pub(super) inputs: Vec<StepSlot>,
    pub(super) output: StepSlot,
    /// Its weights in the network, those of fused layers among them, and the versions of them that the operation was last
    /// given.
    pub(super) weights: Range<usize>,
    pub(super) versions: Vec<u64>,
    pub(super) backward: Option<StepBackward>,
}

/// The backward passes of a step.
pub(super) struct StepBackward {
    /// The buffer with the gradient of the output.
    pub(super) gradient: usize,
    /// What that gradient has yet to pass.
    pub(super) activation: Option<ActivationBackward>,
    /// Whether gradients of weights are wanted.
    pub(super) weights: bool,
    /// Of a layer that is called several times: the gradients of its weights are sums over the calls.
    pub(super) shared: Option<SharedGradients>,
    pub(super) inputs: Vec<InputGradient>,
}

/// What a call of a shared layer does with the gradients of the weights.
#[derive(Debug, Default)]
pub(super) struct SharedGradients {
    /// Room for what later calls, which are first in the backward pass, have summed; empty where there is none.
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

/// A tensor in a buffer: its length is that of one sample.
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
    /// The buffer it is written to before the backward pass; none where a step adds it to the gradient of its input.
    pub(super) gradient: Option<usize>,
    /// Whether that buffer has a gradient already.
    pub(super) accumulate: bool,
}

/// The seconds that each pass of a step took, one entry a time.
#[derive(Debug, Clone, Default)]
pub(super) struct StepTimes {
    pub(super) pack: Vec<f64>,
    pub(super) forward: Vec<f64>,
    pub(super) activation_backward: Vec<f64>,
    pub(super) backward_input: Vec<f64>,
    pub(super) backward_weights: Vec<f64>,
}

/// Runs a part of a pass, and adds its time to that of the pass, which the first part begins.
pub(super) fn timed_part(wanted: bool, first: bool, times: &mut Vec<f64>, run: impl FnOnce()) {
    timed(wanted, times, run);
    if wanted && !first {
        let part = times.pop().unwrap_or_default();
        *times.last_mut().expect("the first part begins the pass") += part;
    }
}

/// Runs a pass, and takes its time if it is wanted.
pub(super) fn timed(wanted: bool, times: &mut Vec<f64>, run: impl FnOnce()) {
    if !wanted {
        return run();
    }
    let start = Instant::now();
    run();
    times.push(start.elapsed().as_secs_f64());
}
