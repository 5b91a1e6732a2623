//! Operators that move axes, slice tensors, or concatenate them.

use super::graph::Builder;
use super::operators::{finish, input, input_tensor, options};
use super::schema::{Operation, TYPES};
use crate::nn::onnx_graph::OnnxAttribute;
use crate::weights::onnx::{ImportResult, unsupported};

/// The integers of a constant input.
fn known(builder: &Builder, operation: &Operation, index: usize) -> ImportResult<Vec<i64>> {
    Ok(builder.known(input_tensor(operation, index)?)?)
}

/// The shape of an input.
fn shape(builder: &Builder, operation: &Operation, index: usize) -> ImportResult<Vec<i64>> {
    Ok(builder.tensor(input_tensor(operation, index)?).shape.iter().map(|&size| size.into()).collect())
}

/// Resolves a possibly negative axis of a tensor of rank `rank`.
fn axis_of(axis: i64, rank: usize) -> ImportResult<usize> {
    let place = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(place).ok().filter(|&place| place < rank) {
        Some(place) => Ok(place),
        None => Err(format!("names axis {axis} of {rank}").into()),
    }
}

pub(super) fn reshape(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let target = match operation.inputs.get(1) {
        Some(&Some(target)) => builder.value(target)?,
        _ => {
            let shape = options(operation).ints(0)?;
            builder.ints(shape)
        }
    };
    let value = builder.node("Reshape", vec![value, target], vec![("allowzero", OnnxAttribute::Int(1))]);
    finish(builder, operation, value)
}

pub(super) fn squeeze(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let mut axes = options(operation).ints(0)?;
    if axes.is_empty() {
        // All axes of size one, except the batch.
        let sizes = shape(builder, operation, 0)?.into_iter().enumerate().skip(1);
        axes = sizes.filter(|&(_, size)| size == 1).map(|(axis, _)| axis as i64).collect();
    }
    let axes = builder.ints(axes);
    let value = builder.node("Squeeze", vec![value, axes], vec![]);
    finish(builder, operation, value)
}

pub(super) fn transpose(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, order) = (input(builder, operation, 0)?, known(builder, operation, 1)?);
    let value = builder.node("Transpose", vec![value], vec![("perm", OnnxAttribute::Ints(order))]);
    finish(builder, operation, value)
}

pub(super) fn cast(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let kind = usize::try_from(builder.tensor(operation.outputs[0]).kind).unwrap_or(usize::MAX);
    let kind = TYPES.get(kind).map_or(0, |&(_, kind)| kind);
    let value = builder.node("Cast", vec![value], vec![("to", OnnxAttribute::Int(kind.into()))]);
    finish(builder, operation, value)
}

pub(super) fn gather(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let options = options(operation);
    if options.int(1, 0)? != 0 {
        return unsupported("along the batch is not supported");
    }
    let inputs = vec![input(builder, operation, 0)?, input(builder, operation, 1)?];
    let value = builder.node("Gather", inputs, vec![("axis", OnnxAttribute::Int(options.int(0, 0)?))]);
    finish(builder, operation, value)
}

pub(super) fn arg_max(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, axes) = (input(builder, operation, 0)?, known(builder, operation, 1)?);
    let axis = OnnxAttribute::Int(axes.first().copied().unwrap_or(-1));
    let value = builder.node("ArgMax", vec![value], vec![("axis", axis), ("keepdims", OnnxAttribute::Int(0))]);
    finish(builder, operation, value)
}

/// The padding in ONNX's order: before each axis, then after each axis.
fn border(builder: &Builder, operation: &Operation) -> ImportResult<Vec<i64>> {
    let pairs = known(builder, operation, 1)?;
    Ok([0, 1].iter().flat_map(|&side| pairs.iter().skip(side).step_by(2).copied()).collect())
}

