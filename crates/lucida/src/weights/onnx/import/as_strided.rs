//! PyTorch's `as_strided`, which its newer exporter writes as a `Gather` from the memory of the whole batch.
//!
//! The tensor is flattened to a list of all values, and the indices are computed as `sample * stride + index`, with a
//! `Range` over the batch. If the stride is the size of a sample, no sample uses values of another: the indices select each
//! sample's own values. This is a `Transpose` if each value is used once in an order of axes, and a [`Take`] otherwise.

use super::super::proto::NodeProto;
use super::super::tensor::{Constant, Int, short};
use super::Importer;
use super::drafts::Source;
use super::fold::MAX_FOLDED;
use super::fold_moving::{broadcast, broadcast_strides};
use super::operator::{Fault, ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::layers::Take;

/// A value that only such a `Gather` may use.
pub(super) enum Strided {
    /// The values of all samples, concatenated.
    Memory(Symbol),
    /// Indices into such a list.
    Places(Places),
}

/// `stride` times the index of the sample, plus an index within each sample.
#[derive(Clone)]
pub(super) struct Places {
    stride: i64,
    /// The axes after the batch.
    dims: Vec<usize>,
    places: Vec<i64>,
}

impl Places {
    fn map(&self, each: impl Fn(i64) -> Option<i64>) -> ImportResult<Self> {
        let places: Option<Vec<i64>> = self.places.iter().map(|&place| each(place)).collect();
        Ok(Self { places: places.ok_or("computes a number that is too large")?, ..self.clone() })
    }

    fn times(&self, factor: &Constant) -> ImportResult<Self> {
        let [factor] = factor.known_ints()?[..] else { return unsupported("of places by several numbers") };
        let stride = self.stride.checked_mul(factor).ok_or("computes a number that is too large")?;
        Ok(Self { stride, ..self.map(|place| place.checked_mul(factor))? })
    }

    fn plus(&self, constant: &Constant) -> ImportResult<Self> {
        // A constant has no batch axis here.
        let own = match constant.dims.split_first() {
            Some((1, rest)) if rest.len() == self.dims.len() => rest,
            _ if constant.dims.len() <= self.dims.len() => &constant.dims,
            _ => return unsupported("adds other places for each sample"),
        };
        let dims = broadcast(&self.dims, own)?;
        let values = constant.known_ints()?;
        let (ours, theirs) = (broadcast_strides(&self.dims, &dims), broadcast_strides(own, &dims));
        let len = super::fold::product(&dims).filter(|&len| len <= MAX_FOLDED);
        let Some(len) = len else { return unsupported(format!("takes more than {MAX_FOLDED} places")) };
        let at = |mut index: usize, strides: &[usize]| {
            let mut at = 0;
            for (&size, stride) in dims.iter().zip(strides).rev() {
                at += index % size * stride;
                index /= size;
            }
            at
        };
        let sum = |index: usize| self.places[at(index, &ours)].checked_add(values[at(index, &theirs)]);
        let places: Option<Vec<i64>> = (0..len).map(sum).collect();
        Ok(Self { stride: self.stride, places: places.ok_or("computes a number that is too large")?, dims })
    }

    fn unsqueeze(&self, axes: &[i64]) -> ImportResult<Self> {
        let rank = 1 + self.dims.len() + axes.len();
        let place = |axis: i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
        let mut axes: Vec<usize> = axes.iter().filter_map(|&axis| place(axis)).collect();
        axes.sort_unstable();
        let mut dims = self.dims.clone();
        for axis in axes {
            match axis.checked_sub(1).filter(|&at| at <= dims.len()) {
                Some(at) => dims.insert(at, 1),
                None => return unsupported("moves the batch"),
            }
        }
        Ok(Self { dims, ..self.clone() })
    }

    /// Applies an operator with its constant operand.
    fn then(&self, op: &Operator, constant: Option<&Constant>) -> ImportResult<Self> {
        match (op.node.op_type.as_str(), constant) {
            ("Cast" | "Identity", _) => Ok(self.clone()),
            ("Unsqueeze", Some(axes)) => self.unsqueeze(&axes.known_ints()?),
            ("Unsqueeze", None) => self.unsqueeze(op.ints("axes").unwrap_or_default()),
            ("Mul", Some(factor)) => self.times(factor),
            ("Add", Some(constant)) => self.plus(constant),
            _ => Err("computes places with what is computed".into()),
        }
    }

    /// From constant indices whose first axis is a batch of this size.
    fn known(indices: &Constant, batch: Option<usize>) -> ImportResult<Option<Self>> {
        let Some((&count, dims)) = indices.dims.split_first().filter(|(count, _)| Some(**count) == batch) else {
            return Ok(None);
        };
        let values = indices.known_ints()?;
        let len = values.len() / count.max(1);
        let (places, later) = values.split_at(len);
        let stride = later.first().zip(places.first()).map_or(0, |(second, first)| second.saturating_sub(*first));
        let even = values.chunks_exact(len.max(1)).zip(0_i64..).all(|(sample, number)| {
            sample.iter().zip(places).all(|(&at, &place)| Some(at) == number.checked_mul(stride).map(|by| by + place))
        });
        Ok(even.then(|| Self { stride, dims: dims.to_vec(), places: places.to_vec() }))
    }
}

impl Importer {
    /// Processes a node that computes indices, or gathers values by them; returns whether it is one.
    pub(super) fn as_strided(&mut self, node: &NodeProto) -> ImportResult<bool> {
        let Some(result) = self.strided_result(node)? else { return Ok(false) };
        if let Some(output) = node.output.first().filter(|name| !name.is_empty()) {
            match result {
                Ok(strided) => _ = self.strided.insert(output.clone(), strided),
                Err(symbol) => _ = self.values.insert(output.clone(), Value::Symbol(symbol)),
            }
        }
        Ok(true)
    }

    /// The result of such a node: `Err` has the tensor that a `Gather` yields.
    fn strided_result(&mut self, node: &NodeProto) -> ImportResult<Option<Result<Strided, Symbol>>> {
        if self.batchless {
            return Ok(None);
        }
        let known = |index: usize| match node.input.get(index).and_then(|name| self.values.get(name)) {
            Some(Value::Constant(constant)) => Some(constant),
            _ => None,
        };
        let places = |index: usize| match node.input.get(index).and_then(|name| self.strided.get(name)) {
            Some(Strided::Places(places)) => Some(places),
            _ => None,
        };
        let memory = match node.input.first().and_then(|name| self.strided.get(name)) {
            Some(Strided::Memory(symbol)) => Some(symbol.clone()),
            _ => None,
        };
        let op = Operator { node, inputs: Vec::new(), opset: self.opset };
        match (node.op_type.as_str(), places(0).or_else(|| places(1))) {
            ("Range", None) => {
                let whole = |index: usize| known(index).and_then(|one| one.ints().ok()?.first().copied());
                let counts = [0, 1, 2].map(whole) == [Some(Int::Known(0)), Some(Int::Batch), Some(Int::Known(1))];
                let each = || Strided::Places(Places { stride: 1, dims: Vec::new(), places: vec![0] });
                Ok(counts.then(|| Ok(each())))
            }
            ("Reshape", None) => {
                let flat = known(1).is_some_and(|shape| shape.known_ints().is_ok_and(|sizes| sizes == [-1]));
                match node.input.first().and_then(|name| self.values.get(name)) {
                    Some(Value::Symbol(symbol)) if flat && symbol.len() > 1 => {
                        Ok(Some(Ok(Strided::Memory(symbol.clone()))))
                    }
                    _ => Ok(None),
                }
            }
            ("Mul" | "Add" | "Unsqueeze" | "Cast" | "Identity", Some(places)) => {
                let moved = places.then(&op, known(0).or_else(|| known(1)))?;
                Ok(Some(Ok(Strided::Places(moved))))
            }
            ("Gather", found) if memory.is_some() && op.int("axis", 0) == 0 => {
                let found = match (found, known(1)) {
                    (Some(places), _) => Some(places.clone()),
                    (None, Some(indices)) => Places::known(indices, self.batch)?,
                    (None, None) => None,
                };
                let symbol = memory.ok_or("takes nothing")?;
                Ok(Some(Err(self.taken(node, &symbol, found)?)))
            }
            _ => match node.input.iter().find(|name| self.strided.contains_key(*name)) {
                Some(name) => unsupported(format!(
                    "takes {:?}, in which all samples of the batch are one list (a Reshape to (-1)): keep the batch as the \
                     first axis (PyTorch: flatten(1) in place of flatten(), or .contiguous() before a view)",
                    short(name)
                )),
                None => Ok(None),
            },
        }
    }

    /// The values at these indices of each sample.
    fn taken(&mut self, node: &NodeProto, symbol: &Symbol, places: Option<Places>) -> ImportResult<Symbol> {
        let len = symbol.len();
        let inside = |places: &Places| places.places.iter().all(|&at| usize::try_from(at).is_ok_and(|at| at < len));
        let places = places.filter(|places| places.stride == len as i64 && inside(places));
        let Some(Places { dims, places, .. }) = places else {
            return unsupported(format!(
                "takes values of other samples than its own from a list of all of {}: PyTorch writes this for as_strided; \
                 add .contiguous() in the model, or export it with dynamo=False",
                symbol.shape()
            ));
        };
        let flat = self.in_memory(symbol, &(0..symbol.axes.len()).collect::<Vec<_>>(), true).map_err(Fault::from)?;
        if let Some(order) = order_of_axes(&dims, &places, len) {
            let sizes: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
            return Ok(Symbol::of_axes(flat, &sizes, &order));
        }
        let indices: Vec<usize> = places.iter().map(|&at| at as usize).collect();
        let draft = self.add((node, ""), Take::new(0, indices), &[flat], Source::Nothing)?;
        Ok(Symbol::in_order(draft, &dims))
    }
}

/// The order of axes, slowest first, if the indices enumerate a dense tensor with permuted axes.
fn order_of_axes(dims: &[usize], places: &[i64], len: usize) -> Option<Vec<usize>> {
    let steps = super::fold_moving::strides(dims);
    let stride = |axis: usize| if dims[axis] > 1 { places[steps[axis]] - places[0] } else { 0 };
    let mut order: Vec<usize> = (0..dims.len()).collect();
    order.sort_by_key(|&axis| std::cmp::Reverse(stride(axis)));
    let sizes: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
    let dense = super::fold_moving::strides(&sizes);
    let place = |index: usize| {
        let at = order.iter().zip(&dense).map(|(&axis, step)| index / steps[axis] % dims[axis] * step);
        at.sum::<usize>() as i64
    };
    (places.len() == len && places.iter().enumerate().all(|(index, &at)| at == place(index))).then_some(order)
}
