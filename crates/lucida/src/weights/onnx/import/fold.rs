//! Constant folding: shapes that PyTorch and TensorFlow compute in the graph, and weights that are generated or rearranged.
//!
//! [`moving`](super::fold_moving) rearranges values, [`math`](super::fold_math) computes with them. A file of a few bytes
//! can request weights of any size, so written values are counted: see [`Folder`].

use super::super::tensor::{Constant, Int, MAX_VALUES, first};
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{MAX_RANK, Symbol, Value};
use super::{fold_math, fold_moving, quantize};

/// Maximum number of integers in a folded tensor: shapes are short.
pub(super) const MAX_FOLDED: usize = 1 << 16;
/// Maximum number of values, in total, of weights that the graph fills with one number (`ConstantOfShape`): VGG19 has 144
/// million.
const MAX_FILLED: u64 = 1 << 28;

/// The budget of constant folding.
#[derive(Debug)]
pub(super) struct Folder {
    /// The number of values written, and its limit.
    copied: u64,
    most: u64,
    /// The number of values in filled tensors, which take no memory until they become weights.
    filled: u64,
}

impl Folder {
    /// Allows up to `most` values to be written.
    pub(super) fn new(most: u64) -> Self {
        Self { copied: 0, most, filled: 0 }
    }

    /// Parameters that the network may have beyond those in the file: those in filled tensors.
    pub(super) fn filled(&self) -> u64 {
        self.filled
    }

    /// Counts values before they are written; `None` is a shape whose product overflows.
    pub(super) fn count(&mut self, len: Option<usize>) -> ImportResult<usize> {
        let left = self.most - self.copied;
        match len.filter(|&len| len as u64 <= left) {
            Some(len) => {
                self.copied += len as u64;
                Ok(len)
            }
            None => unsupported(format!(
                "computes with more than {} known values, more than the file's size explains",
                self.most
            )),
        }
    }

    /// A tensor filled with one number.
    pub(super) fn fill(&mut self, dims: Vec<usize>, value: f32) -> ImportResult<Constant> {
        let len = product(&dims).map(|len| len as u64);
        match len.filter(|&len| len <= MAX_FILLED - self.filled && dims.len() <= MAX_RANK) {
            Some(len) => {
                self.filled += len;
                Ok(Constant::filled(dims, value))
            }
            None => unsupported(format!(
                "makes a tensor of the shape {:?}; all that are made of one number may have {MAX_FILLED} values together",
                first(&dims)
            )),
        }
    }
}

/// The number of values of a shape, if it could fit into memory. Sizes next to a zero are multiplied as well, so that
/// callers need not guard against their overflow.
pub(super) fn product(dims: &[usize]) -> Option<usize> {
    let len = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim.max(1)))?;
    if len as u64 > MAX_VALUES {
        return None;
    }
    Some(if dims.contains(&0) { 0 } else { len })
}

/// The result of an operator, if all its inputs are constant and it is used on shapes or weights.
pub(super) fn fold(op: &Operator, folder: &mut Folder) -> ImportResult<Option<Value>> {
    let kind = op.node.op_type.as_str();
    if kind == "Shape" {
        let shape = match op.value(0) {
            Some(Value::Symbol(symbol)) => shape_of(symbol, None),
            Some(Value::Constant(constant)) => constant.dims.iter().map(|&dim| Int::Known(dim as i64)).collect(),
            None => return Err("input 1 is missing".into()),
        };
        return shape_part(op, shape).map(Some);
    }
    match kind {
        "Constant" => return constant(op).map(|constant| Some(Value::Constant(constant))),
        "ConstantFill" => return constant_fill(op, folder).map(|constant| Some(Value::Constant(constant))),
        _ => {}
    }
    let mut inputs = Vec::new();
    for input in op.inputs.iter().flatten() {
        match input {
            Value::Constant(constant) => inputs.push(constant),
            Value::Symbol(_) => return Ok(None),
        }
    }
    let Some(&first) = inputs.first() else { return Ok(None) };
    let folded = match kind {
        "Identity" | "Dropout" => first.clone(),
        "Cast" => cast(op.int("to", 0), first, folder)?,
        "CastLike" => cast(op.needed(1)?.kind.into(), first, folder)?,
        "Size" => ints(&[first.len() as i64], vec![]),
        "ConstantOfShape" => constant_of_shape(op, first, folder)?,
        "QuantizeLinear" => quantize::fold_quantize(op, folder)?,
        "DequantizeLinear" => quantize::fold_dequantize(op, folder)?,
        _ => match fold_moving::fold(op, &inputs, folder)? {
            Some(folded) => folded,
            None => match fold_math::fold(op, &inputs, folder)? {
                Some(folded) => folded,
                None => return Ok(None),
            },
        },
    };
    Ok(Some(Value::Constant(folded)))
}

