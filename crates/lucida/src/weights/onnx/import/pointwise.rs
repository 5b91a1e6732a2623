//! Elementwise and per-channel operators.

use super::super::tensor::{Constant, first};
use super::Importer;
use super::drafts::{Source, affine};
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::Layer;
use crate::nn::layers::{Activation, ActivationKind, BatchNormalization, Dropout, LayerScale, Maximum, Softmax};

/// Maximum number of channels over which a single scale or offset in the file is broadcast.
const MAX_CHANNELS: usize = 1 << 20;

impl Importer {
    pub(super) fn activation(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let kind = match op.node.op_type.as_str() {
            "Relu" => ActivationKind::Relu,
            "Sigmoid" => ActivationKind::Sigmoid,
            "Tanh" => ActivationKind::Tanh,
            "LeakyRelu" => match op.float("alpha", 0.01) {
                0.0 => ActivationKind::Relu,
                negative_slope => ActivationKind::LeakyRelu { negative_slope },
            },
            _ => {
                let min = op.number(1, "min")?.unwrap_or(f32::MIN);
                let max = op.number(2, "max")?.unwrap_or(f32::MAX);
                return self.clip(op, op.symbol(0)?, min, max);
            }
        };
        let symbol = op.symbol(0)?;
        self.add_alike(op, symbol, Activation::new(kind))
    }

    /// Activations whose derivative cannot be computed from the output.
    pub(super) fn smooth_activation(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let kind = match op.node.op_type.as_str() {
            "Elu" => ActivationKind::Elu { alpha: op.float("alpha", 1.0) },
            "Celu" => ActivationKind::Celu { alpha: op.float("alpha", 1.0) },
            "Selu" => {
                let (alpha, gamma) = (op.float("alpha", 1.673_263_2), op.float("gamma", 1.050_701));
                if (alpha - 1.673_263_2).abs() > 1e-6 || (gamma - 1.050_701).abs() > 1e-6 {
                    return unsupported(format!("with alpha {alpha} and gamma {gamma} is not supported"));
                }
                ActivationKind::Selu
            }
            "Gelu" if op.text("approximate").is_some_and(|kind| kind == "tanh") => ActivationKind::GeluTanh,
            "Gelu" => ActivationKind::Gelu,
            "HardSigmoid" => {
                ActivationKind::HardSigmoid { slope: op.float("alpha", 0.2), offset: op.float("beta", 0.5) }
            }
            "HardSwish" => ActivationKind::HardSilu,
            "Swish" if op.float("alpha", 1.0) == 1.0 => ActivationKind::Silu,
            "Softplus" => ActivationKind::Softplus { beta: 1.0, threshold: 20.0 },
            "Softsign" => ActivationKind::Softsign,
            "Mish" => ActivationKind::Mish,
            "Exp" => ActivationKind::Exponential,
            "Log" => ActivationKind::Logarithm,
            "Sqrt" => ActivationKind::Power { exponent: 0.5 },
            "Reciprocal" => ActivationKind::Power { exponent: -1.0 },
            "Erf" => ActivationKind::Erf,
            "ThresholdedRelu" => {
                let threshold = op.float("alpha", 1.0);
                ActivationKind::GeneralRelu { negative_slope: 0.0, threshold, max_value: None }
            }
            "Shrink" => match (op.float("lambd", 0.5), op.float("bias", 0.0)) {
                (threshold, 0.0) => ActivationKind::HardShrink { threshold },
                (threshold, bias) if threshold == bias => ActivationKind::SoftShrink { threshold },
                (lambd, bias) => return unsupported(format!("with lambd {lambd} and bias {bias} is not supported")),
            },
            other => return unsupported(format!("{other} with these attributes is not supported")),
        };
        let symbol = op.symbol(0)?;
        self.add_alike(op, symbol, Activation::new(kind))
    }

    fn clip(&mut self, op: &Operator, symbol: &Symbol, min: f32, max: f32) -> ImportResult<Symbol> {
        let kind = match (min.max(f32::MIN), max.min(f32::MAX)) {
            (0.0, f32::MAX) => ActivationKind::Relu,
            (0.0, 6.0) => ActivationKind::Relu6,
            (f32::MIN, f32::MAX) => return Ok(symbol.clone()),
            (min, max) => ActivationKind::Clip { min, max },
        };
        self.add_alike(op, symbol, Activation::new(kind))
    }

