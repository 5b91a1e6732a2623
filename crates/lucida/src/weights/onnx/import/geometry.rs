//! Padding, resizing, and slicing.

use super::super::tensor::{Constant, Int, first};
use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Order, Symbol, Value};
use crate::nn::layers::{
    AxisSlice, Coordinates, DepthOrder, DepthToSpace, Interpolation, NearestMode, Pad2D, PadMode, Resize, ResizeTo,
    Slice, SpaceToDepth, Take, UpSampling2D, ZeroPadding2D,
};
use crate::nn::{Layer, Shape};

impl Importer {
    /// The axis order of an image, for operators that accept either.
    fn image_order(&self, symbol: &Symbol) -> ImportResult<Order> {
        match symbol.order().filter(|_| self.drafts[symbol.draft].shape.as_image().is_some()) {
            Some(order) => Ok(order),
            None => unsupported(format!("of an input of {} is not supported, only of images", symbol.shape())),
        }
    }

    /// Adds a layer from image to image.
    fn add_image(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        layer: impl Into<Layer>,
        order: Order,
    ) -> ImportResult<Symbol> {
        let draft = self.add((op.node, ""), layer, &[symbol.draft], Source::Nothing)?;
        let sizes = self.drafts[draft].shape.as_image().ok_or("makes no image")?;
        Ok(Symbol::image(draft, sizes, order))
    }

