//! Running a plan: the forward and backward passes.

use std::ops::Range;

use lucida_kernels::ops::{Pointwise, pointwise_backward};
use lucida_kernels::{Buffer, Cpu};

use super::activation_backward::ActivationBackward;
use super::sections::Section;
use super::step::{BufferSlot, LinearGradient, SharedGradients, Step, timed, timed_part};
use crate::nn::op::{Backward, Forward, Inputs, LayerSeed, Samples, StepSeed, StepSlot};
use crate::nn::{BackwardRule, Network, OptimizerState, Shape, Shard, Weight};
use crate::{Error, Result};

/// Called with the range of weights whose gradients are complete, and with all gradients; it may take complete ones and
/// leave others of the same length in their place.
pub(crate) type OnGradientsReady<'a> = dyn FnMut(Range<usize>, &mut [Vec<f32>]) + 'a;

/// A network prepared to run for a batch size, a set of outputs and a set of gradients. It owns every buffer: a step
/// allocates nothing. Activations are `[batch, height, width, channels]` or `[batch, features]`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("classifier", [4]).add(Dense::new(3).activation(ActivationKind::Softmax)).build(42)?;
/// let mut plan = Plan::builder(&network).batch_size(2).build()?;
/// plan.input_mut().copy_from_slice(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
/// plan.forward(&network)?;
/// for probabilities in plan.output(0).chunks(3) {
///     assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// }
/// # Ok::<(), lucida::Error>(())
/// ```
pub struct Plan {
    pub(super) cpu: Cpu,
    pub(super) capacity: usize,
    pub(super) batch: usize,
    pub(super) training: bool,
    /// Whether the passes of each step are timed.
    pub(super) timed: bool,
    pub(super) steps: Vec<Step>,
    /// A single section if gradients are computed.
    pub(super) sections: Vec<Section>,
    pub(super) buffers: Vec<Buffer>,
    /// The inputs of the network.
    pub(super) inputs: Vec<BufferSlot>,
    /// The requested outputs.
    pub(super) outputs: Vec<BufferSlot>,
    /// The gradients that the caller provides.
    pub(super) grad_outputs: Vec<BufferSlot>,
    pub(super) linear_gradients: Vec<LinearGradient>,
    /// The requested gradients of values, if any provided gradient reaches them.
    pub(super) gradients: Vec<Option<BufferSlot>>,
    /// The gradients of the inputs, if requested.
    pub(super) input_gradients: Vec<Option<BufferSlot>>,
    /// One per weight of the network; empty if not requested.
    pub(super) weight_gradients: Vec<Vec<f32>>,
}

impl Plan {
    /// The processor the plan runs on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The maximum batch size.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The current batch size; initially the maximum.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sets the current batch size, for the inputs, outputs and gradients that follow.
    ///
    /// # Panics
    /// When it is zero or larger than the capacity.
    pub fn set_batch(&mut self, batch: usize) {
        assert!((1..=self.capacity).contains(&batch), "a batch of {batch} in a plan for {}", self.capacity);
        self.batch = batch;
    }

    /// The memory of all activations and gradients of activations, in bytes.
    pub fn memory(&self) -> usize {
        self.buffers.iter().map(|buffer| 4 * buffer.len()).sum()
    }

