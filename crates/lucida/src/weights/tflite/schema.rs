//! The tables of a LiteRT file that are read, with their field numbers: see `schema.fbs` of TensorFlow
//! (<https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs>).

use std::collections::HashMap;
use std::ops::Range;

use super::flatbuffer::{Bytes, Table};
use crate::weights::onnx::short;

/// Maximum bytes of an operator's list of integers.
const MAX_KNOWN: usize = 1 << 12;

/// The types of tensors by number: their names, and the numbers of ONNX's types; 0 for unsupported ones.
pub(super) const TYPES: [(&str, i32); 21] = [
    ("FLOAT32", 1),
    ("FLOAT16", 10),
    ("INT32", 6),
    ("UINT8", 2),
    ("INT64", 7),
    ("STRING", 0),
    ("BOOL", 9),
    ("INT16", 5),
    ("COMPLEX64", 0),
    ("INT8", 3),
    ("FLOAT64", 11),
    ("COMPLEX128", 0),
    ("UINT64", 13),
    ("RESOURCE", 0),
    ("VARIANT", 0),
    ("UINT32", 12),
    ("UINT16", 4),
    ("INT4", 0),
    ("BFLOAT16", 16),
    ("INT2", 0),
    ("UINT4", 0),
];

/// A model: its first graph. Other graphs are branches and loops, whose operators are not supported.
pub(super) struct Schema<'a> {
    pub(super) version: u32,
    pub(super) description: String,
    pub(super) name: String,
    pub(super) tensors: Vec<Tensor>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    pub(super) operators: Vec<Operation<'a>>,
    /// The names of inputs and outputs in the signature.
    pub(super) signature: HashMap<usize, String>,
    /// The metadata entries: the ranges of their bytes.
    pub(super) metadata: HashMap<String, Range<usize>>,
}

/// A tensor; constant if it has data.
pub(super) struct Tensor {
    pub(super) name: String,
    /// The sizes of the axes; -1 for an open size.
    pub(super) shape: Vec<i32>,
    /// See [`TYPES`].
    pub(super) kind: i8,
    /// The range of its values in the file.
    pub(super) data: Option<Range<usize>>,
    pub(super) quantization: Option<Quantization>,
    pub(super) is_sparse: bool,
}

/// Affine quantization: a value is `scale (stored - zero)`.
pub(super) struct Quantization {
    /// A single one, or one for each position along the axis.
    pub(super) scales: Vec<f32>,
    pub(super) zeros: Vec<i64>,
    pub(super) axis: i32,
}

/// An operator.
#[derive(Clone)]
pub(super) struct Operation<'a> {
    pub(super) code: i32,
    /// The name of a custom operator.
    pub(super) custom: String,
    /// `None` for omitted optional inputs.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<usize>,
    pub(super) options: Option<Table<'a>>,
    /// The recognized pattern, if several operators were merged.
    pub(super) pattern: Option<Pattern>,
}

/// An operator that replaces several: see [`patterns`](super::patterns).
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    /// A convolution with dilation `rates` and padding `[[top, bottom], [left, right]]`.
    Dilated { rates: [i64; 2], pads: [[i64; 2]; 2] },
    /// Along the last axis, with inputs x, gamma, beta (optional), and epsilon.
    LayerNormalization,
    /// Each row and each column repeated.
    Repeated([i64; 2]),
}

impl Tensor {
    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        usize::try_from(self.kind).ok().and_then(|kind| TYPES.get(kind)).map_or("unknown", |&(name, _)| name)
    }

    /// The number of its type in ONNX.
    pub(super) fn onnx_type(&self) -> i32 {
        usize::try_from(self.kind).ok().and_then(|kind| TYPES.get(kind)).map_or(0, |&(_, kind)| kind)
    }

    /// The scale and the zero point of a per-tensor quantization.
    pub(super) fn step(&self) -> Option<(f32, f32)> {
        match self.quantization.as_ref().map(|found| (found.scales.as_slice(), found.zeros.as_slice())) {
            Some((&[scale], zeros)) => Some((scale, zeros.first().map_or(0.0, |&zero| zero as f32))),
            _ => None,
        }
    }
}

impl<'a> Schema<'a> {
    /// Reads the tables of a file of `len` bytes.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(file: &'a Bytes<'a>, len: usize) -> Result<Self, String> {
        let model = file.root()?;
        let graph = model.tables(2)?.into_iter().next().ok_or("it has no graph")?;
        let buffers: Vec<Option<Range<usize>>> =
            model.tables(4)?.iter().map(|buffer| place(buffer, len)).collect::<Result<_, _>>()?;
        let tensors = graph.tables(0)?.iter().map(|table| tensor(table, &buffers)).collect::<Result<Vec<_>, _>>()?;
        let codes = model.tables(1)?.iter().map(code).collect::<Result<Vec<_>, _>>()?;
        let operators = graph.tables(3)?;
        let operators = operators.iter().map(|table| operation(table, &codes, tensors.len()));
        let mut metadata = HashMap::new();
        for entry in model.tables(6)? {
            let bytes = buffers.get(entry.unsigned(1)? as usize).cloned().flatten();
            metadata.extend(bytes.map(|bytes| Ok::<_, String>((entry.text(0)?, bytes))).transpose()?);
        }
        Ok(Self {
            version: model.unsigned(0)?,
            description: model.text(3)?,
            name: graph.text(4)?,
            inputs: indices(&graph.ints(1)?, tensors.len())?,
            outputs: indices(&graph.ints(2)?, tensors.len())?,
            operators: operators.collect::<Result<_, _>>()?,
            signature: signature(&model)?,
            metadata,
            tensors,
        })
    }
}

