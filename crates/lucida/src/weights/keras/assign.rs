//! Matching the tensors of a file to the weights of a network.

use std::collections::HashMap;

use super::order::keras_order;
use crate::nn::{Network, counted};
use crate::weights::TensorInfo;

/// The tensors of one layer in a file, in Keras's order.
#[derive(Debug, Clone, Default)]
pub(in crate::weights) struct Stored {
    /// The layer's name in the file.
    pub(in crate::weights) layer: String,
    /// A further identification of the layer: the path of its group in version 3 of the format.
    pub(in crate::weights) path: String,
    pub(in crate::weights) tensors: Vec<TensorInfo>,
}

/// For each weight of a network: the index of its layer in the file, and of the tensor in that layer.
pub(in crate::weights) type Places = Vec<(usize, usize)>;

/// Finds the tensors of all weights, and checks that none is left over: by layer names or, if these differ, in layer order,
/// as in Keras.
///
/// # Errors
/// What does not match, with both shapes.
pub(in crate::weights) fn assign(stored: &[Stored], network: &Network) -> Result<Places, String> {
    let wanted = with_weights(network, keras_order(network));
    let held: Vec<usize> = (0..stored.len()).filter(|&layer| !stored[layer].tensors.is_empty()).collect();
    let named = by_names(stored, network, &wanted, &held).filter(|named| named.len() == held.len());
    if named.is_none() && held.len() != wanted.len() {
        let names: Vec<&str> = wanted.iter().map(|&node| network.nodes()[node].name()).collect();
        let extra = held.iter().map(|&layer| stored[layer].layer.as_str()).find(|name| !names.contains(name));
        let missing = names.iter().find(|name| !held.iter().any(|&layer| stored[layer].layer == **name));
        let mut text =
            format!("it holds weights of {}, the network has {}", counted(held.len(), "layer"), wanted.len());
        if let Some(missing) = missing {
            text += &format!("; {missing:?} is not in the file");
        }
        if let Some(extra) = extra {
            text += &format!("; {extra:?} is not in the network");
        }
        return Err(text);
    }
    place(stored, network, &wanted, &named.unwrap_or(held))
}

/// Whether a file has layers with the names of all layers of a network.
pub(in crate::weights) fn has_all_names(stored: &[Stored], network: &Network) -> bool {
    let held: Vec<usize> = (0..stored.len()).filter(|&layer| !stored[layer].tensors.is_empty()).collect();
    by_names(stored, network, &with_weights(network, keras_order(network)), &held).is_some()
}

/// The layers of a file with the names of these nodes. Keras numbers generated names over a whole session, so that the only
/// `normalization` of a second model is `normalization_1`: such a layer matches if file and network have a single one of
/// its kind. If there are several, the order decides rather than the names.
fn by_names(stored: &[Stored], network: &Network, wanted: &[usize], held: &[usize]) -> Option<Vec<usize>> {
    let by_name: HashMap<&str, usize> = held.iter().map(|&layer| (stored[layer].layer.as_str(), layer)).collect();
    let name = |node: usize| network.nodes()[node].name();
    let counted = |node: usize| {
        let base = without_count(name(node));
        let alike = wanted.iter().filter(|&&other| without_count(name(other)) == base).count();
        let mut found = held.iter().filter(|&&layer| without_count(&stored[layer].layer) == base);
        found.next().filter(|_| alike == 1 && found.next().is_none()).copied()
    };
    wanted.iter().map(|&node| by_name.get(name(node)).copied().or_else(|| counted(node))).collect()
}

/// `normalization` for `normalization_2`.
fn without_count(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((base, count)) if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => name,
    }
}

/// Finds the tensors of all weights by their layers' group paths.
///
/// # Errors
/// As [`assign`].
pub(in crate::weights) fn assign_by_path(
    stored: &[Stored],
    network: &Network,
    paths: &[(usize, String)],
) -> Result<Places, String> {
    let by_path: HashMap<&str, usize> = stored.iter().enumerate().map(|(i, layer)| (layer.path.as_str(), i)).collect();
    let mut wanted = Vec::new();
    let mut layers = Vec::new();
    for (node, path) in paths.iter().filter(|(node, _)| !network.nodes()[*node].weights().is_empty()) {
        let layer = by_path.get(path.as_str());
        let name = network.nodes()[*node].name();
        layers.push(*layer.ok_or_else(|| format!("group {path:?}, the weights of layer {name}, is missing"))?);
        wanted.push(*node);
    }
    let held = stored.iter().filter(|layer| !layer.tensors.is_empty()).count();
    if held > layers.len() {
        let extra = (0..stored.len()).find(|layer| !layers.contains(layer) && !stored[*layer].tensors.is_empty());
        let extra = extra.map(|layer| stored[layer].path.clone()).unwrap_or_default();
        return Err(format!("group {extra:?} belongs to none of the network's layers"));
    }
    place(stored, network, &wanted, &layers)
}

/// The paths in version 3 of the format for the layers of a network without nested models: they are numbered by class,
/// independent of their names.
pub(in crate::weights) fn flat_paths(network: &Network) -> Vec<(usize, String)> {
    let mut counts = Counts::default();
    let order = keras_order(network).into_iter();
    order.map(|node| (node, counts.path("layers", network.nodes()[node].layer().keras_class()))).collect()
}

