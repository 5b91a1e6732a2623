//! FlatBuffers, as far as they are read here: tables, and vectors of numbers, bytes, text, and tables.
//!
//! By hand, since the code that `flatc` generates is full of `unsafe` blocks, which this crate forbids. Each access is
//! checked: an offset that leads out of the bytes is an error. Offsets of a file may share what they lead to, so that a
//! small file could ask for much; what is read is counted, and cannot be more than a few times the file.

use std::cell::Cell;

/// How often the bytes of a file may be read. Writers share little: types of tables, which are not counted, and names.
const MAX_TIMES: usize = 4;
/// Bytes that may be read whatever the size of the file.
const FREE_BYTES: usize = 1 << 16;
/// What a table counts as: the least that one with two vectors takes in a file.
const TABLE_BYTES: usize = 32;

/// The bytes of a file.
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    left: Cell<usize>,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, left: Cell::new(bytes.len().saturating_mul(MAX_TIMES).saturating_add(FREE_BYTES)) }
    }

    /// The outermost table.
    pub(super) fn root(&self) -> Result<Table<'_>, String> {
        Table::at(self, self.offset(0)?)
    }

    fn part<const N: usize>(&self, at: usize) -> Result<[u8; N], String> {
        let end = at.checked_add(N).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("an offset leads to byte {at} of {}", self.bytes.len()))?;
        Ok(self.bytes[at..end].try_into().expect("N bytes"))
    }

    /// The place that the offset stored at a place leads to.
    fn offset(&self, at: usize) -> Result<usize, String> {
        let offset = u32::from_le_bytes(self.part(at)?) as usize;
        at.checked_add(offset).ok_or_else(|| "an offset is too large".into())
    }

    fn count(&self, bytes: usize) -> Result<(), String> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or("its tables refer to the same bytes again and again")?);
        Ok(())
    }
}

/// A table: fields by number, each of which may be missing.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    file: &'a Bytes<'a>,
    at: usize,
    /// Where the places of its fields are listed.
    fields: usize,
    count: usize,
}

impl<'a> Table<'a> {
    fn at(file: &'a Bytes<'a>, at: usize) -> Result<Self, String> {
        file.count(TABLE_BYTES)?;
        let back = i64::from(i32::from_le_bytes(file.part(at)?));
        let list = usize::try_from(at as i64 - back).map_err(|_| "a table's fields are before the file")?;
        let len = usize::from(u16::from_le_bytes(file.part(list)?));
        Ok(Self { file, at, fields: list.saturating_add(4), count: (len / 2).saturating_sub(2) })
    }

    /// Where a field is.
    fn field(&self, id: usize) -> Result<Option<usize>, String> {
        if id >= self.count {
            return Ok(None);
        }
        match u16::from_le_bytes(self.file.part(self.fields.saturating_add(2 * id))?) {
            0 => Ok(None),
            place => Ok(Some(self.at.saturating_add(usize::from(place)))),
        }
    }

    fn number<const N: usize, T>(&self, id: usize, default: T, number: fn([u8; N]) -> T) -> Result<T, String> {
        self.field(id)?.map_or(Ok(default), |at| Ok(number(self.file.part(at)?)))
    }

    pub(super) fn byte(&self, id: usize) -> Result<i8, String> {
        self.number(id, 0, i8::from_le_bytes)
    }

    pub(super) fn int(&self, id: usize, default: i32) -> Result<i32, String> {
        self.number(id, default, i32::from_le_bytes)
    }

    pub(super) fn unsigned(&self, id: usize) -> Result<u32, String> {
        self.number(id, 0, u32::from_le_bytes)
    }

    pub(super) fn long(&self, id: usize) -> Result<u64, String> {
        self.number(id, 0, u64::from_le_bytes)
    }

    pub(super) fn float(&self, id: usize, default: f32) -> Result<f32, String> {
        self.number(id, default, f32::from_le_bytes)
    }

    pub(super) fn table(&self, id: usize) -> Result<Option<Table<'a>>, String> {
        let Some(at) = self.field(id)? else { return Ok(None) };
        Self::at(self.file, self.file.offset(at)?).map(Some)
    }

    /// The place of a vector of values of this many bytes, and its length.
    fn vector(&self, id: usize, size: usize) -> Result<Option<(usize, usize)>, String> {
        let Some(at) = self.field(id)? else { return Ok(None) };
        let at = self.file.offset(at)?;
        let len = u32::from_le_bytes(self.file.part(at)?) as usize;
        let start = at + 4;
        let end = len.checked_mul(size).and_then(|bytes| start.checked_add(bytes));
        match end.filter(|&end| end <= self.file.bytes.len()) {
            Some(_) => Ok(Some((start, len))),
            None => Err(format!("a vector of {len} values begins at byte {at} of {}", self.file.bytes.len())),
        }
    }

    /// The place of a vector of bytes, which is not counted; `None` where there is none, or an empty one.
    pub(super) fn place(&self, id: usize) -> Result<Option<std::ops::Range<usize>>, String> {
        Ok(self.vector(id, 1)?.filter(|&(_, len)| len > 0).map(|(start, len)| start..start + len))
    }

    fn numbers<const N: usize, T>(&self, id: usize, number: fn([u8; N]) -> T) -> Result<Vec<T>, String> {
        let Some((start, len)) = self.vector(id, N)? else { return Ok(Vec::new()) };
        self.file.count(N * len)?;
        (0..len).map(|index| Ok(number(self.file.part(start + N * index)?))).collect()
    }

    pub(super) fn ints(&self, id: usize) -> Result<Vec<i32>, String> {
        self.numbers(id, i32::from_le_bytes)
    }

    pub(super) fn longs(&self, id: usize) -> Result<Vec<i64>, String> {
        self.numbers(id, i64::from_le_bytes)
    }

    pub(super) fn floats(&self, id: usize) -> Result<Vec<f32>, String> {
        self.numbers(id, f32::from_le_bytes)
    }

    /// A text; empty where there is none.
    pub(super) fn text(&self, id: usize) -> Result<String, String> {
        let bytes: Vec<u8> = self.numbers(id, |[byte]: [u8; 1]| byte)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn tables(&self, id: usize) -> Result<Vec<Table<'a>>, String> {
        let Some((start, len)) = self.vector(id, 4)? else { return Ok(Vec::new()) };
        (0..len).map(|index| Self::at(self.file, self.file.offset(start + 4 * index)?)).collect()
    }
}
