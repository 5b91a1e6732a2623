//! `Where`, and comparisons as its conditions.

use super::super::tensor::{Constant, short};
use super::Importer;
use super::drafts::{Source, affine};
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::layers::{Activation, ActivationKind, Concatenate, Select, Take};

/// A comparison, represented by the compared value: whether that is above the bound or, if `inverted`, whether it is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    bound: f32,
    inverted: bool,
}

impl Comparison {
    /// Builds `value kind bound`. There is no number between adjacent floats, so `>= bound` is `>` the previous float.
    fn of(kind: &str, bound: f32) -> Self {
        match kind {
            "Greater" => Self { bound, inverted: false },
            "GreaterOrEqual" => Self { bound: bound.next_down(), inverted: false },
            "Less" => Self { bound: bound.next_down(), inverted: true },
            _ => Self { bound, inverted: true },
        }
    }
}

/// The comparison with swapped operands.
fn flipped(kind: &str) -> &str {
    match kind {
        "Greater" => "Less",
        "GreaterOrEqual" => "LessOrEqual",
        "Less" => "Greater",
        _ => "GreaterOrEqual",
    }
}

impl Importer {
    /// `Greater`, `Less`, `GreaterOrEqual` and `LessOrEqual`. Only [`choice`](Self::choice), `Not` and a `Cast` can use the
    /// result.
    pub(super) fn comparison(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let kind = op.node.op_type.as_str();
        let (symbol, comparison) = match op.inputs.as_slice() {
            [Some(Value::Symbol(symbol)), Some(Value::Constant(bound))] if is_number(symbol, bound) => {
                (symbol.clone(), Comparison::of(kind, bound.check_numbers()?.float(0)))
            }
            [Some(Value::Constant(bound)), Some(Value::Symbol(symbol))] if is_number(symbol, bound) => {
                (symbol.clone(), Comparison::of(flipped(kind), bound.check_numbers()?.float(0)))
            }
            // a > b if the difference is positive.
            [Some(_), Some(_)] => (self.again(op, "Sub", op.inputs.clone())?, Comparison::of(kind, 0.0)),
            _ => return Err("does not compare two tensors".into()),
        };
        self.compared(op, comparison);
        Ok(symbol)
    }

    /// Records that the operator's output is a comparison.
    fn compared(&mut self, op: &Operator, comparison: Comparison) {
        if let Some(output) = op.node.output.first() {
            self.compared.insert(output.clone(), comparison);
        }
    }

    fn comparison_at(&self, op: &Operator, index: usize) -> Option<Comparison> {
        op.node.input.get(index).and_then(|name| self.compared.get(name)).copied()
    }

    /// `Not` of a comparison.
    pub(super) fn negated(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let Some(comparison) = self.comparison_at(op, 0) else {
            return unsupported("is supported of a comparison alone");
        };
        self.compared(op, Comparison { inverted: !comparison.inverted, ..comparison });
        Ok(op.symbol(0)?.clone())
    }

    /// `Cast` of a comparison to a number, 1 or 0.
    pub(super) fn cast(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let to = op.int("to", 0);
        match (to, self.comparison_at(op, 0)) {
            (1 | 10 | 11 | 16, Some(comparison)) => {
                let number = |value: f32| Value::Constant(Constant::of_floats("".into(), vec![], vec![value]));
                self.select(op, &op.symbol(0)?.clone(), comparison, [number(1.0), number(0.0)])
            }
            (1 | 10 | 11 | 16, None) => Ok(op.symbol(0)?.clone()),
            _ => unsupported(format!("to type number {to} is not supported")),
        }
    }

    /// `Where`: with a constant condition, with a comparison, or as PyTorch's softplus, which is the identity above a
    /// threshold.
    pub(super) fn choice(&mut self, op: &Operator) -> ImportResult<Symbol> {
        if let Some(name) = op.node.input.iter().skip(1).find(|name| self.compared.contains_key(*name)) {
            return unsupported(format!(
                "of {:?}, the result of a comparison, is not supported: cast it to a number",
                short(name)
            ));
        }
        let value = |index: usize| op.value(index).cloned().ok_or("an input is missing");
        let values = [value(1)?, value(2)?];
        if let Some(Value::Constant(condition)) = op.value(0) {
            return self.known_choice(op, condition, values);
        }
        let compared = op.symbol(0)?.clone();
        let Some(comparison) = self.comparison_at(op, 0) else {
            return unsupported(
                "by a computed condition is supported for comparisons (Greater, Less, GreaterOrEqual, LessOrEqual, and Not of \
                 one) alone",
            );
        };
        if let [Value::Symbol(straight), Value::Symbol(soft)] = &values
            && let Some(softplus) = self.softplus(op, &compared, comparison, straight, soft)?
        {
            return Ok(softplus);
        }
        self.select(op, &compared, comparison, values)
    }

    /// Recognizes a choice between a value and its softplus as a softplus with a threshold.
    fn softplus(
        &mut self,
        op: &Operator,
        compared: &Symbol,
        comparison: Comparison,
        value: &Symbol,
        soft: &Symbol,
    ) -> ImportResult<Option<Symbol>> {
        let softplus = ActivationKind::Softplus { beta: 1.0, threshold: 20.0 };
        let draft = &self.drafts[soft.draft];
        let fits = draft.layer == Activation::new(softplus).into() && draft.inputs == [value.draft];
        if !fits || compared.draft != value.draft || comparison.inverted {
            return Ok(None);
        }
        match comparison.bound {
            20.0 => Ok(Some(soft.clone())),
            threshold => {
                let kind = ActivationKind::Softplus { beta: 1.0, threshold };
                self.add_alike(op, value, Activation::new(kind)).map(Some)
            }
        }
    }

