//! Tensors of an ONNX file: the values that are known before the network runs.

use std::rc::Rc;

use prost::bytes::Bytes;

use super::proto::{TensorProto, data_type};

/// The values of a tensor of whole numbers beyond which none is a shape.
const MAX_INTS: usize = 1 << 16;

/// A whole number, or the size of the batch where that is open.
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

/// The values of a tensor, the last axis first, as they are stored: bytes are little-endian.
#[derive(Debug)]
pub(super) enum Data {
    Single(Bytes),
    Half(Bytes),
    Bfloat(Bytes),
    Double(Bytes),
    Singles(Vec<f32>),
    Halves(Vec<i32>),
    Bfloats(Vec<i32>),
    Doubles(Vec<f64>),
    Ints(Vec<Int>),
    /// A type that no network here has use for.
    Other(String),
}

/// A tensor of known values. Copies share them.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    /// The name, where it has one.
    pub(super) name: Rc<str>,
    pub(super) dims: Vec<usize>,
    data: Rc<Data>,
}

/// The sizes of a tensor and their product, which may be no larger than what memory could hold.
pub(super) fn dims(tensor: &TensorProto) -> Result<(Vec<usize>, usize), String> {
    let bad = || format!("tensor {:?} has the impossible shape {:?}", short(&tensor.name), first(&tensor.dims));
    let dims: Vec<usize> =
        tensor.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>().map_err(|_| bad())?;
    // Sizes next to a zero are multiplied too, so that nobody else has to look out for them.
    let len = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim.max(1)));
    let len = len.filter(|&len| len <= 1 << 40 && dims.len() <= 64).ok_or_else(bad)?;
    Ok((dims.clone(), if dims.contains(&0) { 0 } else { len }))
}

/// The name of a tensor's type, and the bytes of one value; 0 when these are unknown.
pub(super) fn type_of(tensor: &TensorProto) -> (String, usize) {
    let known = usize::try_from(tensor.data_type).ok().and_then(|number| data_type::NAMES.get(number));
    known.map_or_else(
        || (format!("number {}", tensor.data_type), 0),
        |&(name, bytes)| {
            // Of a text nothing is known but that it is there.
            (name.to_owned(), bytes)
        },
    )
}

impl Constant {
    /// Takes the values of a tensor; `external` are its bytes when they are in another file.
    ///
    /// # Errors
    /// What is wrong: values and shape do not agree.
    pub(super) fn new(tensor: TensorProto, external: Option<Bytes>) -> Result<Self, String> {
        let (dims, len) = dims(&tensor)?;
        let (kind, size) = type_of(&tensor);
        let name: Rc<str> = tensor.name.as_str().into();
        let misfit = |got: usize| {
            let dims = first(&dims);
            Err(format!("tensor {:?} of shape {dims:?} needs {len} values of type {kind} and has {got}", short(&name)))
        };
        let raw = external.unwrap_or(tensor.raw_data);
        let data = if !raw.is_empty() {
            if size > 0 && raw.len() != len * size {
                return misfit(raw.len() / size);
            }
            match tensor.data_type {
                data_type::FLOAT => Data::Single(raw),
                data_type::FLOAT16 => Data::Half(raw),
                data_type::BFLOAT16 => Data::Bfloat(raw),
                data_type::DOUBLE => Data::Double(raw),
                data_type::INT64 | data_type::INT32 | data_type::BOOL if len <= MAX_INTS => {
                    Data::Ints(raw.chunks_exact(size).map(|bytes| Int::Known(little_endian(bytes))).collect())
                }
                _ => Data::Other(kind),
            }
        } else {
            let (data, found) = match tensor.data_type {
                data_type::FLOAT => (Data::Singles(tensor.float_data), None),
                data_type::FLOAT16 => (Data::Halves(tensor.int32_data), None),
                data_type::BFLOAT16 => (Data::Bfloats(tensor.int32_data), None),
                data_type::DOUBLE => (Data::Doubles(tensor.double_data), None),
                data_type::INT64 if len <= MAX_INTS => {
                    (Data::Ints(tensor.int64_data.into_iter().map(Int::Known).collect()), None)
                }
                data_type::INT32 | data_type::BOOL if len <= MAX_INTS => {
                    (Data::Ints(tensor.int32_data.into_iter().map(|value| Int::Known(value.into())).collect()), None)
                }
                // The values are not looked at.
                _ => (Data::Other(kind.clone()), Some(len)),
            };
            let found = found.unwrap_or_else(|| data.len());
            if found != len {
                return misfit(found);
            }
            data
        };
        Ok(Self { name, dims, data: Rc::new(data) })
    }

