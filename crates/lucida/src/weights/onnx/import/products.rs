//! Matrix products of two computed tensors, or with a constant on the left.

use super::super::proto::NodeProto;
use super::super::tensor::{Constant, first};
use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::layers::MatMul;

impl Importer {
    /// Imports the node as another operator with these inputs.
    pub(super) fn again(&mut self, op: &Operator, kind: &str, inputs: Vec<Option<Value>>) -> ImportResult<Symbol> {
        let node = NodeProto { op_type: kind.into(), attribute: Vec::new(), ..op.node.clone() };
        self.layer(&Operator { node: &node, inputs, opset: op.opset })
    }

    /// `MatMul` of two computed tensors.
    pub(super) fn product(&mut self, op: &Operator, a: &Symbol, b: &Symbol) -> ImportResult<Symbol> {
        let aligned = self.batchless || a.axes.len() == b.axes.len();
        if !aligned || a.axes.len() < 2 || b.axes.len() < 2 {
            return unsupported(format!(
                "of {} and {} is not supported: each sample must have a matrix of its own on both sides, as many axes on \
                 one as on the other",
                a.shape(),
                b.shape()
            ));
        }
        let (first, transpose_a) = self.matrix(a)?;
        let (second, transpose_b) = self.matrix(b)?;
        let layer = MatMul { transpose_a, transpose_b };
        let draft = self.add((op.node, ""), layer, &[first, second], Source::Nothing)?;
        Ok(Symbol::in_order(draft, self.drafts[draft].shape.sizes()))
    }

    /// A matrix layer, and whether it is transposed, which avoids reordering.
    fn matrix(&mut self, symbol: &Symbol) -> ImportResult<(usize, bool)> {
        let mut order: Vec<usize> = (0..symbol.axes.len()).collect();
        let as_it_is = symbol.in_order_of(&order);
        order.swap(symbol.axes.len() - 2, symbol.axes.len() - 1);
        let transposed = !as_it_is && symbol.in_order_of(&order);
        if !transposed {
            order.sort_unstable();
        }
        Ok((self.in_memory(symbol, &order, false)?, transposed))
    }

    /// A product with a constant on the left: the transpose of the product of both transposes. The constant is (row,
    /// depth), or (depth, row) if its rows do not come first.
    pub(super) fn product_from_left(
        &mut self,
        op: &Operator,
        constant: &Constant,
        symbol: &Symbol,
        rows_first: bool,
    ) -> ImportResult<Symbol> {
        let rank = symbol.axes.len();
        if rank < 2 || constant.dims.len() != 2 {
            return unsupported(format!(
                "of a constant of shape {:?} and {} is supported for a matrix on the left, and a matrix for each sample on \
                 the right",
                first(&constant.dims),
                symbol.shape()
            ));
        }
        let mut turned = symbol.clone();
        turned.axes.swap(rank - 2, rank - 1);
        let mut product = self.mat_mul_of_pixels(op, &turned, constant, rows_first)?;
        product.axes.swap(rank - 2, rank - 1);
        Ok(product)
    }

    /// `Gemm` in a graph without a batch: `alpha A B + beta C`, with any computed operands.
    pub(super) fn gemm_of_matrices(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let [flip_a, flip_b] = ["transA", "transB"].map(|name| op.int(name, 0) != 0);
        let turned = |symbol: &Symbol, flip: bool| {
            let mut symbol = symbol.clone();
            if flip && symbol.axes.len() == 2 {
                symbol.axes.swap(0, 1);
            }
            symbol
        };
        let mut product = match (op.value(0), op.value(1)) {
            (Some(Value::Symbol(a)), Some(Value::Symbol(b))) => {
                self.product(op, &turned(a, flip_a), &turned(b, flip_b))?
            }
            (Some(Value::Symbol(a)), _) => self.mat_mul_of_pixels(op, &turned(a, flip_a), op.needed(1)?, flip_b)?,
            (Some(Value::Constant(a)), Some(Value::Symbol(b))) => {
                self.product_from_left(op, a, &turned(b, flip_b), !flip_a)?
            }
            _ => return Err("does not multiply two matrices".into()),
        };
        let number = |value: f32| Some(Value::Constant(Constant::of_floats("".into(), vec![], vec![value])));
        let (alpha, beta) = (op.float("alpha", 1.0), op.float("beta", 1.0));
        if alpha != 1.0 {
            product = self.again(op, "Mul", vec![Some(Value::Symbol(product)), number(alpha)])?;
        }
        let added = match op.value(2) {
            None => return Ok(product),
            Some(_) if beta == 0.0 => return Ok(product),
            Some(Value::Symbol(symbol)) if beta != 1.0 => {
                Value::Symbol(self.again(op, "Mul", vec![Some(Value::Symbol(symbol.clone())), number(beta)])?)
            }
            Some(Value::Constant(constant)) if beta != 1.0 => {
                let values = constant.check_floats()?.floats().into_iter().map(|value| beta * value).collect();
                Value::Constant(Constant::of_floats(constant.name.clone(), constant.dims.clone(), values))
            }
            Some(value) => value.clone(),
        };
        self.again(op, "Add", vec![Some(Value::Symbol(product)), Some(added)])
    }
}