/// `PAD` and `PADV2`
pub(super) fn pad(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, border) = (input(builder, operation, 0)?, border(builder, operation)?);
    let mut inputs = vec![value, builder.ints(border)];
    if let Some(&Some(number)) = operation.inputs.get(2) {
        inputs.push(builder.value(number)?);
    }
    let value = builder.node("Pad", inputs, vec![]);
    finish(builder, operation, value)
}

pub(super) fn mirror_pad(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, border) = (input(builder, operation, 0)?, border(builder, operation)?);
    let mode = match options(operation).byte(0)? {
        0 => "reflect",
        // Symmetric padding by one pixel repeats the edge.
        _ if border.iter().all(|&pad| pad <= 1) => "edge",
        _ => return unsupported("SYMMETRIC by more than one pixel is not supported"),
    };
    let inputs = vec![value, builder.ints(border)];
    let value = builder.node("Pad", inputs, vec![("mode", OnnxAttribute::Text(mode))]);
    finish(builder, operation, value)
}

/// A range of one axis.
#[derive(Clone, Copy)]
struct Part {
    axis: usize,
    start: i64,
    end: i64,
    step: i64,
}

/// Slices a tensor; whole axes, including the batch, are omitted.
fn sliced(builder: &mut Builder, value: String, parts: &[Part], shape: &[i64]) -> String {
    let whole = |part: &&Part| {
        let size = shape[part.axis];
        part.start == 0 && part.step == 1 && (part.end == i64::MAX || size > 0 && part.end >= size)
    };
    let parts: Vec<Part> = parts.iter().filter(|part| !whole(part)).copied().collect();
    if parts.is_empty() {
        return value;
    }
    let mut list = |each: fn(&Part) -> i64| builder.ints(parts.iter().map(each).collect());
    let [starts, ends] = [list(|part| part.start), list(|part| part.end)];
    let [axes, steps] = [list(|part| part.axis as i64), list(|part| part.step)];
    builder.node("Slice", vec![value, starts, ends, axes, steps], vec![])
}

pub(super) fn slice(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, shape) = (input(builder, operation, 0)?, shape(builder, operation, 0)?);
    let (starts, sizes) = (known(builder, operation, 1)?, known(builder, operation, 2)?);
    if [starts.len(), sizes.len()] != [shape.len(); 2] {
        return Err(format!("{} starts and {} sizes for {} axes", starts.len(), sizes.len(), shape.len()).into());
    }
    let part = |(axis, (&start, &size)): (usize, (&i64, &i64))| {
        let end = if size == -1 { i64::MAX } else { start.saturating_add(size) };
        Part { axis, start, end, step: 1 }
    };
    let parts: Vec<Part> = starts.iter().zip(&sizes).enumerate().map(part).collect();
    let value = sliced(builder, value, &parts, &shape);
    finish(builder, operation, value)
}

pub(super) fn strided_slice(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (mut value, shape) = (input(builder, operation, 0)?, shape(builder, operation, 0)?);
    let [starts, ends, steps] =
        [known(builder, operation, 1)?, known(builder, operation, 2)?, known(builder, operation, 3)?];
    if [ends.len(), steps.len()] != [starts.len(); 2] || starts.len() > 31 {
        return Err(String::from("its starts, ends and steps differ in number").into());
    }
    let options = options(operation);
    let mask = |id: usize| -> ImportResult<i64> { Ok(options.int(id, 0)?) };
    let [from, to, rest, new, gone] = [mask(0)?, mask(1)?, mask(2)?, mask(3)?, mask(4)?];
    let (mut parts, mut added, mut removed, mut axis, mut place) = (Vec::new(), Vec::new(), Vec::new(), 0, 0);
    let named = (0..starts.len()).filter(|&index| (rest | new) >> index & 1 == 0).count();
    for index in 0..starts.len() {
        let is = |mask: i64| mask >> index & 1 == 1;
        if is(rest) {
            let skipped = shape.len().saturating_sub(named);
            (axis, place) = (axis + skipped, place + skipped);
        } else if is(new) {
            added.push(place as i64);
            place += 1;
        } else {
            let (forward, step) = (steps[index] > 0, steps[index]);
            let start = if !is(from) || is(gone) {
                starts[index]
            } else if forward {
                0
            } else {
                i64::MAX
            };
            let end = if !is(to) {
                ends[index]
            } else if forward {
                i64::MAX
            } else {
                i64::MIN
            };
            let one = if start == -1 { i64::MAX } else { start.saturating_add(1) };
            let (end, step) = if is(gone) { (one, 1) } else { (end, step) };
            parts.push(Part { axis: axis_of(axis as i64, shape.len())?, start, end, step });
            if is(gone) {
                removed.push(axis as i64);
            } else {
                place += 1;
            }
            axis += 1;
        }
    }
    value = sliced(builder, value, &parts, &shape);
    for (op_type, axes) in [("Squeeze", removed), ("Unsqueeze", added)] {
        if !axes.is_empty() {
            let axes = builder.ints(axes);
            value = builder.node(op_type, vec![value, axes], vec![]);
        }
    }
    finish(builder, operation, value)
}

