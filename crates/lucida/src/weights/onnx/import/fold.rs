//! Operators on what is known: shapes that PyTorch and TensorFlow compute in the graph, and weights that are moved about.

use super::super::tensor::{Constant, Int};
use super::operator::{Answer, Operator, unsupported};
use super::symbol::{MAX_RANK, Symbol, Value};

/// Whole numbers that a folded tensor may have: shapes are short.
const MAX_FOLDED: usize = 1 << 16;

/// What the operator computes, if all its inputs are known and it is one of those used on shapes and weights. `copied`
/// counts the values that were written, which may not go over `most`.
pub(super) fn fold(op: &Operator, copied: &mut u64, most: u64) -> Answer<Option<Value>> {
    if op.node.op_type == "Shape" {
        let shape = match op.value(0) {
            Some(Value::Symbol(symbol)) => shape_of(symbol, None),
            Some(Value::Constant(constant)) => constant.dims.iter().map(|&dim| Int::Known(dim as i64)).collect(),
            None => return Err("input 1 is missing".into()),
        };
        return shape_part(op, shape).map(Some);
    }
    if op.node.op_type == "Constant" {
        return constant(op).map(|constant| Some(Value::Constant(constant)));
    }
    let mut inputs = Vec::new();
    for input in op.inputs.iter().flatten() {
        match input {
            Value::Constant(constant) => inputs.push(constant),
            Value::Symbol(_) => return Ok(None),
        }
    }
    let Some(&first) = inputs.first() else { return Ok(None) };
    let folded = match op.node.op_type.as_str() {
        "Identity" | "Dropout" => first.clone(),
        "Cast" => cast(op, first)?,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => first.with_dims(new_dims(op, first)?),
        "Transpose" => transpose(op, first)?,
        "Concat" => concat(op, &inputs)?,
        "Gather" => gather(op, first)?,
        "Slice" => slice(op, first)?,
        "ConstantOfShape" => constant_of_shape(op, first)?,
        "Add" | "Sub" | "Mul" | "Div" if inputs.len() == 2 && first.is_ints() => arithmetic(op, first, inputs[1])?,
        _ => return Ok(None),
    };
    *copied = copied.saturating_add(folded.len() as u64);
    if *copied > most {
        return unsupported(format!("computes with more than {most} known values, more than the file's size explains"));
    }
    Ok(Some(Value::Constant(folded)))
}

/// The sizes of a tensor with its batch.
pub(super) fn shape_of(symbol: &Symbol, batch: Option<usize>) -> Vec<Int> {
    let batch = batch.map_or(Int::Batch, |batch| Int::Known(batch as i64));
    std::iter::once(batch).chain((0..symbol.axes.len()).map(|axis| Int::Known(symbol.size(axis) as i64))).collect()
}

fn shape_part(op: &Operator, shape: Vec<Int>) -> Answer<Value> {
    let rank = shape.len() as i64;
    let clamp = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
    let (start, end) = (clamp(op.int("start", 0)), clamp(op.int("end", rank)));
    let part = shape.get(start..end).unwrap_or_default().to_vec();
    Ok(Value::Constant(Constant::of_ints(vec![part.len()], part)))
}

fn constant(op: &Operator) -> Answer<Constant> {
    let ints = |values: &[i64], dims| Constant::of_ints(dims, values.iter().copied().map(Int::Known).collect());
    if let Some(tensor) = op.tensor("value")? {
        return Ok(tensor);
    }
    if op.has("value_int") {
        return Ok(ints(&[op.int("value_int", 0)], vec![]));
    }
    if let Some(values) = op.ints("value_ints") {
        return Ok(ints(values, vec![values.len()]));
    }
    if op.has("value_float") {
        return Ok(Constant::of_floats("".into(), vec![], vec![op.float("value_float", 0.0)]));
    }
    if let Some(values) = op.floats("value_floats") {
        return Ok(Constant::of_floats("".into(), vec![values.len()], values.to_vec()));
    }
    unsupported("has none of the attributes value, value_int, value_ints, value_float, value_floats")
}

fn cast(op: &Operator, from: &Constant) -> Answer<Constant> {
    match op.int("to", 0) {
        1 | 10 | 11 | 16 if from.is_ints() => {
            from.known_ints()?;
            Ok(Constant::of_floats(from.name.clone(), from.dims.clone(), from.floats()))
        }
        1 | 10 | 11 | 16 => Ok(from.clone()),
        6 | 7 if from.is_ints() => Ok(from.clone()),
        6 | 7 if from.check_floats()?.len() <= MAX_FOLDED => {
            let values = from.floats().into_iter().map(|value| Int::Known(value as i64)).collect();
            Ok(Constant::of_ints(from.dims.clone(), values))
        }
        to => unsupported(format!("to type number {to} is not supported")),
    }
}

