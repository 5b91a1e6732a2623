//! The messages of an ONNX file that are used here: a subset of `onnx.proto` (IR version 8) with its field numbers. Other
//! fields are skipped when reading.

use prost::Message;
use prost::bytes::Bytes;

/// `TensorProto.DataType`
pub(in crate::weights) mod data_type {
    pub(in crate::weights) const FLOAT: i32 = 1;
    pub(in crate::weights) const UINT8: i32 = 2;
    pub(in crate::weights) const INT8: i32 = 3;
    pub(in crate::weights) const UINT16: i32 = 4;
    pub(in crate::weights) const INT16: i32 = 5;
    pub(in crate::weights) const INT32: i32 = 6;
    pub(in crate::weights) const INT64: i32 = 7;
    pub(in crate::weights) const BOOL: i32 = 9;
    pub(in crate::weights) const FLOAT16: i32 = 10;
    pub(in crate::weights) const DOUBLE: i32 = 11;
    pub(in crate::weights) const UINT32: i32 = 12;
    pub(in crate::weights) const UINT64: i32 = 13;
    pub(in crate::weights) const BFLOAT16: i32 = 16;
    /// The names of all types, by number, with the bytes per value; 0 if there is no fixed size.
    pub(in crate::weights) const NAMES: [(&str, usize); 17] = [
        ("UNDEFINED", 0),
        ("FLOAT", 4),
        ("UINT8", 1),
        ("INT8", 1),
        ("UINT16", 2),
        ("INT16", 2),
        ("INT32", 4),
        ("INT64", 8),
        ("STRING", 0),
        ("BOOL", 1),
        ("FLOAT16", 2),
        ("DOUBLE", 8),
        ("UINT32", 4),
        ("UINT64", 8),
        ("COMPLEX64", 8),
        ("COMPLEX128", 16),
        ("BFLOAT16", 2),
    ];
}

/// `AttributeProto.AttributeType`
pub(in crate::weights) mod attribute_type {
    pub(in crate::weights) const FLOAT: i32 = 1;
    pub(in crate::weights) const INT: i32 = 2;
    pub(in crate::weights) const STRING: i32 = 3;
    pub(in crate::weights) const INTS: i32 = 7;
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(in crate::weights) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(in crate::weights) producer_name: String,
    #[prost(string, tag = "3")]
    pub(in crate::weights) producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub(in crate::weights) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::weights) opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub(in crate::weights) metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(in crate::weights) domain: String,
    #[prost(int64, tag = "2")]
    pub(in crate::weights) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub(in crate::weights) key: String,
    #[prost(string, tag = "2")]
    pub(in crate::weights) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::weights) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(in crate::weights) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::weights) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::weights) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(in crate::weights) output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::weights) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::weights) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(in crate::weights) name: String,
    #[prost(string, tag = "4")]
    pub(in crate::weights) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::weights) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(in crate::weights) domain: String,
}

/// Without subgraphs: operators with subgraphs are not supported, and skipped fields cannot be nested deeply.
#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(in crate::weights) name: String,
    #[prost(float, tag = "2")]
    pub(in crate::weights) f: f32,
    #[prost(int64, tag = "3")]
    pub(in crate::weights) i: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(in crate::weights) s: Bytes,
    #[prost(message, optional, tag = "5")]
    pub(in crate::weights) t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub(in crate::weights) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(in crate::weights) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(in crate::weights) r#type: i32,
}

/// A tensor; its `raw_data` references the file's bytes without a copy.
#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(in crate::weights) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(in crate::weights) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(in crate::weights) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(in crate::weights) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(in crate::weights) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(in crate::weights) name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub(in crate::weights) raw_data: Bytes,
    #[prost(double, repeated, tag = "10")]
    pub(in crate::weights) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(in crate::weights) uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub(in crate::weights) external_data: Vec<StringStringEntryProto>,
    /// 0 in this file, 1 in an external file.
    #[prost(int32, tag = "14")]
    pub(in crate::weights) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(in crate::weights) name: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::weights) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(in crate::weights) tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`
#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(in crate::weights) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(in crate::weights) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::weights) dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`: a number, or a name for a dynamic size.
#[derive(Clone, PartialEq, Message)]
pub(in crate::weights) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(in crate::weights) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(in crate::weights) dim_param: Option<String>,
}

impl Dimension {
    /// The size, if fixed. Some writers use 0 or -1 for an unknown size.
    pub(in crate::weights) fn size(&self) -> Option<usize> {
        usize::try_from(self.dim_value?).ok().filter(|&size| size > 0)
    }
}

impl ValueInfoProto {
    /// The sizes of a tensor, if given.
    pub(in crate::weights) fn dims(&self) -> Option<&[Dimension]> {
        Some(&self.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim)
    }

    /// The shape for a message: `(batch, 3, height, width)`.
    pub(in crate::weights) fn shape(&self) -> String {
        let Some(dims) = self.dims() else { return "unknown".into() };
        let sizes: Vec<String> = dims
            .iter()
            .map(|dim| match (dim.size(), &dim.dim_param) {
                (Some(size), _) => size.to_string(),
                (None, Some(name)) if !name.is_empty() => name.chars().take(40).collect(),
                _ => "?".into(),
            })
            .collect();
        format!("({})", sizes.join(", "))
    }
}
