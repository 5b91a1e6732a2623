//! Sliding windows and their padding, and pooling.

use super::super::proto::NodeProto;
use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Symbol, Value};
use crate::nn::Layer;
use crate::nn::layers::{
    Activation, ActivationKind, AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D, Multiply,
    Padding,
};

/// A window with its strides and padding.
pub(super) struct Window {
    size: [usize; 2],
    pub(super) strides: [usize; 2],
    /// `[[top, bottom], [left, right]]`
    pub(super) pads: [[usize; 2]; 2],
}

impl Window {
    /// Reads `strides`, `pads` and `auto_pad`.
    pub(super) fn of(op: &Operator, image: [usize; 3], size: [usize; 2]) -> ImportResult<Self> {
        let strides = op.pair("strides", [1, 1])?;
        if size.contains(&0) || strides.contains(&0) {
            return Err(format!("a window of {size:?} pixels with strides {strides:?} has a size of zero").into());
        }
        let auto = op.text("auto_pad").unwrap_or_default();
        let mut pads = [[0; 2]; 2];
        match auto.as_str() {
            "" | "NOTSET" => {
                if let Some(values) = op.ints("pads") {
                    let values: Option<Vec<usize>> = values.iter().map(|&pad| usize::try_from(pad).ok()).collect();
                    let Some(&[top, left, bottom, right]) = values.as_deref() else {
                        return unsupported("pads are not four numbers of pixels");
                    };
                    pads = [[top, bottom], [left, right]];
                }
            }
            "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                for axis in 0..2 {
                    let same = Padding::Same.resolve(axis, image[axis], size[axis], strides[axis]);
                    let (small, output) = same.ok_or("a window that is too large")?;
                    let total = ((output - 1) * strides[axis] + size[axis]).saturating_sub(image[axis]);
                    let large = total - small;
                    pads[axis] = if auto == "SAME_UPPER" { [small, large] } else { [large, small] };
                }
            }
            _ => return Err(format!("auto_pad is {auto:?}").into()),
        }
        Ok(Self { size, strides, pads })
    }

    /// Rounds the output size up, as by `ceil_mode`, with padding at the end. A window that would start in that padding is
    /// omitted.
    fn round_up(&mut self, image: [usize; 3]) {
        for (axis, &size) in image[..2].iter().enumerate() {
            let ([before, after], stride) = (self.pads[axis], self.strides[axis]);
            let Some(end) = size.checked_add(before) else { return };
            let span = end.checked_add(after).and_then(|padded| padded.checked_sub(self.size[axis]));
            let Some(span) = span else { return };
            let mut output = span.div_ceil(stride) + 1;
            if (output - 1).saturating_mul(stride) >= end {
                output -= 1;
            }
            let reached = ((output - 1).saturating_mul(stride)).saturating_add(self.size[axis]);
            self.pads[axis][1] = after.max(reached.saturating_sub(end));
        }
    }

    /// The equivalent padding mode of Keras, if there is one.
    pub(super) fn simple(&self, image: [usize; 3]) -> Option<Padding> {
        let resolve = |padding: Padding| {
            let axis = |i: usize| padding.resolve(i, image[i], self.size[i], self.strides[i]);
            axis(0).zip(axis(1))
        };
        let wanted = resolve(Padding::Explicit(self.pads))?;
        [Padding::Valid, Padding::Same].into_iter().find(|&padding| resolve(padding) == Some(wanted))
    }
}

impl Importer {
    pub(super) fn pool(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let image = self.image(symbol)?;
        let Some(_) = op.ints("kernel_shape") else { return Err("has no kernel_shape".into()) };
        let size = op.pair("kernel_shape", [1, 1])?;
        let dilation = op.pair("dilations", [1, 1])?;
        let reach = [0, 1].map(|axis| dilation[axis].saturating_mul(size[axis].saturating_sub(1)).saturating_add(1));
        if size.contains(&0) || dilation.contains(&0) {
            return Err(format!("windows of {size:?} pixels with dilations {dilation:?}").into());
        }
        if op.node.output.iter().skip(1).any(|output| !output.is_empty()) {
            return unsupported("with a second output, the places of the maxima, is not supported");
        }
        let mut window = Window::of(op, image, reach)?;
        let maximum = op.node.op_type == "MaxPool";
        let count_include_pad = !maximum && op.int("count_include_pad", 0) != 0 && window.pads != [[0; 2]; 2];
        let mut ceil_mode = op.int("ceil_mode", 0) != 0;
        if ceil_mode && !count_include_pad {
            // Padding at the end is not counted.
            window.round_up(image);
            ceil_mode = false;
        }
        let (strides, padding) = (window.strides, window.simple(image).unwrap_or(Padding::Explicit(window.pads)));
        let layer: Layer = if maximum {
            MaxPooling2D { strides, padding, dilation, ..MaxPooling2D::new(size) }.into()
        } else {
            let pooling = AveragePooling2D::new(size);
            AveragePooling2D { strides, padding, dilation, ceil_mode, count_include_pad, ..pooling }.into()
        };
        let draft = self.add((op.node, ""), layer, &[symbol.draft], Source::Nothing)?;
        Ok(self.new_image(draft))
    }

