//! Computing with constants.

use super::super::tensor::{Constant, Int};
use super::fold::{Folder, MAX_FOLDED, product};
use super::fold_moving::{axis_of, broadcast, broadcast_strides};
use super::operator::{ImportResult, Operator, unsupported};

/// The result of an operator, if it is supported here.
pub(super) fn fold(op: &Operator, inputs: &[&Constant], folder: &mut Folder) -> ImportResult<Option<Constant>> {
    let kind = op.node.op_type.as_str();
    Ok(Some(match (kind, inputs) {
        ("Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Mod", [a, b]) => match a.is_ints() && b.is_ints() {
            true => ints(kind, a, b)?,
            false => floats(kind, a, b, folder)?,
        },
        ("Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or", [a, b]) => {
            compare(kind, a, b)?
        }
        ("Where", [condition, a, b]) => select(condition, a, b, folder)?,
        (
            "Neg" | "Abs" | "Not" | "Sqrt" | "Exp" | "Log" | "Sin" | "Cos" | "Relu" | "Sigmoid" | "Tanh" | "Floor"
            | "Ceil" | "Round" | "Reciprocal",
            [a],
        ) => unary(kind, a, folder)?,
        ("ReduceProd" | "ReduceSum" | "ReduceMin" | "ReduceMax", [a, ..]) if a.is_ints() => reduce(op, a)?,
        (
            "ReduceMean" | "ReduceSum" | "ReduceMin" | "ReduceMax" | "ReduceProd" | "ReduceL1" | "ReduceL2"
            | "ReduceSumSquare",
            [a, ..],
        ) => reduce_floats(op, a, folder)?,
        ("Clip", [a, ..]) => clip(op, a, folder)?,
        ("BatchNormalization", [a, ..]) => normalize(op, a, folder)?,
        _ => return Ok(None),
    }))
}

/// Calls `each` with the indices of the values of two tensors, for each position of their broadcast shape.
fn pairs(
    a: &Constant,
    b: &Constant,
    dims: &[usize],
    mut each: impl FnMut(usize, usize) -> ImportResult<()>,
) -> ImportResult<()> {
    let (left, right) = (broadcast_strides(&a.dims, dims), broadcast_strides(&b.dims, dims));
    let mut index = vec![0; dims.len()];
    let place = |strides: &[usize], index: &[usize]| index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
    for _ in 0..dims.iter().product() {
        each(place(&left, &index), place(&right, &index))?;
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(())
}

/// The broadcast shape of short lists of integers.
fn short(a: &Constant, b: &Constant) -> ImportResult<Vec<usize>> {
    let dims = broadcast(&a.dims, &b.dims)?;
    match product(&dims).filter(|&len| len <= MAX_FOLDED) {
        Some(_) => Ok(dims),
        None => unsupported("of known whole numbers is supported for short lists alone"),
    }
}

fn ints(kind: &str, a: &Constant, b: &Constant) -> ImportResult<Constant> {
    let (dims, left, right) = (short(a, b)?, a.ints()?, b.ints()?);
    let mut values = Vec::new();
    pairs(a, b, &dims, |x, y| {
        values.push(int(kind, left[x], right[y])?);
        Ok(())
    })?;
    Ok(Constant::of_ints(dims, values).with_kind(a.kind))
}

/// Computes with two integers. With the symbolic batch size, only operations that leave it unchanged are known.
fn int(kind: &str, a: Int, b: Int) -> ImportResult<Int> {
    match (kind, a, b) {
        ("Mul" | "Div", Int::Batch, Int::Known(1)) | ("Mul", Int::Known(1), Int::Batch) => Ok(Int::Batch),
        ("Add" | "Sub", Int::Batch, Int::Known(0)) | ("Add", Int::Known(0), Int::Batch) => Ok(Int::Batch),
        ("Max", Int::Batch, Int::Known(..=1)) | ("Max", Int::Known(..=1), Int::Batch) => Ok(Int::Batch),
        (kind, Int::Known(x), Int::Known(y)) => {
            let result = match kind {
                "Add" => x.checked_add(y),
                "Sub" => x.checked_sub(y),
                "Mul" => x.checked_mul(y),
                "Div" => x.checked_div(y),
                "Pow" => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
                "Min" => Some(x.min(y)),
                "Max" => Some(x.max(y)),
                // The sign is that of the divisor, as in Python.
                _ => x.checked_rem(y).map(|rest| if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }),
            };
            result.map(Int::Known).ok_or_else(|| format!("computes {x} and {y}").into())
        }
        _ => unsupported("computes with the size of the batch"),
    }
}

