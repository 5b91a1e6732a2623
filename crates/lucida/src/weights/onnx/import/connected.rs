//! Convolutions and dense layers.

use super::super::tensor::{Constant, first};
use super::drafts::{DenseSource, Source};
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::{Order, Symbol, Value};
use super::{Importer, pooling};
use crate::nn::Layer;
use crate::nn::layers::{Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Padding, ZeroPadding2D, dilated};

/// The common parameters of `Conv` and `ConvTranspose`.
struct Kernel<'a> {
    kernel: &'a Constant,
    /// Height and width.
    size: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    /// The dilated height and width.
    reach: [usize; 2],
    groups: usize,
}

impl<'a> Kernel<'a> {
    fn of(op: &'a Operator) -> ImportResult<Self> {
        let kernel = op.needed(1)?.check_floats()?;
        let [_, _, rows, columns] = kernel.dims[..] else {
            return unsupported(format!(
                "a kernel of shape {:?} is not supported, only four axes",
                first(&kernel.dims)
            ));
        };
        if kernel.dims.contains(&0) {
            return Err(format!("a kernel of shape {:?} is empty", kernel.dims).into());
        }
        let size = [rows, columns];
        if op.pair("kernel_shape", size)? != size {
            return Err(format!("kernel_shape does not fit a kernel of shape {:?}", kernel.dims).into());
        }
        let groups = usize::try_from(op.int("group", 1)).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or_else(|| format!("group is {}", op.int("group", 1)))?;
        let dilations = op.pair("dilations", [1, 1])?;
        let reach = dilated(size, dilations)?;
        Ok(Self { kernel, size, strides: op.pair("strides", [1, 1])?, dilations, reach, groups })
    }

    fn bias(op: &Operator, filters: usize) -> ImportResult<Option<Vec<f32>>> {
        match op.constant(2)? {
            None => Ok(None),
            Some(bias) if bias.len() == filters => Ok(Some(bias.check_floats()?.floats())),
            Some(bias) => Err(format!("{} biases for {filters} filters", bias.len()).into()),
        }
    }
}

impl Importer {
    pub(super) fn conv(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let Kernel { kernel, size, dilations, reach, groups, .. } = Kernel::of(op)?;
        let (filters, channels) = (kernel.dims[0], kernel.dims[1].checked_mul(groups));
        let bias = Kernel::bias(op, filters)?;
        let symbol = op.symbol(0)?;
        if self.drafts[symbol.draft].shape.as_flat().is_some() && size == [1, 1] && groups == 1 {
            return self.conv_of_one_pixel(op, symbol, kernel, bias);
        }
        let image = self.image(symbol)?;
        if Some(image[2]) != channels {
            let of = kernel.dims[1];
            let problem = format!("a kernel for {of} channels in {groups} groups, and an input of {}", symbol.shape());
            return Err(problem.into());
        }
        let window = pooling::Window::of(op, image, reach)?;
        let mut input = symbol.draft;
        let depthwise = groups == image[2] && groups > 1 && filters.is_multiple_of(groups);
        // Keras's convolutions only support the paddings `valid` and `same`.
        let padding = match window.simple(image) {
            Some(padding) => padding,
            None => {
                let border = ZeroPadding2D { padding: window.pads }.into();
                let default = if depthwise { "depthwise_conv2d" } else { "conv2d" };
                let name = super::name::layer_name(op.node, &kernel.name, default) + "_pad";
                input = self.add_named(name, border, &[input], Source::Nothing)?;
                Padding::default()
            }
        };
        let use_bias = bias.is_some();
        let layer: Layer = if depthwise {
            let conv = DepthwiseConv2D::new(size).depth_multiplier(filters / groups).strides(window.strides);
            DepthwiseConv2D { use_bias, ..conv.padding(padding).dilation_rate(dilations) }.into()
        } else {
            let conv = Conv2D::new(filters, size).strides(window.strides).padding(padding);
            Conv2D { use_bias, ..conv.dilation_rate(dilations).groups(groups) }.into()
        };
        let source = Source::Conv { kernel: kernel.clone(), bias };
        let draft = self.add((op.node, &kernel.name), layer, &[input], source)?;
        Ok(self.new_image(draft))
    }