/// An axis, counted from the end when it is negative.
fn axis_of(axis: i64, rank: usize) -> Answer<usize> {
    let place = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(place)
        .ok()
        .filter(|&place| place < rank)
        .ok_or_else(|| format!("names axis {axis} of {rank}").into())
}

fn new_dims(op: &Operator, from: &Constant) -> Answer<Vec<usize>> {
    let rank = from.dims.len();
    let dims = match op.node.op_type.as_str() {
        "Reshape" => {
            let target = op.needed(1)?.known_ints()?;
            let mut dims = Vec::new();
            for (index, &size) in target.iter().enumerate().take(MAX_RANK + 1) {
                dims.push(match size {
                    0 if op.int("allowzero", 0) == 0 => {
                        *from.dims.get(index).ok_or("copies an axis that is not there")?
                    }
                    -1 => usize::MAX,
                    size => usize::try_from(size).map_err(|_| "reshapes to a negative size")?,
                });
            }
            if let Some(open) = dims.iter().position(|&dim| dim == usize::MAX) {
                dims[open] = 1;
                let known = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)).filter(|&len| len > 0);
                dims[open] = from.len() / known.ok_or("reshapes to an impossible shape")?;
            }
            dims
        }
        "Flatten" => {
            let at = op.int("axis", 1);
            let at = if at == rank as i64 { rank } else { axis_of(at, rank)? };
            vec![from.dims[..at].iter().product(), from.dims[at..].iter().product()]
        }
        "Squeeze" => match op.numbers(1, "axes")? {
            Some(axes) => {
                let gone = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Answer<Vec<_>>>()?;
                (0..rank).filter(|axis| !gone.contains(axis)).map(|axis| from.dims[axis]).collect()
            }
            None => from.dims.iter().copied().filter(|&dim| dim != 1).collect(),
        },
        _ => {
            let places = op.numbers(1, "axes")?.ok_or("axes are missing")?;
            let rank = rank.saturating_add(places.len()).min(MAX_RANK + 1);
            let new = places.iter().map(|&place| axis_of(place, rank)).collect::<Answer<Vec<_>>>()?;
            let mut old = from.dims.iter();
            (0..rank).map(|place| if new.contains(&place) { 1 } else { old.next().copied().unwrap_or(1) }).collect()
        }
    };
    let len = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim));
    if dims.len() > MAX_RANK || len != Some(from.len()) {
        return Err("does not keep the number of values".into());
    }
    Ok(dims)
}

fn transpose(op: &Operator, from: &Constant) -> Answer<Constant> {
    let rank = from.dims.len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let permutation = op.ints("perm").unwrap_or(&reversed);
    let axes = permutation.iter().map(|&axis| axis_of(axis, rank)).collect::<Answer<Vec<usize>>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if rank > MAX_RANK || sorted != (0..rank).collect::<Vec<_>>() {
        return Err("perm names an axis twice".into());
    }
    let dims: Vec<usize> = axes.iter().map(|&axis| from.dims[axis]).collect();
    let strides: Vec<usize> = axes.iter().map(|&axis| from.dims[axis + 1..].iter().product()).collect();
    let place = |mut index: usize| {
        let mut place = 0;
        for (dim, stride) in dims.iter().zip(&strides).rev() {
            place += index % dim * stride;
            index /= dim;
        }
        place
    };
    if from.is_ints() {
        let values = from.ints()?;
        return Ok(Constant::of_ints(dims.clone(), (0..from.len()).map(|index| values[place(index)]).collect()));
    }
    from.check_floats()?;
    let values = (0..from.len()).map(|index| from.float(place(index))).collect();
    Ok(Constant::of_floats(from.name.clone(), dims.clone(), values))
}

fn concat(op: &Operator, inputs: &[&Constant]) -> Answer<Constant> {
    let mut values = Vec::new();
    for input in inputs {
        if input.dims.len() != 1 {
            return unsupported("of known tensors is supported for lists of whole numbers alone");
        }
        values.extend_from_slice(input.ints()?);
        if values.len() > MAX_FOLDED {
            return unsupported("of known tensors is supported for short lists alone");
        }
    }
    axis_of(op.int("axis", 0), 1)?;
    Ok(Constant::of_ints(vec![values.len()], values))
}

fn gather(op: &Operator, from: &Constant) -> Answer<Constant> {
    let (values, indices) = (from.ints()?, op.needed(1)?);
    if from.dims.len() != 1 || op.int("axis", 0) != 0 {
        return unsupported("is supported for lists of whole numbers alone");
    }
    let picked =
        indices.known_ints()?.iter().map(|&index| Ok(values[axis_of(index, values.len())?])).collect::<Answer<_>>()?;
    Ok(Constant::of_ints(indices.dims.clone(), picked))
}

