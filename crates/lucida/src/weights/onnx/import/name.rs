//! Naming layers after nodes and weights.
//!
//! PyTorch names a node `/features/features.0/Conv` and its weight `features.0.weight`; tf2onnx uses names like
//! `StatefulPartitionedCall/sequential/conv2d_1/Conv2D`. Both contain the name of the module or layer.

use super::super::proto::NodeProto;

/// The layer name for a node; `weight` is the name of its weight, if it has one.
pub(super) fn layer_name(node: &NodeProto, weight: &str, default: &str) -> String {
    let module = weight.strip_suffix(".weight").or_else(|| weight.strip_suffix("/kernel"));
    // A weight computed by an exporter is named like `onnx::Conv_123`.
    if let Some(module) = module.filter(|module| !module.contains("::")) {
        return plain(module, default);
    }
    let given = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    let mut parts: Vec<&str> = given.split(['/', ':']).filter(|part| !part.is_empty() && *part != "0").collect();
    // The last part is often the operator.
    if parts.last().is_some_and(|part| is_operation(part, &node.op_type)) {
        parts.pop();
    }
    match parts.last() {
        None | Some(&("StatefulPartitionedCall" | "PartitionedCall")) => default.into(),
        Some(name) => plain(name, default),
    }
}

/// Whether a part of a name is an operator, with or without a number: `Conv_12`, `Conv__12`, `BiasAdd`.
fn is_operation(part: &str, op_type: &str) -> bool {
    const OPERATIONS: [&str; 16] = [
        "convolution",
        "conv2d",
        "matmul",
        "biasadd",
        "fusedbatchnormv3",
        "relu6",
        "relu",
        "sigmoid",
        "tanh",
        "softmax",
        "maxpool2d",
        "maxpool",
        "avgpool",
        "mean",
        "concat",
        "output",
    ];
    let part = part.to_lowercase();
    let stem = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = if stem.ends_with('_') { stem.trim_end_matches('_') } else { &part };
    stem == op_type.to_lowercase() || OPERATIONS.contains(&stem)
}

/// Removes special characters: letters and digits of all scripts, `_` and `-` are kept. (Keras on PyTorch does not allow
/// dots in names.)
fn plain(name: &str, default: &str) -> String {
    let kept = name.chars().take(120).map(|c| if c.is_alphanumeric() || "_-".contains(c) { c } else { '_' });
    let kept: String = kept.collect();
    if kept.trim_matches('_').is_empty() { default.into() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_modules_and_layers() {
        let name = |node: &str, op: &str, weight: &str| {
            let node = NodeProto { name: node.into(), op_type: op.into(), ..Default::default() };
            layer_name(&node, weight, "default")
        };
        assert_eq!(name("/features/features.0/Conv", "Conv", "features.0.weight"), "features_0");
        assert_eq!(name("/conv1/Conv", "Conv", "onnx::Conv_193"), "conv1");
        assert_eq!(name("/layer1/layer1.0/relu_1/Relu", "Relu", ""), "relu_1");
        assert_eq!(name("StatefulPartitionedCall/sequential/conv2d_1/Conv2D", "Conv", ""), "conv2d_1");
        assert_eq!(name("Conv_12", "Conv", ""), "default");
        assert_eq!(name("Conv__40", "Conv", ""), "default");
        assert_eq!(name("functional_1/max_pooling2d_1/MaxPool2d", "MaxPool", ""), "max_pooling2d_1");
        assert_eq!(name("", "Conv", "stem/kernel"), "stem");
        assert_eq!(name("a b\u{7}c", "Conv", ""), "a_b_c");
        assert_eq!(name("/", "Conv", ""), "default");
        assert_eq!(name("größe,1/Conv", "Conv", ""), "größe_1");
    }
}