/// The sizes of a tensor including the batch.
pub(super) fn shape_of(symbol: &Symbol, batch: Option<usize>) -> Vec<Int> {
    let batch = batch.map_or(Int::Batch, |batch| Int::Known(batch as i64));
    std::iter::once(batch).chain((0..symbol.axes.len()).map(|axis| Int::Known(symbol.size(axis) as i64))).collect()
}

/// The `start` and `end` of a shape (`Shape` from version 15).
pub(super) fn shape_part(op: &Operator, shape: Vec<Int>) -> ImportResult<Value> {
    let rank = shape.len() as i64;
    let clamp = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
    let (start, end) = (clamp(op.int("start", 0)), clamp(op.int("end", rank)));
    let part = shape.get(start..end).unwrap_or_default().to_vec();
    Ok(Value::Constant(Constant::of_ints(vec![part.len()], part)))
}

fn ints(values: &[i64], dims: Vec<usize>) -> Constant {
    Constant::of_ints(dims, values.iter().copied().map(Int::Known).collect())
}

fn constant(op: &Operator) -> ImportResult<Constant> {
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

fn cast(to: i64, from: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let is_float = |kind: i64| matches!(kind, 1 | 10 | 11 | 16);
    match to {
        to if is_float(to) && from.check_floats().is_ok() => Ok(from.clone()),
        to if is_float(to) => {
            from.check_numbers()?;
            folder.count(Some(from.len()))?;
            Ok(Constant::of_floats(from.name.clone(), from.dims.clone(), from.floats()))
        }
        // Booleans are 0 and 1.
        2..=7 | 9 | 12 | 13 if from.is_ints() => {
            let one = |&value: &Int| match value.known() {
                Some(value) if to == 9 => Int::Known(i64::from(value != 0)),
                _ => value,
            };
            Ok(Constant::of_ints(from.dims.clone(), from.ints()?.iter().map(one).collect()).with_kind(to as i32))
        }
        2..=7 | 9 | 12 | 13 if from.check_numbers()?.len() <= MAX_FOLDED => {
            let whole = |value: f32| if to == 9 { i64::from(value != 0.0) } else { value as i64 };
            let values = from.floats().into_iter().map(|value| Int::Known(whole(value))).collect();
            Ok(Constant::of_ints(from.dims.clone(), values).with_kind(to as i32))
        }
        to => unsupported(format!("to type number {to} is not supported")),
    }
}

/// Interprets a list of integers as sizes.
pub(super) fn sizes(shape: &Constant) -> ImportResult<Vec<usize>> {
    let sizes: Option<Vec<usize>> = shape.known_ints()?.into_iter().map(|size| usize::try_from(size).ok()).collect();
    Ok(sizes.ok_or("makes a tensor of a negative size")?)
}

fn constant_of_shape(op: &Operator, shape: &Constant, folder: &mut Folder) -> ImportResult<Constant> {
    let dims = sizes(shape)?;
    match op.tensor("value")? {
        Some(value) if value.len() != 1 => Err("value is not one value".into()),
        Some(value) if value.is_ints() => filled_ints(dims, value.ints()?[0]),
        Some(value) => folder.fill(dims, value.check_floats()?.float(0)),
        None => folder.fill(dims, 0.0),
    }
}

/// A tensor filled with one integer.
pub(super) fn filled_ints(dims: Vec<usize>, value: Int) -> ImportResult<Constant> {
    match product(&dims).filter(|&len| len <= MAX_FOLDED && dims.len() <= MAX_RANK) {
        Some(len) => Ok(Constant::of_ints(dims, vec![value; len])),
        None => unsupported(format!("makes a tensor of {:?} whole numbers", first(&dims))),
    }
}

/// The form of `ConstantOfShape` in Caffe2 and the first versions.
fn constant_fill(op: &Operator, folder: &mut Folder) -> ImportResult<Constant> {
    let dims = match op.constant(0)? {
        Some(shape) if op.int("input_as_shape", 0) != 0 => sizes(shape)?,
        Some(like) => like.dims.clone(),
        None => {
            let shape = op.ints("shape").ok_or("shape is missing")?;
            let dims: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
            dims.ok_or("makes a tensor of a negative size")?
        }
    };
    match op.int("dtype", 1) {
        1 => folder.fill(dims, op.float("value", 0.0)),
        6 | 7 => filled_ints(dims, Int::Known(op.float("value", 0.0) as i64)),
        kind => unsupported(format!("of type number {kind} is not supported")),
    }
}
