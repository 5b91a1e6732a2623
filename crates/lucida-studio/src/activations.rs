//! The activations of a model for one image, kept between requests: the overview asks for them layer by layer.

use std::sync::PoisonError;

use lucida::nn::{Layer, Network, Plan};

use crate::graph::arrange;
use crate::models::Loaded;
use crate::problem::Result;
use crate::state::Studio;

/// Maximum number of output values of a plan (128 MiB) with more layers than a request asks for.
const VALUES: usize = 32 << 20;

/// A plan after its forward pass for an image.
pub(crate) struct Activations {
    plan: Plan,
    /// The node of each output of the plan.
    nodes: Vec<usize>,
    image: String,
    input: Vec<f32>,
}

impl Activations {
    /// Returns the output of a layer: one of those that were asked for, or an input layer.
    pub(crate) fn of(&self, node: usize) -> &[f32] {
        self.nodes.iter().position(|&other| other == node).map_or(&self.input, |output| self.plan.output(output))
    }
}

/// Calls `read` with the activations of the layers `asked` for an image. There is a forward pass only if the image is another
/// one than before, or a layer has not been asked for yet.
pub(crate) fn with_activations<T>(
    studio: &Studio,
    loaded: &Loaded,
    image: &str,
    asked: &[usize],
    read: impl FnOnce(&Activations) -> Result<T>,
) -> Result<T> {
    let network = &loaded.model.network;
    network.input_shape()?;
    let computed = |&node: &usize| !matches!(network.nodes()[node].layer(), Layer::Input(_));
    let asked: Vec<usize> = asked.iter().copied().filter(computed).collect();
    let mut kept = loaded.activations.lock().unwrap_or_else(PoisonError::into_inner);
    let held = |kept: &Activations| asked.iter().all(|node| kept.nodes.contains(node));
    if let Some(activations) = kept.as_ref()
        && activations.image == image
        && held(activations)
    {
        return read(activations);
    }
    let input = studio.input(loaded, image)?;
    // After an error, nothing must be left that belongs to another image.
    let (mut plan, nodes) = match kept.take().filter(held) {
        Some(Activations { plan, nodes, .. }) => (plan, nodes),
        None => {
            let nodes = outputs_for(network, &asked);
            let builder = Plan::builder(network).cpu(studio.cpu).exact(true);
            let builder = nodes.iter().fold(builder, |builder, &node| builder.output(network.nodes()[node].name()));
            (builder.build()?, nodes)
        }
    };
    plan.input_mut().copy_from_slice(&input);
    plan.forward(network)?;
    read(kept.insert(Activations { plan, nodes, image: image.to_owned(), input }))
}

/// Splits layers into groups whose outputs one plan can keep: more than one for very large networks only.
pub(crate) fn groups<'a>(network: &Network, nodes: &'a [usize]) -> Vec<&'a [usize]> {
    let (mut groups, mut start, mut values) = (Vec::new(), 0, 0);
    for (at, &node) in nodes.iter().enumerate() {
        if at > start && values + values_of(network, node) > VALUES {
            groups.push(&nodes[start..at]);
            (start, values) = (at, 0);
        }
        values += values_of(network, node);
    }
    groups.push(&nodes[start..]);
    groups
}

/// The number of values of a layer's output.
fn values_of(network: &Network, node: usize) -> usize {
    network.nodes()[node].shape().sizes().iter().product()
}

/// Returns the layers whose outputs a plan keeps: the last ones of all blocks, or all layers if one within a block is asked
/// for; only those asked for if these are too many values.
fn outputs_for(network: &Network, asked: &[usize]) -> Vec<usize> {
    let computed = |&node: &usize| !matches!(network.nodes()[node].layer(), Layer::Input(_));
    let lasts = arrange(network).0.iter().filter_map(|block| block.layers.last().copied()).filter(computed).collect();
    let all = (0..network.nodes().len()).filter(computed).collect();
    let fits = |nodes: &Vec<usize>| {
        let values: usize = nodes.iter().map(|&node| values_of(network, node)).sum();
        asked.iter().all(|node| nodes.contains(node)) && values <= VALUES
    };
    let fallback = if asked.is_empty() { vec![network.nodes().len() - 1] } else { asked.to_vec() };
    [lasts, all].into_iter().find(fits).unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::nn::applications::{self, Options};

    #[test]
    fn outputs_of_blocks_of_all_layers_or_of_what_was_asked_for() {
        let network = applications::mnist_cnn(1).unwrap();
        let of = |name: &str| network.find(name).unwrap();
        // Dropout is the last layer of the block of the dense layer.
        let blocks = outputs_for(&network, &[of("conv2d")]);
        assert!(blocks.contains(&of("dropout")) && !blocks.contains(&of("dense")));
        assert_eq!(outputs_for(&network, &[of("dense")]).len(), network.nodes().len() - 1);
        let large = applications::find("efficientnet-b7").unwrap().build(&Options::default()).unwrap();
        assert_eq!(outputs_for(&large, &[5]), [5]);
        let all: Vec<usize> = (0..large.nodes().len()).collect();
        let parts = groups(&large, &all);
        assert!(parts.len() > 1 && parts.concat() == all);
        let values = |part: &[usize]| part.iter().map(|&node| values_of(&large, node)).sum::<usize>();
        assert!(parts.iter().all(|part| values(part) <= VALUES));
        assert_eq!(groups(&network, &[1, 2]).len(), 1);
    }
}
