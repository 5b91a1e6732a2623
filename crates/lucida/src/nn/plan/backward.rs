//! The pass backward.

use std::ops::Range;

use lucida_kernels::Buffer;
use lucida_kernels::ops::{Pointwise, pointwise_backward};

use super::profile::timed;
use super::rule::Gate;
use super::{BackwardRule, Plan, Share};
use crate::nn::layers::{Backward, Inputs};
use crate::nn::{Network, OptimizerState, Weight};

/// Is told for which weights the gradients are there, and gets all gradients; those it may take away, and leave others as long.
pub(crate) type Ready<'a> = dyn FnMut(Range<usize>, &mut [Vec<f32>]) + 'a;

impl Plan {
    /// Follows the gradients that were put in at the seeds back to the weights and inputs whose gradients are wanted.
    ///
    /// It belongs to the forward pass before it: the values of that pass are read, and some are overwritten.
    pub fn backward(&mut self, network: &Network) {
        self.backward_shared(network, None, &mut |_, _| ());
    }

    /// The same for a member of a team. `ready` is told of the weights of each layer, as soon as their gradients are
    /// there; it gets all gradients.
    pub(crate) fn backward_shared(&mut self, network: &Network, share: Option<Share<'_>>, ready: &mut Ready<'_>) {
        self.back_from_linear_seeds();
        for index in (0..self.steps.len()).rev() {
            self.back_through_gate(index);
            if self.gives_weight_gradients(index) {
                self.back_to_weights(index, network.weights(), share);
                ready(self.steps[index].weights.clone(), &mut self.weight_gradients);
            }
            self.back_to_inputs(index, network.weights(), share);
        }
    }

    /// [`backward`](Self::backward), and a step of the optimizer, with a learning rate for each weight by its number.
    ///
    /// Large dense layers are changed as soon as their gradient is there, block by block, so that it is never whole:
    /// [`weight_gradients`](Self::weight_gradients) does not have it. Whoever needs it, to clip it for instance, calls
    /// [`backward`](Self::backward) and [`OptimizerState::apply_at`] instead, which make the same step.
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
        self.back_from_linear_seeds();
        let mut changed = vec![false; network.weights().len()];
        for index in (0..self.steps.len()).rev() {
            self.back_through_gate(index);
            let gives = self.gives_weight_gradients(index);
            let Some(weight) = self.updated_weight(index).filter(|_| gives) else {
                if gives {
                    self.back_to_weights(index, network.weights(), None);
                }
                self.back_to_inputs(index, network.weights(), None);
                continue;
            };
            // The way back to the inputs goes through the weights as they were.
            self.back_to_inputs(index, network.weights(), None);
            self.back_to_update(index, &mut network.weights_mut()[weight], optimizer, (weight, rate(weight)));
            changed[weight] = true;
        }
        optimizer.apply_to(self.cpu, network, &self.weight_gradients, rate, |weight| !changed[weight]);
    }

    fn back_from_linear_seeds(&mut self) {
        for seed in &self.linear_seeds {
            let Some(gradient) = seed.gradient else { continue };
            let len = self.batch * seed.value.len;
            let [value, gradient] = self
                .buffers
                .get_disjoint_mut([seed.value.buffer, gradient])
                .expect("a value and its gradient lie in different buffers");
            seed.map.run(&value[..len], &mut gradient[..len], seed.accumulate);
        }
    }

    /// The gradient of a step's output through what belongs to it: a ReLU, another activation.
    fn back_through_gate(&mut self, index: usize) {
        let step = &mut self.steps[index];
        let Some((back, gate)) = step.back.as_ref().and_then(|back| Some((back, back.gate?))) else { return };
        let (batch, (output, len)) = (self.batch, step.output);
        let mut gradient = std::mem::take(&mut self.buffers[back.gradient]);
        let values = self.buffers[output].get(..batch * len).unwrap_or_default();
        let own = &mut gradient[..batch * len];
        timed(self.timed, &mut step.times.gate, || match gate {
            Gate::Rectifier(BackwardRule::Gradient) => pointwise_backward(self.cpu, Pointwise::Relu, values, own),
            gate => gate.apply(values, own),
        });
        self.buffers[back.gradient] = gradient;
    }

    fn gives_weight_gradients(&self, index: usize) -> bool {
        self.steps[index].back.as_ref().is_some_and(|back| back.weights)
    }

    /// The weight of the network on which a step can make the optimizer's step itself, if its gradient is wanted.
    fn updated_weight(&self, index: usize) -> Option<usize> {
        let step = &self.steps[index];
        let weight = step.weights.start + step.operation.updates()?;
        (!self.weight_gradients[weight].is_empty()).then_some(weight)
    }

    fn back_to_weights(&mut self, index: usize, weights: &[Weight], share: Option<Share<'_>>) {
        let Self { steps, buffers, weight_gradients, batch, timed: is_timed, .. } = self;
        let step = &mut steps[index];
        let Some(back) = &step.back else { return };
        let weights = &weights[step.weights.clone()];
        let pass = pass(buffers, (&step.inputs, step.output, back.gradient), *batch, weights, share);
        let gradients = &mut weight_gradients[step.weights.clone()];
        timed(*is_timed, &mut step.times.backward_weights, || step.operation.backward_weights(&pass, gradients));
    }

    /// The same, and the optimizer's step on one of the weights.
    fn back_to_update(
        &mut self,
        index: usize,
        weight: &mut Weight,
        optimizer: &mut OptimizerState,
        (number, rate): (usize, f64),
    ) {
        let Self { steps, buffers, weight_gradients, batch, timed: is_timed, .. } = self;
        let step = &mut steps[index];
        let Some(back) = &step.back else { return };
        let pass = pass(buffers, (&step.inputs, step.output, back.gradient), *batch, &[], None);
        let gradients = &mut weight_gradients[step.weights.clone()];
        let update = optimizer.update(number, rate);
        timed(*is_timed, &mut step.times.backward_weights, || {
            step.operation.backward_update(&pass, weight.values_mut(), update, gradients);
        });
    }

    fn back_to_inputs(&mut self, index: usize, weights: &[Weight], share: Option<Share<'_>>) {
        let step = &mut self.steps[index];
        let Some(back) = &step.back else { return };
        let weights = &weights[step.weights.clone()];
        for target in &back.inputs {
            let mut grad_input = std::mem::take(&mut self.buffers[target.gradient]);
            let added = target.linear_seed.map(|index| &self.linear_seeds[index].map);
            let places = (&step.inputs[..], step.output, back.gradient);
            let pass = Backward { added, ..pass(&self.buffers, places, self.batch, weights, share) };
            let to = &mut grad_input[..self.batch * step.inputs[target.index].1];
            timed(self.timed, &mut step.times.backward_input, || {
                step.operation.backward_input(&pass, target.index, to, target.accumulate);
            });
            self.buffers[target.gradient] = grad_input;
        }
    }
}

/// What a step's pass backward gets: `places` are those of its inputs, of its output, and the gradient's buffer.
fn pass<'a>(
    buffers: &'a [Buffer],
    (inputs, (output, len), gradient): (&'a [(usize, usize)], (usize, usize), usize),
    batch: usize,
    weights: &'a [Weight],
    share: Option<Share<'a>>,
) -> Backward<'a> {
    let inputs = Inputs { buffers, places: inputs, batch };
    let output = buffers[output].get(..batch * len).unwrap_or_default();
    Backward { batch, inputs, weights, output, grad_output: &buffers[gradient][..batch * len], added: None, share }
}
