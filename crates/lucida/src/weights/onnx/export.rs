//! From a network to an ONNX graph.
//!
//! The graph takes and gives what the network does: images as (batch, height, width, channels), under the names of the
//! input and output layers. ONNX's convolutions and poolings want the channels first, so an image is transposed as it
//! comes in and as it goes out; in between, the tensor of layer `x` is called `x` when it is flat and `x/nchw` when it is a
//! image. Weights keep their names, `conv2d/kernel`.

use std::collections::HashSet;

use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};
use crate::nn::layers::{ActivationKind, AdaptiveAveragePooling2D, Padding};
use crate::nn::{Layer, Network, Node, Shape};

/// A network as a graph. The weights are to be written next to it: [`weight_dims`] and [`weight_values`].
pub(super) struct Exported {
    pub(super) graph: GraphProto,
    /// The channels of each batch normalization without a factor or a shift, which ONNX has not: name, values.
    pub(super) filled: Vec<(String, Vec<f32>)>,
    /// Whole numbers, such as the pixels of a border.
    pub(super) numbers: Vec<TensorProto>,
}

/// Makes a graph of a network.
///
/// # Errors
/// What cannot be said in ONNX, with the layer.
pub(super) fn export(network: &Network) -> Result<Exported, String> {
    let mut writer = Writer {
        network,
        names: network.nodes().iter().map(|node| node.name().to_owned()).collect(),
        tensors: Vec::new(),
        exported: Exported { graph: GraphProto::default(), filled: Vec::new(), numbers: Vec::new() },
    };
    writer.names.extend(network.weights().iter().map(|weight| weight.name().to_owned()));
    for node in network.nodes() {
        if node.shape().as_flat().is_none() && node.shape().as_image().is_none() {
            return Err(format!("layer {}: an output of {} is neither flat nor an image", node.name(), node.shape()));
        }
        if let Layer::Custom(custom) = node.layer() {
            let class = custom.class_name();
            return Err(format!("layer {}: {class} is a custom layer, which ONNX does not have", node.name()));
        }
        writer.layer(node);
    }
    writer.outputs();
    writer.exported.graph.name = network.name().into();
    Ok(writer.exported)
}

/// The shape of a weight in the graph: a convolution's kernel is (filter, channel, row, column).
pub(super) fn weight_dims(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [rows, columns, channels, filters] => vec![filters, channels, rows, columns],
        _ => shape.to_vec(),
    }
}

/// The values of a weight in the order of [`weight_dims`].
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

struct Writer<'a> {
    network: &'a Network,
    /// All names of tensors.
    names: HashSet<String>,
    /// The tensor of each layer's output.
    tensors: Vec<String>,
    exported: Exported,
}

