//! Quantized weights and activations (`QuantizeLinear`, `DequantizeLinear`), which are computed in 32-bit floats.
//!
//! Weights are dequantized once. A quantized and dequantized activation is clipped to the range of its type, which may
//! replace a ReLU that the quantizer has removed, but is not rounded.

use super::super::proto::data_type;
use super::super::tensor::Constant;
use super::Importer;
use super::fold::Folder;
use super::fold_moving::strides;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::Symbol;
use crate::nn::layers::{Activation, ActivationKind};
use crate::weights::Note;

/// The range of a type.
fn limits(kind: i32) -> ImportResult<(f32, f32)> {
    Ok(match kind {
        data_type::UINT8 => (0.0, 255.0),
        data_type::INT8 => (-128.0, 127.0),
        data_type::UINT16 => (0.0, 65535.0),
        data_type::INT16 => (-32768.0, 32767.0),
        kind => {
            return unsupported(format!("to type number {kind} is not supported, only whole numbers of 8 and 16 bits"));
        }
    })
}

/// The quantized type: that of the zero point.
fn target(op: &Operator) -> ImportResult<i32> {
    let zero = op.constant(2)?.map(|zero| zero.kind);
    let named = i32::try_from(op.int("output_dtype", 0)).ok().filter(|&kind| kind != 0);
    Ok(zero.or(named).unwrap_or(data_type::UINT8))
}

/// The scale and the zero point for each value of a tensor with this shape.
struct Grid<'a> {
    scale: &'a Constant,
    zero: Option<&'a Constant>,
    /// For each axis, the strides of the tensor and of the scales, its size, and the number of values that share a scale.
    axes: Vec<(usize, usize, usize, usize)>,
}

impl<'a> Grid<'a> {
    fn new(op: &'a Operator, dims: &[usize]) -> ImportResult<Self> {
        let (scale, zero) = (op.needed(1)?.check_floats()?, op.constant(2)?);
        let rank = dims.len() as i64;
        let axis = op.int("axis", 1);
        let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis }).unwrap_or(usize::MAX);
        let block = op.int("block_size", 0);
        if let Some(zero) = zero.filter(|zero| zero.dims != scale.dims) {
            return Err(format!("a scale of shape {:?} and a zero point of {:?}", scale.dims, zero.dims).into());
        }
        if let Some(zero) = zero {
            zero.check_numbers()?;
        }
        let whole = strides(dims);
        // For each axis, the stride of the scales, and the number of values that share one.
        let shared: Vec<(usize, usize)> = match (scale.dims.as_slice(), block) {
            (_, 0) if scale.len() == 1 => vec![(0, 1); dims.len()],
            (&[len], 0) if dims.get(axis) == Some(&len) => {
                (0..dims.len()).map(|place| (usize::from(place == axis), 1)).collect()
            }
            (sizes, 1..) if sizes.len() == dims.len() && axis < dims.len() => {
                let block = usize::try_from(block).unwrap_or(usize::MAX);
                let fits = |place: usize| match place == axis {
                    true => sizes[place] == dims[place].div_ceil(block),
                    false => sizes[place] == dims[place],
                };
                if !(0..dims.len()).all(fits) {
                    return Err(format!("a scale of shape {sizes:?} for a tensor of {dims:?}").into());
                }
                let steps = strides(sizes);
                (0..dims.len()).map(|place| (steps[place], if place == axis { block } else { 1 })).collect()
            }
            (sizes, _) => return Err(format!("a scale of shape {sizes:?} for a tensor of {dims:?}").into()),
        };
        let axes = (0..dims.len()).map(|place| (whole[place], dims[place], shared[place].0, shared[place].1)).collect();
        Ok(Self { scale, zero, axes })
    }

    /// The scale and the zero point for value `index`.
    fn at(&self, index: usize) -> (f32, f32) {
        let along = |&(stride, dim, step, block): &(usize, usize, usize, usize)| index / stride % dim / block * step;
        let place: usize = self.axes.iter().map(along).sum();
        (self.scale.float(place), self.zero.map_or(0.0, |zero| zero.float(place)))
    }
}

/// `DequantizeLinear` of weights.
pub(super) fn fold_dequantize(op: &Operator, folder: &mut Folder) -> ImportResult<Constant> {
    let from = op.needed(0)?.check_numbers()?;
    let grid = Grid::new(op, &from.dims)?;
    let len = folder.count(Some(from.len()))?;
    let one = |index: usize| {
        let (scale, zero) = grid.at(index);
        (from.float(index) - zero) * scale
    };
    let name = from.name.strip_suffix("_quantized").unwrap_or(&from.name);
    Ok(Constant::of_floats(name.into(), from.dims.clone(), (0..len).map(one).collect()))
}

/// `QuantizeLinear` of weights.
pub(super) fn fold_quantize(op: &Operator, folder: &mut Folder) -> ImportResult<Constant> {
    let from = op.needed(0)?.check_floats()?;
    let kind = target(op)?;
    let (least, most) = limits(kind)?;
    let grid = Grid::new(op, &from.dims)?;
    let len = folder.count(Some(from.len()))?;
    let one = |index: usize| {
        let (scale, zero) = grid.at(index);
        ((from.float(index) / scale).round_ties_even() + zero).clamp(least, most)
    };
    Ok(Constant::of_floats(from.name.clone(), from.dims.clone(), (0..len).map(one).collect()).with_kind(kind))
}

impl Importer {
    /// Adds a note, once, that a file is quantized.
    pub(super) fn note_quantized(&mut self) {
        let note = Note::Other("the file is quantized: weights are dequantized, and all is computed in float32".into());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// `QuantizeLinear` of an activation: clips to the range of the type, in dequantized values.
    pub(super) fn quantize(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let (least, most) = limits(target(op)?)?;
        let scale = op.needed(1)?.check_floats()?;
        if scale.len() != 1 {
            return unsupported("of activations with a scale for each channel is not supported");
        }
        let zero = op.constant(2)?.map_or(Ok(0.0), |zero| zero.check_numbers().map(|zero| zero.float(0)))?;
        let [min, max] = [least, most].map(|limit| (limit - zero) * scale.float(0));
        if min > max || min.is_nan() || max.is_nan() {
            return Err(format!("has a scale of {}", scale.float(0)).into());
        }
        self.add_alike(op, symbol, Activation::new(ActivationKind::Clip { min, max }))
    }
}