    /// The network's single input (batch, ...), to be filled before a pass. It is preserved until the next forward pass.
    ///
    /// # Panics
    /// When the plan has several inputs.
    pub fn input_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.inputs.len(), 1, "the plan has several inputs");
        self.input_mut_at(0)
    }

    /// Input number `index`, in the order of the network's input layers.
    pub fn input_mut_at(&mut self, index: usize) -> &mut [f32] {
        let slot = &self.inputs[index];
        &mut self.buffers[slot.buffer][..self.batch * slot.len]
    }

    /// Output `index` after a pass: (batch, ...).
    pub fn output(&self, index: usize) -> &[f32] {
        let slot = &self.outputs[index];
        &self.buffers[slot.buffer][..self.batch * slot.len]
    }

    /// The shape of output `index`, without the batch axis.
    pub fn output_shape(&self, index: usize) -> &Shape {
        &self.outputs[index].shape
    }

    /// The gradient of value `index` of [`PlanBuilder::grad_output_at`](super::PlanBuilder::grad_output_at), to be filled
    /// between the passes: (batch, ...).
    pub fn grad_output_mut(&mut self, index: usize) -> &mut [f32] {
        let slot = &self.grad_outputs[index];
        &mut self.buffers[slot.buffer][..self.batch * slot.len]
    }

    /// Sets linear gradient number `index`: at each pixel the gradient of channel `j` is
    /// `sum over channels i of value[i] matrix[i][j] + shift[j]`; zero until set. An empty `shift` means zero.
    ///
    /// # Panics
    /// When the length of `matrix` is not the square of the value's channels, or that of `shift` is not their number.
    pub fn set_linear_gradient(&mut self, index: usize, matrix: &[f32], shift: &[f32]) {
        self.linear_gradients[index].map.set(matrix, shift);
    }

    /// An output and a provided gradient together: what a loss reads and writes.
    ///
    /// # Panics
    /// When the plan keeps both in one buffer, which it never does.
    pub fn output_and_grad_mut(&mut self, output: usize, grad_output: usize) -> (&[f32], &mut [f32]) {
        let (output, grad) = (&self.outputs[output], &self.grad_outputs[grad_output]);
        let [value, gradient] = self
            .buffers
            .get_disjoint_mut([output.buffer, grad.buffer])
            .expect("a value and its gradient lie in different buffers");
        (&value[..self.batch * output.len], &mut gradient[..self.batch * grad.len])
    }

    /// The gradient of the network's single (or first) input after a backward pass, if requested.
    pub fn input_gradient(&self) -> Option<&[f32]> {
        self.input_gradient_at(0)
    }

    /// The gradient of input `index` after a backward pass, if requested and if any provided gradient reaches it.
    pub fn input_gradient_at(&self, index: usize) -> Option<&[f32]> {
        let slot = self.input_gradients.get(index)?.as_ref()?;
        Some(&self.buffers[slot.buffer][..self.batch * slot.len])
    }

    /// Requested gradient `index` after a backward pass: (batch, ...), if any provided gradient reaches it.
    pub fn gradient(&self, index: usize) -> Option<&[f32]> {
        let slot = self.gradients.get(index)?.as_ref()?;
        Some(&self.buffers[slot.buffer][..self.batch * slot.len])
    }

    /// The gradients of the weights after a backward pass: one per weight of the network, empty if not requested.
    pub fn weight_gradients(&self) -> &[Vec<f32>] {
        &self.weight_gradients
    }

    /// The same gradients, mutable, for changes before the optimizer step.
    pub fn weight_gradients_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.weight_gradients
    }

    /// Computes the outputs from the inputs.
    ///
    /// # Errors
    /// [`Error::Argument`] when the plan was made for another network, or for training.
    pub fn forward(&mut self, network: &Network) -> Result<()> {
        if self.training {
            return Err(Error::argument("a plan for training needs a seed for each step: call forward_training"));
        }
        self.pass(network, None, None)
    }

    /// Computes the outputs from the inputs in training mode: dropout is active, batch normalization uses batch statistics
    /// and updates the moving statistics in `network`.
    ///
    /// # Errors
    /// [`Error::Argument`] when the plan was made for another network, or not for training.
    pub fn forward_training(&mut self, network: &mut Network, seed: StepSeed) -> Result<()> {
        self.forward_shared(network, seed, None)
    }

    /// As [`forward_training`](Self::forward_training), for a process whose batch is a part of the group's: batch
    /// normalization uses the whole batch.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_shared(&mut self, network: &mut Network, seed: StepSeed, shard: Option<Shard<'_>>) -> Result<()> {
        if !self.training {
            return Err(Error::argument("the plan was not made for training"));
        }
        self.pass(network, Some(seed), shard)?;
        for step in &mut self.steps {
            if !step.weights.is_empty() {
                step.op.update_statistics(&mut network.weights_mut()[step.weights.clone()]);
            }
        }
        Ok(())
    }

    fn pass(&mut self, network: &Network, seed: Option<StepSeed>, shard: Option<Shard<'_>>) -> Result<()> {
        if network.weights().len() != self.weight_gradients.len() {
            return Err(Error::argument(format!("the plan was made for another network than {}", network.name())));
        }
        for section in 0..self.sections.len() {
            let Section { steps, samples } = self.sections[section].clone();
            for first in (0..self.batch).step_by(samples) {
                let samples = Samples { first, count: samples.min(self.batch - first) };
                for step in steps.clone() {
                    self.step_forward(step, network, samples, (seed, shard));
                }
            }
        }
        Ok(())
    }

    /// Runs the forward pass of a step for some samples.
    fn step_forward(
        &mut self,
        index: usize,
        network: &Network,
        samples: Samples,
        (seed, shard): (Option<StepSeed>, Option<Shard<'_>>),
    ) {
        let step = &mut self.steps[index];
        let weights = &network.weights()[step.weights.clone()];
        if weights.iter().map(|weight| weight.version()).ne(step.versions.iter().copied()) {
            step.versions.clear();
            step.versions.extend(weights.iter().map(|weight| weight.version()));
            timed(self.timed, &mut step.times.pack, || step.op.set_weights(weights));
        }
        // The output is taken out while the others are borrowed; moving a buffer moves only a pointer.
        let mut output = std::mem::take(&mut self.buffers[step.output.buffer]);
        let inputs = Inputs { buffers: &self.buffers, slots: &step.inputs, samples };
        let seed = seed.map(|step_seed| LayerSeed { step: step_seed, layer: step.node });
        let pass = Forward { batch: samples.count, inputs, weights, seed, shard };
        let to = &mut output[step.output.range(samples)];
        timed_part(self.timed, samples.first == 0, &mut step.times.forward, || step.op.forward(&pass, to));
        self.buffers[step.output.buffer] = output;
    }
}