    /// Whole numbers that were computed.
    pub(super) fn of_ints(dims: Vec<usize>, values: Vec<Int>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        Self { name: "".into(), dims, data: Rc::new(Data::Ints(values)) }
    }

    /// Numbers that were computed.
    pub(super) fn of_floats(name: Rc<str>, dims: Vec<usize>, values: Vec<f32>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        Self { name, dims, data: Rc::new(Data::Singles(values)) }
    }

    /// The same values under another shape of as many values.
    pub(super) fn with_dims(&self, dims: Vec<usize>) -> Self {
        Self { dims, ..self.clone() }
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The whole numbers.
    pub(super) fn ints(&self) -> Result<&[Int], String> {
        match &*self.data {
            Data::Ints(values) => Ok(values),
            other => Err(format!("{} are of type {}, not whole numbers", self.described(), other.type_name())),
        }
    }

    /// Whole numbers that are all known.
    pub(super) fn known_ints(&self) -> Result<Vec<i64>, String> {
        let known: Option<Vec<i64>> = self.ints()?.iter().map(|value| value.known()).collect();
        known.ok_or_else(|| format!("{} depend on the size of the batch", self.described()))
    }

    /// Checks that the values are numbers with a fraction, so that [`float`](Self::float) can be used.
    pub(super) fn check_floats(&self) -> Result<&Self, String> {
        match &*self.data {
            data @ (Data::Ints(_) | Data::Other(_)) => Err(format!(
                "{} are of type {}; FLOAT, FLOAT16, BFLOAT16 and DOUBLE are supported",
                self.described(),
                data.type_name()
            )),
            _ => Ok(self),
        }
    }

    /// Whether the values are whole numbers.
    pub(super) fn is_ints(&self) -> bool {
        matches!(&*self.data, Data::Ints(_))
    }

    /// Value number `index` as a 32-bit number.
    pub(super) fn float(&self, index: usize) -> f32 {
        fn part<const N: usize>(bytes: &Bytes, index: usize) -> [u8; N] {
            bytes[N * index..][..N].try_into().expect("N bytes")
        }
        match &*self.data {
            Data::Single(bytes) => f32::from_le_bytes(part(bytes, index)),
            Data::Half(bytes) => half::f16::from_le_bytes(part(bytes, index)).to_f32(),
            Data::Bfloat(bytes) => half::bf16::from_le_bytes(part(bytes, index)).to_f32(),
            Data::Double(bytes) => f64::from_le_bytes(part(bytes, index)) as f32,
            Data::Singles(values) => values[index],
            // 16 bits in the lower half of 32, as the format has it.
            Data::Halves(values) => half::f16::from_bits(values[index] as u16).to_f32(),
            Data::Bfloats(values) => half::bf16::from_bits(values[index] as u16).to_f32(),
            Data::Doubles(values) => values[index] as f32,
            Data::Ints(values) => values[index].known().unwrap_or(0) as f32,
            Data::Other(_) => f32::NAN,
        }
    }

    /// All values as 32-bit numbers.
    pub(super) fn floats(&self) -> Vec<f32> {
        (0..self.len()).map(|index| self.float(index)).collect()
    }

    /// For messages.
    fn described(&self) -> String {
        if self.name.is_empty() { "computed values".into() } else { format!("the values of {:?}", short(&self.name)) }
    }
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Single(bytes) => bytes.len() / 4,
            Self::Half(bytes) | Self::Bfloat(bytes) => bytes.len() / 2,
            Self::Double(bytes) => bytes.len() / 8,
            Self::Singles(values) => values.len(),
            Self::Halves(values) | Self::Bfloats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Other(_) => 0,
        }
    }

    fn type_name(&self) -> &str {
        match self {
            Self::Single(_) | Self::Singles(_) => "FLOAT",
            Self::Half(_) | Self::Halves(_) => "FLOAT16",
            Self::Bfloat(_) | Self::Bfloats(_) => "BFLOAT16",
            Self::Double(_) | Self::Doubles(_) => "DOUBLE",
            Self::Ints(_) => "INT64",
            Self::Other(name) => name,
        }
    }
}

fn little_endian(bytes: &[u8]) -> i64 {
    match *bytes {
        [byte] => byte.into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

/// The start of a name, for messages.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= 80 { name.into() } else { name.chars().take(77).chain("...".chars()).collect() }
}

/// The first sizes of a shape, for messages.
pub(super) fn first<T>(dims: &[T]) -> &[T] {
    &dims[..dims.len().min(8)]
}
