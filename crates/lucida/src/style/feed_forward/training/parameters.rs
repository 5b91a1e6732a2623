//! The weights of all styles, and how they follow their gradients.
//!
//! A step trains the weights that all styles share, and the factors and shifts of one style. Adam keeps moments for each style
//! by itself: in the steps of the others a style has no gradient, rather than one of zero.

use crate::nn::{Network, Optimizer, OptimizerState};
use crate::style::FeedForwardStyle;
use crate::{Cpu, Result};

/// The state of training but for the numbers that tell how it went.
pub(super) struct Parameters {
    /// The network, with the factors and shifts of style number `current`.
    pub(super) network: Network,
    pub(super) style: FeedForwardStyle,
    current: usize,
    pub(super) shared: OptimizerState,
    /// For each style.
    pub(super) own: Vec<OptimizerState>,
    /// The gradients of the factors and shifts, and none for all other weights, while the shared ones are changed.
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

    /// Makes the network one of this style.
    pub(super) fn choose(&mut self, style: usize) {
        self.keep();
        self.take(style);
    }

    /// Begins with the first style, after all were read from a file.
    pub(super) fn restart(&mut self) {
        self.take(0);
    }

    fn take(&mut self, style: usize) {
        self.current = style;
        for (index, &weight) in self.style.conditional.iter().enumerate() {
            self.network.weights_mut()[weight].values_mut().copy_from_slice(&self.style.sets[style][index]);
        }
    }

    /// Changes the weights by a step.
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

    /// Takes what the network has learned over into the styles.
    pub(super) fn keep(&mut self) {
        for (index, &weight) in self.style.conditional.iter().enumerate() {
            self.style.sets[self.current][index].copy_from_slice(self.network.weights()[weight].values());
        }
    }

    /// The styles as they are now.
    pub(super) fn style(&mut self) -> &FeedForwardStyle {
        self.keep();
        // Clones share their values until they change.
        self.style.model.network = self.network.clone();
        &self.style
    }
}