impl Plan {
    /// Propagates the provided gradients back to the weights and inputs whose gradients are requested.
    ///
    /// It must follow a forward pass: it reads the values of that pass, and overwrites some.
    pub fn backward(&mut self, network: &Network) {
        self.backward_shared(network, None, &mut |_, _| ());
    }

    /// As [`backward`](Self::backward), for a process of a group. `ready` is called with the weights of each layer as soon
    /// as their gradients are complete, and with all gradients.
    pub(crate) fn backward_shared(
        &mut self,
        network: &Network,
        shard: Option<Shard<'_>>,
        ready: &mut OnGradientsReady<'_>,
    ) {
        self.write_linear_gradients();
        for index in (0..self.steps.len()).rev() {
            self.back_through_activation(index);
            if self.gives_weight_gradients(index) {
                self.back_to_weights(index, network.weights(), shard);
                if !self.shared_gradients(index).is_some_and(|shared| shared.unfinished) {
                    ready(self.steps[index].weights.clone(), &mut self.weight_gradients);
                }
            }
            self.back_to_inputs(index, network.weights(), shard);
        }
    }

    /// [`backward`](Self::backward) followed by an optimizer step, with a learning rate per weight, by its index.
    ///
    /// Large dense layers are updated while their gradient is computed, block by block, so that it is never stored as a
    /// whole: [`weight_gradients`](Self::weight_gradients) does not contain it. If you need it, to clip it for instance,
    /// call [`backward`](Self::backward) and [`OptimizerState::apply_at`] instead, which perform the same step.
    ///
    /// # Panics
    /// When the state was made for another network.
    pub fn backward_and_apply(
        &mut self,
        network: &mut Network,
        optimizer: &mut OptimizerState,
        rate: impl Fn(usize) -> f64,
    ) {
        optimizer.begin(network);
        self.write_linear_gradients();
        let mut changed = vec![false; network.weights().len()];
        for index in (0..self.steps.len()).rev() {
            self.back_through_activation(index);
            let gives = self.gives_weight_gradients(index);
            let Some(weight) = self.updated_weight(index).filter(|_| gives) else {
                if gives {
                    self.back_to_weights(index, network.weights(), None);
                }
                self.back_to_inputs(index, network.weights(), None);
                continue;
            };
            // The gradient of the inputs uses the weights before the update.
            self.back_to_inputs(index, network.weights(), None);
            self.back_to_update(index, &mut network.weights_mut()[weight], optimizer, (weight, rate(weight)));
            changed[weight] = true;
        }
        optimizer.apply_to(self.cpu, network, &self.weight_gradients, rate, |weight| !changed[weight]);
    }

    fn write_linear_gradients(&mut self) {
        for linear in &self.linear_gradients {
            let Some(gradient) = linear.gradient else { continue };
            let len = self.batch * linear.value.len;
            let [value, gradient] = self
                .buffers
                .get_disjoint_mut([linear.value.buffer, gradient])
                .expect("a value and its gradient lie in different buffers");
            linear.map.run(&value[..len], &mut gradient[..len], linear.accumulate);
        }
    }

    /// Propagates the gradient of a step's output through the step's ReLU or other activation.
    fn back_through_activation(&mut self, index: usize) {
        let step = &mut self.steps[index];
        let Some((back, activation)) = step.backward.as_ref().and_then(|back| Some((back, back.activation?))) else {
            return;
        };
        let (batch, StepSlot { buffer: output, len, .. }) = (self.batch, step.output);
        let mut gradient = std::mem::take(&mut self.buffers[back.gradient]);
        let values = self.buffers[output].get(..batch * len).unwrap_or_default();
        let own = &mut gradient[..batch * len];
        timed(self.timed, &mut step.times.activation_backward, || match activation {
            ActivationBackward::Rectifier(BackwardRule::Gradient) => {
                pointwise_backward(self.cpu, Pointwise::Relu, values, own);
            }
            other => other.apply(values, own),
        });
        self.buffers[back.gradient] = gradient;
    }

