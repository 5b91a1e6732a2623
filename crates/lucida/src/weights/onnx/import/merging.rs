//! Elementwise operators on several computed tensors, with NumPy broadcasting.

use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Order, Symbol, Value};
use crate::nn::layers::{
    Activation, ActivationKind, Add, Average, Divide, Maximum, Minimum, Multiply, Power, Subtract,
};
use crate::nn::{Layer, Shape};

/// Maximum exponent of a power that becomes a product.
const MAX_POWER: usize = 4;

impl Importer {
    /// `Add`, `Sub`, `Mul`, `Div`, `Max`, `Min`, `Sum` and `Mean` of computed tensors.
    pub(super) fn merge(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let layer: Layer = match op.node.op_type.as_str() {
            "Add" | "Sum" => Add::new().into(),
            "Sub" => Subtract::new().into(),
            "Mul" => Multiply::new().into(),
            "Div" => Divide::new().into(),
            "Max" => Maximum::new().into(),
            "Min" => Minimum::new().into(),
            _ => Average::new().into(),
        };
        let symbols = (0..op.inputs.len()).map(|index| op.symbol(index).cloned()).collect::<ImportResult<Vec<_>>>()?;
        self.merged(op, layer, symbols)
    }

    /// A layer that merges computed tensors elementwise.
    pub(super) fn merged(&mut self, op: &Operator, layer: Layer, mut symbols: Vec<Symbol>) -> ImportResult<Symbol> {
        if self.batchless || self.batch == Some(1) {
            // Missing axes are the first ones: without a batch, or next to a batch of size one.
            let rank = symbols.iter().map(|symbol| symbol.axes.len()).max().unwrap_or(0);
            for symbol in &mut symbols {
                symbol.axes.splice(..0, vec![Vec::new(); rank - symbol.axes.len()]);
            }
        }
        let len = symbols.first().map_or(0, Symbol::len);
        if symbols.iter().all(|symbol| symbol.len() == len) {
            symbols = self.alike(symbols)?;
        }
        let [first, rest @ ..] = symbols.as_slice() else { return Err("has no inputs".into()) };
        if rest.is_empty() {
            return Ok(first.clone());
        }
        let widest = symbols.iter().max_by_key(|symbol| symbol.len()).unwrap_or(first);
        if let Some(other) = symbols.iter().find(|symbol| !self.is_broadcast(symbol, widest)) {
            if symbols.iter().any(|symbol| symbol.axes.len() != widest.axes.len()) {
                let (wide, other) = (widest.shape(), other.shape());
                return unsupported(format!("of inputs of {wide} and {other} is not supported: they differ in rank"));
            }
            return self.merged_in_order(op, layer, &symbols);
        }
        let inputs: Vec<usize> = symbols.iter().map(|symbol| symbol.draft).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.drafts[input].shape.clone()).collect();
        if layer.spec().output_shape(&shapes).as_ref() != Ok(&self.drafts[widest.draft].shape) {
            return self.merged_in_order(op, layer, &symbols);
        }
        let draft = self.add((op.node, ""), layer, &inputs, Source::Nothing)?;
        Ok(Symbol { draft, ..widest.clone() })
    }

    /// As [`merged`](Self::merged), for tensors with different memory orders, or of which none has the broadcast shape:
    /// they are reordered to the order of the tensor's axes, with images channels-last.
    fn merged_in_order(&mut self, op: &Operator, layer: Layer, symbols: &[Symbol]) -> ImportResult<Symbol> {
        let rank = symbols.first().map_or(0, |symbol| symbol.axes.len());
        let order = match rank {
            3 => symbols.iter().find_map(Symbol::order).unwrap_or(Order::ChannelsFirst).places().to_vec(),
            _ => (0..rank).collect(),
        };
        let inputs =
            symbols.iter().map(|symbol| self.in_memory(symbol, &order, false)).collect::<Result<Vec<_>, _>>()?;
        let draft = self.add((op.node, ""), layer, &inputs, Source::Nothing)?;
        let sizes = self.drafts[draft].shape.sizes().to_vec();
        Ok(Symbol::of_axes(draft, &sizes, &order))
    }

    /// `Pow`: with a small integer exponent a product, otherwise an activation or a `Power` layer.
    pub(super) fn power(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let (symbol, exponent) = match op.inputs.as_slice() {
            [Some(Value::Symbol(symbol)), Some(Value::Constant(exponent))] => (symbol.clone(), exponent),
            [Some(Value::Constant(base)), Some(Value::Symbol(symbol))] => {
                let base = self.constant_like(op, symbol, base)?;
                return self.merged(op, Power::new().into(), vec![base, symbol.clone()]);
            }
            _ => return self.merged(op, Power::new().into(), vec![op.symbol(0)?.clone(), op.symbol(1)?.clone()]),
        };
        if exponent.check_numbers()?.len() != 1 {
            let exponents = self.constant_like(op, &symbol, exponent)?;
            return self.merged(op, Power::new().into(), vec![symbol, exponents]);
        }
        let exponent = exponent.float(0);
        if let Some(factors) = (2..=MAX_POWER).find(|&factors| exponent == factors as f32) {
            let draft = self.add((op.node, ""), Multiply::new(), &vec![symbol.draft; factors], Source::Nothing)?;
            return Ok(Symbol { draft, ..symbol });
        }
        if exponent == 1.0 {
            return Ok(symbol);
        }
        self.add_alike(op, &symbol, Activation::new(ActivationKind::Power { exponent }))
    }

    /// Whether broadcasting in the layers' memory order is equivalent to broadcasting in the graph: the axes are the same
    /// from the last one, or of size one.
    fn is_broadcast(&self, symbol: &Symbol, wide: &Symbol) -> bool {
        if symbol.axes.len() != wide.axes.len() {
            return false;
        }
        if symbol.len() == wide.len() {
            return symbol.axes == wide.axes && symbol.atoms == wide.atoms;
        }
        // The output of a flat layer may be a flattened image, whose memory order is then unknown.
        let plain = |symbol: &Symbol| self.drafts[symbol.draft].shape.sizes() == &*symbol.atoms;
        let from_end = |symbol: &Symbol, axis: usize| match symbol.axes[axis].as_slice() {
            &[atom] => Some((symbol.atoms.len() - atom, symbol.atoms[atom])),
            _ => None,
        };
        let same = |axis: usize| {
            symbol.axes[axis].is_empty()
                || from_end(symbol, axis).is_some_and(|place| Some(place) == from_end(wide, axis))
        };
        plain(symbol) && plain(wide) && (0..wide.axes.len()).all(same)
    }
}
