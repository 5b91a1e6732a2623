//! The interface between layers and plans: a layer that is prepared to compute.
//!
//! Layers create operations ([`LayerSpec::prepare`](super::layers::LayerSpec::prepare)), plans run them. This module
//! depends on neither.

use lucida_kernels::ops::{Pointwise, Update};
use lucida_kernels::{Buffer, ChannelMap, Cpu};

use super::backward_rule::BackwardRule;
use super::process_group::Shard;
use super::shape::Shape;
use super::weight::Weight;
use crate::core::{Purpose, Rng};

/// The configuration a layer is prepared for.
#[derive(Debug, Clone)]
pub struct OpConfig<'a> {
    /// The processor to run on.
    pub cpu: Cpu,
    /// The maximum batch size.
    pub batch: usize,
    /// The shapes of the inputs.
    pub inputs: &'a [Shape],
    /// The shape of the output.
    pub output: &'a Shape,
    /// Whether to run in training mode (dropout is active, batch normalization uses batch statistics).
    pub training: bool,
    /// The gradients that the backward pass computes.
    pub gradients: WantedGradients,
    /// Whether equal patches must give bitwise equal sums: see [`PlanBuilder::exact`](super::PlanBuilder::exact).
    pub exact: bool,
    /// How the backward pass treats activations.
    pub rule: BackwardRule,
}

/// The gradients that an operation's backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WantedGradients {
    /// The gradient of any input.
    pub inputs: bool,
    /// The gradient of any weight.
    pub weights: bool,
}

/// Neighboring layers that an operation can fuse, while values are in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fusible {
    /// A ReLU after the operation.
    pub relu: bool,
    /// Any elementwise activation after it; in inference only.
    pub activation: bool,
    /// A 2x2 max pooling with stride two after the ReLU, if any.
    pub max_pooling: bool,
    /// A scale and a shift per channel after it.
    pub affine: bool,
    /// The addition of another value after these, as at the end of a residual block; in inference only.
    pub residual: bool,
    /// Zero padding before it.
    pub padding: bool,
    /// The backward pass of the ReLU before it.
    pub relu_before: ReluBefore,
    /// The addition of a [`ChannelMap`] of the input to the gradient of the input.
    pub linear_gradient: bool,
}

/// How an operation can fuse the backward pass of the ReLU whose output is its only input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReluBefore {
    /// Not at all.
    #[default]
    No,
    /// The gradient that it adds is masked by the ReLU; the gradient already accumulated is not.
    OwnGradient,
    /// The accumulated gradient is masked as well.
    WholeGradient,
}

/// Neighboring layers that are fused into an operation.
#[derive(Debug, Default)]
pub struct Fused {
    /// The activation after it. If it is a ReLU, the backward passes receive the gradient before it; with any other there
    /// is no backward pass.
    pub activation: Option<Pointwise>,
    /// A 2x2 max pooling after the ReLU, if any: the output is that of the pooling, and the backward passes receive its
    /// gradient.
    pub max_pooling: bool,
    /// The scale and the shift per channel after it, with fixed weights. These weights follow the layer's own; only the
    /// forward pass computes them.
    pub affine: Option<Box<dyn ChannelAffine>>,
    /// Whether input 1, with the shape of the output, is added before the activation.
    pub residual: bool,
    /// The zero padding of input 0, `[[top, bottom], [left, right]]` in pixels, which the shapes of [`OpConfig`] include.
    pub padding: Option<[[usize; 2]; 2]>,
    /// Whether the backward pass of the ReLU whose output is the only input is fused.
    pub relu_before: bool,
}

impl Fused {
    /// Whether the activation is a ReLU.
    pub fn relu(&self) -> bool {
        self.activation == Some(Pointwise::Relu)
    }
}

/// A layer that scales and shifts each channel, such as a batch normalization with fixed statistics.
pub trait ChannelAffine: std::fmt::Debug + Send {
    /// Computes the scale and the shift of each channel (channels) from the layer's weights.
    fn factor_and_shift(&self, weights: &[Weight], factor: &mut [f32], shift: &mut [f32]);
}

/// The inputs of an operation.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub(crate) buffers: &'a [Buffer],
    pub(crate) slots: &'a [StepSlot],
    pub(crate) samples: Samples,
}

/// Where a step reads or writes a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepSlot {
    pub(crate) buffer: usize,
    /// Its length per sample.
    pub(crate) len: usize,
    /// Whether the buffer holds the whole batch, instead of the current samples only.
    pub(crate) whole: bool,
}

/// The samples that a step processes at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples {
    /// The index of the first sample in the batch.
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl StepSlot {
    /// The range of these samples in the buffer.
    pub(crate) fn range(self, samples: Samples) -> std::ops::Range<usize> {
        let start = if self.whole { samples.first * self.len } else { 0 };
        start..start + samples.count * self.len
    }
}

