//! Converting a network to an ONNX graph.
//!
//! The graph has the same inputs and outputs as the network: images are (batch, height, width, channels), and the names are
//! those of the input and output layers. ONNX's convolutions and poolings are channels-first, so images are transposed at
//! the inputs and outputs; in between, the output of layer `x` is named `x` if it is flat, and `x/nchw` if it is an image.
//! Weights keep their names, `conv2d/kernel`.
//!
//! A sequence (length, channels) is an image with one row, `x/nchw`, for most layers, and a plain tensor, `x`, for layers
//! that move axes: it is converted where needed.

use std::collections::HashSet;

use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};
use crate::nn::layers::{ActivationKind, shape_in_groups};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes, OnnxConstant, OnnxGraph, OnnxLayer, OnnxNode, OnnxValues};
use crate::nn::{Layer, Network, Node, Shape, Weight};

/// A network as a graph. The weights are written separately: [`weight_dims`] and [`weight_values`].
pub(super) struct Exported {
    pub(super) graph: GraphProto,
    /// Default values for each batch normalization without a scale or an offset, which ONNX requires: name, values.
    pub(super) filled: Vec<(String, Vec<f32>)>,
    /// Constants, such as the amounts of padding.
    pub(super) numbers: Vec<TensorProto>,
}

/// Converts a network to a graph.
///
/// # Errors
/// What ONNX does not support, with the layer.
pub(super) fn export(network: &Network) -> Result<Exported, String> {
    let mut names: HashSet<String> = network.nodes().iter().map(|node| node.name().to_owned()).collect();
    names.extend(network.weights().iter().map(|weight| weight.name().to_owned()));
    let mut graph = OnnxGraph::new(names);
    let mut tensors: Vec<Tensor> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let of_layer = |problem: String| format!("layer {}: {problem}", node.name());
        let rank = node.shape().sizes().len();
        let any_rank = matches!(
            node.layer(),
            Layer::Reshape(_) | Layer::Permute(_) | Layer::Slice(_) | Layer::Take(_) | Layer::MatMul(_)
        );
        if !(1..=3).contains(&rank) && !any_rank {
            return Err(of_layer(format!(
                "an output of {} is not written: only vectors, sequences and images are",
                node.shape()
            )));
        }
        let tensor = layer(&mut graph, network, node, &mut tensors).map_err(of_layer)?;
        tensors.push(tensor);
    }
    outputs(&mut graph, network, &tensors);
    let OnnxGraph { inputs, outputs, nodes, constants, filled, .. } = graph;
    let graph = GraphProto {
        name: network.name().into(),
        node: nodes.into_iter().map(node_proto).collect(),
        input: inputs.iter().map(|(name, shape)| value_info(name, shape)).collect(),
        output: outputs.iter().map(|(name, shape)| value_info(name, shape)).collect(),
        ..Default::default()
    };
    Ok(Exported { graph, filled, numbers: constants.into_iter().map(tensor_proto).collect() })
}

/// Makes the height and width of the graph's input and output images dynamic.
///
/// # Errors
/// What in the graph depends on the size.
pub(super) fn open_size(exported: &mut Exported, network: &Network) -> Result<(), String> {
    let image = |shape: &Shape| shape.as_image().filter(|[height, width, _]| *height > 1 && *width > 1);
    let Some([height, width, _]) = network.input_shape().ok().and_then(image) else {
        return Err("the network does not take images of any size: its input is not one image".into());
    };
    // A graph that is the same for another size is valid for every size.
    let other = network.clone().with_input_size(height + 64, width + 32).map_err(|problem| problem.to_string())?;
    let other = export(&other)?;
    if let Some(node) = exported.graph.node.iter().zip(&other.graph.node).find_map(|(a, b)| (a != b).then_some(a)) {
        return Err(format!("the node {:?} depends on the size of the images", node.name));
    }
    if let Some(constant) = exported.numbers.iter().zip(&other.numbers).find_map(|(a, b)| (a != b).then_some(a)) {
        return Err(format!("the constant {:?} depends on the size of the images", constant.name));
    }
    let GraphProto { input, output, .. } = &mut exported.graph;
    for (values, names) in [(input, ["height", "width"]), (output, ["output_height", "output_width"])] {
        let shapes = values.iter_mut().filter_map(|value| value.r#type.as_mut()?.tensor_type.as_mut()?.shape.as_mut());
        for shape in shapes.filter(|shape| shape.dim.len() == 4) {
            for (dim, name) in shape.dim[1..3].iter_mut().zip(names) {
                *dim = Dimension { dim_param: Some(name.into()), ..Default::default() };
            }
        }
    }
    Ok(())
}

/// All weights with their shapes, as expected by [`weight_dims`] and [`weight_values`].
pub(super) fn shaped_weights(network: &Network) -> impl Iterator<Item = (&Weight, Vec<usize>)> {
    let pairs = network
        .nodes()
        .iter()
        .flat_map(|node| network.weights()[node.weights()].iter().map(move |weight| (node, weight)));
    pairs.map(|(node, weight)| (weight, shape_in_graph(node.layer(), weight)))
}

/// The shape of a weight; the kernel of a 1D layer has one row.
fn shape_in_graph(layer: &Layer, weight: &Weight) -> Vec<usize> {
    let depthwise = match layer {
        Layer::SeparableConv1D(_) => weight.name().ends_with("/depthwise_kernel"),
        layer => matches!(layer, Layer::DepthwiseConv1D(_)),
    };
    match *weight.shape() {
        [length, channels, multiplier] if depthwise => vec![1, length, 1, channels * multiplier],
        [length, channels, filters] if layer.is_one_dimensional() => vec![1, length, channels, filters],
        _ => shape_in_groups(layer, weight),
    }
}

/// The shape of a weight in the graph: a convolution's kernel is (filter, channel, row, column).
pub(super) fn weight_dims(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [rows, columns, channels, filters] => vec![filters, channels, rows, columns],
        _ => shape.to_vec(),
    }
}