    /// The first value where the comparison is true, the second elsewhere.
    fn select(
        &mut self,
        op: &Operator,
        compared: &Symbol,
        comparison: Comparison,
        mut values: [Value; 2],
    ) -> ImportResult<Symbol> {
        if comparison.inverted {
            values.reverse();
        }
        let symbols = values.iter().filter_map(|value| match value {
            Value::Symbol(symbol) => Some(symbol),
            Value::Constant(_) => None,
        });
        let widest = symbols.chain([compared]).max_by_key(|symbol| symbol.len()).unwrap_or(compared).clone();
        let mut inputs = vec![compared.clone()];
        for value in values {
            inputs.push(match value {
                Value::Symbol(symbol) => symbol,
                Value::Constant(constant) => self.constant_like(op, &widest, &constant)?,
            });
        }
        self.merged(op, Select { threshold: comparison.bound }.into(), inputs)
    }

    /// A constant tensor in the shape of a computed one, on whose values it does not depend.
    pub(super) fn constant_like(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        constant: &Constant,
    ) -> ImportResult<Symbol> {
        let (symbol, offset) = match constant.check_numbers()?.len() {
            1 => (symbol.clone(), vec![constant.float(0); self.drafts[symbol.draft].shape.channels()]),
            _ => self.for_each_value(symbol, constant)?,
        };
        let source = Source::Affine { scale: vec![0.0; offset.len()], offset };
        let draft = self.add((op.node, ""), affine(), &[symbol.draft], source)?;
        Ok(Symbol { draft, ..symbol })
    }

    /// A choice by a constant condition: a selection from two concatenated tensors, or a scale of 0 or 1 and an offset if
    /// one of them is constant.
    fn known_choice(&mut self, op: &Operator, condition: &Constant, values: [Value; 2]) -> ImportResult<Symbol> {
        let holds = condition.known_ints()?.into_iter().map(|holds| f32::from(u8::from(holds != 0))).collect();
        let condition = Constant::of_floats("".into(), condition.dims.clone(), holds);
        match values {
            [Value::Symbol(a), Value::Symbol(b)] => self.chosen(op, &condition, &a, &b),
            [Value::Symbol(symbol), Value::Constant(other)] => self.masked(op, &symbol, &condition, &other, false),
            [Value::Constant(other), Value::Symbol(symbol)] => self.masked(op, &symbol, &condition, &other, true),
            _ => Err("chooses between nothing".into()),
        }
    }

    /// The values of a tensor where the condition is true (false, if `inverted`), and constants elsewhere.
    fn masked(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        condition: &Constant,
        other: &Constant,
        inverted: bool,
    ) -> ImportResult<Symbol> {
        let (flat, holds) = self.for_each_value(symbol, condition)?;
        let (_, known) = self.for_each_value(symbol, other.check_numbers()?)?;
        let kept: Vec<bool> = holds.iter().map(|&holds| (holds != 0.0) != inverted).collect();
        let scale = kept.iter().map(|&kept| f32::from(u8::from(kept))).collect();
        let offset = kept.iter().zip(known).map(|(&kept, known)| if kept { 0.0 } else { known }).collect();
        let draft = self.add((op.node, ""), affine(), &[flat.draft], Source::Affine { scale, offset })?;
        Ok(Symbol { draft, ..flat })
    }

    /// A choice between two tensors of the same shape.
    fn chosen(&mut self, op: &Operator, condition: &Constant, a: &Symbol, b: &Symbol) -> ImportResult<Symbol> {
        let sizes: Vec<usize> = (0..a.axes.len()).map(|axis| a.size(axis)).collect();
        if b.axes.len() != sizes.len() || (0..sizes.len()).any(|axis| b.size(axis) != sizes[axis]) {
            let (a, b) = (a.shape(), b.shape());
            return unsupported(format!(
                "by a known condition of {a} and {b} is not supported: expand both to one shape"
            ));
        }
        let order: Vec<usize> = (0..sizes.len()).collect();
        let flat = [self.in_memory(a, &order, true)?, self.in_memory(b, &order, true)?];
        let flat_symbol = Symbol::in_order(flat[0], &sizes);
        let (_, holds) = self.for_each_value(&flat_symbol, condition)?;
        let count = flat_symbol.len();
        let place = |(place, holds): (usize, f32)| if holds != 0.0 { place } else { count + place };
        let places: Vec<usize> = holds.into_iter().enumerate().map(place).collect();
        let both = self.add((op.node, ""), Concatenate::new(), &flat, Source::Nothing)?;
        let draft = self.add((op.node, ""), Take::new(0, places), &[both], Source::Nothing)?;
        Ok(Symbol::in_order(draft, &sizes))
    }
}

/// Whether a constant is a scalar, which adds no axes.
fn is_number(symbol: &Symbol, constant: &Constant) -> bool {
    constant.len() == 1 && constant.dims.len() <= symbol.axes.len() + 1
}
