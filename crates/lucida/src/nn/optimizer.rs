//! Optimizers: how gradients update weights.

use lucida_kernels::ops::{AdamStep, RmspropStep, SgdStep, Update};
use lucida_kernels::{Buffer, Cpu};
use serde::{Deserialize, Serialize};

use super::Network;
use crate::Result;

/// An optimizer and its hyperparameters; the defaults are Keras's. The learning rate comes from a [`Schedule`].
///
/// [`Schedule`]: super::Schedule
///
/// ```
/// use lucida::prelude::*;
///
/// let config = TrainConfig { optimizer: Optimizer::adam().with_weight_decay(0.01), ..TrainConfig::default() };
/// assert!(matches!(config.optimizer, Optimizer::AdamW { weight_decay: 0.01, .. }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum Optimizer {
    /// Gradient descent, with momentum if it is not zero: `v = momentum v - rate g; w += v`, or with Nesterov momentum
    /// `w += momentum v - rate g`.
    Sgd {
        /// Momentum: the decay of the velocity.
        momentum: f32,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
    /// `v = rho v + (1 - rho) g^2; w -= rate g / sqrt(v + epsilon)` (Tieleman and Hinton, 2012).
    Rmsprop {
        /// Decay of the mean square.
        rho: f32,
        /// Added under the square root.
        epsilon: f32,
    },
    /// Adam (Kingma and Ba, 2015), in the form of their section 2: bias correction is part of the rate, and epsilon is
    /// added to the uncorrected square root.
    Adam {
        /// Decay of the first moment.
        beta_1: f32,
        /// Decay of the second moment.
        beta_2: f32,
        /// Added to the square root.
        epsilon: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    AdamW {
        /// Decay of the first moment.
        beta_1: f32,
        /// Decay of the second moment.
        beta_2: f32,
        /// Added to the square root.
        epsilon: f32,
        /// The weight decay: each step subtracts this times the learning rate times the weight.
        weight_decay: f32,
    },
}

impl Optimizer {
    /// Plain gradient descent, without momentum.
    pub fn sgd() -> Self {
        Self::Sgd { momentum: 0.0, nesterov: false }
    }

    /// RMSprop with Keras's defaults.
    pub fn rmsprop() -> Self {
        Self::Rmsprop { rho: 0.9, epsilon: 1e-7 }
    }

    /// Adam with Keras's defaults.
    pub fn adam() -> Self {
        Self::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }

    /// AdamW with Keras's defaults.
    pub fn adam_w() -> Self {
        Self::AdamW { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: 0.004 }
    }

    /// Adam or AdamW with this weight decay; other optimizers are unchanged.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: f32) -> Self {
        match self {
            Self::Adam { beta_1, beta_2, epsilon } | Self::AdamW { beta_1, beta_2, epsilon, .. } => {
                Self::AdamW { beta_1, beta_2, epsilon, weight_decay }
            }
            other => other,
        }
    }

    /// Number of state tensors per weight.
    fn slots(&self) -> usize {
        match self {
            Self::Sgd { momentum, .. } => usize::from(*momentum != 0.0),
            Self::Rmsprop { .. } => 1,
            Self::Adam { .. } | Self::AdamW { .. } => 2,
        }
    }
}

/// The state of an optimizer for one network: its hyperparameters, the step count, and the moments of each weight.
///
/// ```
/// use lucida::nn::OptimizerState;
/// use lucida::prelude::*;
///
/// let mut network = Sequential::new("scale", [1]).add(Dense::new(1).without_bias()).build(42)?;
/// let before = network.weights()[0].values()[0];
/// let mut state = OptimizerState::new(Optimizer::sgd(), &network);
/// state.apply(Cpu::detect(), &mut network, &[vec![2.0]], 0.1);
/// assert!((network.weights()[0].values()[0] - (before - 0.1 * 2.0)).abs() < 1e-6);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OptimizerState {
    optimizer: Optimizer,
    steps: u64,
    /// For each weight of the network: its state tensors, if it is trainable.
    slots: Vec<Vec<Buffer>>,
}

