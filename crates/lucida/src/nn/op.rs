//! The seam between layers and plans: a layer that is prepared to compute.
//!
//! Layers make operations ([`LayerSpec::prepare`](super::layers::LayerSpec::prepare)), plans run them. This file knows
//! neither.

use lucida_kernels::ops::{Pointwise, Update};
use lucida_kernels::{Buffer, ChannelMap, Cpu};

use super::backward_rule::BackwardRule;
use super::process_group::Shard;
use super::shape::Shape;
use super::weight::Weight;
use crate::core::{Purpose, Rng};

/// What a layer is prepared for.
#[derive(Debug, Clone)]
pub struct OpConfig<'a> {
    /// What to run on.
    pub cpu: Cpu,
    /// The largest batch.
    pub batch: usize,
    /// The shapes of the inputs.
    pub inputs: &'a [Shape],
    /// The shape of the output.
    pub output: &'a Shape,
    /// Whether to behave as in training (dropout drops, batch normalization uses the batch).
    pub training: bool,
    /// The gradients that the backward pass computes.
    pub gradients: WantedGradients,
    /// Whether equal patches must give equal sums to the bit: see [`PlanBuilder::exact`](super::PlanBuilder::exact).
    pub exact: bool,
    /// How the backward pass goes through activations.
    pub rule: BackwardRule,
}

/// The gradients that an operation's backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WantedGradients {
    /// That of any input.
    pub inputs: bool,
    /// That of any weight.
    pub weights: bool,
}

/// Layers that an operation can compute along with its own, while values are in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fusible {
    /// The ReLU that follows.
    pub relu: bool,
    /// Any activation that works on each value by itself; outside of training.
    pub activation: bool,
    /// The maxima of windows of 2x2, side by side, that follow the ReLU, if any.
    pub max_pooling: bool,
    /// A factor and a shift for each channel, that follow.
    pub affine: bool,
    /// The addition of another value that follows these, as at the end of a residual block; outside of training.
    pub residual: bool,
    /// The border of zeros before it.
    pub padding: bool,
    /// The backward pass of the ReLU before it.
    pub relu_before: ReluBefore,
    /// The addition of a [`ChannelMap`] of the input to the input's gradient.
    pub linear_gradient: bool,
}

/// How an operation can do the backward pass of the ReLU whose output is its only input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReluBefore {
    /// It cannot.
    #[default]
    No,
    /// What it adds to the gradient passes the ReLU; what was there before does not.
    OwnGradient,
    /// So does what was there before.
    WholeGradient,
}

/// Layers that an operation computes along with its own.
#[derive(Debug, Default)]
pub struct Fused {
    /// The activation that follows. If it is a ReLU, the backward passes get the gradient from before it; with any other
    /// there are none.
    pub activation: Option<Pointwise>,
    /// The maxima of windows of 2x2 that follow the ReLU, if any: the output is theirs, and the backward passes get their
    /// gradient.
    pub max_pooling: bool,
    /// The factor and the shift of each channel that follow, with fixed weights. Their weights come after the layer's own;
    /// they are computed in the forward pass alone.
    pub affine: Option<Box<dyn ChannelAffine>>,
    /// Whether input 1, of the output's shape, is added before the activation.
    pub residual: bool,
    /// The zeros around input 0, `[[top, bottom], [left, right]]` pixels, that the shapes of [`OpConfig`] count in.
    pub padding: Option<[[usize; 2]; 2]>,
    /// The backward pass of the ReLU whose output is the only input.
    pub relu_before: bool,
}

impl Fused {
    /// Whether a ReLU follows.
    pub fn relu(&self) -> bool {
        self.activation == Some(Pointwise::Relu)
    }
}

/// A layer that multiplies each channel by a factor and adds a shift, as a batch normalization with fixed statistics does.
pub trait ChannelAffine: std::fmt::Debug + Send {
    /// The factor and the shift of each channel (channels), from the layer's weights.
    fn factor_and_shift(&self, weights: &[Weight], factor: &mut [f32], shift: &mut [f32]);
}

/// The inputs of an operation.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub(crate) buffers: &'a [Buffer],
    pub(crate) slots: &'a [StepSlot],
    pub(crate) samples: Samples,
}

/// Where a step finds a value or puts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepSlot {
    pub(crate) buffer: usize,
    /// Its length for one sample.
    pub(crate) len: usize,
    /// Whether the buffer holds it for the whole batch, rather than for the samples at hand.
    pub(crate) whole: bool,
}

/// The samples that a step computes at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples {
    /// The first, counted over the batch.
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl StepSlot {
    /// The floats of these samples in the buffer.
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

/// What the random numbers of a training step are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSeed {
    /// The seed of the run.
    pub seed: u64,
    /// How many samples were trained on before this batch: each sample of a run draws from its own part of the stream.
    pub first_sample: u64,
}

