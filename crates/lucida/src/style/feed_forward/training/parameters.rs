//! Weights of all styles, and their optimizer states.
//!
//! A step trains the weights that all styles share, and the scales and shifts of one style. Each style has its own Adam
//! moments: in a step of another style its gradient is undefined, not zero.

use crate::nn::{Network, Optimizer, OptimizerState};
use crate::style::FeedForwardStyle;
use crate::{Cpu, Result};

/// Weights and optimizer states of a training.
pub(super) struct Parameters {
    /// The network, with the scales and shifts of style `current`.
    pub(super) network: Network,
    pub(super) style: FeedForwardStyle,
    current: usize,
    pub(super) shared: OptimizerState,
    /// One per style.
    pub(super) own: Vec<OptimizerState>,
    /// Holds the gradients of the scales and shifts while the shared weights are updated; empty for all other weights.
    aside: Vec<Vec<f32>>,
}

impl Parameters {
    pub(super) fn new(style: FeedForwardStyle, optimizer: Optimizer) -> Result<Self> {
        let network = style.model.network.clone();
        let mut only = [network.clone(), network.clone()];
        for (index, _) in network.weights().iter().enumerate() {
            let conditional = style.conditional.contains(&index);
            let node = network.nodes().iter().find(|node| node.own_weights().contains(&index));
            if let Some(node) = node {
                only[usize::from(!conditional)].set_trainable(node.name(), false)?;
            }
        }
        let own = vec![OptimizerState::new(optimizer, &only[1]); style.names.len()];
        let shared = OptimizerState::new(optimizer, &only[0]);
        let aside = vec![Vec::new(); network.weights().len()];
        Ok(Self { network, style, current: 0, shared, own, aside })
    }

    /// Switches the network to a style.
    pub(super) fn choose(&mut self, style: usize) {
        self.keep();
        self.take(style);
    }

    /// Switches to the first style, after all were read from a file.
    pub(super) fn restart(&mut self) {
        self.take(0);
    }

    fn take(&mut self, style: usize) {
        self.current = style;
        for (index, &weight) in self.style.conditional.iter().enumerate() {
            self.network.weights_mut()[weight].values_mut().copy_from_slice(&self.style.sets[style][index]);
        }
    }

    /// Applies an optimizer step.
    pub(super) fn apply(&mut self, cpu: Cpu, gradients: &mut [Vec<f32>], rate: f64) {
        let swap = |gradients: &mut [Vec<f32>], aside: &mut [Vec<f32>]| {
            for &weight in &self.style.conditional {
                std::mem::swap(&mut gradients[weight], &mut aside[weight]);
            }
        };
        swap(gradients, &mut self.aside);
        self.shared.apply(cpu, &mut self.network, gradients, rate);
        self.own[self.current].apply(cpu, &mut self.network, &self.aside, rate);
        swap(gradients, &mut self.aside);
    }

    /// Copies the scales and shifts of the network back to its current style.
    pub(super) fn keep(&mut self) {
        for (index, &weight) in self.style.conditional.iter().enumerate() {
            self.style.sets[self.current][index].copy_from_slice(self.network.weights()[weight].values());
        }
    }

    /// The current styles.
    pub(super) fn style(&mut self) -> &FeedForwardStyle {
        self.keep();
        // Cloning is cheap: weights are copied on write.
        self.style.model.network = self.network.clone();
        &self.style
    }
}
