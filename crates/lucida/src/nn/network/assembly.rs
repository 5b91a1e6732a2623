//! Queries by importers on a network that is being built.

use super::{Network, NetworkBuilder, Node};
use crate::Result;
use crate::nn::Shape;

impl Network {
    /// The first call of a shared layer; the layer itself if it is not shared.
    pub(crate) fn first_call(&self, node: usize) -> usize {
        let Some(owner) = self.nodes[node].weights_of() else { return node };
        let is_call = |other: &Node| other.name == owner || other.weights_of() == Some(owner);
        self.nodes.iter().position(is_call).unwrap_or(node)
    }
}

impl NetworkBuilder {
    /// The layer with this index.
    ///
    /// # Panics
    /// When it does not exist.
    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Whether a layer has this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Number of weights of the layers so far, saturating.
    pub(crate) fn parameters(&self) -> u64 {
        self.nodes.iter().map(|node| self.parameters_of(node)).fold(0, u64::saturating_add)
    }

    /// Whether a layer has weights.
    pub(crate) fn has_weights(&self, node: usize) -> bool {
        self.parameters_of(&self.nodes[node]) > 0
    }

    fn parameters_of(&self, node: &Node) -> u64 {
        let inputs: Vec<Shape> = node.inputs.iter().map(|&input| self.nodes[input].shape.clone()).collect();
        let specs = node.layer.spec().weights(&inputs).into_iter();
        let sizes = specs.map(|spec| spec.shape.iter().fold(1_u64, |len, &size| len.saturating_mul(size as u64)));
        sizes.fold(0, u64::saturating_add)
    }

    /// Builds the network with zero weights, to be read from a file. Memory that is never written to costs nothing.
    ///
    /// # Errors
    /// As [`NetworkBuilder::build`].
    pub(crate) fn build_zeroed(self, outputs: &[usize]) -> Result<Network> {
        self.finish(outputs)
    }
}