fn floats(kind: &str, a: &Constant, b: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let compute: fn(f32, f32) -> f32 = match kind {
        "Add" => |x, y| x + y,
        "Sub" => |x, y| x - y,
        "Mul" => |x, y| x * y,
        "Div" => |x, y| x / y,
        "Pow" => f32::powf,
        "Min" => f32::min,
        "Max" => f32::max,
        _ => return unsupported("of known numbers with a fraction is not supported"),
    };
    let (a, b) = (a.check_numbers()?, b.check_numbers()?);
    let dims = broadcast(&a.dims, &b.dims)?;
    if let (Some(x), Some(y)) = (a.fill_value(), b.fill_value()) {
        return folder.fill(dims, compute(x, y));
    }
    let len = folder.count(product(&dims))?;
    let mut values = Vec::with_capacity(len);
    pairs(a, b, &dims, |x, y| {
        values.push(compute(a.float(x), b.float(y)));
        Ok(())
    })?;
    let name = if a.len() >= b.len() { &a.name } else { &b.name };
    Ok(Constant::of_floats(name.clone(), dims, values))
}

fn compare(kind: &str, a: &Constant, b: &Constant) -> ImportResult<Constant> {
    let (dims, left, right) = (short(a, b)?, a.ints()?, b.ints()?);
    let mut values = Vec::new();
    pairs(a, b, &dims, |x, y| {
        let holds = match (kind, left[x], right[y]) {
            // Shapes are compared with -1 and 1, which differ from an open batch.
            ("Equal", Int::Batch, Int::Known(_)) | ("Equal", Int::Known(_), Int::Batch) => false,
            ("Equal", x, y) => x == y,
            (kind, Int::Known(x), Int::Known(y)) => match kind {
                "Less" => x < y,
                "Greater" => x > y,
                "LessOrEqual" => x <= y,
                "GreaterOrEqual" => x >= y,
                "And" => x != 0 && y != 0,
                _ => x != 0 || y != 0,
            },
            _ => return unsupported("compares the size of the batch"),
        };
        values.push(Int::Known(holds.into()));
        Ok(())
    })?;
    Ok(Constant::of_ints(dims, values))
}

fn select(condition: &Constant, a: &Constant, b: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let chosen = condition.known_ints()?;
    let one = |constant: &Constant| constant.len() == 1;
    // Usually a shape, with one number for all of its sizes, or one condition for all values.
    if let [only] = chosen[..] {
        let from = if only != 0 { a } else { b };
        let dims = broadcast(&broadcast(&a.dims, &b.dims)?, &condition.dims)?;
        if from.dims == dims {
            return Ok(from.clone());
        }
    }
    let fits = |constant: &Constant| constant.dims == condition.dims || one(constant);
    if !fits(a) || !fits(b) {
        return unsupported("of known tensors of different shapes is not supported");
    }
    let at = |constant: &Constant, index: usize| if one(constant) { 0 } else { index };
    folder.count(Some(chosen.len()))?;
    if a.is_ints() && b.is_ints() {
        let (x, y) = (a.ints()?, b.ints()?);
        let pick = |(index, &chosen): (usize, &i64)| if chosen != 0 { x[at(a, index)] } else { y[at(b, index)] };
        return Ok(Constant::of_ints(condition.dims.clone(), chosen.iter().enumerate().map(pick).collect()));
    }
    let (a, b) = (a.check_numbers()?, b.check_numbers()?);
    let pick =
        |(index, &chosen): (usize, &i64)| if chosen != 0 { a.float(at(a, index)) } else { b.float(at(b, index)) };
    let values = chosen.iter().enumerate().map(pick).collect();
    Ok(Constant::of_floats("".into(), condition.dims.clone(), values))
}