    /// `Max` and `Min` of a value and a number, which PyTorch's newer exporter writes for a one-sided clip.
    pub(super) fn bound(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let (symbol, constant) = match op.inputs.as_slice() {
            [Some(Value::Symbol(symbol)), Some(Value::Constant(constant))]
            | [Some(Value::Constant(constant)), Some(Value::Symbol(symbol))]
                if constant.len() == 1 && constant.dims.len() <= symbol.axes.len() + 1 =>
            {
                (symbol, constant.check_floats()?.float(0))
            }
            inputs if inputs.iter().all(|input| matches!(input, Some(Value::Symbol(_)))) => return self.merge(op),
            _ => return unsupported("is supported of computed values, or of a value and one number alone"),
        };
        if constant.is_nan() {
            return Err("has a bound that is not a number".into());
        }
        let (min, max) = if op.node.op_type == "Max" { (constant, f32::MAX) } else { (f32::MIN, constant) };
        self.clip(op, symbol, min, max)
    }

    pub(super) fn negative(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let channels = self.drafts[symbol.draft].shape.channels();
        if channels > MAX_CHANNELS {
            return unsupported(format!("of {channels} channels is not supported"));
        }
        let source = Source::Affine { scale: vec![-1.0; channels], offset: vec![0.0; channels] };
        let draft = self.add((op.node, ""), affine(), &[symbol.draft], source)?;
        Ok(Symbol { draft, ..symbol.clone() })
    }

    /// `Abs`, as the maximum of a value and its negative.
    pub(super) fn absolute(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let negative = self.negative(op)?;
        let symbol = op.symbol(0)?;
        let draft = self.add((op.node, ""), Maximum::new(), &[symbol.draft, negative.draft], Source::Nothing)?;
        Ok(Symbol { draft, ..symbol.clone() })
    }

    /// The index of the maximum of all values, or of the channels of each pixel, at the end of a classifier or segmentation
    /// network. It is represented by its input: no other node may use it.
    pub(super) fn arg_max(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?.clone();
        let axis = symbol.axis(op.int("axis", 0))?;
        let channels = symbol.order().is_some_and(|order| order.places()[2] == axis);
        if symbol.size(axis) != symbol.len() && !channels {
            return unsupported(format!(
                "over axis {} of {} is not supported, only the channels",
                axis + 1,
                symbol.shape()
            ));
        }
        if let Some(output) = op.node.output.first() {
            self.argmax.insert(output.clone());
        }
        Ok(symbol)
    }

    /// `Softmax` and `LogSoftmax`.
    pub(super) fn softmax(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let kind = match op.node.op_type.as_str() {
            "LogSoftmax" => ActivationKind::LogSoftmax,
            _ => ActivationKind::Softmax,
        };
        let symbol = op.symbol(0)?.clone();
        // Before version 13, all axes from this one on were flattened.
        let old = op.opset < 13;
        let axis = symbol.axis(op.int("axis", if old { 1 } else { -1 }))?;
        let axes = if old { axis..symbol.axes.len() } else { axis..axis + 1 };
        let normalized: usize = axes.clone().map(|axis| symbol.size(axis)).product();
        let shape = &self.drafts[symbol.draft].shape;
        let last = symbol.atoms.len() - 1;
        let along_channels = shape.sizes().len() > 1
            && normalized == shape.channels()
            && symbol.axes[axes.clone()].iter().flatten().all(|&atom| atom == last);
        if along_channels {
            return self.add_alike(op, &symbol, Activation::new(kind));
        }
        if normalized != symbol.len() {
            // Over other axes of an image.
            let mut atoms: Vec<usize> = symbol.axes[axes.clone()].iter().flatten().copied().collect();
            atoms.sort_unstable();
            if shape.sizes() != &*symbol.atoms || atoms.is_empty() {
                // A flat tensor, or one with split axes, is reshaped first.
                let symbol = self.plain(&symbol)?;
                let log = kind == ActivationKind::LogSoftmax;
                return self.add_alike(op, &symbol, Softmax { axes: axes.collect(), log });
            }
            return self.add_alike(op, &symbol, Softmax { axes: atoms, log: kind == ActivationKind::LogSoftmax });
        }
        // Over all values, their order does not matter.
        let draft = self.flatten(symbol.draft)?;
        self.add_alike(op, &Symbol { draft, ..symbol }, Activation::new(kind))
    }

    pub(super) fn dropout(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        // Dropout in inference (`training_mode`) is ignored: here, dropout is only active in training.
        let rate = op.number(1, "ratio")?.unwrap_or(0.5);
        self.add_alike(op, symbol, Dropout::new(rate))
    }

