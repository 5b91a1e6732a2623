//! A node of the graph with resolved inputs, and access to its attributes.

use super::super::proto::{AttributeProto, NodeProto};
use super::super::tensor::{Constant, short};
use super::symbol::{Symbol, Value};

/// Why a node cannot be imported.
#[derive(Debug)]
pub(in crate::weights) enum Fault {
    /// The node is invalid.
    Bad(String),
    /// The node may be valid, but there is no layer for it.
    Unsupported(String),
}

impl From<String> for Fault {
    fn from(problem: String) -> Self {
        Self::Bad(problem)
    }
}

impl From<&str> for Fault {
    fn from(problem: &str) -> Self {
        Self::Bad(problem.into())
    }
}

pub(in crate::weights) type ImportResult<T> = Result<T, Fault>;

pub(in crate::weights) fn unsupported<T>(problem: impl Into<String>) -> ImportResult<T> {
    Err(Fault::Unsupported(problem.into()))
}

/// A node of the graph.
pub(super) struct Operator<'a> {
    pub(super) node: &'a NodeProto,
    /// `None` for omitted optional inputs.
    pub(super) inputs: Vec<Option<Value>>,
    pub(super) opset: i64,
}

impl Operator<'_> {
    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f)
    }

    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub(super) fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.attribute(name).map(|attribute| short(&String::from_utf8_lossy(&attribute.s)))
    }

    pub(super) fn tensor(&self, name: &str) -> ImportResult<Option<Constant>> {
        let tensor = self.attribute(name).and_then(|attribute| attribute.t.clone());
        match tensor {
            Some(tensor) if tensor.data_location != 0 => unsupported(format!("{name} has its values in another file")),
            Some(tensor) => Ok(Some(Constant::new(tensor, None)?)),
            None => Ok(None),
        }
    }

    /// A pair of sizes, vertical and horizontal.
    pub(super) fn pair(&self, name: &str, default: [usize; 2]) -> ImportResult<[usize; 2]> {
        let Some(values) = self.ints(name) else { return Ok(default) };
        let sizes: Option<Vec<usize>> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
        match sizes.as_deref() {
            Some(&[rows, columns]) => Ok([rows, columns]),
            _ if values.len() != 2 => {
                unsupported(format!("{name} has {} values: only images are supported", values.len()))
            }
            _ => Err(format!("{name} is {values:?}").into()),
        }
    }

    /// Refuses any other value of an attribute.
    pub(super) fn must_be(&self, name: &str, only: i64) -> ImportResult<()> {
        match self.int(name, only) {
            value if value == only => Ok(()),
            value => unsupported(format!("{name} {value} is not supported, only {only}")),
        }
    }

    pub(super) fn value(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index)?.as_ref()
    }

    /// A computed input.
    pub(super) fn symbol(&self, index: usize) -> ImportResult<&Symbol> {
        match self.value(index) {
            Some(Value::Symbol(symbol)) => Ok(symbol),
            Some(Value::Constant(constant)) => {
                let name =
                    if constant.name.is_empty() { String::new() } else { format!(" {:?}", short(&constant.name)) };
                unsupported(format!(
                    "input {}{name} is known, and this operator is computed of tensors that depend on the input alone: \
                     simplify the graph (onnxsim)",
                    index + 1
                ))
            }
            None => Err(format!("input {} is missing", index + 1).into()),
        }
    }

    /// A constant input.
    pub(super) fn constant(&self, index: usize) -> ImportResult<Option<&Constant>> {
        match self.value(index) {
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::Symbol(_)) => unsupported(format!("input {} is computed; it must be constant", index + 1)),
            None => Ok(None),
        }
    }

    pub(super) fn needed(&self, index: usize) -> ImportResult<&Constant> {
        match self.constant(index)? {
            Some(constant) => Ok(constant),
            None => Err(format!("input {} is missing", index + 1).into()),
        }
    }

    /// Integers, which are an input in newer operator versions and an attribute in older ones.
    pub(super) fn numbers(&self, input: usize, attribute: &str) -> ImportResult<Option<Vec<i64>>> {
        match self.constant(input)? {
            Some(constant) => Ok(Some(constant.known_ints()?)),
            None => Ok(self.ints(attribute).map(<[i64]>::to_vec)),
        }
    }

    /// A number, which is an input in newer operator versions and an attribute in older ones.
    pub(super) fn number(&self, input: usize, attribute: &str) -> ImportResult<Option<f32>> {
        match self.constant(input)? {
            Some(constant) if constant.len() == 1 => Ok(Some(constant.check_floats()?.float(0))),
            Some(constant) => Err(format!("input {} has {} values, not one", input + 1, constant.len()).into()),
            None => Ok(self.has(attribute).then(|| self.float(attribute, 0.0))),
        }
    }
}
