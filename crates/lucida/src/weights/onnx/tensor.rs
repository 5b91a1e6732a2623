//! Constant tensors of an ONNX file.

use std::rc::Rc;

use prost::Message;
use prost::bytes::Bytes;

use super::proto::{TensorProto, data_type};
use crate::core::Array;

/// The number of integers beyond which a tensor is not a shape.
const MAX_INTS: usize = 1 << 16;

/// An integer, or the size of an open batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Int {
    Known(i64),
    Batch,
}

impl Int {
    pub(super) fn known(self) -> Option<i64> {
        match self {
            Self::Known(value) => Some(value),
            Self::Batch => None,
        }
    }
}

/// A numeric type, as stored in little-endian bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

impl Number {
    /// The numeric type for one of the format's types, if it is real. A boolean is a byte.
    fn of(kind: i32) -> Option<Self> {
        Some(match kind {
            data_type::FLOAT => Self::F32,
            data_type::FLOAT16 => Self::F16,
            data_type::BFLOAT16 => Self::Bf16,
            data_type::DOUBLE => Self::F64,
            data_type::INT8 => Self::I8,
            data_type::INT16 => Self::I16,
            data_type::INT32 => Self::I32,
            data_type::INT64 => Self::I64,
            data_type::UINT8 | data_type::BOOL => Self::U8,
            data_type::UINT16 => Self::U16,
            data_type::UINT32 => Self::U32,
            data_type::UINT64 => Self::U64,
            _ => return None,
        })
    }

    fn has_fraction(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The number at `index` in these bytes.
    fn float(self, bytes: &Bytes, index: usize) -> f32 {
        fn part<const N: usize>(bytes: &Bytes, index: usize) -> [u8; N] {
            bytes[N * index..][..N].try_into().expect("N bytes")
        }
        match self {
            Self::F16 => half::f16::from_le_bytes(part(bytes, index)).to_f32(),
            Self::Bf16 => half::bf16::from_le_bytes(part(bytes, index)).to_f32(),
            Self::F32 => f32::from_le_bytes(part(bytes, index)),
            Self::F64 => f64::from_le_bytes(part(bytes, index)) as f32,
            Self::I8 => i8::from_le_bytes(part(bytes, index)).into(),
            Self::I16 => i16::from_le_bytes(part(bytes, index)).into(),
            Self::I32 => i32::from_le_bytes(part(bytes, index)) as f32,
            Self::I64 => i64::from_le_bytes(part(bytes, index)) as f32,
            Self::U8 => bytes[index].into(),
            Self::U16 => u16::from_le_bytes(part(bytes, index)).into(),
            Self::U32 => u32::from_le_bytes(part(bytes, index)) as f32,
            Self::U64 => u64::from_le_bytes(part(bytes, index)) as f32,
        }
    }

    /// The integer at `index` in these bytes; values beyond 63 bits do not occur in shapes.
    fn whole(self, bytes: &Bytes, index: usize) -> i64 {
        let part = |size: usize| &bytes[size * index..][..size];
        match self {
            Self::I64 | Self::U64 => i64::from_le_bytes(part(8).try_into().expect("8 bytes")),
            Self::I32 => i32::from_le_bytes(part(4).try_into().expect("4 bytes")).into(),
            Self::U32 => u32::from_le_bytes(part(4).try_into().expect("4 bytes")).into(),
            // These types are exact in 32-bit floats.
            _ => self.float(bytes, index) as i64,
        }
    }
}

/// Maximum number of values of a tensor or of a layer's output: more cannot fit into memory.
pub(super) const MAX_VALUES: u64 = 1 << 40;

/// The values of a tensor, as stored, in row-major order.
#[derive(Debug)]
pub(super) enum Data {
    Raw(Number, Bytes),
    Singles(Vec<f32>),
    Halves(Vec<i32>),
    Bfloats(Vec<i32>),
    Doubles(Vec<f64>),
    /// Integers that may be a shape.
    Ints(Vec<Int>),
    /// Too many integers for a shape.
    Wholes(Vec<i32>),
    Longs(Vec<i64>),
    /// A single repeated value.
    Filled(f32),
    /// An unsupported type.
    Other,
}

/// A constant tensor. Clones share the values.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    /// The name, if it has one.
    pub(super) name: Rc<str>,
    pub(super) dims: Vec<usize>,
    /// The number of its type: see [`data_type`].
    pub(super) kind: i32,
    data: Rc<Data>,
}

