//! Converting a LiteRT graph to an ONNX graph, as by tf2onnx, which is then imported as a network.
//!
//! Operators on images are placed between two transpositions, which are free: the importer of ONNX graphs tracks the axis
//! order, and its networks are also channels-last. Tensors keep their names.

use std::collections::HashSet;

use prost::bytes::Bytes;

use super::name::scope;
use super::operators;
use super::schema::{Operation, Quantization, Schema, Tensor};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes, OnnxConstant, OnnxValues};
use crate::weights::onnx::ImportResult;
use crate::weights::onnx::export::{attribute_proto, tensor_proto};
use crate::weights::onnx::proto::{
    Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto, data_type,
};
use crate::weights::onnx::short;

/// The permutation from (batch, height, width, channels) to (batch, channels, height, width), and its inverse.
pub(super) const CHANNELS_FIRST: [usize; 4] = [0, 3, 1, 2];
pub(super) const CHANNELS_LAST: [usize; 4] = [0, 2, 3, 1];

/// Bytes of constants that may be read beyond those of the file, because several tensors may share constants.
const FREE_BYTES: usize = 1 << 20;

/// Builds an ONNX graph.
pub(super) struct Builder<'a> {
    pub(super) schema: &'a Schema<'a>,
    file: &'a Bytes,
    graph: GraphProto,
    /// The unique names of all tensors of the file.
    names: Vec<String>,
    /// Constants that are already in the graph.
    known: HashSet<usize>,
    /// Bytes of constants that may still be read: several tensors may share constants.
    left: usize,
    /// The number of tensors added to those of the file.
    added: usize,
    /// The name prefix of the current operator's nodes.
    node: String,
}

/// Converts a file to an ONNX graph; `bytes` hold the constants.
///
/// # Errors
/// What is invalid or unsupported, with the operator's name.
pub(super) fn convert<'a>(
    schema: &'a Schema<'a>,
    operators: &[Operation],
    bytes: &'a Bytes,
) -> ImportResult<GraphProto> {
    let mut builder = Builder {
        schema,
        file: bytes,
        graph: GraphProto { name: schema.name.clone(), ..Default::default() },
        names: names(schema),
        known: HashSet::new(),
        left: bytes.len().saturating_mul(2).saturating_add(FREE_BYTES),
        added: 0,
        node: String::new(),
    };
    builder.inputs();
    for operation in operators {
        builder.node = scope(schema, operation);
        operators::add(&mut builder, operation)?;
    }
    for &output in &schema.outputs {
        let name = builder.named_output(output);
        builder.graph.output.push(ValueInfoProto { name, ..Default::default() });
    }
    Ok(builder.graph)
}

/// Unique names of all tensors, with the signature's names for inputs.
fn names(schema: &Schema) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut name = |(index, tensor): (usize, &Tensor)| {
        let given = schema.inputs.contains(&index).then(|| schema.plain_name(index));
        let name = given.unwrap_or_else(|| tensor.name.clone());
        match taken.insert(name.clone()) {
            true if !name.is_empty() => name,
            _ => format!("{name}#{index}"),
        }
    };
    schema.tensors.iter().enumerate().map(&mut name).collect()
}