impl OptimizerState {
    /// A fresh state for the trainable weights of a network.
    pub fn new(optimizer: Optimizer, network: &Network) -> Self {
        let slots = network.weights().iter().map(|weight| {
            let count = if weight.trainable() { optimizer.slots() } else { 0 };
            (0..count).map(|_| Buffer::zeroed(weight.values().len())).collect()
        });
        Self { optimizer, steps: 0, slots: slots.collect() }
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments of each weight, for storing.
    pub(crate) fn slots(&self) -> &[Vec<Buffer>] {
        &self.slots
    }

    /// Restores a stored state: the step count, and the moments of each weight through `fill`.
    pub(crate) fn restore(
        &mut self,
        steps: u64,
        mut fill: impl FnMut(usize, usize, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        self.steps = steps;
        for (weight, slots) in self.slots.iter_mut().enumerate() {
            slots.iter_mut().enumerate().try_for_each(|(slot, values)| fill(weight, slot, values))?;
        }
        Ok(())
    }

    /// Restores the step count and the moments of another state, in order.
    pub(crate) fn restore_with(&mut self, steps: u64, fill: impl FnMut(&mut [f32])) {
        self.steps = steps;
        self.slots.iter_mut().flatten().map(|slot| &mut slot[..]).for_each(fill);
    }

    /// Updates the weights by one step. `gradients` has one entry per weight of the network, empty where there is none.
    ///
    /// # Panics
    /// When the state was made for another network.
    pub fn apply(&mut self, cpu: Cpu, network: &mut Network, gradients: &[Vec<f32>], rate: f64) {
        self.apply_at(cpu, network, gradients, |_| rate);
    }

    /// As [`apply`](Self::apply), with a learning rate per weight, by its index.
    ///
    /// # Panics
    /// When the state was made for another network.
    pub fn apply_at(&mut self, cpu: Cpu, network: &mut Network, gradients: &[Vec<f32>], rate: impl Fn(usize) -> f64) {
        self.begin(network);
        self.apply_to(cpu, network, gradients, rate, |_| true);
    }

    /// Starts a step on this network.
    ///
    /// # Panics
    /// When the state was made for another network.
    pub(super) fn begin(&mut self, network: &Network) {
        assert_eq!(self.slots.len(), network.weights().len(), "the optimizer was made for another network");
        self.steps += 1;
    }

    /// Updates the weights that `includes` selects, as a part of the step.
    pub(super) fn apply_to(
        &mut self,
        cpu: Cpu,
        network: &mut Network,
        gradients: &[Vec<f32>],
        rate: impl Fn(usize) -> f64,
        includes: impl Fn(usize) -> bool,
    ) {
        for (index, (weight, gradient)) in network.weights_mut().iter_mut().zip(gradients).enumerate() {
            if !gradient.is_empty() && weight.trainable() && includes(index) {
                self.update(index, rate(index)).apply(cpu, weight.values_mut(), gradient);
            }
        }
    }

    /// The update of weight `index` with this learning rate.
    pub(super) fn update(&mut self, index: usize, rate: f64) -> Update<'_> {
        let (slots, steps) = (&mut self.slots[index][..], self.steps);
        match (self.optimizer, slots) {
            (Optimizer::Sgd { momentum, nesterov }, slots) => {
                let step = SgdStep { rate: rate as f32, momentum, nesterov };
                Update::Sgd { step, velocity: slots.first_mut().map_or(&mut [], |slot| &mut slot[..]) }
            }
            (Optimizer::Rmsprop { rho, epsilon }, [mean_square]) => {
                Update::Rmsprop { step: RmspropStep { rate: rate as f32, rho, epsilon }, mean_square }
            }
            (Optimizer::Adam { beta_1, beta_2, epsilon }, [first, second]) => {
                Update::Adam { step: adam_step(rate, steps, beta_1, beta_2, epsilon, 0.0), first, second }
            }
            (Optimizer::AdamW { beta_1, beta_2, epsilon, weight_decay }, [first, second]) => {
                Update::Adam { step: adam_step(rate, steps, beta_1, beta_2, epsilon, weight_decay), first, second }
            }
            (optimizer, slots) => unreachable!("{optimizer:?} has {} slots", slots.len()),
        }
    }
}

fn adam_step(rate: f64, steps: u64, beta_1: f32, beta_2: f32, epsilon: f32, weight_decay: f32) -> AdamStep {
    let power = |beta: f32| f64::from(beta).powf(steps as f64);
    let corrected = rate * (1.0 - power(beta_2)).sqrt() / (1.0 - power(beta_1));
    let keep = 1.0 - rate * f64::from(weight_decay);
    AdamStep { rate: corrected as f32, beta_1, beta_2, epsilon, keep: keep as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::Dense;

    /// A single unit without bias: one weight, with given gradients.
    fn follow(optimizer: Optimizer, rate: f64, start: f32, gradients: &[f32]) -> f32 {
        let layers = [Dense::new(1).without_bias().into()];
        let mut network = Network::sequential("one", [1], layers, 0).unwrap();
        network.weights_mut()[0].values_mut()[0] = start;
        let mut state = OptimizerState::new(optimizer, &network);
        for &gradient in gradients {
            state.apply(Cpu::detect(), &mut network, &[vec![gradient]], rate);
        }
        network.weights()[0].values()[0]
    }

    const GRADIENTS: [f32; 4] = [0.5, -1.0, 2.0, 0.25];
    /// How Keras 3.15 updates a weight of 1 with these gradients: printed by `tests/keras/optimizers.py`.
    const EXPECTED: [f32; 6] = [0.825, 0.694_05, 0.549_645, 0.965_285_66, 0.985_416_65, 0.981_449_54];

    #[test]
    fn steps_are_those_of_keras() {
        let cases = [
            (Optimizer::sgd(), 0.1, EXPECTED[0]),
            (Optimizer::Sgd { momentum: 0.9, nesterov: false }, 0.1, EXPECTED[1]),
            (Optimizer::Sgd { momentum: 0.9, nesterov: true }, 0.1, EXPECTED[2]),
            (Optimizer::rmsprop(), 0.01, EXPECTED[3]),
            (Optimizer::adam(), 0.01, EXPECTED[4]),
            (Optimizer::AdamW { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: 0.1 }, 0.01, EXPECTED[5]),
        ];
        for (optimizer, rate, expected) in cases {
            let got = follow(optimizer, rate, 1.0, &GRADIENTS);
            assert!((got - expected).abs() < 2e-7 * 5.0, "{optimizer:?}: {got} instead of {expected}");
        }
    }
}