fn slice(op: &Operator, from: &Constant) -> Answer<Constant> {
    let values = from.ints()?;
    let one = |input: usize, attribute: &str| -> Answer<Option<i64>> {
        match op.numbers(input, attribute)?.as_deref() {
            None => Ok(None),
            Some(&[value]) => Ok(Some(value)),
            Some(_) => unsupported("along several axes is not supported for known tensors"),
        }
    };
    let (start, end) = (one(1, "starts")?.ok_or("starts are missing")?, one(2, "ends")?.ok_or("ends are missing")?);
    let (axis, step) = (one(3, "axes")?.unwrap_or(0), one(4, "steps")?.unwrap_or(1));
    let Some((&rows, rest)) =
        from.dims.split_first().filter(|_| step != 0 && axis_of(axis, from.dims.len()).ok() == Some(0))
    else {
        return unsupported("of known tensors is supported along the first axis alone");
    };
    let (len, width) = (rows as i64, rest.iter().product::<usize>());
    let place = |value: i64| if value < 0 { value.saturating_add(len) } else { value };
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let picked: Vec<usize> = if step > 0 {
        let range = place(start).clamp(0, len)..place(end).clamp(0, len);
        range.step_by(stride).map(|row| row as usize).collect()
    } else {
        // An end far below zero means that the first row is taken too.
        let (first, last) = (place(start).clamp(-1, len - 1), place(end).clamp(-1, len - 1));
        (last + 1..first + 1).rev().step_by(stride).map(|row| row as usize).collect()
    };
    let dims = [&[picked.len()], rest].concat();
    let values = picked.into_iter().flat_map(|row| &values[width * row..width * (row + 1)]).copied().collect();
    Ok(Constant::of_ints(dims, values))
}

fn constant_of_shape(op: &Operator, shape: &Constant) -> Answer<Constant> {
    let sizes = shape.known_ints()?;
    let sizes: Option<Vec<usize>> = sizes.into_iter().map(|size| usize::try_from(size).ok()).collect();
    let sizes = sizes.ok_or("makes a tensor of a negative size")?;
    let len = sizes.iter().try_fold(1_usize, |len, &size| len.checked_mul(size)).filter(|&len| len <= MAX_FOLDED);
    let Some(len) = len.filter(|_| sizes.len() <= MAX_RANK) else {
        return unsupported(format!("makes a tensor of {:?} values", &sizes[..sizes.len().min(8)]));
    };
    match op.tensor("value")? {
        Some(value) if value.len() != 1 => Err("value is not one value".into()),
        Some(value) if value.is_ints() => Ok(Constant::of_ints(sizes, vec![value.ints()?[0]; len])),
        Some(value) => Ok(Constant::of_floats("".into(), sizes, vec![value.check_floats()?.float(0); len])),
        None => Ok(Constant::of_floats("".into(), sizes, vec![0.0; len])),
    }
}

fn arithmetic(op: &Operator, a: &Constant, b: &Constant) -> Answer<Constant> {
    let (left, right) = (a.ints()?, b.ints()?);
    let dims = match (left.len(), right.len()) {
        (_, 1) if a.dims.len() >= b.dims.len() => a.dims.clone(),
        (1, _) => b.dims.clone(),
        _ if a.dims == b.dims => a.dims.clone(),
        _ => return unsupported("on whole numbers of different shapes is not supported"),
    };
    let len: usize = dims.iter().product();
    let one = |index: usize| -> Answer<Int> {
        let pick = |values: &[Int]| values[if values.len() == 1 { 0 } else { index }];
        let (x, y) = (pick(left), pick(right));
        let kind = op.node.op_type.as_str();
        match (kind, x, y) {
            ("Mul" | "Div", Int::Batch, Int::Known(1)) | ("Mul", Int::Known(1), Int::Batch) => Ok(Int::Batch),
            ("Add" | "Sub", Int::Batch, Int::Known(0)) | ("Add", Int::Known(0), Int::Batch) => Ok(Int::Batch),
            (kind, Int::Known(x), Int::Known(y)) => {
                let result = match kind {
                    "Add" => x.checked_add(y),
                    "Sub" => x.checked_sub(y),
                    "Mul" => x.checked_mul(y),
                    _ => x.checked_div(y),
                };
                result.map(Int::Known).ok_or_else(|| format!("computes {x} and {y}").into())
            }
            _ => unsupported("computes with the size of the batch"),
        }
    };
    Ok(Constant::of_ints(dims, (0..len).map(one).collect::<Answer<_>>()?))
}
