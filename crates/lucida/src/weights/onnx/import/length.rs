//! 1D operators on (batch, channels, length), converted to images of height 1.

use super::super::proto::NodeProto;
use super::super::tensor::{Constant, Int};
use super::Importer;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};

/// Operators with windows along a length, and those that need an image.
const ALONG: &[&str] = &[
    "AveragePool",
    "Conv",
    "ConvTranspose",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNormalization",
    "InstanceNormalization",
    "LRN",
    "MaxPool",
    "Resize",
    "Upsample",
];

impl Importer {
    /// The result of an operator with 1D inputs, if it is one.
    pub(super) fn along_a_length(&mut self, op: &Operator) -> ImportResult<Option<Symbol>> {
        let kind = op.node.op_type.as_str();
        let Some(Value::Symbol(symbol)) = op.value(0).filter(|_| ALONG.contains(&kind)) else { return Ok(None) };
        if symbol.axes.len() != 2 {
            return Ok(None);
        }
        let mut symbol = symbol.unsqueeze(&[2])?;
        let image = self.drafts[symbol.draft].shape.as_image().is_some() && symbol.order().is_some();
        let flat_pixel = kind.starts_with("Global") && self.drafts[symbol.draft].shape.as_flat().is_some();
        if !image && !flat_pixel {
            symbol = self.image_of(&symbol)?;
        }
        let node = with_height(op.node)?;
        let mut inputs = op.inputs.clone();
        inputs[0] = Some(Value::Symbol(symbol));
        match kind {
            "Conv" | "ConvTranspose" => {
                if let Some(Some(Value::Constant(kernel))) = inputs.get_mut(1)
                    && let &[filters, channels, length] = kernel.dims.as_slice()
                {
                    *kernel = kernel.with_dims(vec![filters, channels, 1, length]);
                }
            }
            "Resize" | "Upsample" => inputs.iter_mut().skip(1).flatten().for_each(with_one),
            _ => {}
        }
        let found = self.layer(&Operator { node: &node, inputs, opset: op.opset })?;
        Ok(Some(found.squeeze(Some(&[2]), None)?))
    }
}

/// A node with attributes extended for a height of 1.
fn with_height(node: &NodeProto) -> ImportResult<NodeProto> {
    let mut node = node.clone();
    for attribute in &mut node.attribute {
        let height = match attribute.name.as_str() {
            "kernel_shape" | "strides" | "dilations" => 1,
            "output_padding" => 0,
            "pads" => match attribute.ints.as_slice() {
                &[before, after] => {
                    attribute.ints = vec![0, before, 0, after];
                    continue;
                }
                _ => return unsupported("along a length with other than two pads"),
            },
            "output_shape" => 1,
            "scales" if attribute.floats.len() == 3 => {
                attribute.floats.insert(2, 1.0);
                continue;
            }
            "axes" => return unsupported("of some axes along a length is not supported"),
            _ => continue,
        };
        let place = attribute.ints.len().saturating_sub(1);
        attribute.ints.insert(place, height);
    }
    Ok(node)
}

/// Sizes or scales for (batch, channels, length), extended for a height of 1.
fn with_one(value: &mut Value) {
    let Value::Constant(constant) = value else { return };
    if constant.dims != [3] {
        return;
    }
    *constant = match constant.ints() {
        Ok(&[batch, channels, length]) => Constant::of_ints(vec![4], vec![batch, channels, Int::Known(1), length]),
        _ => {
            let floats = constant.floats();
            Constant::of_floats(constant.name.clone(), vec![4], vec![floats[0], floats[1], 1.0, floats[2]])
        }
    };
}
