//! The layout of inputs and outputs in a model's file, if it differs from the network's.
//!
//! Here, images are `[height, width, channels]`, and inputs and outputs are named after layers. An ONNX graph has its own
//! names and mostly channels-first images; PyTorch is always channels-first. A layout describes the conversion, so that the
//! inputs of the original program can be given to the network, and the outputs compared.

use crate::core::array::permute;
use crate::nn::{Network, Node, Shape};

/// The layout of an input or output in a file: its name and axis order.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayLayout {
    /// The name in the file.
    pub(crate) name: String,
    /// The layer of the network that it belongs to; `None` for an input that no output depends on.
    pub(crate) layer: Option<String>,
    /// The sizes of the axes in the layer's memory order; needed if the layer's shape has another number of axes, such as
    /// that of a flattened image.
    pub(crate) sizes: Vec<usize>,
    /// For each axis of the file except the batch: the memory axes that it consists of, slowest first. Axes of size one may
    /// be omitted.
    pub(crate) axes: Vec<Vec<usize>>,
    /// Whether the first axis in the file is the batch. An input without one is the same for all samples.
    pub(crate) batched: bool,
    /// The quantization of integer tensors in the file.
    pub(crate) quantization: Option<Quantization>,
}

/// The affine quantization of 8-bit integers: `scale (number - zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantization {
    /// The difference between adjacent values.
    pub scale: f32,
    /// The integer that represents 0.
    pub zero: f32,
}

/// The layouts of all inputs and outputs of a file, in its order; empty if they are the same as in the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArrayLayouts {
    pub(crate) inputs: Vec<ArrayLayout>,
    pub(crate) outputs: Vec<ArrayLayout>,
}

impl ArrayLayout {
    /// The layout of the network itself.
    fn of_node(node: &Node) -> Self {
        let sizes = node.shape().sizes().to_vec();
        let axes = (0..sizes.len()).map(|axis| vec![axis]).collect();
        let (name, layer) = (node.name().to_owned(), Some(node.name().to_owned()));
        Self { name, layer, sizes, axes, batched: true, quantization: None }
    }

    /// Images channels-first; otherwise the layout of the network.
    fn channels_first(node: &Node) -> Self {
        let layout = Self::of_node(node);
        let is_image = node.shape().as_image().is_some();
        if is_image { Self { axes: vec![vec![2], vec![0], vec![1]], ..layout } } else { layout }
    }

    /// The layout for values of this shape, which may differ from that in the file, for images of another size.
    pub(crate) fn of_shape(&self, shape: &Shape) -> Self {
        let same_axes = self.sizes.len() == shape.sizes().len();
        let sizes = if same_axes { shape.sizes().to_vec() } else { self.sizes.clone() };
        Self { sizes, ..self.clone() }
    }

    /// The sizes of the axes in the file, without the batch.
    pub(crate) fn file_sizes(&self) -> Vec<usize> {
        self.axes.iter().map(|axes| axes.iter().map(|&axis| self.sizes[axis]).product()).collect()
    }

    /// The memory axes in the order of the file.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = self.axes.concat();
        let left_out: Vec<usize> = (0..self.sizes.len()).filter(|axis| !order.contains(axis)).collect();
        order.extend(left_out);
        order
    }

    /// Converts values of `count` samples to the network's memory order.
    pub(crate) fn to_network(&self, count: usize, from: &[f32], to: &mut [f32]) {
        let order = self.order();
        let sizes: Vec<usize> = [count].into_iter().chain(order.iter().map(|&axis| self.sizes[axis])).collect();
        let mut places = vec![0; sizes.len()];
        order.iter().enumerate().for_each(|(place, &axis)| places[axis + 1] = place + 1);
        permute(&sizes, &places, from, to);
    }

    /// Converts values of `count` samples to the order of the file.
    pub(crate) fn to_file(&self, count: usize, from: &[f32], to: &mut [f32]) {
        let sizes: Vec<usize> = [count].into_iter().chain(self.sizes.iter().copied()).collect();
        let order: Vec<usize> = [0].into_iter().chain(self.order().iter().map(|&axis| axis + 1)).collect();
        permute(&sizes, &order, from, to);
    }

    /// The axis order of an image, or of a 1D input: `NCHW`, `NHWC`, `NCL`.
    pub(crate) fn axis_order(&self) -> Option<&'static str> {
        let is = |places: &[usize]| {
            let alone = |(axes, &place): (&Vec<usize>, &usize)| {
                axes.as_slice() == [place] || (axes.is_empty() && self.sizes[place] == 1)
            };
            self.batched && self.axes.len() == places.len() && self.axes.iter().zip(places).all(alone)
        };
        match self.sizes.len() {
            3 if is(&[2, 0, 1]) => Some("NCHW"),
            3 if is(&[0, 1, 2]) => Some("NHWC"),
            2 if is(&[1, 0]) => Some("NCL"),
            _ => None,
        }
    }
}