    pub(super) fn batch_normalization(&mut self, op: &Operator) -> ImportResult<Symbol> {
        // Before version 14, additional outputs (the batch statistics) indicated training mode; before version 7, they
        // could also be present in inference.
        let trains = match op.opset {
            ..7 => op.int("is_test", 0) == 0 && op.node.output.iter().skip(1).any(|output| !output.is_empty()),
            7..14 => op.node.output.iter().skip(1).any(|output| !output.is_empty()),
            _ => op.int("training_mode", 0) != 0,
        };
        op.must_be("spatial", 1)?;
        if trains {
            return unsupported(
                "is in training mode: it normalizes with the statistics of the batch, so that what an image gives depends on \
                 the others in its batch; export the model in evaluation mode (PyTorch: call model.eval() before \
                 torch.onnx.export, and leave out training=TrainingMode.TRAINING)",
            );
        }
        let symbol = op.symbol(0)?;
        if symbol.axes.is_empty() {
            return Err("takes an input with channels".into());
        }
        let part = |index: usize| -> ImportResult<&Constant> { Ok(op.needed(index)?.check_floats()?) };
        let (gamma, name) = (part(1)?, part(1)?.name.clone());
        let parts = [gamma, part(2)?, part(3)?, part(4)?];
        let channels = symbol.size(0);
        if let Some(wrong) = parts.iter().find(|part| part.dims != [channels]) {
            let shape = symbol.shape();
            return Err(format!("a parameter of shape {:?} for an input of {shape}", first(&wrong.dims)).into());
        }
        let (symbol, order) = self.channels(symbol, 0)?;
        let parts = parts.map(|part| sorted(part.floats(), order.as_deref()));
        let epsilon = op.float("epsilon", 1e-5);
        let layer = BatchNormalization { momentum: op.float("momentum", 0.9), epsilon, ..Default::default() };
        let draft = self.add((op.node, &name), layer, &[symbol.draft], Source::Norm(parts))?;
        Ok(Symbol { draft, ..symbol })
    }

    /// Ensures that an axis is the channels of its layer, and returns the position of each channel if they are in another
    /// order.
    pub(super) fn channels(&mut self, symbol: &Symbol, axis: usize) -> ImportResult<(Symbol, Option<Vec<usize>>)> {
        let shape = &self.drafts[symbol.draft].shape;
        let last = symbol.atoms.len() - 1;
        let alone = symbol.axes[axis] == [last] || (symbol.axes[axis].is_empty() && shape.channels() == 1);
        if shape.sizes().len() > 1 && alone && symbol.size(axis) == shape.channels() {
            return Ok((symbol.clone(), None));
        }
        let (symbol, found, order) = self.features(symbol)?;
        if found != axis && symbol.len() > 1 {
            return unsupported(format!("along axis {} of {} is not supported", axis + 1, symbol.shape()));
        }
        Ok((symbol, order))
    }

    /// `scale x + offset` with a constant that has one value, or one for each channel.
    pub(super) fn scale(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        constant: &Constant,
        flipped: bool,
    ) -> ImportResult<Symbol> {
        constant.check_numbers()?;
        if flipped && op.node.op_type == "Div" {
            return self.quotient_of(op, symbol, constant);
        }
        let rank = symbol.axes.len() + 1;
        let wide: Vec<usize> = (0..constant.dims.len()).filter(|&place| constant.dims[place] != 1).collect();
        let misfit = || format!("a constant of shape {:?} with an input of {}", first(&constant.dims), symbol.shape());
        if constant.dims.len() > rank {
            return unsupported(misfit());
        }
        let mut symbol = symbol.clone();
        // Repeat axes of size one where the constant has several values.
        for &place in &wide {
            let axis = (place + rank - constant.dims.len()).checked_sub(1);
            if let Some(axis) = axis.filter(|&axis| symbol.size(axis) == 1) {
                symbol = self.repeated(op, &symbol, axis, constant.dims[place])?;
            }
        }
        let symbol = &symbol;
        let (symbol, values) = match wide[..] {
            [] => {
                let channels = self.drafts[symbol.draft].shape.channels();
                if channels > MAX_CHANNELS {
                    return unsupported(format!("one value for {channels} channels is not supported"));
                }
                (symbol.clone(), vec![constant.float(0); channels])
            }
            [place] if self.is_channels(symbol, place + rank - constant.dims.len()) => {
                // Axes are counted from the end; the constant has no batch axis.
                let axis = place + rank - constant.dims.len() - 1;
                if symbol.size(axis) != constant.dims[place] {
                    return Err(misfit().into());
                }
                let (symbol, order) = self.channels(symbol, axis)?;
                (symbol, sorted(constant.floats(), order.as_deref()))
            }
            _ => self.for_each_value(symbol, constant)?,
        };
        let ones = || vec![1.0; values.len()];
        let zeros = || vec![0.0; values.len()];
        let (scale, offset) = match (op.node.op_type.as_str(), flipped) {
            ("Add" | "Sum", _) => (ones(), values),
            ("Sub", false) => (ones(), values.iter().map(|value| -value).collect()),
            ("Sub", true) => (vec![-1.0; values.len()], values),
            ("Mul", _) => (values.clone(), zeros()),
            ("Div", false) => (values.iter().map(|value| 1.0 / value).collect(), zeros()),
            (kind, _) => return unsupported(format!("{kind} of a constant is not supported")),
        };
        // One factor per channel was learned; a single one for all channels belongs to the formula.
        let learned = op.node.op_type == "Mul" && wide.len() == 1 && scale.iter().all(|factor| factor.is_finite());
        let layer: Layer = if learned { LayerScale::new(1.0, scale.len()).into() } else { affine().into() };
        let weight = if learned { &*constant.name } else { "" };
        let draft = self.add((op.node, weight), layer, &[symbol.draft], Source::Affine { scale, offset })?;
        Ok(Symbol { draft, ..symbol })
    }

