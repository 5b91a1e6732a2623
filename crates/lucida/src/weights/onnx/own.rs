//! Files written by Lucida, which are read back exactly.

use std::collections::HashMap;

use super::export::{export, open_size, shaped_weights, weight_dims};
use super::import::drafts::conv_kernel;
use super::proto::GraphProto;
use super::tensor::{Constant, short};
use crate::nn::Network;

/// Whether a graph has the nodes that this network would be written with.
pub(super) fn matches(graph: &GraphProto, network: &Network) -> bool {
    let same = |own: &GraphProto| own.input == graph.input && own.output == graph.output;
    export(network).is_ok_and(|mut own| {
        own.graph.node == graph.node && (same(&own.graph) || (open_size(&mut own, network).is_ok() && same(&own.graph)))
    })
}

/// Reads all weights.
///
/// # Errors
/// What is missing or of another shape; the network is then unchanged.
pub(super) fn fill(network: &mut Network, constants: &HashMap<String, Constant>) -> Result<(), String> {
    let mut sources = Vec::new();
    for (weight, shape) in shaped_weights(network) {
        let name = short(weight.name());
        let source = constants.get(weight.name()).ok_or_else(|| format!("tensor {name:?} is missing"))?;
        let dims = weight_dims(&shape);
        if source.check_floats()?.dims != dims {
            return Err(format!("tensor {name:?} has shape {:?}, not {dims:?}", source.dims));
        }
        sources.push((source, dims.len() == 4));
    }
    for (weight, (source, is_kernel)) in network.weights_mut().iter_mut().zip(sources) {
        if is_kernel {
            conv_kernel(source, weight.values_mut());
        } else {
            weight.values_mut().iter_mut().enumerate().for_each(|(index, value)| *value = source.float(index));
        }
    }
    Ok(())
}
