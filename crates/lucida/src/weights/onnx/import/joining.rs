//! Operators with several inputs.

use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::Shape;
use crate::nn::layers::Concatenate;

/// Maximum number of repetitions by `Tile` along an axis.
const MAX_REPEATS: usize = 64;

impl Importer {
    /// `Add`, `Sub`, `Mul`, `Div`, `Sum`: with a constant, or of computed tensors.
    pub(super) fn arithmetic(&mut self, op: &Operator) -> ImportResult<Symbol> {
        match op.inputs.as_slice() {
            [Some(Value::Symbol(symbol)), Some(Value::Constant(constant))] => self.scale(op, symbol, constant, false),
            [Some(Value::Constant(constant)), Some(Value::Symbol(symbol))] => self.scale(op, symbol, constant, true),
            [Some(Value::Symbol(symbol))] => Ok(symbol.clone()),
            _ => self.merge(op),
        }
    }

    /// Makes tensors compatible: all flat if one of them is.
    pub(super) fn alike(&mut self, mut symbols: Vec<Symbol>) -> ImportResult<Vec<Symbol>> {
        let flat = |symbol: &Symbol| self.drafts[symbol.draft].shape.as_flat().is_some();
        if symbols.iter().any(flat) {
            // Scalars are already flat.
            for symbol in symbols.iter_mut().filter(|symbol| !symbol.axes.is_empty()) {
                symbol.draft = self.flatten(symbol.draft)?;
            }
        }
        Ok(symbols)
    }

    pub(super) fn concat(&mut self, op: &Operator) -> ImportResult<Symbol> {
        if let [Some(Value::Symbol(symbol))] = op.inputs.as_slice() {
            return Ok(symbol.clone());
        }
        let mut computed = op.inputs.iter().flatten().filter_map(|value| match value {
            Value::Symbol(symbol) => Some(symbol),
            Value::Constant(_) => None,
        });
        let Some(template) = computed.next() else { return Err("has no inputs".into()) };
        let axis = template.axis(op.int("axis", 1))?;
        let symbols = (0..op.inputs.len()).map(|index| match op.value(index) {
            Some(Value::Constant(constant)) => self.known_next_to(op, template, constant, axis),
            _ => op.symbol(index).cloned(),
        });
        let symbols = symbols.collect::<ImportResult<Vec<_>>>()?;
        let mut symbols = self.alike(symbols)?;
        let rank = symbols[0].axes.len();
        let misfit = |symbol: &Symbol| format!("of {} with {rank} axes along axis {}", symbol.shape(), axis + 1);
        // Concatenated flattened images have no common order; each must keep its own.
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
            let along = |symbol: &Symbol| match symbol.features() {
                Some((found, None)) => found == axis || symbol.len() == 1,
                _ => false,
            };
            if !symbols.iter().all(along) {
                return self.joined(op, &symbols, axis);
            }
            let draft = self.add((op.node, ""), Concatenate::new(), &inputs, Source::Nothing)?;
            return Ok(Symbol::vector(draft, self.drafts[draft].shape.len(), axis, rank));
        }
        let order = symbols[0].order();
        let alike = |symbol: &Symbol| symbol.order() == order || symbol.len() == symbol.size(axis);
        let Some(order) = order.filter(|order| order.places()[2] == axis && symbols.iter().all(alike)) else {
            return self.joined(op, &symbols, axis);
        };
        let draft = self.add((op.node, ""), Concatenate::new(), &inputs, Source::Nothing)?;
        let sizes = self.drafts[draft].shape.as_image().ok_or("makes no image")?;
        Ok(Symbol::image(draft, sizes, order))
    }

    /// Concatenates tensors along any axis, which becomes the last one in memory.
    fn joined(&mut self, op: &Operator, symbols: &[Symbol], axis: usize) -> ImportResult<Symbol> {
        let order: Vec<usize> = (0..symbols[0].axes.len()).filter(|&other| other != axis).chain([axis]).collect();
        let rest: usize = order[..order.len() - 1].iter().map(|&other| symbols[0].size(other)).product();
        let mut inputs = Vec::with_capacity(symbols.len());
        for symbol in symbols {
            if (0..order.len()).any(|other| other != axis && symbol.size(other) != symbols[0].size(other)) {
                return Err(format!("of {} and {} along axis {}", symbols[0].shape(), symbol.shape(), axis + 1).into());
            }
            let draft = self.in_memory(symbol, &order, false)?;
            let shape = if rest == 1 { Shape::flat(symbol.size(axis)) } else { [1, rest, symbol.size(axis)].into() };
            inputs.push(self.reshaped(draft, &shape)?);
        }
        let mut draft = self.add((op.node, ""), Concatenate::new(), &inputs, Source::Nothing)?;
        let total: usize = symbols.iter().map(|symbol| symbol.size(axis)).sum();
        let mut sizes: Vec<usize> = order.iter().map(|&axis| symbols[0].size(axis)).collect();
        *sizes.last_mut().ok_or("has no axes")? = total;
        if rest != 1 {
            draft = self.reshaped(draft, &sizes.as_slice().into())?;
        }
        Ok(Symbol::of_axes(draft, &sizes, &order))
    }

    /// `Tile`: repeats a tensor along some axes.
    pub(super) fn tile(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let mut symbol = op.symbol(0)?.clone();
        let repeats = op.needed(1)?.known_ints()?;
        match repeats.split_first() {
            Some((1, rest)) if rest.len() == symbol.axes.len() => {}
            _ => return unsupported(format!("of {} by {repeats:?} is not supported", symbol.shape())),
        }
        for (axis, &count) in repeats[1..].iter().enumerate() {
            let count = usize::try_from(count).ok().filter(|count| (1..=MAX_REPEATS).contains(count));
            let count = count.ok_or_else(|| format!("repeats {repeats:?} are not from 1 to {MAX_REPEATS}"))?;
            if count > 1 {
                symbol = self.joined(op, &vec![symbol; count], axis)?;
            }
        }
        Ok(symbol)
    }
}