impl Schema<'_> {
    /// The integers of a constant: a shape, or amounts of padding.
    ///
    /// # Errors
    /// When it is not constant, has another type, or is too long.
    pub(super) fn known(&self, file: &[u8], index: usize) -> Result<Vec<i64>, String> {
        let tensor = &self.tensors[index];
        let name = short(&tensor.name);
        let Some(place) = tensor.data.clone() else {
            if tensor.shape.contains(&0) {
                return Ok(Vec::new());
            }
            return Err(format!("takes {name:?}, which is computed: it must be constant"));
        };
        match (tensor.type_name(), &file[place]) {
            ("INT32", bytes) if bytes.len() <= MAX_KNOWN => {
                Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| i32::from_le_bytes(bytes).into()).collect())
            }
            ("INT64", bytes) if bytes.len() <= MAX_KNOWN => {
                Ok(bytes.as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
            }
            (kind, bytes) => Err(format!(
                "takes {name:?}, {} bytes of type {kind}, where a few whole numbers are needed",
                bytes.len()
            )),
        }
    }
}

/// The range of a buffer's bytes: in the table, or after all tables in a large file.
fn place(buffer: &Table, len: usize) -> Result<Option<Range<usize>>, String> {
    if let Some(place) = buffer.place(0)? {
        return Ok(Some(place));
    }
    let (offset, size) = (buffer.long(1)?, buffer.long(2)?);
    if offset <= 1 || size == 0 {
        return Ok(None);
    }
    let end = offset.checked_add(size).filter(|&end| end <= len as u64);
    let end = end.ok_or_else(|| format!("a buffer of {size} bytes begins at byte {offset} of {len}"))?;
    Ok(Some(offset as usize..end as usize))
}

fn tensor(table: &Table, buffers: &[Option<Range<usize>>]) -> Result<Tensor, String> {
    let (shape, signature) = (table.ints(0)?, table.ints(7)?);
    let quantization = table.table(4)?.map(quantization).transpose()?.flatten();
    let name = table.text(3)?;
    let buffer = table.unsigned(2)? as usize;
    let data =
        buffers.get(buffer).ok_or_else(|| format!("tensor {name:.80?} has buffer {buffer}, which is missing"))?;
    Ok(Tensor {
        shape: if signature.len() == shape.len() { signature } else { shape },
        kind: table.byte(1)?,
        data: data.clone(),
        quantization,
        is_sparse: table.table(6)?.is_some(),
        name,
    })
}

fn quantization(table: Table) -> Result<Option<Quantization>, String> {
    let (scales, zeros, axis) = (table.floats(2)?, table.longs(3)?, table.int(6, 0)?);
    Ok(if scales.is_empty() { None } else { Some(Quantization { scales, zeros, axis }) })
}

fn code(table: &Table) -> Result<(i32, String), String> {
    // Older files have codes up to 127 in a separate field.
    Ok((table.int(3, 0)?.max(table.byte(0)?.into()), table.text(1)?))
}

fn operation<'a>(table: &Table<'a>, codes: &[(i32, String)], tensors: usize) -> Result<Operation<'a>, String> {
    let (code, custom) = codes.get(table.unsigned(0)? as usize).ok_or("an operator has no code")?.clone();
    let optional =
        |index: i32| if index == -1 { Ok(None) } else { indices(&[index], tensors).map(|found| Some(found[0])) };
    let inputs = table.ints(1)?.into_iter().map(optional).collect::<Result<_, _>>()?;
    let outputs = indices(&table.ints(2)?, tensors)?;
    Ok(Operation { code, custom, inputs, outputs, options: table.table(4)?, pattern: None })
}

/// Converts tensor numbers to indices.
fn indices(numbers: &[i32], tensors: usize) -> Result<Vec<usize>, String> {
    let index = |&number: &i32| usize::try_from(number).ok().filter(|&index| index < tensors);
    numbers.iter().map(|number| index(number).ok_or_else(|| format!("tensor {number} of {tensors} is used"))).collect()
}

/// The names of inputs and outputs in the first signature of the first graph.
fn signature(model: &Table) -> Result<HashMap<usize, String>, String> {
    let mut names = HashMap::new();
    for signature in model.tables(7)?.into_iter().take(1) {
        if signature.unsigned(4)? == 0 {
            for entry in [signature.tables(0)?, signature.tables(1)?].concat() {
                names.insert(entry.unsigned(1)? as usize, entry.text(0)?);
            }
        }
    }
    Ok(names)
}