    pub(super) fn pad(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let value = op.number(2, "value")?.unwrap_or(0.0);
        let mode = match op.text("mode").as_deref() {
            None | Some("constant") => PadMode::Constant(value),
            Some("reflect") => PadMode::Reflect,
            Some("edge") => PadMode::Replicate,
            Some("wrap") => PadMode::Circular,
            Some(mode) => return unsupported(format!("mode {mode:?} is not supported")),
        };
        let pads = op.numbers(1, "pads")?.ok_or("pads are missing")?;
        if pads.iter().all(|&pad| pad == 0) {
            return Ok(symbol.clone());
        }
        let rank = symbol.axes.len() as i64 + 1;
        let axes = op.numbers(3, "axes")?.unwrap_or_else(|| (0..rank).collect());
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes", pads.len(), axes.len()).into());
        }
        let along = axes.iter().enumerate().filter(|&(place, _)| pads[place] != 0 || pads[place + axes.len()] != 0);
        if let (2, [(place, axis)]) = (symbol.axes.len(), along.collect::<Vec<_>>().as_slice()) {
            let pads = [pads[*place], pads[place + axes.len()]];
            return self.pad_length(op, &symbol.clone(), symbol.axis(**axis)?, pads, mode);
        }
        let order = self.image_order(symbol)?;
        let [row, column, _] = order.places();
        let mut padding = [[0; 2]; 2];
        for (place, &axis) in axes.iter().enumerate() {
            let pad = [pads[place], pads[place + axes.len()]];
            match if pad == [0, 0] { None } else { Some(symbol.axis(axis)) } {
                None => {}
                Some(Ok(axis)) if axis == row => padding[0] = pad,
                Some(Ok(axis)) if axis == column => padding[1] = pad,
                Some(_) => return unsupported(format!("by {pads:?} is not supported, only of height and width")),
            }
        }
        self.add_image(op, symbol, border(padding, mode), order)
    }

    /// Pads a tensor with two axes, such as a sequence, along one of them, as an image with one row.
    fn pad_length(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        axis: usize,
        pads: [i64; 2],
        mode: PadMode,
    ) -> ImportResult<Symbol> {
        let order = [axis, 1 - axis];
        let sizes = order.map(|axis| symbol.size(axis));
        let draft = self.in_memory(symbol, &order, false)?;
        let draft = self.reshaped(draft, &Shape::image(1, sizes[0], sizes[1]))?;
        let draft = self.add((op.node, ""), border([[0, 0], pads], mode), &[draft], Source::Nothing)?;
        let sizes = [self.drafts[draft].shape.sizes()[1], sizes[1]];
        let draft = self.reshaped(draft, &sizes.as_slice().into())?;
        Ok(Symbol::of_axes(draft, &sizes, &order))
    }

    pub(super) fn depth(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        self.image(symbol)?;
        let block = usize::try_from(op.int("blocksize", 0)).map_err(|_| "a negative blocksize")?;
        let order = match op.text("mode").as_deref() {
            None | Some("DCR") => DepthOrder::DepthFirst,
            Some("CRD") => DepthOrder::ColumnFirst,
            Some(mode) => return Err(format!("mode is {mode:?}").into()),
        };
        let layer: Layer = match op.node.op_type.as_str() {
            "DepthToSpace" => DepthToSpace::new(block).order(order).into(),
            _ => SpaceToDepth::new(block).into(),
        };
        self.add_image(op, symbol, layer, Order::ChannelsFirst)
    }

    /// `Resize` and its predecessor `Upsample`.
    pub(super) fn resize(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let order = self.image_order(symbol)?;
        let size = self.drafts[symbol.draft].shape.sizes().to_vec();
        let to = resize_to(op, symbol, order, [size[0], size[1]])?;
        let Some(to) = to else { return Ok(symbol.clone()) };
        let resize = Resize { to, ..resize_options(op)? };
        let layer = repeated(&resize, [size[0], size[1]]).map_or_else(|| resize.into(), Layer::from);
        self.add_image(op, symbol, layer, order)
    }

    pub(super) fn slice(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let (starts, ends) = (op.numbers(1, "starts")?, op.numbers(2, "ends")?);
        let (starts, ends) = (starts.ok_or("starts are missing")?, ends.ok_or("ends are missing")?);
        let axes = op.numbers(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = op.numbers(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in number".into());
        }
        let mut parts = vec![AxisSlice::all(); symbol.axes.len()];
        for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
            if axis == 0 && start == 0 && end >= i64::from(i32::MAX) && step == 1 {
                continue;
            }
            parts[symbol.axis(axis)?] = AxisSlice::Range { start: Some(start), stop: Some(end), step };
        }
        self.part(op, symbol, &parts)
    }

    /// `Gather` of positions along an axis: a slice if they are evenly spaced.
    pub(super) fn gather(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let axis = symbol.axis(op.int("axis", 0))?;
        let indices = op.needed(1)?;
        let size = symbol.size(axis) as i64;
        let places: Vec<i64> =
            indices.known_ints()?.iter().map(|&at| if at < 0 { at.saturating_add(size) } else { at }).collect();
        if places.is_empty() || places.iter().any(|place| !(0..size).contains(place)) {
            return Err(format!("takes positions {:?} of {size}", first(&places)).into());
        }
        let step = if let [first, second, ..] = places[..] { second - first } else { 1 };
        let even = places.windows(2).all(|pair| pair[1] - pair[0] == step) && step != 0;
        if indices.dims.len() > 1 || !even {
            let places: Vec<usize> = places.iter().map(|&place| place as usize).collect();
            return self.take(op, axis, &places, &indices.dims);
        }
        // An end before the first position is `None`.
        let stop = Some(places[0] + places.len() as i64 * step).filter(|&stop| stop >= 0);
        let mut parts = vec![AxisSlice::all(); symbol.axes.len()];
        parts[axis] = AxisSlice::Range { start: Some(places[0]), stop, step };
        let mut part = self.part(op, symbol, &parts)?;
        if indices.dims.is_empty() {
            part.axes.remove(axis);
        }
        Ok(part)
    }

    /// Takes positions along an axis, arranged in axes with the sizes `dims`.
    pub(super) fn take(
        &mut self,
        op: &Operator,
        axis: usize,
        places: &[usize],
        dims: &[usize],
    ) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        if symbol.axes.len() == 3 && dims.len() == 1 {
            let image = match self.image_order(symbol) {
                Ok(_) => symbol.clone(),
                Err(_) => self.image_of(symbol)?,
            };
            let order = self.image_order(&image)?;
            let atom = order.places().iter().position(|&place| place == axis).ok_or("names no axis")?;
            return self.add_image(op, &image, Take::new(atom, places), order);
        }
        let order: Vec<usize> = (0..symbol.axes.len()).collect();
        let mut sizes: Vec<usize> = order.iter().map(|&axis| symbol.size(axis)).collect();
        let draft = self.in_memory(symbol, &order, false)?;
        let draft = self.add((op.node, ""), Take::new(axis, places), &[draft], Source::Nothing)?;
        sizes.splice(axis..=axis, dims.iter().copied());
        let draft = self.reshaped(draft, &sizes.as_slice().into())?;
        Ok(Symbol::in_order(draft, &sizes))
    }

    /// `Split`, whose outputs are parts of an axis.
    pub(super) fn split(&mut self, op: &Operator) -> ImportResult<()> {
        let symbol = op.symbol(0)?;
        let axis = symbol.axis(op.int("axis", 0))?;
        let (size, count) = (symbol.size(axis), op.node.output.len());
        let sizes = match op.numbers(1, "split")? {
            Some(sizes) => sizes,
            None => {
                // The last part has the remainder.
                let part = size.div_ceil(count.max(1));
                (0..count).map(|index| part.min(size.saturating_sub(index * part)) as i64).collect()
            }
        };
        if sizes.len() != count || sizes.iter().any(|&part| part <= 0) || sizes.iter().sum::<i64>() != size as i64 {
            return Err(format!("splits {size} values into {count} parts of {sizes:?}").into());
        }
        let mut start = 0;
        for (name, part) in op.node.output.iter().zip(sizes) {
            let mut parts = vec![AxisSlice::all(); symbol.axes.len()];
            parts[axis] = AxisSlice::Range { start: Some(start), stop: Some(start + part), step: 1 };
            start += part;
            if !name.is_empty() {
                let part = self.part(op, symbol, &parts)?;
                self.values.insert(name.clone(), Value::Symbol(part));
            }
        }
        Ok(())
    }

    /// Slices each axis of a tensor.
    fn part(&mut self, op: &Operator, symbol: &Symbol, parts: &[AxisSlice]) -> ImportResult<Symbol> {
        if parts.iter().all(|&part| part == AxisSlice::all()) {
            return Ok(symbol.clone());
        }
        if symbol.axes.len() == 3 {
            let image = match self.image_order(symbol) {
                Ok(_) => symbol.clone(),
                Err(_) => self.image_of(symbol)?,
            };
            let order = self.image_order(&image)?;
            let axes = order.places().map(|axis| parts[axis]);
            return self.add_image(op, &image, Slice::new(axes), order);
        }
        let draft = self.in_memory(symbol, &(0..symbol.axes.len()).collect::<Vec<_>>(), false)?;
        let draft = self.add((op.node, ""), Slice::new(parts), &[draft], Source::Nothing)?;
        Ok(Symbol::in_order(draft, self.drafts[draft].shape.sizes()))
    }
}