/// The sizes of a tensor and their product, which is limited to what could fit into memory.
pub(super) fn dims(tensor: &TensorProto) -> Result<(Vec<usize>, usize), String> {
    let bad = || format!("tensor {:?} has the impossible shape {:?}", short(&tensor.name), first(&tensor.dims));
    let dims: Vec<usize> =
        tensor.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>().map_err(|_| bad())?;
    // Sizes next to a zero are multiplied as well, so that callers need not guard against their overflow.
    let len = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim.max(1)));
    let len = len.filter(|&len| len as u64 <= MAX_VALUES && dims.len() <= 64).ok_or_else(bad)?;
    Ok((dims.clone(), if dims.contains(&0) { 0 } else { len }))
}

/// The name of a tensor's type, and the bytes per value; 0 if unknown.
pub(super) fn type_of(tensor: &TensorProto) -> (String, usize) {
    let known = usize::try_from(tensor.data_type).ok().and_then(|number| data_type::NAMES.get(number));
    known.map_or_else(
        || (format!("number {}", tensor.data_type), 0),
        |&(name, bytes)| {
            // Strings have no fixed size.
            (name.to_owned(), bytes)
        },
    )
}

impl Constant {
    /// Takes the values of a tensor; `external` are its bytes if they are in another file.
    ///
    /// # Errors
    /// What is wrong: the values do not match the shape.
    pub(super) fn new(tensor: TensorProto, external: Option<Bytes>) -> Result<Self, String> {
        let (dims, len) = dims(&tensor)?;
        let (kind, size) = type_of(&tensor);
        let name: Rc<str> = tensor.name.as_str().into();
        let misfit = |got: usize| {
            let dims = first(&dims);
            Err(format!("tensor {:?} of shape {dims:?} needs {len} values of type {kind} and has {got}", short(&name)))
        };
        let number = Number::of(tensor.data_type);
        let raw = external.unwrap_or(tensor.raw_data);
        let data = if !raw.is_empty() {
            if size > 0 && raw.len() != len * size {
                return misfit(raw.len() / size);
            }
            match number {
                Some(number) if !number.has_fraction() && len <= MAX_INTS => {
                    Data::Ints((0..len).map(|index| Int::Known(number.whole(&raw, index))).collect())
                }
                Some(number) => Data::Raw(number, raw),
                None => Data::Other,
            }
        } else {
            let known = |values: Vec<i64>| Data::Ints(values.into_iter().map(Int::Known).collect());
            let (data, found) = match tensor.data_type {
                data_type::FLOAT => (Data::Singles(tensor.float_data), None),
                data_type::FLOAT16 => (Data::Halves(tensor.int32_data), None),
                data_type::BFLOAT16 => (Data::Bfloats(tensor.int32_data), None),
                data_type::DOUBLE => (Data::Doubles(tensor.double_data), None),
                data_type::INT64 if len <= MAX_INTS => (known(tensor.int64_data), None),
                data_type::INT64 => (Data::Longs(tensor.int64_data), None),
                data_type::UINT32 | data_type::UINT64 => {
                    (Data::Longs(tensor.uint64_data.into_iter().map(|value| value as i64).collect()), None)
                }
                _ if number.is_some() && len <= MAX_INTS => {
                    (known(tensor.int32_data.into_iter().map(i64::from).collect()), None)
                }
                _ if number.is_some() => (Data::Wholes(tensor.int32_data), None),
                // The values are ignored.
                _ => (Data::Other, Some(len)),
            };
            let found = found.unwrap_or_else(|| data.len());
            if found != len {
                return misfit(found);
            }
            data
        };
        Ok(Self { name, dims, kind: tensor.data_type, data: Rc::new(data) })
    }

    /// A tensor of computed integers.
    pub(super) fn of_ints(dims: Vec<usize>, values: Vec<Int>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        Self { name: "".into(), dims, kind: data_type::INT64, data: Rc::new(Data::Ints(values)) }
    }

    /// A tensor of computed floats.
    pub(super) fn of_floats(name: Rc<str>, dims: Vec<usize>, values: Vec<f32>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        Self { name, dims, kind: data_type::FLOAT, data: Rc::new(Data::Singles(values)) }
    }

    /// A tensor filled with one number, which takes no memory whatever the shape.
    pub(super) fn filled(dims: Vec<usize>, value: f32) -> Self {
        Self { name: "".into(), dims, kind: data_type::FLOAT, data: Rc::new(Data::Filled(value)) }
    }

    /// The same values with another type.
    pub(super) fn with_kind(&self, kind: i32) -> Self {
        Self { kind, ..self.clone() }
    }