/// The values of a weight in the order given by [`weight_dims`].
pub(super) fn weight_values(shape: &[usize], values: &[f32]) -> impl Iterator<Item = f32> {
    let (len, pixels, channels, filters) = match *shape {
        [rows, columns, channels, filters] => (values.len(), rows * columns, channels, filters),
        _ => (values.len(), values.len(), 1, 1),
    };
    (0..len).map(move |index| {
        let (filter, channel, pixel) = (index / pixels / channels, index / pixels % channels, index % pixels);
        values[(pixel * channels + channel) * filters + filter]
    })
}

/// The output of a layer.
struct Tensor {
    name: String,
    shape: Shape,
    /// As a plain tensor: (batch, features), or (batch, length, channels). `None` for an image.
    plain: Option<String>,
    /// As an image: (batch, channels, height, width).
    image: Option<String>,
}

impl Tensor {
    /// The input tensor for a layer: a sequence as an image with one row, or as a plain tensor.
    fn take(&mut self, graph: &mut OnnxGraph, as_image: bool) -> String {
        let is_sequence = self.shape.sizes().len() == 2;
        match (&self.plain, &self.image) {
            (Some(plain), None) if is_sequence && as_image => {
                let plain = plain.clone();
                let turned = graph.free(format!("{}/channels_first", self.name));
                graph.node(&turned, "Transpose", vec![plain], &turned, channels_and_length());
                let row = graph.ints(format!("{}/row", self.name), vec![2]);
                let image = graph.free(format!("{}/nchw", self.name));
                graph.node(&image, "Unsqueeze", vec![turned, row], &image, vec![]);
                self.image.insert(image).clone()
            }
            (None, Some(image)) if is_sequence && !as_image => {
                let (image, plain) = (image.clone(), graph.free(format!("{}/sequence", self.name)));
                sequence(graph, &self.name, image, &plain);
                self.plain.insert(plain).clone()
            }
            (_, Some(image)) if as_image || !is_sequence => image.clone(),
            (Some(plain), _) => plain.clone(),
            (_, image) => image.clone().unwrap_or_default(),
        }
    }
}

/// Converts an image with one row to a sequence.
fn sequence(graph: &mut OnnxGraph, name: &str, image: String, to: &str) {
    let row = graph.ints(format!("{name}/row"), vec![2]);
    let turned = graph.free(format!("{name}/channels_first"));
    graph.node(&turned, "Squeeze", vec![image, row], &turned, vec![]);
    graph.node(&format!("{to}/length_first"), "Transpose", vec![turned], to, channels_and_length());
}

/// Swaps the channels and the length of a sequence.
fn channels_and_length() -> OnnxAttributes {
    vec![("perm", OnnxAttribute::ints([0, 2, 1]))]
}