/// What a layer's random numbers in a training step are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSeed {
    pub(crate) step: StepSeed,
    /// The layer's number in its network: each draws from a stream of its own.
    pub(crate) layer: usize,
}

impl LayerSeed {
    /// Random numbers from the position of the batch's first sample, where each sample draws `per_sample` words of 32 bits.
    /// A sample draws the same numbers however the samples are spread over batches, threads or machines.
    pub fn rng(self, per_sample: usize) -> Rng {
        let Self { step, layer } = self;
        Rng::keyed(step.seed, Purpose::Layer, layer).at(u128::from(step.first_sample) * per_sample as u128)
    }
}

/// A forward pass.
pub struct Forward<'a> {
    /// Samples in this batch.
    pub batch: usize,
    /// The inputs.
    pub inputs: Inputs<'a>,
    /// The layer's weights.
    pub weights: &'a [Weight],
    /// In training, what random numbers are drawn from.
    pub seed: Option<LayerSeed>,
    /// The part in distributed training.
    pub shard: Option<Shard<'a>>,
}

/// A backward pass. What an operation has not asked for in [`Op::backward_needs`] may be overwritten already.
pub struct Backward<'a> {
    /// Samples in this batch.
    pub batch: usize,
    /// The inputs of the forward pass.
    pub inputs: Inputs<'a>,
    /// The layer's weights.
    pub weights: &'a [Weight],
    /// The output of the forward pass.
    pub output: &'a [f32],
    /// The gradient of the output.
    pub grad_output: &'a [f32],
    /// What is added to the gradient of the input where [`Fusible::linear_gradient`] says that it can be: the input itself,
    /// mapped.
    pub linear_gradient: Option<&'a ChannelMap>,
    /// The part in distributed training.
    pub shard: Option<Shard<'a>>,
}

/// What the backward passes of an operation read of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackwardNeeds {
    /// The inputs.
    pub inputs: bool,
    /// The output.
    pub output: bool,
}

/// The algorithms of an operation and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OpStats {
    /// The algorithm of the forward pass, where there is a choice.
    pub forward: Option<&'static str>,
    /// That of the backward pass to the inputs.
    pub backward_input: Option<&'static str>,
    /// That of the backward pass to the weights.
    pub backward_weights: Option<&'static str>,
    /// Multiplications and additions of a pass by its definition, for one sample; zero where they do not matter.
    pub operations: f64,
    /// How fast the matrix products of the three passes are, where they are timed apart from what is around them: those that
    /// are computed, in multiplications and additions a second.
    pub product_rates: [Option<f64>; 3],
}

/// A layer that is prepared to compute, in one configuration.
///
/// The passes of one step come in order: forward, then backward to the weights, then backward to each input; where it
/// [`updates`](Self::updates) a weight, to each input first. An operation may keep state from one to the next.
pub trait Op: Send {
    /// Takes note of weights that have changed.
    fn set_weights(&mut self, _weights: &[Weight]) {}

    /// Computes the output.
    fn forward(&mut self, pass: &Forward, output: &mut [f32]);

    /// What the backward passes read.
    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: false, output: false }
    }

    /// The gradient of input `index`, added to `grad_input` when `accumulate`, written over it otherwise.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool);

    /// The gradients of the weights, written over `gradients`: one for each of the layer's weights, empty where none is
    /// wanted.
    fn backward_weights(&mut self, _pass: &Backward, _gradients: &mut [Vec<f32>]) {}

    /// The weight, by its number among the layer's, on which it can make the optimizer's step while it computes the
    /// gradient.
    fn updates(&self) -> Option<usize> {
        None
    }

    /// Makes the step `update` on that weight, whose gradient is written nowhere; otherwise as
    /// [`backward_weights`](Self::backward_weights), but after the passes to the inputs. `pass` has no weights.
    fn backward_update(
        &mut self,
        _pass: &Backward,
        _weight: &mut [f32],
        _update: Update<'_>,
        _gradients: &mut [Vec<f32>],
    ) {
        unreachable!("only for an operation that updates a weight");
    }

    /// From now on, whether it times its matrix products for [`stats`](Self::stats); times taken before are forgotten.
    fn set_timed(&mut self, _timed: bool) {}

    /// Its algorithms and what they cost.
    fn stats(&self) -> OpStats {
        OpStats::default()
    }

    /// Brings weights up to date that follow the data and not the gradient (the moving statistics of a batch
    /// normalization) after a forward pass in training.
    fn update_statistics(&mut self, _weights: &mut [Weight]) {}
}
