//! Graphs whose first axis is not a batch.
//!
//! Here, a network processes samples independently, so the first axis of a graph's tensors is the batch. A graph that
//! operates along that axis, or adds a constant that differs between samples, cannot be imported that way; but if all input
//! sizes are fixed, it can be read as processing a single sample. A batch of 1 is then prepended to all axes, which shifts
//! the axes that its nodes refer to.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::proto::{AttributeProto, GraphProto, NodeProto};
use super::super::tensor::{Constant, Int};
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::Value;

/// Whether all sizes of all inputs are fixed, so that a graph may have no batch.
pub(super) fn is_fixed(graph: &GraphProto, constants: &HashMap<String, Constant>) -> bool {
    let inputs = graph.input.iter().filter(|input| !constants.contains_key(&input.name));
    inputs.into_iter().all(|input| input.dims().is_some_and(|dims| dims.iter().all(|dim| dim.size().is_some())))
}

/// Operators that refer to no axis, and whose constants are aligned at the last axis: elementwise operators and matrix
/// products.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Add",
    "Cast",
    "Ceil",
    "Clip",
    "Div",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "MatMul",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "Not",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "Where",
];

/// The default axis of an operator.
fn default_axis(op: &Operator) -> Option<i64> {
    match op.node.op_type.as_str() {
        "Split" | "Gather" | "ArgMax" => Some(0),
        "Concat" => Some(1),
        "Softmax" | "LogSoftmax" => Some(if op.opset < 13 { 1 } else { -1 }),
        _ => None,
    }
}

/// Shifts an axis for a batch of 1; negative axes are unchanged.
fn moved(axis: i64) -> i64 {
    if axis < 0 { axis } else { axis.saturating_add(1) }
}

/// Rewrites a node for a batch of 1 before all axes; its inputs may change, too.
pub(super) fn with_batch<'a>(op: &mut Operator<'a>) -> ImportResult<Cow<'a, NodeProto>> {
    let mut node = op.node.clone();
    let kind = node.op_type.as_str();
    if ELEMENTWISE.contains(&kind) {
        return Ok(Cow::Borrowed(op.node));
    }
    if let Some(default) = default_axis(op) {
        let axis = moved(op.int("axis", default));
        node.attribute.retain(|attribute| attribute.name != "axis");
        node.attribute.push(AttributeProto { name: "axis".into(), i: axis, ..Default::default() });
        return Ok(Cow::Owned(node));
    }
    match kind {
        "Transpose" => {
            let permutation = node.attribute.iter_mut().find(|attribute| attribute.name == "perm");
            let Some(permutation) = permutation else { return unsupported("without perm is not supported") };
            permutation.ints = std::iter::once(0).chain(permutation.ints.iter().map(|axis| moved(*axis))).collect();
        }
        "Reshape" => {
            let shape = op.needed(1)?;
            let values = [&[Int::Known(1)], shape.ints()?].concat();
            op.inputs[1] = Some(Value::Constant(Constant::of_ints(vec![values.len()], values)));
        }
        "Squeeze" | "Unsqueeze" | "Slice" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceSum" | "ReduceL1"
        | "ReduceL2" | "ReduceSumSquare" => {
            let input = if kind == "Slice" { 3 } else { 1 };
            let starts =
                if kind == "Slice" { op.numbers(1, "starts")?.map(|starts| starts.len() as i64) } else { None };
            let axes = op.numbers(input, "axes")?.or_else(|| starts.map(|count| (0..count).collect()));
            let Some(axes) = axes else { return unsupported("over all axes is not supported") };
            let axes: Vec<i64> = axes.into_iter().map(moved).collect();
            // In operator sets where attributes became inputs, the axes are an input.
            if op.inputs.len() > 1 {
                op.inputs.resize(op.inputs.len().max(input + 1), None);
                let values: Vec<Int> = axes.into_iter().map(Int::Known).collect();
                op.inputs[input] = Some(Value::Constant(Constant::of_ints(vec![values.len()], values)));
            } else {
                node.attribute.retain(|attribute| attribute.name != "axes");
                let name = "axes".into();
                node.attribute.push(AttributeProto { name, ints: axes, ..Default::default() });
            }
        }
        _ => return unsupported("is not supported in a graph without a batch"),
    }
    Ok(Cow::Owned(node))
}
