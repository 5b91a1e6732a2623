//! The order in which Keras lists the layers of a model, which is the order of the weights in its files.

use crate::nn::Network;

/// The indices of all nodes in the order of Keras's `model.layers`: by falling distance from the outputs, and among
/// layers of the same distance in the order in which a search from the outputs, depth first, meets them.
pub(super) fn keras_order(network: &Network) -> Vec<usize> {
    let nodes = network.nodes();
    let mut first_met = vec![usize::MAX; nodes.len()];
    let mut met = 0;
    for &output in network.outputs() {
        // The next input to look at, of each node on the way down.
        let mut way = vec![(output, 0)];
        while let Some(&mut (node, ref mut next)) = way.last_mut() {
            if *next == 0 && first_met[node] == usize::MAX {
                first_met[node] = met;
                met += 1;
            } else if *next == 0 {
                way.pop();
                continue;
            }
            match nodes[node].inputs().get(*next) {
                Some(&input) => {
                    *next += 1;
                    way.push((input, 0));
                }
                None => {
                    way.pop();
                }
            }
        }
    }
    let mut distance = vec![0_usize; nodes.len()];
    for node in (0..nodes.len()).rev() {
        for &input in nodes[node].inputs() {
            distance[input] = distance[input].max(distance[node] + 1);
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|&node| (std::cmp::Reverse(distance[node]), first_met[node], node));
    order
}
