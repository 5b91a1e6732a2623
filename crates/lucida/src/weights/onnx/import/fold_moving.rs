//! Rearranging constants without computing.

use super::super::tensor::{Constant, Int};
use super::fold::{Folder, MAX_FOLDED, filled_ints, product, sizes};
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::MAX_RANK;

/// The result of an operator, if it is supported here.
pub(super) fn fold(op: &Operator, inputs: &[&Constant], folder: &mut Folder) -> ImportResult<Option<Constant>> {
    let from = inputs[0];
    Ok(Some(match op.node.op_type.as_str() {
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => from.with_dims(new_dims(op, from)?),
        "Transpose" => transpose(op, from, folder)?,
        "Concat" => concat(op, inputs, folder)?,
        "Gather" => gather(op, from, folder)?,
        "Slice" => slice(op, from, folder)?,
        "Expand" => expand(from, &sizes(&for_any_batch(from, op.needed(1)?)?)?, folder)?,
        "Tile" => tile(op, from, folder)?,
        "Range" => range(inputs)?,
        _ => return Ok(None),
    }))
}

/// Resolves a possibly negative axis.
pub(super) fn axis_of(axis: i64, rank: usize) -> ImportResult<usize> {
    let place = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(place)
        .ok()
        .filter(|&place| place < rank)
        .ok_or_else(|| format!("names axis {axis} of {rank}").into())
}

/// The row-major strides of a shape.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    (0..dims.len()).map(|axis| dims[axis + 1..].iter().product()).collect()
}

/// A tensor with values of another: `place` maps indices to the offset of the value there.
fn picked(
    from: &Constant,
    dims: Vec<usize>,
    folder: &mut Folder,
    place: impl Fn(&[usize]) -> usize,
) -> ImportResult<Constant> {
    if dims.len() > MAX_RANK {
        return unsupported(format!("makes a tensor of {} axes; {MAX_RANK} are supported", dims.len()));
    }
    if let Some(value) = from.fill_value() {
        return folder.fill(dims, value);
    }
    let len = folder.count(product(&dims))?;
    let mut index = vec![0; dims.len()];
    let mut next = || {
        let found = place(&index);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
        found
    };
    if from.is_ints() {
        if len > MAX_FOLDED {
            return unsupported("of known whole numbers is supported for short lists alone");
        }
        let values = from.ints()?;
        let picked = (0..len).map(|_| values[next()]).collect();
        return Ok(Constant::of_ints(dims, picked).with_kind(from.kind));
    }
    from.check_numbers()?;
    let values = (0..len).map(|_| from.float(next())).collect();
    Ok(Constant::of_floats(from.name.clone(), dims, values).with_kind(from.kind))
}

fn new_dims(op: &Operator, from: &Constant) -> ImportResult<Vec<usize>> {
    let rank = from.dims.len();
    let dims = match op.node.op_type.as_str() {
        "Reshape" => {
            let target = match op.shape_attribute() {
                Some(shape) => shape.into_iter().filter_map(Int::known).collect(),
                None => op.needed(1)?.known_ints()?,
            };
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
                let known = product(&dims).filter(|&len| len > 0);
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
                let removed = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<ImportResult<Vec<_>>>()?;
                (0..rank).filter(|axis| !removed.contains(axis)).map(|axis| from.dims[axis]).collect()
            }
            None => from.dims.iter().copied().filter(|&dim| dim != 1).collect(),
        },
        _ => {
            let places = op.numbers(1, "axes")?.ok_or("axes are missing")?;
            let rank = rank.saturating_add(places.len()).min(MAX_RANK + 1);
            let new = places.iter().map(|&place| axis_of(place, rank)).collect::<ImportResult<Vec<_>>>()?;
            let mut old = from.dims.iter();
            (0..rank).map(|place| if new.contains(&place) { 1 } else { old.next().copied().unwrap_or(1) }).collect()
        }
    };
    if dims.len() > MAX_RANK || product(&dims) != Some(from.len()) {
        return Err("does not keep the number of values".into());
    }
    Ok(dims)
}