    /// The same values with another shape of the same length.
    pub(super) fn with_dims(&self, dims: Vec<usize>) -> Self {
        Self { dims, ..self.clone() }
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The values as integers.
    pub(super) fn ints(&self) -> Result<&[Int], String> {
        match &*self.data {
            Data::Ints(values) => Ok(values),
            Data::Wholes(_) | Data::Longs(_) | Data::Raw(_, _) if !self.has_fraction() => {
                Err(format!("{} are too many for a shape: {}", self.described(), self.len()))
            }
            _ => Err(format!("{} are of type {}, not whole numbers", self.described(), self.type_name())),
        }
    }

    /// The values as integers, none of which is an open batch.
    pub(super) fn known_ints(&self) -> Result<Vec<i64>, String> {
        let known: Option<Vec<i64>> = self.ints()?.iter().map(|value| value.known()).collect();
        known.ok_or_else(|| format!("{} depend on the size of the batch", self.described()))
    }

    /// Checks that the values are floats, so that [`float`](Self::float) can be used.
    pub(super) fn check_floats(&self) -> Result<&Self, String> {
        if self.has_fraction() {
            return Ok(self);
        }
        Err(format!(
            "{} are of type {}; FLOAT, FLOAT16, BFLOAT16 and DOUBLE are supported",
            self.described(),
            self.type_name()
        ))
    }

    /// Checks that the values are real numbers of any type without an open batch, so that [`float`](Self::float) can be
    /// used.
    pub(super) fn check_numbers(&self) -> Result<&Self, String> {
        match &*self.data {
            Data::Other => Err(format!("{} are of type {}, not real numbers", self.described(), self.type_name())),
            Data::Ints(_) => self.known_ints().map(|_| self),
            _ => Ok(self),
        }
    }

    fn has_fraction(&self) -> bool {
        match &*self.data {
            Data::Raw(number, _) => number.has_fraction(),
            Data::Singles(_) | Data::Halves(_) | Data::Bfloats(_) | Data::Doubles(_) | Data::Filled(_) => true,
            Data::Ints(_) | Data::Wholes(_) | Data::Longs(_) | Data::Other => false,
        }
    }

    /// Whether the values are integers.
    pub(super) fn is_ints(&self) -> bool {
        matches!(&*self.data, Data::Ints(_))
    }

    /// The value at `index` as a 32-bit float.
    pub(super) fn float(&self, index: usize) -> f32 {
        match &*self.data {
            Data::Raw(number, bytes) => number.float(bytes, index),
            Data::Singles(values) => values[index],
            // 16 bits in the lower half of 32, as specified by the format.
            Data::Halves(values) => half::f16::from_bits(values[index] as u16).to_f32(),
            Data::Bfloats(values) => half::bf16::from_bits(values[index] as u16).to_f32(),
            Data::Doubles(values) => values[index] as f32,
            Data::Ints(values) => values[index].known().unwrap_or(0) as f32,
            Data::Wholes(values) => values[index] as f32,
            Data::Longs(values) => values[index] as f32,
            Data::Filled(value) => *value,
            Data::Other => f32::NAN,
        }
    }

    /// The value that fills the tensor, if it is stored that way.
    pub(super) fn fill_value(&self) -> Option<f32> {
        if let Data::Filled(value) = *self.data { Some(value) } else { None }
    }

    /// All values as 32-bit floats.
    pub(super) fn floats(&self) -> Vec<f32> {
        (0..self.len()).map(|index| self.float(index)).collect()
    }

    /// The name of the type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        usize::try_from(self.kind).ok().and_then(|kind| data_type::NAMES.get(kind)).map_or("unknown", |&(name, _)| name)
    }

    /// A description for messages.
    fn described(&self) -> String {
        if self.name.is_empty() { "computed values".into() } else { format!("the values of {:?}", short(&self.name)) }
    }
}

impl Data {
    /// The number of stored values, if they are in a list.
    fn len(&self) -> usize {
        match self {
            Self::Singles(values) => values.len(),
            Self::Halves(values) | Self::Bfloats(values) | Self::Wholes(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Longs(values) => values.len(),
            Self::Raw(..) | Self::Filled(_) | Self::Other => 0,
        }
    }
}

/// Reads a file with a single tensor, such as ONNX's test data (`input_0.pb`).
///
/// # Errors
/// What is wrong with it.
pub(in crate::weights) fn read_tensor(bytes: Vec<u8>) -> Result<Array, String> {
    let tensor = TensorProto::decode(Bytes::from(bytes))
        .map_err(|_| "not a tensor: neither a NumPy array (.npy, .npz) nor an ONNX TensorProto (.pb)")?;
    if tensor.data_location != 0 {
        return Err("has its values in another file".into());
    }
    let constant = Constant::new(tensor, None)?;
    let values = constant.check_numbers()?.floats();
    Array::new(constant.dims, values).map_err(|problem| problem.to_string())
}

/// A name truncated for messages.
pub(in crate::weights) fn short(name: &str) -> String {
    if name.chars().count() <= 80 { name.into() } else { name.chars().take(77).chain("...".chars()).collect() }
}

/// The first sizes of a shape, for messages.
pub(super) fn first<T>(dims: &[T]) -> &[T] {
    &dims[..dims.len().min(8)]
}
