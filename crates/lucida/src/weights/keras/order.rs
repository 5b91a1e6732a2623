//! The order of layers in a Keras model, which is the order of the weights in its files.

use crate::nn::Network;

/// The indices of all nodes in the order of Keras's `model.layers`: by decreasing distance from the outputs, and for equal
/// distances in the order of a depth-first search from the outputs. A shared layer is listed once, by its first call; its
/// call with the largest distance counts.
pub(super) fn keras_order(network: &Network) -> Vec<usize> {
    let nodes = network.nodes();
    let mut first_met = vec![usize::MAX; nodes.len()];
    let mut met = 0;
    for &output in network.outputs() {
        // A stack of nodes, each with the index of its next input.
        let mut stack = vec![(output, 0)];
        while let Some(&mut (node, ref mut next)) = stack.last_mut() {
            if *next == 0 && first_met[node] == usize::MAX {
                first_met[node] = met;
                met += 1;
            } else if *next == 0 {
                stack.pop();
                continue;
            }
            match nodes[node].inputs().get(*next) {
                Some(&input) => {
                    *next += 1;
                    stack.push((input, 0));
                }
                None => {
                    stack.pop();
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
    for node in (0..nodes.len()).rev() {
        let first = network.first_call(node);
        distance[first] = distance[first].max(distance[node]);
        first_met[first] = first_met[first].min(first_met[node]);
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&node| network.first_call(node) == node).collect();
    order.sort_by_key(|&node| (std::cmp::Reverse(distance[node]), first_met[node], node));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications::{self, Options};

    #[test]
    fn layers_are_in_the_order_of_keras() {
        // The result of `[layer.name for layer in keras.applications.InceptionV3(weights=None, include_top=False).layers]`
        // in Keras 3.15.
        const FIRST: &str = "conv2d batch_normalization activation conv2d_1 batch_normalization_1 activation_1 conv2d_2 batch_normalization_2 activation_2 max_pooling2d conv2d_3 batch_normalization_3 \
             activation_3 conv2d_4 batch_normalization_4 activation_4 max_pooling2d_1 conv2d_8 batch_normalization_8 activation_8 conv2d_6 \
             conv2d_9 batch_normalization_6 batch_normalization_9 activation_6 activation_9 average_pooling2d conv2d_5 conv2d_7 conv2d_10 conv2d_11";
        const LAST: &str = "conv2d_93 batch_normalization_85 activation_87 activation_88 activation_91 activation_92 \
             batch_normalization_93 activation_85 mixed9_1 concatenate_1 activation_93 mixed10";
        let network = applications::inception_v3(&Options::without_top().size(75, 75)).unwrap();
        let names: Vec<_> = keras_order(&network).into_iter().map(|node| network.nodes()[node].name()).collect();
        assert_eq!(names.len(), 311);
        assert_eq!(names[1..32].join(" "), FIRST);
        assert_eq!(names[299..].join(" "), LAST);
    }
}