fn unary(kind: &str, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    if from.is_ints() {
        let one = |value: i64| match kind {
            "Neg" => value.checked_neg(),
            "Abs" => value.checked_abs(),
            "Not" => Some(i64::from(value == 0)),
            _ => Some(value),
        };
        if !matches!(kind, "Neg" | "Abs" | "Not" | "Floor" | "Ceil" | "Round") {
            return unsupported("of known whole numbers is not supported");
        }
        let values: Option<Vec<Int>> = from.known_ints()?.into_iter().map(|value| one(value).map(Int::Known)).collect();
        let values = values.ok_or("computes a number that is too large")?;
        return Ok(Constant::of_ints(from.dims.clone(), values).with_kind(from.kind));
    }
    let compute: fn(f32) -> f32 = match kind {
        "Neg" => |x| -x,
        "Abs" => f32::abs,
        "Sqrt" => f32::sqrt,
        "Exp" => f32::exp,
        "Log" => f32::ln,
        "Sin" => f32::sin,
        "Cos" => f32::cos,
        "Relu" => |x| x.max(0.0),
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Tanh" => f32::tanh,
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        "Round" => f32::round_ties_even,
        "Reciprocal" => |x| 1.0 / x,
        _ => return unsupported("of known numbers with a fraction is not supported"),
    };
    if let Some(value) = from.check_floats()?.fill_value() {
        return folder.fill(from.dims.clone(), compute(value));
    }
    let len = folder.count(Some(from.len()))?;
    let values = (0..len).map(|index| compute(from.float(index))).collect();
    Ok(Constant::of_floats(from.name.clone(), from.dims.clone(), values))
}

/// Reduces a list over its only axis.
fn reduce(op: &Operator, from: &Constant) -> ImportResult<Constant> {
    let axes = op.numbers(1, "axes")?;
    let all = axes.is_none_or(|axes| axes.is_empty() || matches!(axes[..], [0 | -1]));
    if from.dims.len() > 1 || !all {
        return unsupported("of known whole numbers is supported for lists alone");
    }
    let kind = match op.node.op_type.as_str() {
        "ReduceProd" => "Mul",
        "ReduceSum" => "Add",
        "ReduceMin" => "Min",
        _ => "Max",
    };
    let neutral = match kind {
        "Mul" => Some(1),
        "Add" => Some(0),
        _ => None,
    };
    let mut values = from.ints()?.iter().copied();
    let start = neutral.map(Int::Known).or_else(|| values.next()).ok_or("of nothing")?;
    let result = values.try_fold(start, |a, b| int(kind, a, b))?;
    let dims = if op.int("keepdims", 1) != 0 { vec![1; from.dims.len()] } else { Vec::new() };
    Ok(Constant::of_ints(dims, vec![result]))
}

