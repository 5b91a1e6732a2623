//! The NumPy arrays in a pickled dictionary of variables, as written by Keras.
//!
//! They are recognized by NumPy's pickled form: `_reconstruct(...)` with the state `(version, shape, dtype, order, bytes)`.

use crate::weights::floats::Float;
use crate::weights::pickle::{Call, Node, Pickle, Rules, Value};

/// The limits on a pickle. That of a batch normalization has 500 opcodes. Any function may be named, because none is
/// called.
const RULES: Rules = Rules { opcodes: 2_000, allowed: |_, _| true };
/// Maximum number of values visited in the search for an array. Shared values are visited repeatedly.
const MAX_STEPS: usize = 100_000;
/// Maximum depth of the search.
const MAX_DEPTH: usize = 100;

/// An array in a file.
#[derive(Debug, Clone)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: String,
    /// The type of its values, if they are little-endian floats.
    pub(super) float: Option<Float>,
    pub(super) bytes: Vec<u8>,
}

/// The arrays of a pickled dictionary, sorted by their numeric keys.
///
/// # Errors
/// What cannot be read.
pub(super) fn arrays(bytes: &[u8]) -> Result<Vec<(String, Array)>, String> {
    let pickle = Pickle::read(bytes, RULES)?;
    let dict = Search::new(&pickle).find(pickle.root, |pickle, value| match pickle.node(value) {
        Some(Node::Dict(dict)) => Some(dict.clone()),
        _ => None,
    });
    let dict = dict.ok_or("contains no dictionary of variables")?;
    let mut found = Vec::new();
    for &(key, value) in &dict {
        let Value::Text(key) = key else { return Err("the name of a variable is not a text".into()) };
        let array =
            Search::new(&pickle).find(value, array).ok_or_else(|| format!("variable {key} contains no array"))?;
        found.push((key.to_owned(), array));
    }
    found.sort_by_key(|(key, _)| key.parse::<u64>().unwrap_or(u64::MAX));
    Ok(found)
}

/// A search through values, which may be shared or cyclic.
struct Search<'p, 'a> {
    pickle: &'p Pickle<'a>,
    left: usize,
    depth: usize,
}

impl<'p, 'a> Search<'p, 'a> {
    fn new(pickle: &'p Pickle<'a>) -> Self {
        Self { pickle, left: MAX_STEPS, depth: 0 }
    }

    /// Searches a value and, if it does not match, its parts.
    fn find<T>(&mut self, value: Value<'a>, wanted: fn(&Pickle<'a>, Value<'a>) -> Option<T>) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        if self.depth > MAX_DEPTH {
            return None;
        }
        if let Some(found) = wanted(self.pickle, value) {
            return Some(found);
        }
        self.depth += 1;
        let found = match self.pickle.node(value) {
            Some(Node::List(values)) => values.iter().find_map(|&value| self.find(value, wanted)),
            Some(Node::Dict(dict)) => dict.iter().find_map(|&(_, value)| self.find(value, wanted)),
            Some(Node::Call(call)) => {
                let mut parts = call.states.iter().chain([&call.arguments, &call.function]);
                parts.find_map(|&value| self.find(value, wanted))
            }
            _ => None,
        };
        self.depth -= 1;
        found
    }
}

/// The value as a call.
fn call<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<&'p Call<'a>> {
    match pickle.node(value)? {
        Node::Call(call) => Some(call),
        _ => None,
    }
}

/// An array: a call of NumPy's reconstruction function, with its state.
fn array<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<Array> {
    let call = call(pickle, value)?;
    match pickle.node(call.function)? {
        Node::Global(_, "_reconstruct") => call.states.iter().find_map(|&state| array_of_state(pickle, state)),
        _ => None,
    }
}

/// The array with this pickled state.
fn array_of_state<'a>(pickle: &Pickle<'a>, state: Value<'a>) -> Option<Array> {
    let &[Value::Int(_), shape, dtype, Value::Bool(false), Value::Bytes(bytes)] = pickle.list(state)? else {
        return None;
    };
    let size = |value: &Value| match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    let shape: Vec<usize> = pickle.list(shape)?.iter().map(size).collect::<Option<_>>()?;
    let (dtype, float) = dtype_of(pickle, dtype)?;
    let len = |float: Float| shape.iter().try_fold(float.size(), |len, &size| len.checked_mul(size));
    if float.is_some_and(|float| len(float) != Some(bytes.len())) {
        return None;
    }
    Some(Array { shape, dtype, float, bytes: bytes.to_vec() })
}

/// Parses `dtype('f4', ...)` with the state `(3, '<', ...)`.
fn dtype_of<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<(String, Option<Float>)> {
    let call = call(pickle, value)?;
    let Some(Value::Text(code)) = pickle.list(call.arguments)?.first() else { return None };
    let big = |state: &Value| {
        pickle.list(*state).is_some_and(|state| matches!(state.get(1), Some(Value::Text(order)) if *order == ">"))
    };
    Some(match (*code, call.states.iter().any(big)) {
        ("f2", false) => ("float16".into(), Some(Float::F16)),
        ("f4", false) => ("float32".into(), Some(Float::F32)),
        ("f8", false) => ("float64".into(), Some(Float::F64)),
        (code, false) => (code.to_owned(), None),
        (code, true) => (format!("big-endian {code}"), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called() {
        // This pickle would run a command if it were executed: its only variable is `posix.system("touch x")`.
        let pickle = b"\x80\x04}\x8c\x010cposix\nsystem\nX\x07\0\0\0touch x\x85Rs.";
        assert!(arrays(pickle).unwrap_err().contains("variable 0 contains no array"));
    }

    #[test]
    fn values_that_share_their_parts_are_not_searched_for_ever() {
        // Each list holds the previous one twice: 2^60 paths.
        let mut pickle = b"\x80\x04}\x8c\x010]\x94".to_vec();
        for memo in 0..60_u8 {
            pickle.extend([b'h', memo, b'h', memo, 0x86, 0x94, b'0', b'h', memo + 1]);
        }
        pickle.extend(*b"s.");
        assert!(arrays(&pickle).is_err());
        assert!(arrays(&[&[b']'; 1990][..], &[0x85; 5], b"."].concat()).is_err());
        assert!(arrays(&[&b"]"[..], &[0x85; 1990], b"."].concat()).is_err());
    }

    #[test]
    fn pickles_of_something_else_are_refused() {
        for (pickle, expected) in [
            (&b""[..], "cut short"),
            (b"N.", "no dictionary"),
            (b"}K\x00Ns.", "not a text"),
            (b"}\x8c\x010Ns.", "variable 0 contains no array"),
        ] {
            let problem = arrays(pickle).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
