//! Rewriting older forms of operators.

use std::borrow::Cow;

use super::super::proto::{NodeProto, data_type};
use super::super::tensor::Int;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::Value;

/// The operators that broadcast their second input.
const BROADCASTING: [&str; 8] = ["Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "PRelu"];

/// Rewrites a node of operator set version `opset` in a form of version 6 or later.
pub(super) fn modern(node: &NodeProto, opset: i64) -> Cow<'_, NodeProto> {
    let mut node = Cow::Borrowed(node);
    let rename = |node: &mut Cow<'_, NodeProto>, old: &str, new: &str| {
        if let Some(place) = node.attribute.iter().position(|attribute| attribute.name == old) {
            node.to_mut().attribute[place].name = new.into();
        }
    };
    if opset < 6 {
        match node.op_type.as_str() {
            "Pad" => rename(&mut node, "paddings", "pads"),
            // The type was given by name.
            "Cast" => {
                let place =
                    node.attribute.iter().position(|attribute| attribute.name == "to" && !attribute.s.is_empty());
                if let Some(place) = place {
                    let name = String::from_utf8_lossy(&node.attribute[place].s).to_uppercase();
                    let kind = data_type::NAMES.iter().position(|&(known, _)| known == name);
                    node.to_mut().attribute[place].i = kind.unwrap_or(0) as i64;
                }
            }
            _ => {}
        }
    }
    node
}

impl Operator<'_> {
    /// Before version 7, the second input of a sum or product was broadcast along axes given by an attribute; since then,
    /// it needs trailing axes of size one.
    pub(super) fn align_broadcast(&mut self) -> ImportResult<()> {
        // A list of slopes had one for each channel.
        let slopes = self.node.op_type == "PRelu";
        if self.opset >= 7 || !BROADCASTING.contains(&self.node.op_type.as_str()) || !(slopes || self.has("axis")) {
            return Ok(());
        }
        let rank = match self.value(0) {
            Some(Value::Symbol(symbol)) => symbol.axes.len() + 1,
            Some(Value::Constant(constant)) => constant.dims.len(),
            None => return Ok(()),
        };
        let axis = if slopes { 1 } else { self.int("axis", 0) };
        let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank as i64) } else { axis });
        let constant = match self.inputs.get_mut(1) {
            Some(Some(Value::Constant(constant))) if slopes && (constant.len() == 1 || constant.dims.len() != 1) => {
                return Ok(());
            }
            Some(Some(Value::Constant(constant))) => constant,
            // It already ends at the last axis.
            Some(Some(Value::Symbol(symbol))) if symbol.axes.len() + 1 == rank => return Ok(()),
            _ => return unsupported("broadcasts a computed input along an axis that it names"),
        };
        let after = axis.ok().and_then(|axis| rank.checked_sub(axis)?.checked_sub(constant.dims.len()));
        let after = after.ok_or("names an axis that is not there")?;
        *constant = constant.with_dims([constant.dims.as_slice(), &vec![1; after]].concat());
        Ok(())
    }

    /// The target shape of `Reshape`, which was an attribute before version 5.
    pub(super) fn shape_attribute(&self) -> Option<Vec<Int>> {
        let shape = self.ints("shape").filter(|_| self.opset < 5)?;
        Some(shape.iter().copied().map(Int::Known).collect())
    }
}