/// The target size or the scales of height and width; `None` if the image is unchanged.
fn resize_to(op: &Operator, symbol: &Symbol, order: Order, size: [usize; 2]) -> ImportResult<Option<ResizeTo>> {
    let old = op.node.op_type == "Upsample" || op.opset < 11;
    let given =
        |index: usize| -> ImportResult<Option<&Constant>> { Ok(op.constant(index)?.filter(|given| given.len() > 0)) };
    let rank = symbol.axes.len() as i64 + 1;
    let axes = op.ints("axes").map_or_else(|| (0..rank).collect(), <[i64]>::to_vec);
    let [row, column, _] = order.places();
    let place = |wanted: usize| axes.iter().position(|&axis| symbol.axis(axis) == Ok(wanted));
    let places = [place(row), place(column)];
    let others = |place: usize| !places.contains(&Some(place));
    let sizes = if old { None } else { given(3)? };
    if let Some(sizes) = sizes {
        let sizes = sizes.ints()?;
        let size_at = |axis: usize| match places[axis].map(|place| sizes.get(place)) {
            None => Some(size[axis]),
            Some(Some(Int::Known(size))) => usize::try_from(*size).ok(),
            Some(_) => None,
        };
        let kept = axes.iter().enumerate().filter(|&(place, _)| others(place)).all(|(place, &axis)| {
            let size = sizes.get(place).and_then(|size| size.known());
            // A batch traced as 1 represents any size.
            symbol.axis(axis).map_or(true, |axis| size == Some(symbol.size(axis) as i64))
        });
        let (Some(height), Some(width), true) = (size_at(0), size_at(1), kept) else {
            return unsupported("is supported of height and width alone");
        };
        return Ok((size != [height, width]).then_some(ResizeTo::Size([height, width])));
    }
    let scales = match given(if old { 1 } else { 2 })? {
        Some(scales) => scales.check_floats()?.floats(),
        None => op.floats("scales").ok_or("has neither scales nor sizes")?.to_vec(),
    };
    if scales.len() != axes.len() || scales.iter().enumerate().any(|(place, &scale)| others(place) && scale != 1.0) {
        return unsupported(format!("by {:?} is supported of height and width alone", &scales[..scales.len().min(8)]));
    }
    let scale = places.map(|place| place.map_or(1.0, |place| scales[place]));
    if scale == [1.0, 1.0] {
        return Ok(None);
    }
    // A scale that gives an integer size is equivalent to that size.
    let whole = |axis: usize| {
        let target = (size[axis] as f32 * scale[axis]).floor();
        (target >= 1.0 && target / size[axis] as f32 == scale[axis]).then_some(target as usize)
    };
    Ok(Some(whole(0).zip(whole(1)).map_or(ResizeTo::Scale(scale), |(height, width)| ResizeTo::Size([height, width]))))
}