impl Writer<'_> {
    /// A name that no tensor has.
    fn free(&mut self, name: String) -> String {
        let mut name = name;
        while self.names.contains(&name) {
            name.push('_');
        }
        self.names.insert(name.clone());
        name
    }

    fn node(&mut self, name: &str, op: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        self.exported.graph.node.push(NodeProto {
            input,
            output: vec![output.to_owned()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        });
    }

    fn layer(&mut self, node: &Node) {
        let name = node.name();
        let image = node.shape().as_image().is_some();
        let output = if image { self.free(format!("{name}/nchw")) } else { name.to_owned() };
        if let Layer::Input(input) = node.layer() {
            self.exported.graph.input.push(value_info(name, &input.shape));
            if image {
                self.node(&output, "Transpose", vec![name.into()], &output, vec![ints("perm", [0, 3, 1, 2])]);
            }
            self.tensors.push(output);
            return;
        }
        let activation = node.activation();
        // What is before an activation has a name of its own.
        let alone = matches!(node.layer(), Layer::Activation(_));
        let before = match activation {
            ActivationKind::Linear => output.clone(),
            _ => self.free(format!("{name}/linear")),
        };
        let before = if alone { self.tensors[node.inputs()[0]].clone() } else { before };
        match alone {
            false => self.operation(node, &before),
            true if activation == ActivationKind::Linear => {
                self.node(name, "Identity", vec![before.clone()], &output, vec![]);
            }
            true => {}
        }
        self.activation(node, activation, before, &output);
        self.tensors.push(output);
    }

    fn activation(&mut self, node: &Node, kind: ActivationKind, input: String, output: &str) {
        let name = format!("{}/activation", node.name());
        let (op, attributes) = match kind {
            ActivationKind::Linear => return,
            ActivationKind::Relu => ("Relu", vec![]),
            ActivationKind::Sigmoid => ("Sigmoid", vec![]),
            ActivationKind::Tanh => ("Tanh", vec![]),
            ActivationKind::Softmax => ("Softmax", vec![int("axis", 1)]),
            ActivationKind::LogSoftmax => ("LogSoftmax", vec![int("axis", 1)]),
            ActivationKind::LeakyRelu { negative_slope } => ("LeakyRelu", vec![float("alpha", negative_slope)]),
            ActivationKind::Relu6 => return self.clip(node, (0.0, 6.0), input, output),
            ActivationKind::Clip { min, max } => return self.clip(node, (min, max), input, output),
        };
        self.node(&name, op, vec![input], output, attributes);
    }

    fn clip(&mut self, node: &Node, (min, max): (f32, f32), input: String, output: &str) {
        let mut bound = |kind: &str, value: f32| {
            let name = self.free(format!("{}/{kind}", node.name()));
            let raw_data = value.to_le_bytes().to_vec().into();
            let data_type = data_type::FLOAT;
            self.exported.numbers.push(TensorProto { name: name.clone(), data_type, raw_data, ..Default::default() });
            name
        };
        let inputs = vec![input, bound("min", min), bound("max", max)];
        self.node(&format!("{}/activation", node.name()), "Clip", inputs, output, vec![]);
    }

    /// The layer without its activation.
    fn operation(&mut self, node: &Node, output: &str) {
        let name = node.name();
        let network = self.network;
        let weights = network.weights()[node.weights()].iter().map(|weight| weight.name().to_owned());
        let mut inputs: Vec<String> = node.inputs().iter().map(|&input| self.tensors[input].clone()).collect();
        let shape = |index: usize| network.nodes()[node.inputs()[index]].shape();
        match node.layer() {
            Layer::Input(_) | Layer::Activation(_) => {}
            Layer::Custom(_) => unreachable!("custom layers have been refused"),
            Layer::Conv2D(conv) => {
                inputs.extend(weights);
                let attributes = window(shape(0), conv.kernel_size, conv.strides, conv.padding);
                self.node(name, "Conv", inputs, output, attributes);
            }
            Layer::Dense(_) => {
                inputs.extend(weights);
                self.node(name, "Gemm", inputs, output, vec![]);
            }
            Layer::MaxPooling2D(pool) => {
                let attributes = window(shape(0), pool.pool_size, pool.strides, pool.padding);
                self.node(name, "MaxPool", inputs, output, attributes);
            }
            Layer::AveragePooling2D(pool) => {
                let mut attributes = window(shape(0), pool.pool_size, pool.strides, pool.padding);
                attributes.push(int("count_include_pad", 0));
                self.node(name, "AveragePool", inputs, output, attributes);
            }
            Layer::AdaptiveAveragePooling2D(pool) => self.adaptive_pooling(name, pool, shape(0), inputs, output),
            Layer::GlobalAveragePooling2D(_) | Layer::GlobalMaxPooling2D(_) => {
                let average = matches!(node.layer(), Layer::GlobalAveragePooling2D(_));
                let pooled = self.free(format!("{name}/pooled"));
                self.node(name, if average { "GlobalAveragePool" } else { "GlobalMaxPool" }, inputs, &pooled, vec![]);
                self.node(&format!("{name}/flat"), "Flatten", vec![pooled], output, vec![int("axis", 1)]);
            }
            Layer::BatchNormalization(norm) => {
                let channels = shape(0).channels();
                let mut filled = |kind: &str, value: f32| {
                    let name = self.free(format!("{name}/{kind}"));
                    self.exported.filled.push((name.clone(), vec![value; channels]));
                    name
                };
                let mut weights = weights;
                let gamma = if norm.scale { weights.next().unwrap_or_default() } else { filled("gamma", 1.0) };
                let beta = if norm.center { weights.next().unwrap_or_default() } else { filled("beta", 0.0) };
                inputs.extend([gamma, beta]);
                inputs.extend(weights);
                let attributes = vec![float("epsilon", norm.epsilon), float("momentum", norm.momentum)];
                self.node(name, "BatchNormalization", inputs, output, attributes);
            }
            Layer::Rescaling(rescaling) => {
                let scaled = self.free(format!("{name}/scaled"));
                let scale = self.channel_values(&format!("{name}/scale"), &rescaling.scale, shape(0));
                let offset = self.channel_values(&format!("{name}/offset"), &rescaling.offset, shape(0));
                self.node(&scaled, "Mul", vec![inputs.remove(0), scale], &scaled, vec![]);
                self.node(name, "Add", vec![scaled.clone(), offset], output, vec![]);
            }
            Layer::Dropout(dropout) => {
                let ratio = self.free(format!("{name}/ratio"));
                let raw_data = dropout.rate.to_le_bytes().to_vec().into();
                let data_type = data_type::FLOAT;
                let tensor = TensorProto { name: ratio.clone(), data_type, raw_data, ..Default::default() };
                self.exported.numbers.push(tensor);
                inputs.push(ratio);
                self.node(name, "Dropout", inputs, output, vec![]);
            }
            Layer::Flatten(_) => {
                if shape(0).as_image().is_some() {
                    // A vector has the channels of each pixel side by side.
                    let last = self.free(format!("{name}/nhwc"));
                    self.node(&last, "Transpose", inputs, &last, vec![ints("perm", [0, 2, 3, 1])]);
                    inputs = vec![last];
                }
                self.node(name, "Flatten", inputs, output, vec![int("axis", 1)]);
            }
            Layer::ZeroPadding2D(border) => {
                let pads = self.free(format!("{name}/pads"));
                let [[top, bottom], [left, right]] = border.padding;
                let values = [0, 0, top, left, 0, 0, bottom, right].map(|size| size as i64);
                let raw_data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                self.exported.numbers.push(TensorProto {
                    dims: vec![8],
                    data_type: data_type::INT64,
                    name: pads.clone(),
                    raw_data: raw_data.into(),
                    ..Default::default()
                });
                inputs.push(pads);
                self.node(name, "Pad", inputs, output, vec![text("mode", "constant")]);
            }
            Layer::Concatenate(_) => self.node(name, "Concat", inputs, output, vec![int("axis", 1)]),
            Layer::Add(_) => {
                let op = if inputs.len() == 2 { "Add" } else { "Sum" };
                self.node(name, op, inputs, output, vec![]);
            }
        }
    }

    /// A constant that is broadcast over the pixels: one value, or one per channel, which is the first axis after the batch.
    fn channel_values(&mut self, name: &str, values: &[f32], input: &Shape) -> String {
        let name = self.free(name.to_owned());
        let raw_data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let per_channel = values.len() > 1 && input.as_image().is_some();
        let dims = if per_channel { vec![values.len() as i64, 1, 1] } else { vec![values.len() as i64] };
        let data_type = data_type::FLOAT;
        let tensor =
            TensorProto { dims, data_type, name: name.clone(), raw_data: raw_data.into(), ..Default::default() };
        self.exported.numbers.push(tensor);
        name
    }

    /// Windows of equal size are an average pooling. Others differ in size: their means are those of a matrix over the
    /// rows times the image times a matrix over the columns.
    fn adaptive_pooling(
        &mut self,
        name: &str,
        pool: &AdaptiveAveragePooling2D,
        image: &Shape,
        inputs: Vec<String>,
        output: &str,
    ) {
        let (sizes, windows) = ([image.sizes()[0], image.sizes()[1]], pool.output_size);
        if sizes[0].is_multiple_of(windows[0]) && sizes[1].is_multiple_of(windows[1]) {
            let size = [sizes[0] / windows[0], sizes[1] / windows[1]];
            self.node(name, "AveragePool", inputs, output, window(image, size, size, Padding::Valid));
            return;
        }
        let mut matrix = |axis: usize, dims: [usize; 2], at: fn(usize, usize, [usize; 2]) -> usize| {
            let mut values = vec![0.0_f32; dims[0] * dims[1]];
            for index in 0..windows[axis] {
                let pixels = pool.window(sizes[axis], axis, index);
                for pixel in pixels.clone() {
                    values[at(index, pixel, dims)] = 1.0 / pixels.len() as f32;
                }
            }
            let name = self.free(format!("{name}/means_{axis}"));
            let raw_data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.exported.numbers.push(TensorProto {
                dims: dims.map(|size| size as i64).to_vec(),
                data_type: data_type::FLOAT,
                name: name.clone(),
                raw_data: raw_data.into(),
                ..Default::default()
            });
            name
        };
        let rows = matrix(0, [windows[0], sizes[0]], |index, pixel, dims| index * dims[1] + pixel);
        let columns = matrix(1, [sizes[1], windows[1]], |index, pixel, dims| pixel * dims[1] + index);
        let pooled = self.free(format!("{name}/rows"));
        self.node(&pooled, "MatMul", [vec![rows], inputs].concat(), &pooled, vec![]);
        self.node(name, "MatMul", vec![pooled, columns], output, vec![]);
    }

    /// Declares the outputs, images with their channels last.
    fn outputs(&mut self) {
        let mut declared = HashSet::new();
        for &output in self.network.outputs() {
            if !declared.insert(output) {
                continue;
            }
            let node = &self.network.nodes()[output];
            let tensor = self.tensors[output].clone();
            let input = matches!(node.layer(), Layer::Input(_));
            let name = if input { self.free(format!("{}/output", node.name())) } else { node.name().to_owned() };
            if node.shape().as_image().is_some() {
                let label = format!("{name}/nhwc");
                self.node(&label, "Transpose", vec![tensor], &name, vec![ints("perm", [0, 2, 3, 1])]);
            } else if input {
                self.node(&name, "Identity", vec![tensor], &name, vec![]);
            }
            self.exported.graph.output.push(value_info(&name, node.shape()));
        }
    }
}

