//! The layouts of a graph's inputs and outputs, relative to the layers that they became.

use super::symbol::Symbol;
use crate::nn::Network;
use crate::weights::ArrayLayout;

/// An input of the graph.
pub(super) struct GraphInput {
    pub(super) name: String,
    pub(super) symbol: Symbol,
    /// Whether its first axis is the batch.
    pub(super) batched: bool,
}

impl GraphInput {
    /// The layout of the input; `place` is the index of its layer in the network, if it has one.
    pub(super) fn layout(&self, network: &Network, place: usize) -> ArrayLayout {
        let layout = of_symbol(self.name.clone(), &self.symbol, network, place);
        ArrayLayout { batched: self.batched, ..layout }
    }
}

/// The layout of a tensor of the graph that is the output of layer `place` of the network.
pub(super) fn of_symbol(name: String, symbol: &Symbol, network: &Network, place: usize) -> ArrayLayout {
    ArrayLayout {
        name,
        layer: network.nodes().get(place).map(|node| node.name().to_owned()),
        sizes: symbol.atoms.to_vec(),
        axes: symbol.axes.clone(),
        batched: true,
        quantization: None,
    }
}
