//! A graph of ONNX operators, independent of the file format: the ONNX form of layers.
//!
//! Images are channels-first: (batch, channel, row, column).

use std::collections::HashSet;

use super::shape::Shape;

/// An attribute of an operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OnnxAttribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
}

impl OnnxAttribute {
    /// Creates a list attribute, such as sizes or a permutation of axes.
    pub(crate) fn ints<const N: usize>(values: [usize; N]) -> Self {
        Self::Ints(values.map(|value| value as i64).to_vec())
    }
}

/// Attributes with their names.
pub(crate) type OnnxAttributes = Vec<(&'static str, OnnxAttribute)>;

/// An operator and the tensors that it reads and writes.
#[derive(Debug)]
pub(crate) struct OnnxNode {
    pub(crate) name: String,
    pub(crate) op: &'static str,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
    pub(crate) attributes: OnnxAttributes,
}

/// The values of a constant.
#[derive(Debug)]
pub(crate) enum OnnxValues {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// A tensor that is not a weight of the network, such as the amounts of a padding.
#[derive(Debug)]
pub(crate) struct OnnxConstant {
    pub(crate) name: String,
    /// Empty for a scalar.
    pub(crate) dims: Vec<usize>,
    pub(crate) values: OnnxValues,
}

/// Operators, and the tensors between them.
#[derive(Debug)]
pub(crate) struct OnnxGraph {
    /// Names and shapes, without the batch axis.
    pub(crate) inputs: Vec<(String, Shape)>,
    pub(crate) outputs: Vec<(String, Shape)>,
    pub(crate) nodes: Vec<OnnxNode>,
    pub(crate) constants: Vec<OnnxConstant>,
    /// Weights that an operator requires and the layer lacks, such as the scale of a batch normalization without one: name,
    /// values.
    pub(crate) filled: Vec<(String, Vec<f32>)>,
    /// All tensor names in use.
    names: HashSet<String>,
}

impl OnnxGraph {
    /// Creates a graph without operators in which these tensor names are taken.
    pub(crate) fn new(names: HashSet<String>) -> Self {
        let (inputs, outputs, nodes) = (Vec::new(), Vec::new(), Vec::new());
        Self { inputs, outputs, nodes, constants: Vec::new(), filled: Vec::new(), names }
    }

    /// Returns the name, with underscores appended while it is taken.
    pub(crate) fn free(&mut self, mut name: String) -> String {
        while self.names.contains(&name) {
            name.push('_');
        }
        self.names.insert(name.clone());
        name
    }

    /// Adds a list of integers under a name based on this one, and returns the name.
    pub(crate) fn ints(&mut self, name: String, values: Vec<i64>) -> String {
        let name = self.free(name);
        let dims = vec![values.len()];
        self.constants.push(OnnxConstant { name: name.clone(), dims, values: OnnxValues::Ints(values) });
        name
    }

    /// Adds an operator.
    pub(crate) fn node(
        &mut self,
        name: &str,
        op: &'static str,
        inputs: Vec<String>,
        output: &str,
        attributes: OnnxAttributes,
    ) {
        self.nodes.push(OnnxNode { name: name.to_owned(), op, inputs, output: output.to_owned(), attributes });
    }
}

/// A layer that is exported to operators of a graph.
pub(crate) struct OnnxLayer<'a> {
    pub(crate) graph: &'a mut OnnxGraph,
    /// Its name in the network.
    pub(crate) name: &'a str,
    /// The input tensors.
    pub(crate) inputs: Vec<String>,
    /// Their shapes in the network: channels last, without the batch axis.
    pub(crate) shapes: Vec<&'a Shape>,
    /// Its weights, in the order of [`LayerSpec::weights`](super::layers::LayerSpec::weights).
    pub(crate) weights: Vec<String>,
    /// The tensor for its values before its activation.
    pub(crate) output: String,
}

impl OnnxLayer<'_> {
    /// The first input.
    pub(crate) fn input(&self) -> String {
        self.inputs[0].clone()
    }

    /// The inputs, then the weights.
    pub(crate) fn inputs_and_weights(&self) -> Vec<String> {
        [self.inputs.as_slice(), &self.weights].concat()
    }

    /// An unused tensor name for the layer, such as `conv2d/pads`.
    pub(crate) fn free(&mut self, label: &str) -> String {
        self.graph.free(format!("{}/{label}", self.name))
    }

    /// Adds a constant and returns its name.
    pub(crate) fn constant(&mut self, label: &str, dims: &[usize], values: OnnxValues) -> String {
        let name = self.free(label);
        self.graph.constants.push(OnnxConstant { name: name.clone(), dims: dims.to_vec(), values });
        name
    }

    /// Adds a scalar and returns its name.
    pub(crate) fn number(&mut self, label: &str, value: f32) -> String {
        self.constant(label, &[], OnnxValues::Floats(vec![value]))
    }

    /// Adds a weight filled with one value and returns its name.
    pub(crate) fn filled(&mut self, label: &str, value: f32, len: usize) -> String {
        let name = self.free(label);
        self.graph.filled.push((name.clone(), vec![value; len]));
        name
    }

    /// A weight with one value per channel, shaped to broadcast over the pixels, which follow the channels in a graph.
    pub(crate) fn channels_first_weight(&mut self, index: usize) -> String {
        let weight = self.weights[index].clone();
        if self.shapes[0].as_image().is_none() {
            return weight;
        }
        let label = format!("weight_{index}");
        let axes = self.constant(&format!("{label}_axes"), &[2], OnnxValues::Ints(vec![1, 2]));
        self.intermediate(&label, "Unsqueeze", vec![weight, axes], vec![])
    }

    /// Adds an operator whose result is used inside the layer, and returns the tensor.
    pub(crate) fn intermediate(
        &mut self,
        label: &str,
        op: &'static str,
        inputs: Vec<String>,
        attributes: OnnxAttributes,
    ) -> String {
        let tensor = self.free(label);
        self.graph.node(&tensor, op, inputs, &tensor, attributes);
        tensor
    }

    /// Adds the operator whose result is the layer's output.
    pub(crate) fn result(&mut self, op: &'static str, inputs: Vec<String>, attributes: OnnxAttributes) {
        self.graph.node(self.name, op, inputs, &self.output, attributes);
    }
}