impl<'a> Inputs<'a> {
    /// Input `index`: (batch, ...).
    pub fn get(&self, index: usize) -> &'a [f32] {
        let slot = self.slots[index];
        &self.buffers[slot.buffer][slot.range(self.samples)]
    }

    /// The number of inputs.
    pub fn count(&self) -> usize {
        self.slots.len()
    }
}

/// The seed of the random numbers of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSeed {
    /// The seed of the run.
    pub seed: u64,
    /// Number of training samples before this batch: each sample of a run has its own part of the random stream.
    pub first_sample: u64,
}

/// The seed of a layer's random numbers in a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSeed {
    pub(crate) step: StepSeed,
    /// The layer's index in its network: each layer has its own stream.
    pub(crate) layer: usize,
}

impl LayerSeed {
    /// Returns a generator positioned at the batch's first sample, where each sample draws `per_sample` 32-bit words. A
    /// sample draws the same numbers regardless of how samples are split into batches, threads or machines.
    pub fn rng(self, per_sample: usize) -> Rng {
        let Self { step, layer } = self;
        Rng::keyed(step.seed, Purpose::Layer, layer).at(u128::from(step.first_sample) * per_sample as u128)
    }
}

/// A forward pass.
pub struct Forward<'a> {
    /// Number of samples in this batch.
    pub batch: usize,
    /// The inputs.
    pub inputs: Inputs<'a>,
    /// The layer's weights.
    pub weights: &'a [Weight],
    /// The seed of random numbers, in training.
    pub seed: Option<LayerSeed>,
    /// This process's part in distributed training.
    pub shard: Option<Shard<'a>>,
}

/// The arguments of a backward pass. Values that [`Op::backward_needs`] does not request may have been overwritten.
pub struct Backward<'a> {
    /// Number of samples in this batch.
    pub batch: usize,
    /// The inputs of the forward pass.
    pub inputs: Inputs<'a>,
    /// The layer's weights.
    pub weights: &'a [Weight],
    /// The output of the forward pass.
    pub output: &'a [f32],
    /// The gradient of the output.
    pub grad_output: &'a [f32],
    /// A map of the input that is added to the gradient of the input, if supported by [`Fusible::linear_gradient`].
    pub linear_gradient: Option<&'a ChannelMap>,
    /// This process's part in distributed training.
    pub shard: Option<Shard<'a>>,
}

/// The values of the forward pass that the backward passes read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackwardNeeds {
    /// The inputs.
    pub inputs: bool,
    /// The output.
    pub output: bool,
}

/// The algorithms of an operation and their cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OpStats {
    /// The algorithm of the forward pass, if there is a choice.
    pub forward: Option<&'static str>,
    /// The algorithm of the gradient of the inputs.
    pub backward_input: Option<&'static str>,
    /// The algorithm of the gradient of the weights.
    pub backward_weights: Option<&'static str>,
    /// Multiplications and additions of a pass for one sample, by definition; zero if negligible.
    pub operations: f64,
    /// Speed of the matrix products of the three passes, if they are timed separately: operations performed, in
    /// multiplications and additions per second.
    pub product_rates: [Option<f64>; 3],
}

/// A layer that is prepared to compute, in one configuration.
///
/// The passes of a step run in this order: forward, gradient of the weights, gradient of each input; with a weight that it
/// [`updates`](Self::updates), the gradients of the inputs come first. An operation may keep state between passes.
pub trait Op: Send {
    /// Called when weights have changed.
    fn set_weights(&mut self, _weights: &[Weight]) {}

    /// Computes the output.
    fn forward(&mut self, pass: &Forward, output: &mut [f32]);

    /// The values that the backward passes read.
    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: false, output: false }
    }

    /// Computes the gradient of input `index`, adding it to `grad_input` when `accumulate`, and overwriting it otherwise.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool);

    /// Computes the gradients of the weights, overwriting `gradients`: one for each of the layer's weights, empty if not
    /// requested.
    fn backward_weights(&mut self, _pass: &Backward, _gradients: &mut [Vec<f32>]) {}

    /// The index, among the layer's weights, of a weight that it can update with the optimizer while it computes the
    /// gradient.
    fn updates(&self) -> Option<usize> {
        None
    }

    /// Applies `update` to that weight without storing its gradient; otherwise as
    /// [`backward_weights`](Self::backward_weights), but after the gradients of the inputs. `pass` has no weights.
    fn backward_update(
        &mut self,
        _pass: &Backward,
        _weight: &mut [f32],
        _update: Update<'_>,
        _gradients: &mut [Vec<f32>],
    ) {
        unreachable!("only for an operation that updates a weight");
    }

    /// Enables or disables timing of matrix products for [`stats`](Self::stats), and resets the times.
    fn set_timed(&mut self, _timed: bool) {}

    /// Its algorithms and their cost.
    fn stats(&self) -> OpStats {
        OpStats::default()
    }

    /// Updates weights that depend on the data instead of the gradient (the moving statistics of a batch normalization),
    /// after a forward pass in training.
    fn update_statistics(&mut self, _weights: &mut [Weight]) {}
}
