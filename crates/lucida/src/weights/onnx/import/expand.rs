//! Tensors repeated along axes of size one, and constants in the shape of computed tensors.

use super::super::tensor::{Constant, Int, first};
use super::Importer;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};

/// Maximum number of repetitions along an axis: pixels of an image, channels.
const MAX_POSITIONS: usize = 1 << 14;

impl Importer {
    /// `Expand`: repeats axes of size one. Layers that merge tensors can broadcast by themselves; see
    /// [`simplify`](super::drafts::simplify).
    pub(super) fn expand(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let mut symbol = op.symbol(0)?.clone();
        let target = op.needed(1)?.ints()?.to_vec();
        let Some(shared) = (symbol.axes.len() + 1).checked_sub(target.len()) else {
            return unsupported(format!("of {} to {} axes is not supported", symbol.shape(), target.len()));
        };
        for (place, &size) in target.iter().enumerate() {
            let own = (place + shared).checked_sub(1).map(|axis| (axis, symbol.size(axis)));
            match (own, size) {
                (None, Int::Batch) | (_, Int::Known(1)) => {}
                (None, Int::Known(size)) if self.batch.is_some_and(|batch| batch as i64 == size) => {}
                (Some((_, own)), Int::Known(size)) if own as i64 == size => {}
                (Some((axis, 1)), Int::Known(size)) if (1..=MAX_POSITIONS as i64).contains(&size) => {
                    symbol = self.repeated(op, &symbol, axis, size as usize)?;
                }
                (None, _) => return unsupported("repeats the batch, which is not supported"),
                (Some((axis, _)), _) => {
                    return unsupported(format!("of axis {} of {} is not supported", axis + 1, symbol.shape()));
                }
            }
        }
        Ok(symbol)
    }

    /// Reduces a constant with a fixed batch of equal samples to one sample.
    fn of_one_sample(&self, constant: &Constant) -> Constant {
        let (Some(&batch), true) = (constant.dims.first(), constant.check_numbers().is_ok()) else {
            return constant.clone();
        };
        let sample = constant.len() / batch.max(1);
        let same = |index: usize| constant.float(index).to_bits() == constant.float(index % sample).to_bits();
        if batch < 2 || self.batch != Some(batch) || !(0..constant.len()).all(same) {
            return constant.clone();
        }
        let dims = [&[1], &constant.dims[1..]].concat();
        Constant::of_floats(constant.name.clone(), dims, (0..sample).map(|index| constant.float(index)).collect())
    }

    /// Repeats the first position of a tensor along an axis.
    pub(super) fn repeated(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        axis: usize,
        count: usize,
    ) -> ImportResult<Symbol> {
        let inputs = vec![Some(Value::Symbol(symbol.clone()))];
        self.take(&Operator { node: op.node, inputs, opset: op.opset }, axis, &vec![0; count], &[count])
    }

    /// A constant that is concatenated with a computed tensor along an axis: becomes its own layer, which depends on no
    /// input.
    pub(super) fn known_next_to(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        constant: &Constant,
        axis: usize,
    ) -> ImportResult<Symbol> {
        let constant = &self.of_one_sample(constant);
        let sizes = constant.dims.split_first().filter(|(batch, _)| **batch == 1).map(|(_, sizes)| sizes);
        let fits = |sizes: &[usize]| {
            let same = |other: usize| other == axis || sizes[other] == symbol.size(other);
            sizes.len() == symbol.axes.len() && (0..sizes.len()).all(same)
        };
        let Some(sizes) = sizes.filter(|sizes| fits(sizes)) else {
            return unsupported(format!(
                "of {} and a constant of shape {:?} along axis {} is not supported, only one that is the same for all samples",
                symbol.shape(),
                first(&constant.dims),
                axis + 1
            ));
        };
        if !(1..=MAX_POSITIONS).contains(&sizes[axis]) {
            return unsupported(format!("of a constant of shape {:?} is not supported", first(&constant.dims)));
        }
        let like = self.repeated(op, symbol, axis, sizes[axis])?;
        self.constant_like(op, &like, constant)
    }
}
