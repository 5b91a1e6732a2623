//! Convolutions and dense layers.

use super::super::tensor::{Constant, first};
use super::drafts::{DenseSource, Source};
use super::operator::{Answer, Operator, unsupported};
use super::symbol::{Order, Symbol};
use super::{Importer, pooling};
use crate::nn::layers::{Conv2D, Dense, Padding, ZeroPadding2D};

impl Importer {
    pub(super) fn conv(&mut self, op: &Operator) -> Answer<Symbol> {
        let kernel = op.needed(1)?.check_floats()?;
        op.must_be("group", 1)?;
        if let Some(dilations) = op.ints("dilations").filter(|dilations| dilations.iter().any(|&d| d != 1)) {
            return unsupported(format!("dilations {:?} are not supported", first(dilations)));
        }
        let [filters, channels, rows, columns] = kernel.dims[..] else {
            return unsupported(format!(
                "a kernel of shape {:?} is not supported, only four axes",
                first(&kernel.dims)
            ));
        };
        if kernel.dims.contains(&0) {
            return Err(format!("a kernel of shape {:?} is empty", kernel.dims).into());
        }
        if op.pair("kernel_shape", [rows, columns])? != [rows, columns] {
            return Err(format!("kernel_shape does not fit a kernel of shape {:?}", kernel.dims).into());
        }
        let bias = match op.constant(2)? {
            None => None,
            Some(bias) if bias.len() == filters => Some(bias.check_floats()?.floats()),
            Some(bias) => return Err(format!("{} biases for {filters} filters", bias.len()).into()),
        };
        let symbol = op.symbol(0)?;
        if self.drafts[symbol.draft].shape.as_flat().is_some() && [rows, columns] == [1, 1] {
            return self.conv_of_one_pixel(op, symbol, kernel, bias);
        }
        let image = self.image(symbol)?;
        if image[2] != channels {
            return Err(format!("a kernel for {channels} channels, and an input of {}", symbol.shape()).into());
        }
        let window = pooling::Window::of(op, image, [rows, columns])?;
        let mut input = symbol.draft;
        // Keras's convolutions have no border of their own but `same`.
        let padding = match window.simple(image) {
            Some(padding) => padding,
            None => {
                let border = ZeroPadding2D { padding: window.pads }.into();
                let name = super::name::layer_name(op.node, &kernel.name, "conv2d") + "_pad";
                input = self.add_named(name, border, &[input], Source::Nothing)?;
                Padding::default()
            }
        };
        let conv = Conv2D {
            use_bias: bias.is_some(),
            ..Conv2D::new(filters, [rows, columns]).strides(window.strides).padding(padding)
        };
        let source = Source::Conv { kernel: kernel.clone(), bias };
        let draft = self.add((op.node, &kernel.name), conv, &[input], source)?;
        Ok(self.new_image(draft))
    }

    /// An image (batch, channels, height, width) that a layer has made.
    pub(super) fn new_image(&self, draft: usize) -> Symbol {
        let sizes = self.drafts[draft].shape.as_image().expect("the layer makes an image");
        Symbol::image(draft, sizes, Order::ChannelsFirst)
    }

    /// A 1x1 convolution of one pixel, as after a global pooling: a dense layer.
    fn conv_of_one_pixel(
        &mut self,
        op: &Operator,
        symbol: &Symbol,
        kernel: &Constant,
        bias: Option<Vec<f32>>,
    ) -> Answer<Symbol> {
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

    fn dense(&mut self, op: &Operator, symbol: &Symbol, axis: usize, source: DenseSource) -> Answer<Symbol> {
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

    pub(super) fn gemm(&mut self, op: &Operator) -> Answer<Symbol> {
        op.must_be("transA", 0)?;
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

    pub(super) fn mat_mul(&mut self, op: &Operator) -> Answer<Symbol> {
        let kernel = op.needed(1)?;
        let (symbol, axis, order) = self.features(op.symbol(0)?)?;
        let last = symbol.axes.len() - 1;
        if axis != last && symbol.len() > 1 {
            return unsupported(format!("of an input of {} is not supported: it must be flat", symbol.shape()));
        }
        let source = DenseSource { kernel: kernel.clone(), units_first: false, order, factor: 1.0, bias: None };
        self.dense(op, &symbol, last, source)
    }
}