    /// A constant divided by a tensor: the scaled reciprocal.
    fn quotient_of(&mut self, op: &Operator, symbol: &Symbol, constant: &Constant) -> ImportResult<Symbol> {
        let reciprocal = self.add_alike(op, symbol, Activation::new(ActivationKind::Power { exponent: -1.0 }))?;
        match constant.len() == 1 && constant.float(0) == 1.0 && constant.dims.len() <= symbol.axes.len() + 1 {
            true => Ok(reciprocal),
            false => {
                self.again(op, "Mul", vec![Some(Value::Symbol(reciprocal)), Some(Value::Constant(constant.clone()))])
            }
        }
    }

    /// Whether an axis (0 is the batch) is the channels of its layer, or all of its values.
    fn is_channels(&self, symbol: &Symbol, axis: usize) -> bool {
        let Some(axis) = axis.checked_sub(1) else { return false };
        let channels = self.drafts[symbol.draft].shape.channels();
        let last = symbol.axes[axis] == [symbol.atoms.len() - 1] && symbol.size(axis) == channels;
        last || symbol.size(axis) == symbol.len() || symbol.axes[axis].is_empty()
    }

    /// A flat layer with all values of a tensor, and a constant with a value for each of them, in its order.
    pub(super) fn for_each_value(&mut self, symbol: &Symbol, constant: &Constant) -> ImportResult<(Symbol, Vec<f32>)> {
        let values = broadcast_to(symbol, constant)?;
        let draft = self.flatten(symbol.draft)?;
        Ok((Symbol { draft, ..symbol.clone() }, values))
    }
}

/// A constant broadcast to the values of a tensor, in memory order.
pub(super) fn broadcast_to(symbol: &Symbol, constant: &Constant) -> ImportResult<Vec<f32>> {
    let sizes: Vec<usize> = (0..symbol.axes.len()).map(|axis| symbol.size(axis)).collect();
    // The constant has no batch axis.
    let dims = match constant.dims.strip_prefix(&[1]) {
        Some(rest) if rest.len() == sizes.len() => rest,
        _ => &constant.dims,
    };
    let before = sizes.len().checked_sub(dims.len());
    let fits = |before: usize| dims.iter().zip(&sizes[before..]).all(|(&dim, &size)| dim == 1 || dim == size);
    let Some(before) = before.filter(|&before| fits(before)) else {
        let shape = symbol.shape();
        return unsupported(format!(
            "a constant of shape {:?} with an input of {shape} is not supported, only one that is the same for all samples of \
             a batch",
            first(&constant.dims)
        ));
    };
    if symbol.len() > MAX_CHANNELS {
        return unsupported(format!("a constant for each of {} values is not supported", symbol.len()));
    }
    let strides = super::fold_moving::strides(dims);
    let mut values = vec![0.0; symbol.len()];
    for (mut index, place) in symbol.places().into_iter().enumerate() {
        let mut at = 0;
        for axis in (0..sizes.len()).rev() {
            let found = index % sizes[axis];
            index /= sizes[axis];
            at += axis.checked_sub(before).map_or(0, |axis| found.min(dims[axis] - 1) * strides[axis]);
        }
        values[place] = constant.float(at);
    }
    Ok(values)
}

/// Reorders values.
pub(super) fn sorted(values: Vec<f32>, order: Option<&[usize]>) -> Vec<f32> {
    let Some(order) = order else { return values };
    let mut sorted = vec![0.0; values.len()];
    order.iter().zip(values).for_each(|(&place, value)| sorted[place] = value);
    sorted
}