/// `kernel_shape`, `strides` and `pads` of a window over an image.
fn window(image: &Shape, size: [usize; 2], strides: [usize; 2], padding: Padding) -> Vec<AttributeProto> {
    let sizes = image.sizes();
    let pads = [0, 1].map(|axis| match padding {
        Padding::Explicit(padding) => padding[axis],
        _ => {
            let (before, output) = padding.resolve(axis, sizes[axis], size[axis], strides[axis]).unwrap_or((0, 1));
            let reached = (output - 1) * strides[axis] + size[axis];
            [before, reached.saturating_sub(sizes[axis] + before)]
        }
    });
    let [[top, bottom], [left, right]] = pads;
    vec![ints("kernel_shape", size), ints("strides", strides), ints("pads", [top, left, bottom, right])]
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: attribute_type::INT, ..Default::default() }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: attribute_type::FLOAT, ..Default::default() }
}

fn text(name: &str, text: &'static str) -> AttributeProto {
    let s = Bytes::from_static(text.as_bytes());
    AttributeProto { name: name.into(), s, r#type: attribute_type::STRING, ..Default::default() }
}

fn ints<const N: usize>(name: &str, values: [usize; N]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.into(), ints, r#type: attribute_type::INTS, ..Default::default() }
}

fn value_info(name: &str, shape: &Shape) -> ValueInfoProto {
    let batch = Dimension { dim_param: Some("batch".into()), ..Default::default() };
    let sizes = shape.sizes().iter().map(|&size| Dimension { dim_value: Some(size as i64), ..Default::default() });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape: Some(shape) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}
