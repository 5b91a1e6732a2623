//! The pass backward.

use std::ops::Range;

use lucida_kernels::ops::{Pointwise, pointwise_backward};

use super::profile::timed;
use super::rule::Gate;
use super::{BackwardRule, Plan, Share};
use crate::nn::Network;
use crate::nn::layers::{Backward, Inputs};

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
        for seed in &self.linear_seeds {
            let Some(gradient) = seed.gradient else { continue };
            let len = self.batch * seed.value.len;
            let [value, gradient] = self
                .buffers
                .get_disjoint_mut([seed.value.buffer, gradient])
                .expect("a value and its gradient lie in different buffers");
            seed.map.run(&value[..len], &mut gradient[..len], seed.accumulate);
        }
        for step in self.steps.iter_mut().rev() {
            let Some(back) = &step.back else { continue };
            let (batch, (output, len)) = (self.batch, step.output);
            if let Some(gate) = back.gate {
                let mut gradient = std::mem::take(&mut self.buffers[back.gradient]);
                let values = self.buffers[output].get(..batch * len).unwrap_or_default();
                let own = &mut gradient[..batch * len];
                timed(self.timed, &mut step.times.gate, || match gate {
                    Gate::Rectifier(BackwardRule::Gradient) => {
                        pointwise_backward(self.cpu, Pointwise::Relu, values, own);
                    }
                    gate => gate.apply(values, own),
                });
                self.buffers[back.gradient] = gradient;
            }
            let weights = &network.weights()[step.weights.clone()];
            if back.weights {
                let inputs = Inputs { buffers: &self.buffers, places: &step.inputs, batch };
                let (output, grad_output) = (&self.buffers[output], &self.buffers[back.gradient][..batch * len]);
                let output = output.get(..batch * len).unwrap_or_default();
                let pass = Backward { batch, inputs, weights, output, grad_output, added: None, share };
                let gradients = &mut self.weight_gradients[step.weights.clone()];
                timed(self.timed, &mut step.times.backward_weights, || {
                    step.operation.backward_weights(&pass, gradients);
                });
                ready(step.weights.clone(), &mut self.weight_gradients);
            }
            for target in &back.inputs {
                let mut grad_input = std::mem::take(&mut self.buffers[target.gradient]);
                let inputs = Inputs { buffers: &self.buffers, places: &step.inputs, batch };
                let (output, grad_output) = (&self.buffers[output], &self.buffers[back.gradient][..batch * len]);
                let output = output.get(..batch * len).unwrap_or_default();
                let added = target.linear_seed.map(|index| &self.linear_seeds[index].map);
                let pass = Backward { batch, inputs, weights, output, grad_output, added, share };
                let to = &mut grad_input[..batch * step.inputs[target.index].1];
                timed(self.timed, &mut step.times.backward_input, || {
                    step.operation.backward_input(&pass, target.index, to, target.accumulate);
                });
                self.buffers[target.gradient] = grad_input;
            }
        }
    }
}