fn transpose(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let rank = from.dims.len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let permutation = op.ints("perm").unwrap_or(&reversed);
    let axes = permutation.iter().map(|&axis| axis_of(axis, rank)).collect::<ImportResult<Vec<usize>>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err("perm names an axis twice".into());
    }
    let all = strides(&from.dims);
    let strides: Vec<usize> = axes.iter().map(|&axis| all[axis]).collect();
    let dims = axes.iter().map(|&axis| from.dims[axis]).collect();
    picked(from, dims, folder, |index| index.iter().zip(&strides).map(|(index, stride)| index * stride).sum())
}

fn concat(op: &Operator, inputs: &[&Constant], folder: &mut Folder) -> ImportResult<Constant> {
    let first = inputs[0];
    // Lists have one axis; for others, the default in the first versions was 1.
    let axis = axis_of(op.int("axis", i64::from(first.dims.len() > 1)), first.dims.len())?;
    let mut dims = first.dims.clone();
    for input in &inputs[1..] {
        let alike = |(place, (a, b)): (usize, (&usize, &usize))| place == axis || a == b;
        if input.dims.len() != dims.len() || !input.dims.iter().zip(&dims).enumerate().all(alike) {
            return Err(format!("of the shapes {:?} and {:?}", first.dims, input.dims).into());
        }
        dims[axis] = dims[axis].checked_add(input.dims[axis]).ok_or("makes too large a tensor")?;
    }
    let len = folder.count(product(&dims))?;
    let ints = inputs.iter().all(|input| input.is_ints());
    if ints && len > MAX_FOLDED {
        return unsupported("of known tensors is supported for short lists alone");
    }
    let outer: usize = dims[..axis].iter().product();
    let (mut whole, mut floats) = (Vec::new(), Vec::new());
    for row in 0..outer {
        for input in inputs {
            let width: usize = input.dims[axis..].iter().product();
            if ints {
                whole.extend_from_slice(&input.ints()?[row * width..][..width]);
            } else {
                let input = input.check_floats()?;
                floats.extend((row * width..(row + 1) * width).map(|index| input.float(index)));
            }
        }
    }
    Ok(if ints { Constant::of_ints(dims, whole) } else { Constant::of_floats(first.name.clone(), dims, floats) })
}

fn gather(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let axis = axis_of(op.int("axis", 0), from.dims.len())?;
    let indices = op.needed(1)?;
    let rows = indices
        .known_ints()?
        .into_iter()
        .map(|index| axis_of(index, from.dims[axis]))
        .collect::<ImportResult<Vec<usize>>>()?;
    let all = strides(&from.dims);
    let inner = strides(&indices.dims);
    let dims = [&from.dims[..axis], &indices.dims, &from.dims[axis + 1..]].concat();
    let count = indices.dims.len();
    picked(from, dims, folder, |index| {
        let row: usize = index[axis..axis + count].iter().zip(&inner).map(|(index, stride)| index * stride).sum();
        let before: usize = index[..axis].iter().zip(&all).map(|(index, stride)| index * stride).sum();
        let after: usize =
            index[axis + count..].iter().zip(&all[axis + 1..]).map(|(index, stride)| index * stride).sum();
        before + rows[row] * all[axis] + after
    })
}

fn slice(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let starts = op.numbers(1, "starts")?.ok_or("starts are missing")?;
    let ends = op.numbers(2, "ends")?.ok_or("ends are missing")?;
    let axes = op.numbers(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = op.numbers(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|&len| len != starts.len()) {
        return Err("has lists of different lengths".into());
    }
    let mut kept: Vec<Rows> = from.dims.iter().map(|&count| Rows { first: 0, step: 1, count }).collect();
    for (place, &axis) in axes.iter().enumerate() {
        let axis = axis_of(axis, from.dims.len())?;
        kept[axis] = Rows::of_slice(from.dims[axis], starts[place], ends[place], steps[place])?;
    }
    let all = strides(&from.dims);
    let dims = kept.iter().map(|rows| rows.count).collect();
    picked(from, dims, folder, |index| {
        index.iter().enumerate().map(|(axis, &index)| kept[axis].at(index) * all[axis]).sum()
    })
}

/// Indices along an axis.
#[derive(Clone, Copy)]
struct Rows {
    first: usize,
    step: i64,
    count: usize,
}

impl Rows {
    /// The indices of a slice along an axis with `len` values.
    fn of_slice(len: usize, start: i64, end: i64, step: i64) -> ImportResult<Self> {
        let len = len as i64;
        let place = |value: i64| if value < 0 { value.saturating_add(len) } else { value };
        let (first, span) = match step {
            0 => return Err("has a step of 0".into()),
            1.. => {
                let first = place(start).clamp(0, len);
                (first, place(end).clamp(0, len) - first)
            }
            _ => {
                // An end far below zero means that the first position is included.
                let first = place(start).clamp(-1, len - 1);
                (first, first - place(end).clamp(-1, len - 1))
            }
        };
        let count = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
        Ok(Self { first: first.max(0) as usize, step, count: count as usize })
    }

    fn at(self, index: usize) -> usize {
        (self.first as i64 + index as i64 * self.step) as usize
    }
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> ImportResult<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |place| dims[place]);
    let one = |axis: usize| match (size(a, axis), size(b, axis)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(format!("of the shapes {a:?} and {b:?}, which cannot be broadcast").into()),
    };
    (0..rank).map(one).collect()
}

