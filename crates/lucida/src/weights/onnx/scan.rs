//! A check of a file's structure before it is decoded.
//!
//! A message of two bytes becomes a struct of hundreds, so a small file can demand much memory. This pass walks over the
//! bytes without copying, and refuses a file with more messages or text than any network has. What remains can only grow
//! when decoded by one-byte integers, eightfold.

/// Maximum number of messages, strings and data blocks in a file. InceptionV3 has 8,000.
const MAX_ITEMS: u64 = 1_000_000;
/// Maximum bytes of a file without its tensor data.
const MAX_TEXT: u64 = 64 << 20;

/// A problem found by the scan.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes are not valid messages.
    Damaged(String),
    /// More than this number of something.
    Limit(&'static str, u64),
}

/// Messages that contain others.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    /// A message with only names and numbers: an operator set, an entry, a dimension.
    Leaf,
    ValueInfo,
    Type,
    TensorType,
    Shape,
}

/// The content of a length-delimited field.
enum Content {
    Message(Kind),
    Data,
    Text,
    Unread,
}

fn content(kind: Kind, field: u64) -> Content {
    match (kind, field) {
        (Kind::Model, 7) => Content::Message(Kind::Graph),
        (Kind::Model, 8 | 14) | (Kind::Tensor, 13) | (Kind::Shape, 1) => Content::Message(Kind::Leaf),
        (Kind::Graph, 1) => Content::Message(Kind::Node),
        (Kind::Graph | Kind::Attribute, 5) => Content::Message(Kind::Tensor),
        (Kind::Graph, 11 | 12) => Content::Message(Kind::ValueInfo),
        (Kind::ValueInfo, 2) => Content::Message(Kind::Type),
        (Kind::Type, 1) => Content::Message(Kind::TensorType),
        (Kind::TensorType, 2) => Content::Message(Kind::Shape),
        (Kind::Node, 5) => Content::Message(Kind::Attribute),
        (Kind::Tensor, 4 | 5 | 7 | 9 | 10 | 11) => Content::Data,
        (Kind::Model, 2 | 3) | (Kind::Graph, 2) | (Kind::Node, 1..=4 | 7) => Content::Text,
        (Kind::Attribute, 1 | 4 | 7 | 8) | (Kind::Tensor, 1 | 8) => Content::Text,
        (Kind::Leaf, 1 | 2) | (Kind::ValueInfo, 1) => Content::Text,
        _ => Content::Unread,
    }
}

/// Checks that the bytes are fields of a model with valid lengths, within the limits.
pub(super) fn scan(bytes: &[u8]) -> Result<(), Fault> {
    let mut scan = Scan { items: 0, text: 0 };
    scan.message(Kind::Model, bytes)
}

struct Scan {
    items: u64,
    text: u64,
}

impl Scan {
    fn message(&mut self, kind: Kind, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let before = bytes.len();
            let key = varint(&mut bytes)?;
            let (field, wire) = (key >> 3, key & 7);
            let len = match wire {
                0 => {
                    varint(&mut bytes)?;
                    0
                }
                1 => 8,
                2 => varint(&mut bytes)?,
                5 => 4,
                _ => return Err(Fault::Damaged(format!("a field of unknown wire type {wire}"))),
            };
            if field == 0 {
                return Err(Fault::Damaged("a field with the number 0".into()));
            }
            if len > bytes.len() as u64 {
                let problem = format!("a field of {len} bytes where {} are left", bytes.len());
                return Err(Fault::Damaged(problem));
            }
            let (inner, rest) = bytes.split_at(len as usize);
            bytes = rest;
            if wire != 2 {
                self.text += (before - bytes.len()) as u64;
                continue;
            }
            self.items += 1;
            if self.items > MAX_ITEMS {
                return Err(Fault::Limit("number of messages and strings", MAX_ITEMS));
            }
            match content(kind, field) {
                Content::Message(kind) => self.message(kind, inner)?,
                Content::Text => self.text += len,
                Content::Data | Content::Unread => {}
            }
            if self.text > MAX_TEXT {
                return Err(Fault::Limit("bytes apart from the data of tensors", MAX_TEXT));
            }
        }
        Ok(())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(Fault::Damaged("a number that does not end".into()))
}