impl Builder<'_> {
    fn inputs(&mut self) {
        for &input in &self.schema.inputs {
            let tensor = &self.schema.tensors[input];
            let size = |&size: &i32| Dimension { dim_value: (size > 0).then_some(size.into()), dim_param: None };
            let dim: Vec<Dimension> = tensor.shape.iter().map(size).collect();
            let image = dim.len() == 4;
            let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape: Some(TensorShapeProto { dim }) });
            let name = self.names[input].clone();
            self.graph.input.push(ValueInfoProto { name: name.clone(), r#type: Some(TypeProto { tensor_type }) });
            if image {
                // Shows the importer that the image is channels-last, whatever uses it.
                self.node = String::new();
                let first = self.transposed(&name, &CHANNELS_FIRST);
                let same = self.transposed(&first, &CHANNELS_LAST);
                self.names[input] = same;
            }
        }
    }

    /// An output of the graph, with the name in the signature.
    fn named_output(&mut self, output: usize) -> String {
        let value = self.names[output].clone();
        match self.schema.signature.get(&output) {
            Some(name) if !name.is_empty() && !self.names.contains(name) => {
                self.push("Identity", vec![value], name.clone(), vec![]);
                name.clone()
            }
            _ => value,
        }
    }

    pub(super) fn tensor(&self, index: usize) -> &Tensor {
        &self.schema.tensors[index]
    }

    /// The name of a tensor in messages.
    pub(super) fn shown(&self, index: usize) -> String {
        format!("{:?}", short(&self.schema.tensors[index].name))
    }

    fn push(&mut self, op_type: &str, input: Vec<String>, output: String, attributes: OnnxAttributes) {
        self.graph.node.push(NodeProto {
            input,
            output: vec![output],
            // The importer removes the operator from the name.
            name: format!("{}/{op_type}", self.node),
            op_type: op_type.into(),
            attribute: attributes.into_iter().map(|(name, value)| attribute_proto(name, value)).collect(),
            domain: String::new(),
        });
    }

    /// Adds a node, and returns the name of its output.
    pub(super) fn node(&mut self, op_type: &str, inputs: Vec<String>, attributes: OnnxAttributes) -> String {
        let output = self.free();
        self.push(op_type, inputs, output.clone(), attributes);
        output
    }

    /// A name for a tensor that is not in the file.
    fn free(&mut self) -> String {
        self.added += 1;
        format!("lucida:{}", self.added)
    }

    /// Sets the value of a tensor of the file to one of the graph.
    pub(super) fn set(&mut self, tensor: usize, value: String) {
        let name = self.names[tensor].clone();
        self.push("Identity", vec![value], name, vec![]);
    }

    /// Adds a constant, and returns its name.
    pub(super) fn constant(&mut self, dims: &[usize], values: OnnxValues) -> String {
        let name = self.free();
        let constant = OnnxConstant { name: name.clone(), dims: dims.to_vec(), values };
        self.graph.initializer.push(tensor_proto(constant));
        name
    }

    pub(super) fn ints(&mut self, values: Vec<i64>) -> String {
        self.constant(&[values.len()], OnnxValues::Ints(values))
    }

    pub(super) fn number(&mut self, value: f32) -> String {
        self.constant(&[], OnnxValues::Floats(vec![value]))
    }

    /// Transposes a tensor to this axis order.
    pub(super) fn transposed<const N: usize>(&mut self, value: &str, order: &[usize; N]) -> String {
        self.node("Transpose", vec![value.into()], vec![("perm", OnnxAttribute::ints(*order))])
    }

    /// The name of a file's tensor in the graph; a constant is added if necessary.
    ///
    /// # Errors
    /// When its values are not supported.
    pub(super) fn value(&mut self, tensor: usize) -> Result<String, String> {
        if self.is_constant(tensor) && self.known.insert(tensor) {
            self.add_constant(tensor).map_err(|problem| format!("tensor {} {problem}", self.shown(tensor)))?;
        }
        Ok(self.names[tensor].clone())
    }

    pub(super) fn is_constant(&self, tensor: usize) -> bool {
        let found = &self.schema.tensors[tensor];
        found.data.is_some() || found.shape.contains(&0)
    }

    fn add_constant(&mut self, index: usize) -> Result<(), String> {
        let schema = self.schema;
        let (tensor, name) = (&schema.tensors[index], self.names[index].clone());
        if tensor.is_sparse {
            return Err("has sparse values, which are not supported: convert the model without sparsity".into());
        }
        let kind = tensor.onnx_type();
        if kind == 0 {
            let kind = tensor.type_name();
            return Err(format!("is of type {kind}, which is not supported: convert the model to float32 or int8"));
        }
        let data = tensor.data.clone().unwrap_or(0..0);
        self.left =
            self.left.checked_sub(data.len()).ok_or("has the same values as others, and so often: that is too much")?;
        let plain = TensorProto {
            dims: tensor.shape.iter().map(|&size| size.into()).collect(),
            data_type: kind,
            name: name.clone(),
            raw_data: self.file.slice(data),
            ..Default::default()
        };
        match &tensor.quantization {
            Some(quantization) if !matches!(kind, data_type::FLOAT | data_type::FLOAT16 | data_type::BOOL) => {
                let stored = format!("{name}_quantized");
                self.graph.initializer.push(TensorProto { name: stored.clone(), ..plain });
                self.dequantized(stored, name, quantization);
            }
            _ => self.graph.initializer.push(plain),
        }
        Ok(())
    }

    /// Adds the dequantized values of a constant.
    fn dequantized(&mut self, stored: String, name: String, quantization: &Quantization) {
        let Quantization { scales, zeros, axis } = quantization;
        let dims: &[usize] = if scales.len() == 1 { &[] } else { &[scales.len()] };
        let mut inputs = vec![stored, self.constant(dims, OnnxValues::Floats(scales.clone()))];
        if zeros.len() == scales.len() && zeros.iter().any(|&zero| zero != 0) {
            inputs.push(self.constant(dims, OnnxValues::Ints(zeros.clone())));
        }
        self.push("DequantizeLinear", inputs, name, vec![("axis", OnnxAttribute::Int((*axis).into()))]);
    }

    /// The integers of a constant.
    ///
    /// # Errors
    /// When it is not constant, or has another type.
    pub(super) fn known(&self, index: usize) -> Result<Vec<i64>, String> {
        self.schema.known(self.file, index)
    }

    /// The number in a scalar constant.
    ///
    /// # Errors
    /// When it has another type, or several values.
    pub(super) fn known_number(&self, index: usize) -> Result<f32, String> {
        let tensor = self.tensor(index);
        let bytes = tensor.data.clone().map_or(&[][..], |place| &self.file[place]);
        match (tensor.onnx_type(), bytes) {
            (data_type::FLOAT, &[a, b, c, d]) => Ok(f32::from_le_bytes([a, b, c, d])),
            (data_type::FLOAT16, &[a, b]) => Ok(half::f16::from_le_bytes([a, b]).to_f32()),
            _ => Err(format!("takes {} of type {}, not one number", self.shown(index), tensor.type_name())),
        }
    }
}