/// The strides of a tensor that is broadcast to the shape `dims`.
pub(super) fn broadcast_strides(from: &[usize], dims: &[usize]) -> Vec<usize> {
    let own = strides(from);
    let missing = dims.len() - from.len();
    (0..dims.len())
        .map(|axis| axis.checked_sub(missing).map_or(0, |place| if from[place] == 1 { 0 } else { own[place] }))
        .collect()
}

/// The target shape for expanding a constant: an open batch becomes an axis of size one, which can be broadcast to any.
fn for_any_batch(from: &Constant, target: &Constant) -> ImportResult<Constant> {
    let mut target = target.ints()?.to_vec();
    let alone = from.dims.len() < target.len() || from.dims.first() == Some(&1);
    if let Some(batch @ Int::Batch) = target.first_mut().filter(|_| alone) {
        *batch = Int::Known(1);
    }
    Ok(Constant::of_ints(vec![target.len()], target))
}

fn expand(from: &Constant, target: &[usize], folder: &mut Folder) -> ImportResult<Constant> {
    let dims = broadcast(&from.dims, target)?;
    if from.len() == 1 && !from.is_ints() {
        return folder.fill(dims, from.check_floats()?.float(0));
    }
    if from.len() == 1 {
        return filled_ints(dims, from.ints()?[0]);
    }
    let strides = broadcast_strides(&from.dims, &dims);
    picked(from, dims, folder, |index| index.iter().zip(&strides).map(|(index, stride)| index * stride).sum())
}

fn tile(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let repeats = sizes(op.needed(1)?)?;
    if repeats.len() != from.dims.len() {
        return Err(format!("{} repeats of {} axes", repeats.len(), from.dims.len()).into());
    }
    let dims: Option<Vec<usize>> =
        from.dims.iter().zip(&repeats).map(|(&dim, &count)| dim.checked_mul(count)).collect();
    let all = strides(&from.dims);
    picked(from, dims.ok_or("makes too large a tensor")?, folder, |index| {
        index.iter().enumerate().map(|(axis, &index)| index % from.dims[axis] * all[axis]).sum()
    })
}

fn range(inputs: &[&Constant]) -> ImportResult<Constant> {
    let [start, limit, delta] = inputs else { return Err("takes three numbers".into()) };
    let one = |constant: &Constant| -> ImportResult<i64> {
        match constant.known_ints()?[..] {
            [value] => Ok(value),
            _ => Err("takes three numbers".into()),
        }
    };
    let (start, limit, delta) = (one(start)?, one(limit)?, one(delta)?);
    let span = limit.checked_sub(start).ok_or("has limits that are too far from each other")?;
    let count = match delta {
        0 => return Err("has a step of 0".into()),
        1.. => span.max(0).unsigned_abs().div_ceil(delta.unsigned_abs()),
        _ => span.min(0).unsigned_abs().div_ceil(delta.unsigned_abs()),
    };
    if count > MAX_FOLDED as u64 {
        return unsupported(format!("makes {count} whole numbers"));
    }
    let values: Vec<Int> = (0..count as i64).map(|index| Int::Known(start + index * delta)).collect();
    Ok(Constant::of_ints(vec![values.len()], values))
}
