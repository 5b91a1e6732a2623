//! A graph of ONNX operators, apart from the file that it is written to: what layers are in ONNX.
//!
//! Images have their channels first in it: (batch, channel, row, column).

use std::collections::HashSet;

use super::shape::Shape;

/// A setting of an operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OnnxAttribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
}

impl OnnxAttribute {
    /// Sizes, or a permutation of axes.
    pub(crate) fn ints<const N: usize>(values: [usize; N]) -> Self {
        Self::Ints(values.map(|value| value as i64).to_vec())
    }
}

/// Settings by their names.
pub(crate) type OnnxAttributes = Vec<(&'static str, OnnxAttribute)>;

/// An operator between tensors.
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

/// A tensor that is not a weight of the network, such as the pixels of a border.
#[derive(Debug)]
pub(crate) struct OnnxConstant {
    pub(crate) name: String,
    /// None for a single value.
    pub(crate) dims: Vec<usize>,
    pub(crate) values: OnnxValues,
}

/// Operators, and the tensors between them.
#[derive(Debug)]
pub(crate) struct OnnxGraph {
    /// Names and shapes, without the batch.
    pub(crate) inputs: Vec<(String, Shape)>,
    pub(crate) outputs: Vec<(String, Shape)>,
    pub(crate) nodes: Vec<OnnxNode>,
    pub(crate) constants: Vec<OnnxConstant>,
    /// Weights that an operator takes and the layer does not have, such as the factors of a batch normalization without
    /// them: name, values.
    pub(crate) filled: Vec<(String, Vec<f32>)>,
    /// All names of tensors.
    names: HashSet<String>,
}

impl OnnxGraph {
    /// A graph without operators, whose tensors are not to have these names.
    pub(crate) fn new(names: HashSet<String>) -> Self {
        let (inputs, outputs, nodes) = (Vec::new(), Vec::new(), Vec::new());
        Self { inputs, outputs, nodes, constants: Vec::new(), filled: Vec::new(), names }
    }

    /// This name, with underscores behind it if a tensor has it.
    pub(crate) fn free(&mut self, mut name: String) -> String {
        while self.names.contains(&name) {
            name.push('_');
        }
        self.names.insert(name.clone());
        name
    }

    /// Adds a list of whole numbers under a name like this one, and returns it.
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

/// A layer that becomes operators of a graph.
pub(crate) struct OnnxLayer<'a> {
    pub(crate) graph: &'a mut OnnxGraph,
    /// Its name in the network.
    pub(crate) name: &'a str,
    /// The tensors that it takes.
    pub(crate) inputs: Vec<String>,
    /// The shapes of these as the network has them: channels last, without the batch.
    pub(crate) shapes: Vec<&'a Shape>,
    /// Its weights, in the order of [`LayerSpec::weights`](super::layers::LayerSpec::weights).
    pub(crate) weights: Vec<String>,
    /// The tensor that holds its values before its activation.
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

    /// A name for a tensor of the layer: `conv2d/pads`.
    pub(crate) fn free(&mut self, label: &str) -> String {
        self.graph.free(format!("{}/{label}", self.name))
    }

    /// Adds a constant and returns its name.
    pub(crate) fn constant(&mut self, label: &str, dims: &[usize], values: OnnxValues) -> String {
        let name = self.free(label);
        self.graph.constants.push(OnnxConstant { name: name.clone(), dims: dims.to_vec(), values });
        name
    }

    /// Adds a single number and returns its name.
    pub(crate) fn number(&mut self, label: &str, value: f32) -> String {
        self.constant(label, &[], OnnxValues::Floats(vec![value]))
    }

    /// Adds a weight of equal values and returns its name.
    pub(crate) fn filled(&mut self, label: &str, value: f32, len: usize) -> String {
        let name = self.free(label);
        self.graph.filled.push((name.clone(), vec![value; len]));
        name
    }

    /// A weight of one value per channel, to be broadcast over the pixels that follow the channels in a graph.
    pub(crate) fn channels_first_weight(&mut self, index: usize) -> String {
        let weight = self.weights[index].clone();
        if self.shapes[0].as_image().is_none() {
            return weight;
        }
        let label = format!("weight_{index}");
        let axes = self.constant(&format!("{label}_axes"), &[2], OnnxValues::Ints(vec![1, 2]));
        self.intermediate(&label, "Unsqueeze", vec![weight, axes], vec![])
    }

    /// Adds an operator whose result others of the layer take, and returns the tensor.
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

    /// Adds the operator whose result is the layer's.
    pub(crate) fn result(&mut self, op: &'static str, inputs: Vec<String>, attributes: OnnxAttributes) {
        self.graph.node(self.name, op, inputs, &self.output, attributes);
    }
}
