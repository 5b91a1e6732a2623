//! Layers that reorder values in memory to match a tensor's axes.

use lucida_kernels::StridedView;

use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator};
use super::symbol::{Order, Symbol, Value};
use crate::nn::layers::{ChannelShuffle, DepthOrder, DepthToSpace, Permute, Reshape, SpaceToDepth};
use crate::nn::{Layer, Shape};

/// Operators that take images, or tensors whose axes are ordered like those of their other inputs.
const OF_IMAGES: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "InstanceNormalization",
    "LRN",
    "MaxPool",
    "Mul",
    "PRelu",
    "Pad",
    "Resize",
    "SpaceToDepth",
    "Sub",
    "Sum",
    "Upsample",
];
/// Operators among these that do not accept a vector for a one-pixel image.
const OF_LARGE_IMAGES: &[&str] =
    &["AveragePool", "ConvTranspose", "DepthToSpace", "MaxPool", "Pad", "Resize", "SpaceToDepth", "Upsample"];

/// Operators among these that accept images in either axis order.
const EITHER_ORDER: &[&str] = &["Add", "Concat", "Div", "Mul", "PRelu", "Pad", "Resize", "Sub", "Sum", "Upsample"];

impl Importer {
    /// For operators on images, reorders inputs so that they are in the memory order of the network.
    pub(super) fn with_images<'a>(&mut self, op: &Operator<'a>) -> ImportResult<Operator<'a>> {
        let mut inputs = op.inputs.clone();
        let kind = op.node.op_type.as_str();
        if OF_IMAGES.contains(&kind) {
            for value in inputs.iter_mut().flatten() {
                let Value::Symbol(symbol) = value else { continue };
                let order = symbol.order().filter(|_| self.drafts[symbol.draft].shape.as_image().is_some());
                let image = order.is_some_and(|order| order == Order::ChannelsFirst || EITHER_ORDER.contains(&kind));
                // A vector of channels is in order, wherever the operator expects them.
                let channels = |axis: usize| axis == 0 || axis == 2 && EITHER_ORDER.contains(&kind);
                let pixel = symbol.features().is_some_and(|(axis, _)| channels(axis))
                    && self.drafts[symbol.draft].shape.as_flat().is_some()
                    && !OF_LARGE_IMAGES.contains(&kind);
                if symbol.axes.len() == 3 && !image && !pixel {
                    *symbol = self.image_of(symbol)?;
                }
            }
        }
        Ok(Operator { inputs, node: op.node, opset: op.opset })
    }

    /// A tensor (batch, channels, height, width) as an image.
    pub(super) fn image_of(&mut self, symbol: &Symbol) -> Result<Symbol, String> {
        let draft = self.in_memory(symbol, &Order::ChannelsFirst.places(), false)?;
        let sizes = Order::ChannelsFirst.places().map(|axis| symbol.size(axis));
        Ok(Symbol::image(draft, sizes, Order::ChannelsFirst))
    }

    /// A layer with the values of a tensor in the order of these axes, slowest first, with their sizes as shape, or flat.
    pub(super) fn in_memory(&mut self, symbol: &Symbol, order: &[usize], flat: bool) -> Result<usize, String> {
        let sizes: Vec<usize> = order.iter().map(|&axis| symbol.size(axis)).collect();
        let target: Shape = if flat { Shape::flat(symbol.len()) } else { sizes.as_slice().into() };
        let atoms: Vec<usize> = order.iter().flat_map(|&axis| symbol.axes[axis].iter().copied()).collect();
        let mut draft = symbol.draft;
        if !atoms.is_sorted() {
            if let Some(layer) = self.shuffle(symbol, &atoms, &target) {
                return self.add_named(layer.default_name().into(), layer, &[draft], Source::Nothing);
            }
            let mut split = atoms.clone();
            split.sort_unstable();
            let dims: Vec<usize> = atoms.iter().map(|atom| split.partition_point(|other| other <= atom)).collect();
            let split: Vec<usize> = split.iter().map(|&atom| symbol.atoms[atom]).collect();
            draft = self.reshaped(draft, &split.as_slice().into())?;
            draft = self.add_named("permute".into(), Permute::new(dims).into(), &[draft], Source::Nothing)?;
        }
        self.reshaped(draft, &target)
    }

    pub(super) fn reshaped(&mut self, draft: usize, shape: &Shape) -> Result<usize, String> {
        if self.drafts[draft].shape == *shape {
            return Ok(draft);
        }
        if shape.as_flat().is_some() {
            return self.flatten(draft);
        }
        let sizes: Vec<i64> = shape.sizes().iter().map(|&size| size as i64).collect();
        self.add_named("reshape".into(), Reshape::new(sizes).into(), &[draft], Source::Nothing)
    }

    /// The single layer that performs this reordering of an image, if there is one: found by comparing strided views.
    fn shuffle(&self, symbol: &Symbol, atoms: &[usize], target: &Shape) -> Option<Layer> {
        let from = &self.drafts[symbol.draft].shape;
        let image @ [height, _, channels] = from.as_image()?;
        let [rows, ..] = target.as_image()?;
        let stride = |atom: usize| symbol.atoms[atom + 1..].iter().product::<usize>() as isize;
        let axes: Vec<_> = atoms.iter().map(|&atom| (symbol.atoms[atom], stride(atom))).collect();
        let wanted = StridedView::new(0, &axes);
        let orders = [DepthOrder::DepthFirst, DepthOrder::ColumnFirst];
        if target == from {
            let groups = (2..channels).filter(|&groups| channels.is_multiple_of(groups)).map(ChannelShuffle::new);
            let mut fitting = groups.filter(|layer| StridedView::new(0, &layer.axes(from)) == wanted);
            return fitting.next().map(Layer::from);
        }
        if rows > height && rows.is_multiple_of(height) {
            let layers = orders.map(|order| DepthToSpace::new(rows / height).order(order));
            let fits = |layer: &DepthToSpace| {
                let shape = layer.sizes(image).map(Shape::from);
                shape.as_ref() == Some(target) && StridedView::new(0, &layer.axes(image)) == wanted
            };
            return layers.into_iter().find(fits).map(Layer::from);
        }
        let layers = orders.map(|order| SpaceToDepth::new(height / rows.max(1)).order(order));
        let fits = |layer: &SpaceToDepth| {
            let shape = layer.sizes(image).map(Shape::from);
            shape.as_ref() == Some(target) && StridedView::new(0, &layer.axes(image)) == wanted
        };
        layers.into_iter().find(fits).map(Layer::from)
    }
}