fn resize_options(op: &Operator) -> ImportResult<Resize> {
    let old = op.node.op_type == "Upsample" || op.opset < 11;
    let interpolation = match op.text("mode").as_deref() {
        None | Some("nearest") => Interpolation::Nearest,
        Some("linear" | "bilinear") => Interpolation::Bilinear,
        Some("cubic") if !old => Interpolation::Bicubic,
        Some(mode) => return unsupported(format!("mode {mode:?} is not supported")),
    };
    let coordinates = match op.text("coordinate_transformation_mode").as_deref() {
        _ if old => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("tf_half_pixel_for_nn") => Coordinates::TfHalfPixelForNn,
        Some(mode) => return unsupported(format!("coordinate_transformation_mode {mode:?} is not supported")),
    };
    let nearest = match op.text("nearest_mode").as_deref() {
        _ if old => NearestMode::Floor,
        None | Some("round_prefer_floor") => NearestMode::RoundPreferFloor,
        Some("round_prefer_ceil") => NearestMode::RoundPreferCeil,
        Some("floor") => NearestMode::Floor,
        Some("ceil") => NearestMode::Ceil,
        Some(mode) => return Err(format!("nearest_mode is {mode:?}").into()),
    };
    if let Some(policy) = op.text("keep_aspect_ratio_policy").filter(|policy| policy != "stretch") {
        return unsupported(format!("keep_aspect_ratio_policy {policy:?} is not supported"));
    }
    Ok(Resize {
        interpolation,
        coordinates,
        nearest,
        cubic_coefficient: op.float("cubic_coeff_a", -0.75),
        exclude_outside: op.int("exclude_outside", 0) != 0,
        antialias: op.int("antialias", 0) != 0,
        ..Resize::to_size([1, 1])
    })
}

/// Keras's layer, if integer scales give the same result.
fn repeated(resize: &Resize, size: [usize; 2]) -> Option<UpSampling2D> {
    let ResizeTo::Size(target) = resize.to else { return None };
    let whole = (0..2).all(|axis| target[axis] >= size[axis] && target[axis].is_multiple_of(size[axis]));
    let layer = UpSampling2D::new([target[0] / size[0], target[1] / size[1]]).interpolation(resize.interpolation);
    (whole && target.iter().all(|&side| side <= 1 << 12) && layer.map(size) == resize.map(size)).then_some(layer)
}

/// The padding layer.
fn border(padding: [[i64; 2]; 2], mode: PadMode) -> Layer {
    if mode == PadMode::Constant(0.0) && padding.iter().flatten().all(|&pad| pad >= 0) {
        let padding = padding.map(|pads| pads.map(|pad| usize::try_from(pad).unwrap_or(usize::MAX)));
        return ZeroPadding2D { padding }.into();
    }
    Pad2D { padding, mode }.into()
}