/// Numbers layers by class, like `conv2d`, `conv2d_1`.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<String, usize>);

impl Counts {
    /// The path of the next layer of this class.
    pub(super) fn path(&mut self, parent: &str, class: &str) -> String {
        let base = snake_case(class);
        let count = self.0.entry(base.clone()).or_insert(0);
        let path = if *count == 0 { format!("{parent}/{base}") } else { format!("{parent}/{base}_{count}") };
        *count += 1;
        path
    }
}

/// The paths of layers in version 3 of the format, including nested models, in the order of Keras's `layers`.
#[derive(Debug, Default)]
pub(in crate::weights) struct KerasPaths {
    /// The path of each model around the next layer, and its numbering.
    models: Vec<(String, Counts)>,
}

impl KerasPaths {
    /// The path of the next layer, which is inside `depth` models, not counting the outermost one.
    pub(in crate::weights) fn next(&mut self, depth: usize, class: &str) -> String {
        if self.models.is_empty() {
            self.models.push(("layers".to_owned(), Counts::default()));
        }
        // The previous layer may have been a model, which was pushed below: at most one level deeper.
        let level = depth.min(self.models.len() - 1);
        self.models.truncate(level + 1);
        let (parent, counts) = &mut self.models[level];
        let path = counts.path(parent, class);
        self.models.push((format!("{path}/layers"), Counts::default()));
        path
    }
}

/// Converts `MaxPooling2D` to `max_pooling2d` by Keras's two rules: an underscore before a capital that is followed by a
/// lower-case letter, and between a lower-case letter or digit and a capital.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric()).collect();
    let mut name = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(i + 1);
        if let (Some(before), true) = (before, letter.is_uppercase()) {
            let starts_word = after.is_some_and(|after| after.is_lowercase());
            if starts_word || before.is_lowercase() {
                name.push('_');
            }
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn with_weights(network: &Network, order: Vec<usize>) -> Vec<usize> {
    order.into_iter().filter(|&node| !network.nodes()[node].weights().is_empty()).collect()
}

/// Pairs the tensors of matched layers, and checks their shapes.
fn place(stored: &[Stored], network: &Network, nodes: &[usize], layers: &[usize]) -> Result<Places, String> {
    let mut places = vec![(usize::MAX, 0); network.weights().len()];
    for (&node, &layer) in nodes.iter().zip(layers) {
        let (node, held) = (&network.nodes()[node], &stored[layer]);
        let range = node.weights();
        if held.tensors.len() != range.len() {
            return Err(format!(
                "layer {} has {} weights, the file's {:?} has {}",
                node.name(),
                range.len(),
                held.layer,
                held.tensors.len()
            ));
        }
        for (index, (weight, tensor)) in range.zip(&held.tensors).enumerate() {
            let wanted = &network.weights()[weight];
            if tensor.shape != wanted.shape() {
                return Err(format!(
                    "{} has shape {:?}, the file's {:?} has {:?}",
                    wanted.name(),
                    wanted.shape(),
                    tensor.name,
                    tensor.shape
                ));
            }
            if !matches!(tensor.dtype.as_str(), "float16" | "bfloat16" | "float32" | "float64") {
                let (name, dtype) = (&tensor.name, &tensor.dtype);
                return Err(format!(
                    "{name:?} is of type {dtype}, only float16, bfloat16, float32 and float64 are supported"
                ));
            }
            places[weight] = (layer, index);
        }
    }
    if places.iter().any(|&(layer, _)| layer == usize::MAX) {
        return Err("it does not have all weights".into());
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_as_keras_names_them() {
        // The results of `keras.src.utils.naming.to_snake_case` in Keras 3.15.
        for (class, expected) in [
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("SeparableConv2D", "separable_conv2d"),
            ("MaxPooling2D", "max_pooling2d"),
            ("BatchNormalization", "batch_normalization"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("ZeroPadding2D", "zero_padding2d"),
            ("ReLU", "re_lu"),
            ("Dense", "dense"),
            ("InputLayer", "input_layer"),
        ] {
            assert_eq!(snake_case(class), expected);
        }
        let mut counts = Counts::default();
        let paths: Vec<_> = ["Conv2D", "Dense", "Conv2D"].map(|class| counts.path("layers", class)).to_vec();
        assert_eq!(paths, ["layers/conv2d", "layers/dense", "layers/conv2d_1"]);
        let mut nested = KerasPaths::default();
        let layers = [(0, "Conv2D"), (0, "Functional"), (1, "Conv2D"), (1, "Sequential"), (2, "Conv2D"), (0, "Conv2D")];
        assert_eq!(
            layers.map(|(depth, class)| nested.next(depth, class)),
            [
                "layers/conv2d",
                "layers/functional",
                "layers/functional/layers/conv2d",
                "layers/functional/layers/sequential",
                "layers/functional/layers/sequential/layers/conv2d",
                "layers/conv2d_1"
            ]
        );
    }
}
