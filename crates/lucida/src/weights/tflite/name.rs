//! Naming layers after tensors.
//!
//! The converter names a tensor after the operations that were merged, `photo_net/stem/Relu6;photo_net/stem_bn/add;
//! photo_net/stem/convolution`: the layer's name precedes that of the operation.

use super::schema::{Operation, Schema};

/// Operations that identify a layer, in order of precedence.
const MAIN: [&str; 6] = ["convolution", "conv2d", "depthwise", "conv_transpose", "matmul", "biasadd"];
/// Scopes within a layer.
const INNER: [&str; 7] = ["batchnorm", "moments", "resize", "repeat", "gelu", "convolution", "depthwise"];

/// The scope of an operator's layer: `photo_net/stem`; empty if its tensors do not show it.
pub(super) fn scope(schema: &Schema, operation: &Operation) -> String {
    let names: Vec<&str> = operation
        .outputs
        .iter()
        .take(1)
        .chain(operation.inputs.get(1).into_iter().flatten())
        .flat_map(|&index| schema.tensors[index].name.split(';'))
        .filter(|name| !name.is_empty())
        .collect();
    let Some(&output) = names.first() else { return String::new() };
    let main = |kind: &str| names.iter().find(|name| last(name).to_lowercase().starts_with(kind)).copied();
    // An activation or a pooling has its own name; only the output of a kernel is named after several operations.
    let several = schema.tensors[operation.outputs[0]].name.contains(';');
    let chosen = if several { MAIN.iter().find_map(|&kind| main(kind)).unwrap_or(output) } else { output };
    layer_of(chosen)
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The layer in a name: `photo_net/stem_bn` in `photo_net/stem_bn/batchnorm/add_1`.
fn layer_of(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 1 {
        parts.pop();
    }
    while parts.len() > 1 && parts.last().is_some_and(|part| INNER.contains(&stem(part).to_lowercase().as_str())) {
        parts.pop();
    }
    // A call of the whole model has a name by the converter.
    if parts.last().is_some_and(|part| part.contains("PartitionedCall")) { String::new() } else { parts.join("/") }
}

/// Strips a number at the end.
fn stem(part: &str) -> &str {
    part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_')
}

impl Schema<'_> {
    /// The name of an input or output: that in the signature, or else that of its tensor without the converter's additions.
    pub(super) fn plain_name(&self, index: usize) -> String {
        let given = self.signature.get(&index).filter(|name| !name.is_empty());
        given.cloned().unwrap_or_else(|| {
            let name = &self.tensors[index].name;
            let plain = name.strip_prefix("serving_default_").unwrap_or(name);
            plain.strip_suffix(":0").unwrap_or(plain).to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_in_scopes() {
        assert_eq!(layer_of("net/stem/convolution"), "net/stem");
        assert_eq!(layer_of("net/bn_1/batchnorm/add_1"), "net/bn_1");
        assert_eq!(layer_of("net/up2_1/resize_1/ResizeBilinear"), "net/up2_1");
        assert_eq!(layer_of("net/wide/convolution/BatchToSpaceND"), "net/wide");
        assert_eq!(layer_of("StatefulPartitionedCall_1:0"), "");
        assert_eq!(layer_of("logits"), "logits");
    }
}