/// Reduces floats over any axes, with sums in double precision.
fn reduce_floats(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let rank = from.dims.len();
    let axes = op.numbers(1, "axes")?.filter(|axes| !axes.is_empty()).unwrap_or_else(|| (0..rank as i64).collect());
    let axes = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<ImportResult<Vec<usize>>>()?;
    let kept: Vec<usize> = (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { from.dims[axis] }).collect();
    let len = folder.count(product(&kept))?;
    let kind = op.node.op_type.as_str();
    let start = match kind {
        "ReduceMin" => f64::INFINITY,
        "ReduceMax" => f64::NEG_INFINITY,
        "ReduceProd" => 1.0,
        _ => 0.0,
    };
    let mut values = vec![start; len];
    let each = Constant::filled(kept.clone(), 0.0);
    from.check_floats()?;
    pairs(from, &each, &from.dims, |x, y| {
        let x = f64::from(from.float(x));
        values[y] = match kind {
            "ReduceMin" => values[y].min(x),
            "ReduceMax" => values[y].max(x),
            "ReduceProd" => values[y] * x,
            "ReduceL1" => values[y] + x.abs(),
            "ReduceL2" | "ReduceSumSquare" => values[y] + x * x,
            _ => values[y] + x,
        };
        Ok(())
    })?;
    let count = axes.iter().map(|&axis| from.dims[axis]).product::<usize>() as f64;
    let finish = |value: f64| match kind {
        "ReduceMean" => value / count,
        "ReduceL2" => value.sqrt(),
        _ => value,
    };
    let values = values.into_iter().map(|value| finish(value) as f32).collect();
    let keep = op.int("keepdims", 1) != 0;
    let dims = (0..rank).filter(|axis| keep || !axes.contains(axis)).map(|axis| kept[axis]).collect();
    Ok(Constant::of_floats(from.name.clone(), dims, values))
}

fn clip(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    if !from.is_ints() {
        let (min, max) = (op.number(1, "min")?.unwrap_or(f32::MIN), op.number(2, "max")?.unwrap_or(f32::MAX));
        let len = folder.count(Some(from.check_floats()?.len()))?;
        let values = (0..len).map(|index| from.float(index).max(min).min(max)).collect();
        return Ok(Constant::of_floats(from.name.clone(), from.dims.clone(), values));
    }
    let mut values = from.ints()?.to_vec();
    for (index, kind) in [(1, "Max"), (2, "Min")] {
        let Some(bound) = op.constant(index)? else { continue };
        let &[bound] = bound.ints()? else { return Err("has a bound that is not one number".into()) };
        values = values.into_iter().map(|value| int(kind, value, bound)).collect::<ImportResult<_>>()?;
    }
    Ok(Constant::of_ints(from.dims.clone(), values).with_kind(from.kind))
}

/// `BatchNormalization` of constants, for example standardized weights: with given moments or, in training mode, their own.
fn normalize(op: &Operator, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let &[_, channels, ..] = from.dims.as_slice() else { return Err("takes a tensor with channels".into()) };
    let part = |index: usize| -> ImportResult<Vec<f64>> {
        let values = op.needed(index)?.check_floats()?.floats();
        if values.len() != channels {
            return Err(format!("{} parameters for {channels} channels", values.len()).into());
        }
        Ok(values.into_iter().map(f64::from).collect())
    };
    let len = folder.count(Some(from.check_floats()?.len()))?;
    let inner: usize = from.dims[2..].iter().product();
    let channel = |index: usize| index / inner.max(1) % channels;
    let (mut mean, mut variance) = (part(3)?, part(4)?);
    if op.int("training_mode", 0) != 0 {
        let count = (len / channels.max(1)) as f64;
        let value = |index: usize| f64::from(from.float(index));
        mean = vec![0.0; channels];
        (0..len).for_each(|index| mean[channel(index)] += value(index) / count);
        variance = vec![0.0; channels];
        (0..len).for_each(|index| variance[channel(index)] += (value(index) - mean[channel(index)]).powi(2) / count);
    }
    let (gamma, beta, epsilon) = (part(1)?, part(2)?, f64::from(op.float("epsilon", 1e-5)));
    let one = |index: usize| {
        let at = channel(index);
        let normal = (f64::from(from.float(index)) - mean[at]) / (variance[at] + epsilon).sqrt();
        (normal * gamma[at] + beta[at]) as f32
    };
    Ok(Constant::of_floats(from.name.clone(), from.dims.clone(), (0..len).map(one).collect()))
}
