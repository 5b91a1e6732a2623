//! Operators of several inputs.

use super::Importer;
use super::drafts::Source;
use super::operator::{Answer, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::layers::Concatenate;

impl Importer {
    /// `Add`, `Sub`, `Mul`, `Div`, `Sum`: with a constant, or of what is computed.
    pub(super) fn arithmetic(&mut self, op: &Operator) -> Answer<Symbol> {
        match op.inputs.as_slice() {
            [Some(Value::Symbol(symbol)), Some(Value::Constant(constant))] => self.scale(op, symbol, constant, false),
            [Some(Value::Constant(constant)), Some(Value::Symbol(symbol))] => self.scale(op, symbol, constant, true),
            [Some(Value::Symbol(symbol))] => Ok(symbol.clone()),
            _ => self.merge(op),
        }
    }

    /// All inputs, which must be computed; flat if one of them is.
    pub(super) fn alike(&mut self, op: &Operator) -> Answer<Vec<Symbol>> {
        let mut symbols = (0..op.inputs.len()).map(|index| op.symbol(index).cloned()).collect::<Answer<Vec<_>>>()?;
        if symbols.is_empty() {
            return Err("has no inputs".into());
        }
        let flat = |symbol: &Symbol| self.drafts[symbol.draft].shape.as_flat().is_some();
        if symbols.iter().any(flat) {
            // Single numbers are flat as they are.
            for symbol in symbols.iter_mut().filter(|symbol| !symbol.axes.is_empty()) {
                let (flat, _, _) = self.features(symbol)?;
                *symbol = flat;
            }
        }
        Ok(symbols)
    }

    pub(super) fn concat(&mut self, op: &Operator) -> Answer<Symbol> {
        if let [Some(Value::Symbol(symbol))] = op.inputs.as_slice() {
            return Ok(symbol.clone());
        }
        let mut symbols = self.alike(op)?;
        let axis = symbols[0].axis(op.int("axis", 1))?;
        let rank = symbols[0].axes.len();
        let misfit = |symbol: &Symbol| {
            format!("of {} along axis {} is not supported, only along the channels", symbol.shape(), axis + 1)
        };
        // Flattened images side by side have no order in common; each must be in its own.
        let mut merged = false;
        for symbol in &mut symbols {
            if symbol.axes.len() != rank {
                return Err(misfit(symbol).into());
            }
            if symbol.axes[axis].len() > 1 && self.drafts[symbol.draft].shape.as_image().is_some() {
                merged = true;
            }
        }
        if merged {
            for symbol in &mut symbols {
                symbol.draft = self.flatten(symbol.draft)?;
            }
        }
        let inputs: Vec<usize> = symbols.iter().map(|symbol| symbol.draft).collect();
        if self.drafts[inputs[0]].shape.as_flat().is_some() {
            for symbol in &symbols {
                match symbol.features() {
                    Some((found, None)) if found == axis || symbol.len() == 1 => {}
                    _ => return unsupported(misfit(symbol)),
                }
            }
            let draft = self.add((op.node, ""), Concatenate::new(), &inputs, Source::Nothing)?;
            return Ok(Symbol::vector(draft, self.drafts[draft].shape.len(), axis, rank));
        }
        let order = symbols[0].order();
        for symbol in &symbols {
            let same = symbol.order() == order || symbol.len() == symbol.size(axis);
            if !same || order.is_none_or(|order| order.places()[2] != axis) {
                return unsupported(misfit(symbol));
            }
        }
        let draft = self.add((op.node, ""), Concatenate::new(), &inputs, Source::Nothing)?;
        let sizes = self.drafts[draft].shape.as_image().ok_or("makes no image")?;
        let order = order.ok_or("makes no image")?;
        Ok(Symbol::image(draft, sizes, order))
    }
}