/// Sets the outputs to parts of a tensor with these sizes along an axis.
fn divide(builder: &mut Builder, operation: &Operation, value: &str, axis: usize, sizes: &[i64]) {
    let mut start = 0_i64;
    for (&output, &size) in operation.outputs.iter().zip(sizes) {
        let part = Part { axis, start, end: start.saturating_add(size), step: 1 };
        start = part.end;
        let mut list = |number: i64| builder.ints(vec![number]);
        let inputs = [list(part.start), list(part.end), list(axis as i64)];
        let part = builder.node("Slice", [&[value.to_owned()][..], &inputs].concat(), vec![]);
        builder.set(output, part);
    }
}

/// `SPLIT` and `SPLIT_V`
pub(super) fn split(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let equal = operation.code == 49;
    let [data, axis] = if equal { [1, 0] } else { [0, 2] };
    let (value, shape) = (input(builder, operation, data)?, shape(builder, operation, data)?);
    let axis = known(builder, operation, axis)?.first().copied().unwrap_or(0);
    let axis = axis_of(axis, shape.len())?;
    let (size, count) = (shape[axis], operation.outputs.len() as i64);
    if size < count {
        return unsupported(format!("of an axis of size {size} into {count} parts is not supported"));
    }
    let mut sizes = if equal { vec![size / count; operation.outputs.len()] } else { known(builder, operation, 1)? };
    let known: i64 = sizes.iter().filter(|&&size| size > 0).fold(0, |sum, &size| sum.saturating_add(size));
    sizes.iter_mut().filter(|size| **size == -1).for_each(|open| *open = size - known);
    if sizes.len() != operation.outputs.len() || sizes.iter().any(|&part| part <= 0) {
        return Err(format!("splits an axis of size {size} into {count} parts").into());
    }
    divide(builder, operation, &value, axis, &sizes);
    Ok(())
}

pub(super) fn unpack(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, shape) = (input(builder, operation, 0)?, shape(builder, operation, 0)?);
    let axis = axis_of(options(operation).int(1, 0)?, shape.len())?;
    for (index, &output) in operation.outputs.iter().enumerate() {
        let position = builder.constant(&[], crate::nn::onnx_graph::OnnxValues::Ints(vec![index as i64]));
        let axis = vec![("axis", OnnxAttribute::Int(axis as i64))];
        let part = builder.node("Gather", vec![value.clone(), position], axis);
        builder.set(output, part);
    }
    Ok(())
}

pub(super) fn pack(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let axis = options(operation).int(1, 0)?;
    let mut parts = Vec::with_capacity(operation.inputs.len());
    for &part in operation.inputs.iter().flatten() {
        let inputs = vec![builder.value(part)?, builder.ints(vec![axis])];
        parts.push(builder.node("Unsqueeze", inputs, vec![]));
    }
    let value = builder.node("Concat", parts, vec![("axis", OnnxAttribute::Int(axis))]);
    finish(builder, operation, value)
}