    fn gives_weight_gradients(&self, index: usize) -> bool {
        self.steps[index].backward.as_ref().is_some_and(|back| back.weights)
    }

    /// The weight of the network that a step can update itself, if its gradient is requested.
    fn updated_weight(&self, index: usize) -> Option<usize> {
        let step = &self.steps[index];
        let weight = step.weights.start + step.op.updates()?;
        (self.shared_gradients(index).is_none() && !self.weight_gradients[weight].is_empty()).then_some(weight)
    }

    fn back_to_weights(&mut self, index: usize, weights: &[Weight], shard: Option<Shard<'_>>) {
        let Self { steps, buffers, weight_gradients, batch, timed: is_timed, .. } = self;
        let step = &mut steps[index];
        let Some(back) = &step.backward else { return };
        let weights = &weights[step.weights.clone()];
        let pass = pass(buffers, (&step.inputs, step.output, back.gradient), *batch, weights, shard);
        let gradients = &mut weight_gradients[step.weights.clone()];
        let sums = step.backward.as_mut().and_then(|back| back.shared.as_mut()).map(|shared| &mut shared.sums);
        timed(*is_timed, &mut step.times.backward_weights, || {
            let sums = sums.map_or(&mut [][..], |sums| sums);
            // An operation overwrites the gradients.
            gradients.iter_mut().zip(&mut *sums).for_each(|(gradient, sum)| std::mem::swap(gradient, sum));
            step.op.backward_weights(&pass, gradients);
            for (gradient, sum) in gradients.iter_mut().zip(sums) {
                gradient.iter_mut().zip(sum).for_each(|(gradient, sum)| *gradient += *sum);
            }
        });
    }

    fn shared_gradients(&self, index: usize) -> Option<&SharedGradients> {
        self.steps[index].backward.as_ref()?.shared.as_ref()
    }

    /// As above, with the optimizer step on one of the weights.
    fn back_to_update(
        &mut self,
        index: usize,
        weight: &mut Weight,
        optimizer: &mut OptimizerState,
        (number, rate): (usize, f64),
    ) {
        let Self { steps, buffers, weight_gradients, batch, timed: is_timed, .. } = self;
        let step = &mut steps[index];
        let Some(back) = &step.backward else { return };
        let pass = pass(buffers, (&step.inputs, step.output, back.gradient), *batch, &[], None);
        let gradients = &mut weight_gradients[step.weights.clone()];
        let update = optimizer.update(number, rate);
        timed(*is_timed, &mut step.times.backward_weights, || {
            step.op.backward_update(&pass, weight.values_mut(), update, gradients);
        });
    }

    fn back_to_inputs(&mut self, index: usize, weights: &[Weight], shard: Option<Shard<'_>>) {
        let step = &mut self.steps[index];
        let Some(back) = &step.backward else { return };
        let weights = &weights[step.weights.clone()];
        for target in &back.inputs {
            let mut grad_input = std::mem::take(&mut self.buffers[target.gradient]);
            let linear_gradient = target.linear_gradient.map(|index| &self.linear_gradients[index].map);
            let slots = (&step.inputs[..], step.output, back.gradient);
            let pass = Backward { linear_gradient, ..pass(&self.buffers, slots, self.batch, weights, shard) };
            let to = &mut grad_input[..self.batch * step.inputs[target.index].len];
            timed(self.timed, &mut step.times.backward_input, || {
                step.op.backward_input(&pass, target.index, to, target.accumulate);
            });
            self.buffers[target.gradient] = grad_input;
        }
    }
}

/// The arguments of a step's backward pass: the slots of its inputs and of its output, and the buffer of the gradient.
fn pass<'a>(
    buffers: &'a [Buffer],
    (inputs, StepSlot { buffer: output, len, .. }, gradient): (&'a [StepSlot], StepSlot, usize),
    batch: usize,
    weights: &'a [Weight],
    shard: Option<Shard<'a>>,
) -> Backward<'a> {
    let inputs = Inputs { buffers, slots: inputs, samples: Samples { first: 0, count: batch } };
    let output = buffers[output].get(..batch * len).unwrap_or_default();
    Backward {
        batch,
        inputs,
        weights,
        output,
        grad_output: &buffers[gradient][..batch * len],
        linear_gradient: None,
        shard,
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = self.memory() as f64 / f64::from(1 << 20);
        write!(
            f,
            "Plan({} steps, batch {}, {} buffers, {mib:.1} MiB)",
            self.steps.len(),
            self.capacity,
            self.buffers.len()
        )
    }
}