/// Adds a layer to a graph and returns its output.
///
/// # Errors
/// When ONNX does not support it.
fn layer(graph: &mut OnnxGraph, network: &Network, node: &Node, tensors: &mut [Tensor]) -> Result<Tensor, String> {
    let (name, activation, shape) = (node.name(), node.activation(), node.shape());
    // These refer to axes, of which an image with one row has more.
    let by_axis = matches!(
        node.layer(),
        Layer::Input(_)
            | Layer::Reshape(_)
            | Layer::Permute(_)
            | Layer::Slice(_)
            | Layer::Take(_)
            | Layer::MatMul(_)
            | Layer::Concatenate(_)
            | Layer::Softmax(_)
            | Layer::PReLU(_)
    );
    let image = shape.as_image().is_some() || (shape.sizes().len() == 2 && !by_axis);
    let output = if image { graph.free(format!("{name}/nchw")) } else { name.to_owned() };
    let before = match activation {
        ActivationKind::Linear => output.clone(),
        _ => graph.free(format!("{name}/linear")),
    };
    let inputs = node.inputs().iter().map(|&input| tensors[input].take(graph, !by_axis)).collect();
    let seen = |input: &usize| match *network.nodes()[*input].shape().sizes() {
        [length, channels] if !by_axis => Shape::image(1, length, channels),
        ref sizes => sizes.into(),
    };
    let shapes: Vec<Shape> = node.inputs().iter().map(seen).collect();
    let mut layer = OnnxLayer {
        graph,
        name,
        inputs,
        shapes: shapes.iter().collect(),
        weights: network.weights()[node.weights()].iter().map(|weight| weight.name().to_owned()).collect(),
        output: before,
    };
    node.layer().to_onnx(&mut layer)?;
    if activation == ActivationKind::Linear && layer.output != output {
        layer.graph.node(name, "Identity", vec![layer.output], &output, vec![]);
    } else {
        activation.to_onnx(&mut layer, &output);
    }
    let (plain, image) = if image { (None, Some(output)) } else { (Some(output), None) };
    Ok(Tensor { name: name.to_owned(), shape: shape.clone(), plain, image })
}

/// Declares the outputs, with images channels-last.
fn outputs(graph: &mut OnnxGraph, network: &Network, tensors: &[Tensor]) {
    let mut declared = HashSet::new();
    for &output in network.outputs() {
        if !declared.insert(output) {
            continue;
        }
        let (node, tensor) = (&network.nodes()[output], &tensors[output]);
        let input = node.inputs().is_empty();
        let name = if input { graph.free(format!("{}/output", node.name())) } else { node.name().to_owned() };
        match (&tensor.image, &tensor.plain) {
            (Some(image), _) if node.shape().as_image().is_some() => {
                let order = vec![("perm", OnnxAttribute::ints([0, 2, 3, 1]))];
                graph.node(&format!("{name}/nhwc"), "Transpose", vec![image.clone()], &name, order);
            }
            (_, Some(plain)) if *plain == name => {}
            (_, Some(plain)) => {
                // The layer's own operator already has this name.
                let label = if input { name.clone() } else { format!("{name}/output") };
                graph.node(&label, "Identity", vec![plain.clone()], &name, vec![]);
            }
            (image, None) => sequence(graph, node.name(), image.clone().unwrap_or_default(), &name),
        }
        graph.outputs.push((name, node.shape().clone()));
    }
}

fn node_proto(node: OnnxNode) -> NodeProto {
    NodeProto {
        input: node.inputs,
        output: vec![node.output],
        name: node.name,
        op_type: node.op.to_owned(),
        attribute: node.attributes.into_iter().map(|(name, value)| attribute_proto(name, value)).collect(),
        domain: String::new(),
    }
}

pub(in crate::weights) fn attribute_proto(name: &str, value: OnnxAttribute) -> AttributeProto {
    let mut attribute = AttributeProto { name: name.into(), ..Default::default() };
    attribute.r#type = match value {
        OnnxAttribute::Int(i) => {
            attribute.i = i;
            attribute_type::INT
        }
        OnnxAttribute::Float(f) => {
            attribute.f = f;
            attribute_type::FLOAT
        }
        OnnxAttribute::Ints(ints) => {
            attribute.ints = ints;
            attribute_type::INTS
        }
        OnnxAttribute::Text(text) => {
            attribute.s = Bytes::from_static(text.as_bytes());
            attribute_type::STRING
        }
    };
    attribute
}

pub(in crate::weights) fn tensor_proto(constant: OnnxConstant) -> TensorProto {
    let (data_type, raw_data): (_, Vec<u8>) = match constant.values {
        OnnxValues::Floats(values) => (data_type::FLOAT, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        OnnxValues::Ints(values) => (data_type::INT64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    };
    let dims = constant.dims.iter().map(|&size| size as i64).collect();
    TensorProto { dims, data_type, name: constant.name, raw_data: raw_data.into(), ..Default::default() }
}

fn value_info(name: &str, shape: &Shape) -> ValueInfoProto {
    let batch = Dimension { dim_param: Some("batch".into()), ..Default::default() };
    let sizes = shape.sizes().iter().map(|&size| Dimension { dim_value: Some(size as i64), ..Default::default() });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape: Some(shape) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}