    pub(super) fn conv_transpose(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let shape = Kernel::of(op)?;
        let Kernel { kernel, size, strides, dilations, groups, .. } = shape;
        let filters = kernel.dims[1].checked_mul(groups).ok_or("a kernel of too many filters")?;
        let bias = Kernel::bias(op, filters)?;
        let symbol = op.symbol(0)?;
        let image = self.image(symbol)?;
        if image[2] != kernel.dims[0] {
            return Err(format!("a kernel for {} channels, and an input of {}", kernel.dims[0], symbol.shape()).into());
        }
        let (border, added) = transposed_border(op, image, &shape)?;
        let conv = Conv2DTranspose {
            use_bias: bias.is_some(),
            output_padding: (added != [0, 0]).then_some(added),
            ..Conv2DTranspose::new(filters, size)
                .strides(strides)
                .padding(Padding::Explicit(border))
                .dilation_rate(dilations)
                .groups(groups)
        };
        let conv = match conv.keras_border() {
            Ok((padding, output_padding)) => Conv2DTranspose { padding, output_padding, ..conv },
            Err(_) => conv,
        };
        let source = Source::Conv { kernel: kernel.clone(), bias };
        let draft = self.add((op.node, &kernel.name), conv, &[symbol.draft], source)?;
        Ok(self.new_image(draft))
    }

    /// The image output by a layer, (batch, channels, height, width).
    pub(super) fn new_image(&self, draft: usize) -> Symbol {
        let sizes = self.drafts[draft].shape.as_image().expect("the layer makes an image");
        Symbol::image(draft, sizes, Order::ChannelsFirst)
    }

    /// A 1x1 convolution of a single pixel, as after global pooling: a dense layer.
    fn conv_of_one_pixel(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        kernel: &Constant,
        bias: Option<Vec<f32>>,
    ) -> ImportResult<Symbol> {
        let padded = op.ints("pads").unwrap_or_default().iter().any(|&pad| pad != 0);
        if symbol.axes.len() != 3 || padded {
            return unsupported(format!("of an input of {} is not supported", symbol.shape()));
        }
        let kernel = kernel.with_dims(kernel.dims[..2].to_vec());
        let (symbol, axis, order) = self.features(symbol)?;
        if symbol.len() > 1 && axis != 0 {
            return unsupported(format!("of an input of {} is not supported", symbol.shape()));
        }
        let source = DenseSource { kernel, units_first: true, order, factor: 1.0, bias };
        self.dense(op, &symbol, 0, source)
    }

    fn dense(&mut self, op: &Operator, symbol: &Symbol, axis: usize, source: DenseSource) -> ImportResult<Symbol> {
        let kernel = &source.kernel;
        kernel.check_floats()?;
        let &[rows, columns] = kernel.dims.as_slice() else {
            return unsupported(format!("weights of shape {:?} are not supported", first(&kernel.dims)));
        };
        let (inputs, units) = if source.units_first { (columns, rows) } else { (rows, columns) };
        if inputs != symbol.len() || units == 0 {
            return Err(format!("weights of shape {:?} do not fit an input of {}", kernel.dims, symbol.shape()).into());
        }
        if let Some(bias) = source.bias.as_ref().filter(|bias| bias.len() != units) {
            return Err(format!("{} biases for {units} units", bias.len()).into());
        }
        let layer = Dense { use_bias: source.bias.is_some(), ..Dense::new(units) };
        let weight = kernel.name.clone();
        let draft = self.add((op.node, &weight), layer, &[symbol.draft], Source::Dense(source))?;
        Ok(Symbol::vector(draft, units, axis, symbol.axes.len()))
    }

    pub(super) fn gemm(&mut self, op: &Operator) -> ImportResult<Symbol> {
        if self.batchless {
            return self.gemm_of_matrices(op);
        }
        if matches!(op.value(1), Some(Value::Symbol(_))) || op.int("transA", 0) != 0 {
            return unsupported(
                "multiplies the samples of a batch with one another, which a network that computes sample by sample cannot; a \
                 graph whose first axis is not a batch is read if all sizes of its inputs are fixed (PyTorch: export without \
                 dynamic_axes)",
            );
        }
        let (alpha, beta) = (op.float("alpha", 1.0), op.float("beta", 1.0));
        let kernel = op.needed(1)?;
        let units_first = op.int("transB", 0) != 0;
        let units = kernel.dims.get(usize::from(!units_first)).copied().unwrap_or(0);
        let bias = match op.constant(2)? {
            Some(bias) if beta != 0.0 => {
                let values = bias.check_floats()?.floats();
                let values = if values.len() == 1 && units <= kernel.len() { vec![values[0]; units] } else { values };
                let scale = |value: f32| if beta == 1.0 { value } else { beta * value };
                Some(values.into_iter().map(scale).collect())
            }
            _ => None,
        };
        let (symbol, axis, order) = self.features(op.symbol(0)?)?;
        if symbol.axes.len() != 1 {
            return Err(format!("takes a matrix, got {}", symbol.shape()).into());
        }
        let source = DenseSource { kernel: kernel.clone(), units_first, order, factor: alpha, bias };
        self.dense(op, &symbol, axis, source)
    }

