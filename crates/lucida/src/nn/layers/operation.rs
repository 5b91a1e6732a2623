//! A layer that is ready to compute.

use lucida_kernels::ops::Update;
use lucida_kernels::{Buffer, ChannelMap, Cpu};

use super::super::plan::{BackwardRule, Share, StepSeed};
use super::super::{Shape, Weight};
use super::BatchNormalization;

/// What a layer is prepared for.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
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
    /// Whether the operation also applies the ReLU that follows; its backward passes then get the gradient from before
    /// that ReLU.
    pub relu: bool,
    /// Whether the operation, a convolution, also takes the maxima of windows of 2x2 that follow the ReLU, if any; its
    /// output is theirs, and its backward passes get their gradient.
    pub pool: bool,
    /// The batch normalization with fixed statistics that the operation, a convolution without a bias, computes forward
    /// too; its weights come after the convolution's.
    pub normalization: Option<BatchNormalization>,
    /// Whether the only input comes straight from a ReLU whose backward pass this operation does as well.
    pub through_relu: bool,
    /// Whether the gradient of any input is wanted.
    pub grad_input: bool,
    /// Whether the gradients of the weights are wanted.
    pub grad_weights: bool,
    /// Whether equal patches must give equal sums to the bit: see [`PlanBuilder::exact`](crate::nn::PlanBuilder::exact).
    pub exact: bool,
    /// How the way back goes through activations.
    pub rule: BackwardRule,
    /// Tells the layers of a network apart where they draw random numbers.
    pub stream: u64,
}

/// The inputs of an operation.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub(crate) buffers: &'a [Buffer],
    /// For each input: its buffer, and its length for the whole batch.
    pub(crate) places: &'a [(usize, usize)],
    pub(crate) batch: usize,
}

impl<'a> Inputs<'a> {
    /// Input `index`: (batch, ...).
    pub fn get(&self, index: usize) -> &'a [f32] {
        let (buffer, len) = self.places[index];
        &self.buffers[buffer][..self.batch * len]
    }

    /// The number of inputs.
    pub fn count(&self) -> usize {
        self.places.len()
    }
}

/// A pass forward.
pub struct Forward<'a> {
    /// Samples in this batch.
    pub batch: usize,
    /// The inputs.
    pub inputs: Inputs<'a>,
    /// The layer's weights.
    pub weights: &'a [Weight],
    /// In training, what random numbers are drawn from.
    pub seed: Option<StepSeed>,
    /// The part in a team's training.
    pub share: Option<Share<'a>>,
}

/// A pass backward. What an operation has not asked for in [`Operation::backward_reads`] may be overwritten already.
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
    /// What is added to the gradient of the input of a convolution: the input itself, mapped.
    pub added: Option<&'a ChannelMap>,
    /// The part in a team's training.
    pub share: Option<Share<'a>>,
}

/// What the backward passes of an operation read of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// The inputs.
    pub inputs: bool,
    /// The output.
    pub output: bool,
}

/// How an operation does its work.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// The algorithm of the pass forward, where there is a choice.
    pub forward: Option<&'static str>,
    /// That of the pass back to the inputs.
    pub backward_input: Option<&'static str>,
    /// That of the pass back to the weights.
    pub backward_weights: Option<&'static str>,
    /// Multiplications and additions of a pass by its definition, for one sample; zero where they do not matter.
    pub operations: f64,
    /// How fast the matrix products of the three passes are, where they are timed apart from what is around them: those that
    /// are computed, in multiplications and additions a second.
    pub product_rates: [Option<f64>; 3],
}

/// A layer that is ready to compute, in one setting.
///
/// The passes of one step come in order: forward, then backward to the weights, then backward to each input; where it
/// [`updates`](Self::updates) a weight, to each input first. An operation may keep state from one to the next.
pub trait Operation: Send {
    /// Takes note of weights that have changed.
    fn set_weights(&mut self, _weights: &[Weight]) {}

    /// Computes the output.
    fn forward(&mut self, pass: &Forward, output: &mut [f32]);

    /// What the backward passes read.
    fn backward_reads(&self) -> Reads {
        Reads { inputs: false, output: false }
    }

    /// The gradient of input `index`, added to `grad_input` when `accumulate`, written over it otherwise.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool);

    /// The gradients of the weights, written over `gradients`: one for each of the layer's weights, empty where none is
    /// wanted.
    fn backward_weights(&mut self, _pass: &Backward, _gradients: &mut [Vec<f32>]) {}

    /// The weight, by its number among the layer's, on which it can make the optimizer's step while it computes the gradient.
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

    /// From now on, whether it times what it says of itself in [`work`](Self::work); times taken before are forgotten.
    fn set_timed(&mut self, _timed: bool) {}

    /// How it does its work.
    fn work(&self) -> Work {
        Work::default()
    }

    /// Brings weights up to date that follow the data and not the gradient (the moving statistics of a batch
    /// normalization) after a forward pass in training.
    fn update_statistics(&mut self, _weights: &mut [Weight]) {}
}