impl ArrayLayouts {
    /// The layouts of PyTorch, whose images are channels-first.
    pub fn channels_first(network: &Network) -> Self {
        let layout = |index: usize| ArrayLayout::channels_first(&network.nodes()[index]);
        Self {
            inputs: network.inputs().map(layout).collect(),
            outputs: network.outputs().iter().map(|&index| layout(index)).collect(),
        }
    }

    /// The layouts of a network's inputs: those of the file, if the network still has these inputs.
    pub(crate) fn of_inputs(&self, network: &Network) -> Vec<ArrayLayout> {
        let nodes: Vec<&Node> = network.inputs().map(|index| &network.nodes()[index]).collect();
        let layouts =
            |node: &Node| self.inputs.iter().filter(|layout| layout.layer.as_deref() == Some(node.name())).count();
        let needed = self.inputs.iter().filter(|layout| layout.layer.is_some()).count();
        if needed != nodes.len() || nodes.iter().any(|node| layouts(node) != 1) {
            return nodes.into_iter().map(ArrayLayout::of_node).collect();
        }
        let shaped = |layout: &ArrayLayout| {
            let node = nodes.iter().find(|node| layout.layer.as_deref() == Some(node.name()));
            node.map_or_else(|| layout.clone(), |node| layout.of_shape(node.shape()))
        };
        self.inputs.iter().map(shaped).collect()
    }

    /// The layouts of a network's outputs: that of the file for each one that is still the same layer.
    pub(crate) fn of_outputs(&self, network: &Network) -> Vec<ArrayLayout> {
        let nodes = network.outputs().iter().map(|&index| &network.nodes()[index]);
        let same = self.outputs.len() == network.outputs().len();
        let layout = |(place, node): (usize, &Node)| {
            let layout = self.outputs.get(place).filter(|_| same);
            let layout = layout.filter(|layout| layout.layer.as_deref() == Some(node.name()));
            layout.map_or_else(|| ArrayLayout::of_node(node), |layout| layout.of_shape(node.shape()))
        };
        nodes.enumerate().map(layout).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(sizes: &[usize], axes: &[&[usize]]) -> ArrayLayout {
        let axes = axes.iter().map(|axis| axis.to_vec()).collect();
        let sizes = sizes.to_vec();
        ArrayLayout { name: "x".into(), layer: None, sizes, axes, batched: true, quantization: None }
    }

    #[test]
    fn values_come_and_go_in_the_order_of_the_file() {
        // Two samples of 2 channels, 2 rows and 3 columns.
        let file: Vec<f32> = (0..24).map(|value| value as f32).collect();
        let channels_first = layout(&[2, 3, 2], &[&[2], &[0], &[1]]);
        let (mut network, mut back) = (vec![0.0; 24], vec![0.0; 24]);
        channels_first.to_network(2, &file, &mut network);
        assert_eq!(network[..4], [0.0, 6.0, 1.0, 7.0]);
        assert_eq!(network[12..14], [12.0, 18.0]);
        channels_first.to_file(2, &network, &mut back);
        assert_eq!((back, channels_first.file_sizes()), (file.clone(), vec![2, 2, 3]));
        // The same, flattened, and with an axis of size one.
        let flat = layout(&[2, 3, 2, 1], &[&[], &[2, 0, 1]]);
        flat.to_file(2, &network, &mut network.clone());
        let mut back = vec![0.0; 24];
        flat.to_file(2, &network, &mut back);
        assert_eq!((back, flat.file_sizes()), (file, vec![1, 12]));
    }

    #[test]
    fn orders_of_axes_have_names() {
        assert_eq!(layout(&[4, 5, 3], &[&[2], &[0], &[1]]).axis_order(), Some("NCHW"));
        assert_eq!(layout(&[4, 5, 3], &[&[0], &[1], &[2]]).axis_order(), Some("NHWC"));
        assert_eq!(layout(&[4, 5, 1], &[&[], &[0], &[1]]).axis_order(), Some("NCHW"));
        assert_eq!(layout(&[9, 3], &[&[1], &[0]]).axis_order(), Some("NCL"));
        assert_eq!(layout(&[60], &[&[0]]).axis_order(), None);
        assert_eq!(layout(&[4, 5, 3], &[&[2, 0, 1]]).axis_order(), None);
    }
}