    pub(super) fn global_pool(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        if self.drafts[symbol.draft].shape.as_flat().is_some() && symbol.axes.len() == 3 {
            // Already a single pixel.
            return match symbol.features() {
                Some((0, _)) => Ok(symbol.clone()),
                _ => unsupported(format!("of an input of {} is not supported", symbol.shape())),
            };
        }
        self.image(symbol)?;
        let draft =
            self.add((op.node, ""), global(op.node.op_type == "GlobalMaxPool"), &[symbol.draft], Source::Nothing)?;
        Ok(Symbol::vector(draft, self.drafts[draft].shape.len(), 0, 3))
    }

    /// `ReduceMean`, `ReduceMax`, `ReduceMin` and `ReduceSum` over any axes except the batch.
    pub(super) fn reduce(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?.clone();
        let Some(axes) = op.numbers(1, "axes")?.filter(|axes| !axes.is_empty()) else {
            return unsupported("over all axes, the batch among them, is not supported: name the axes");
        };
        let mut removed = axes.iter().map(|&axis| symbol.axis(axis)).collect::<Result<Vec<_>, _>>()?;
        // In memory order, to avoid unnecessary reordering.
        removed.sort_by_key(|&axis| symbol.axes[axis].clone());
        removed.dedup();
        let mut kept: Vec<usize> = (0..symbol.axes.len()).filter(|axis| !removed.contains(axis)).collect();
        kept.sort_by_key(|&axis| symbol.axes[axis].clone());
        let count: usize = removed.iter().map(|&axis| symbol.size(axis)).product();
        let sizes: Vec<usize> = kept.iter().map(|&axis| symbol.size(axis)).collect();
        let kind = op.node.op_type.as_str();
        let mut draft = self.pooled_image(&symbol, &removed, &kept)?;
        if kind == "ReduceMin" {
            draft = self.factor(op, draft, -1.0)?;
        }
        draft =
            self.add((op.node, ""), global(matches!(kind, "ReduceMax" | "ReduceMin")), &[draft], Source::Nothing)?;
        draft = match kind {
            "ReduceMin" => self.factor(op, draft, -1.0)?,
            "ReduceSum" => self.factor(op, draft, count as f32)?,
            _ => draft,
        };
        let mut axes = vec![Vec::new(); symbol.axes.len()];
        kept.iter().enumerate().for_each(|(atom, &axis)| axes[axis] = vec![atom]);
        if op.int("keepdims", 1) == 0 {
            axes = (0..axes.len()).filter(|axis| !removed.contains(axis)).map(|axis| axes[axis].clone()).collect();
        }
        // A tensor with one value also has an axis in memory.
        let atoms: Vec<usize> = if sizes.is_empty() { vec![1] } else { sizes };
        Ok(Symbol { draft, atoms: atoms.as_slice().into(), whole: atoms.as_slice().into(), axes }.normal())
    }

    /// `ReduceL1`, `ReduceL2` and `ReduceSumSquare`: sums of absolute values or of squares, and the square root of the
    /// latter.
    pub(super) fn norm(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let kind = op.node.op_type.as_str();
        let value = op.symbol(0)?;
        let terms = match kind {
            "ReduceL1" => self.absolute(op)?,
            _ => {
                let draft = self.add((op.node, ""), Multiply::new(), &[value.draft; 2], Source::Nothing)?;
                Symbol { draft, ..value.clone() }
            }
        };
        let node = NodeProto { op_type: "ReduceSum".into(), ..op.node.clone() };
        let mut inputs = op.inputs.clone();
        inputs[0] = Some(Value::Symbol(terms));
        let sum = self.reduce(&Operator { node: &node, inputs, opset: op.opset })?;
        match kind {
            "ReduceL2" => self.add_alike(op, &sum, Activation::new(ActivationKind::Power { exponent: 0.5 })),
            _ => Ok(sum),
        }
    }

    /// An image whose pixels are the values along some axes, and whose channels are those along the others.
    fn pooled_image(&mut self, symbol: &Symbol, pixels: &[usize], channels: &[usize]) -> ImportResult<usize> {
        let size = |axes: &[usize]| axes.iter().map(|&axis| symbol.size(axis)).product::<usize>();
        let order = [pixels, channels].concat();
        let shape = &self.drafts[symbol.draft].shape;
        if shape.as_image().is_some() && symbol.in_order_of(&order) && shape.channels() == size(channels) {
            return Ok(symbol.draft);
        }
        let draft = self.in_memory(symbol, &order, false)?;
        Ok(self.reshaped(draft, &[size(pixels), 1, size(channels)].as_slice().into())?)
    }

    /// A layer's output times a number.
    fn factor(&mut self, op: &Operator, draft: usize, factor: f32) -> ImportResult<usize> {
        let channels = self.drafts[draft].shape.channels();
        let source = Source::Affine { scale: vec![factor; channels], offset: vec![0.0; channels] };
        self.add((op.node, ""), super::drafts::affine(), &[draft], source)
    }
}

fn global(maximum: bool) -> Layer {
    if maximum { GlobalMaxPooling2D::new().into() } else { GlobalAveragePooling2D::new().into() }
}