    pub(super) fn mat_mul(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let kernel = match (op.value(0), op.value(1)) {
            (Some(Value::Symbol(a)), Some(Value::Symbol(b))) => return self.product(op, a, b),
            (Some(Value::Constant(kernel)), Some(Value::Symbol(symbol))) => {
                return self.product_from_left(op, kernel, symbol, true);
            }
            _ => op.needed(1)?,
        };
        let symbol = op.symbol(0)?;
        if symbol.features().is_none_or(|(axis, _)| axis + 1 != symbol.axes.len()) {
            return self.mat_mul_of_pixels(op, symbol, kernel, false);
        }
        let (symbol, axis, order) = self.features(op.symbol(0)?)?;
        let source = DenseSource { kernel: kernel.clone(), units_first: false, order, factor: 1.0, bias: None };
        self.dense(op, &symbol, axis, source)
    }

    /// A matrix product along the last of several axes: a 1x1 convolution with that axis as channels. The kernel is
    /// (channel, unit), or (unit, channel) with the units first.
    pub(super) fn mat_mul_of_pixels(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        kernel: &Constant,
        units_first: bool,
    ) -> ImportResult<Symbol> {
        let Some(last) = symbol.axes.len().checked_sub(1) else {
            return unsupported(format!("of an input of {} is not supported", symbol.shape()));
        };
        let channels = symbol.size(last);
        let &[rows, columns] = kernel.check_floats()?.dims.as_slice() else {
            return unsupported(format!("weights of shape {:?} are not supported", first(&kernel.dims)));
        };
        let (inputs, units) = if units_first { (columns, rows) } else { (rows, columns) };
        if inputs != channels || units == 0 {
            return Err(format!("weights of shape {:?} do not fit an input of {}", kernel.dims, symbol.shape()).into());
        }
        let order: Vec<usize> = (0..=last).collect();
        let mut sizes: Vec<usize> = order.iter().map(|&axis| symbol.size(axis)).collect();
        let pixels = symbol.len() / channels.max(1);
        let mut draft = self.in_memory(symbol, &order, false)?;
        if sizes.len() != 3 {
            draft = self.reshaped(draft, &[1, pixels, channels].into())?;
        }
        let source = DenseSource { kernel: kernel.clone(), units_first, order: None, factor: 1.0, bias: None };
        let layer = Conv2D { use_bias: false, ..Conv2D::new(units, [1, 1]) };
        draft = self.add((op.node, &kernel.name), layer, &[draft], Source::Dense(source))?;
        sizes[last] = units;
        if sizes.len() != 3 {
            draft = self.reshaped(draft, &sizes.as_slice().into())?;
        }
        Ok(Symbol::in_order(draft, &sizes))
    }
}

/// The cropping of a `ConvTranspose`, `[[top, bottom], [left, right]]`, and the rows and columns added at the end.
fn transposed_border(op: &Operator, image: [usize; 3], shape: &Kernel) -> ImportResult<([[usize; 2]; 2], [usize; 2])> {
    let mut added = op.pair("output_padding", [0, 0])?;
    let auto = op.text("auto_pad").unwrap_or_default();
    let same = match auto.as_str() {
        "" | "NOTSET" | "VALID" => false,
        "SAME_UPPER" | "SAME_LOWER" => true,
        _ => return Err(format!("auto_pad is {auto:?}").into()),
    };
    let wanted = match op.ints("output_shape") {
        // Some files also list the batch and the channels.
        Some([.., height, width]) => Some([*height, *width].map(|size| usize::try_from(size).unwrap_or(0))),
        Some(_) => return unsupported("output_shape has no height and width"),
        None if same => Some([0, 1].map(|axis| image[axis].saturating_mul(shape.strides[axis]))),
        None => None,
    };
    let Some(wanted) = wanted else {
        return Ok((pooling::Window::of(op, image, shape.reach)?.pads, added));
    };
    let mut border = [[0; 2]; 2];
    for axis in 0..2 {
        let whole =
            (image[axis] - 1).checked_mul(shape.strides[axis]).and_then(|size| size.checked_add(shape.reach[axis]));
        let whole = whole.and_then(|size| size.checked_add(added[axis])).ok_or("a window that is too large")?;
        let total = whole.saturating_sub(wanted[axis]);
        let (small, large) = (total / 2, total - total / 2);
        border[axis] = if auto == "SAME_UPPER" { [small, large] } else { [large, small] };
        added[axis] += wanted[axis].saturating_sub(whole);
    }
    Ok((border, added))
}
