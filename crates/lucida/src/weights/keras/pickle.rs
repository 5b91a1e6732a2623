//! The NumPy arrays in a pickled dictionary of variables, without running anything.
//!
//! A pickle is a program for a small stack machine that builds values and calls functions by name. Here every call
//! becomes a note of what would have been called with what; nothing is looked up, imported or executed. The arrays are
//! then found by the form that NumPy gives them: `_reconstruct(...)` with the state `(version, shape, dtype, order, bytes)`.
//!
//! The opcodes are those of protocols 2 to 5 that Python's pickler writes; see Python's `pickletools`.

use std::cell::RefCell;
use std::rc::Rc;

/// Opcodes of a pickle, and with them how deep its values can be nested. That of a batch normalisation has 500.
const MAX_OPCODES: usize = 2_000;
/// Values that are looked at for an array. Values that share parts are looked at again and again.
const MAX_STEPS: usize = 100_000;
/// How deep values are searched.
const MAX_DEPTH: usize = 100;

/// An array of a file.
#[derive(Debug, Clone)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: String,
    pub(super) bytes: Rc<[u8]>,
}

#[derive(Debug, Clone)]
enum Value {
    Nothing,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    Bytes(Rc<[u8]>),
    List(Rc<Vec<Value>>),
    Dict(Rc<Vec<(Value, Value)>>),
    /// What a call of a function would have been.
    Call(Rc<Call>),
    /// The name of a function or class.
    Global(Rc<str>),
}

/// A call that is not made.
#[derive(Debug)]
struct Call {
    function: Value,
    arguments: Value,
    /// The states that are set afterwards, which all who refer to the result see.
    states: RefCell<Vec<Value>>,
}

/// The arrays of a pickled dictionary, in the order of their keys, which are numbers.
///
/// # Errors
/// What cannot be read.
pub(super) fn arrays(bytes: &[u8]) -> Result<Vec<(String, Array)>, String> {
    let value = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), opcodes: 0 }.run()?;
    let dict = Search::new().find(&value, dict).ok_or("holds no dictionary of variables")?;
    let mut found = Vec::new();
    for (key, value) in dict.iter() {
        let Value::Text(key) = key else { return Err("the name of a variable is not a text".into()) };
        let array = Search::new().find(value, array).ok_or_else(|| format!("variable {key} holds no array"))?;
        found.push((key.to_string(), array));
    }
    found.sort_by_key(|(key, _)| key.parse::<u64>().unwrap_or(u64::MAX));
    Ok(found)
}

/// A search through values, which may share parts, or contain themselves.
struct Search {
    left: usize,
    depth: usize,
}

impl Search {
    fn new() -> Self {
        Self { left: MAX_STEPS, depth: 0 }
    }

    /// Looks at a value and, where that is not what is looked for, at what is in it.
    fn find<T>(&mut self, value: &Value, wanted: fn(&Value) -> Option<T>) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        if self.depth > MAX_DEPTH {
            return None;
        }
        if let Some(found) = wanted(value) {
            return Some(found);
        }
        self.depth += 1;
        let found = match value {
            Value::List(values) => values.iter().find_map(|value| self.find(value, wanted)),
            Value::Dict(dict) => dict.iter().find_map(|(_, value)| self.find(value, wanted)),
            Value::Call(call) => {
                let states = call.states.borrow();
                let mut parts = states.iter().chain([&call.arguments, &call.function]);
                parts.find_map(|value| self.find(value, wanted))
            }
            _ => None,
        };
        self.depth -= 1;
        found
    }
}

/// The dictionary of variables.
fn dict(value: &Value) -> Option<Rc<Vec<(Value, Value)>>> {
    match value {
        Value::Dict(dict) => Some(dict.clone()),
        _ => None,
    }
}

/// An array: what NumPy would reconstruct, with the state that says what is in it.
fn array(value: &Value) -> Option<Array> {
    let Value::Call(call) = value else { return None };
    match &call.function {
        Value::Global(name) if name.ends_with("._reconstruct") => call.states.borrow().iter().find_map(array_of_state),
        _ => None,
    }
}

/// The array of a state of NumPy's.
fn array_of_state(state: &Value) -> Option<Array> {
    let Value::List(state) = state else { return None };
    let [Value::Int(_), Value::List(shape), dtype, Value::Bool(false), Value::Bytes(bytes)] = state.as_slice() else {
        return None;
    };
    let shape: Option<Vec<usize>> = shape
        .iter()
        .map(|size| match size {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        })
        .collect();
    let (shape, dtype) = (shape?, dtype_name(dtype)?);
    let len = shape.iter().try_fold(4_usize, |len, &size| len.checked_mul(size));
    (dtype != "float32" || len == Some(bytes.len())).then(|| Array { shape, dtype, bytes: bytes.clone() })
}

/// `dtype('f4', ...)` with the state `(3, '<', ...)`.
fn dtype_name(value: &Value) -> Option<String> {
    let Value::Call(call) = value else { return None };
    let Value::List(arguments) = &call.arguments else { return None };
    let states = call.states.borrow();
    let Some(Value::Text(code)) = arguments.first() else { return None };
    let big = states.iter().any(|state| {
        matches!(state, Value::List(state) if matches!(state.get(1), Some(Value::Text(order)) if &**order == ">"))
    });
    Some(match (&**code, big) {
        ("f4", false) => "float32".into(),
        (code, false) => code.to_owned(),
        (code, true) => format!("big-endian {code}"),
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Vec<Value>,
    opcodes: usize,
}

impl Machine<'_> {
    fn run(mut self) -> Result<Value, String> {
        loop {
            self.opcodes += 1;
            if self.opcodes > MAX_OPCODES {
                return Err(format!("has more than {MAX_OPCODES} opcodes"));
            }
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'N' => self.push(Value::Nothing),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a => self.integer(opcode)?,
            b'G' => {
                self.take(8)?;
                // Real numbers play no part in what is looked for.
                self.push(Value::Nothing);
            }
            0x8c | b'X' | 0x8d => {
                let text = self.counted(opcode, 0x8c, b'X')?;
                let text = std::str::from_utf8(text).map_err(|_| "holds a text that is not UTF-8")?.into();
                self.push(Value::Text(text));
            }
            b'C' | b'B' | 0x8e => {
                let bytes = self.counted(opcode, b'C', b'B')?.into();
                self.push(Value::Bytes(bytes));
            }
            b'(' => self.marks.push(self.stack.len()),
            // A set is as good as a list to whom looks for arrays.
            b']' | b')' | 0x8f => self.push(Value::List(Rc::default())),
            b'}' => self.push(Value::Dict(Rc::default())),
            b't' | b'l' | 0x91 => {
                let items = self.items_since_mark()?;
                self.push(Value::List(Rc::new(items)));
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or("its stack is empty")?;
                let items = self.stack.split_off(from);
                self.push(Value::List(Rc::new(items)));
            }
            b'a' | b'e' | 0x90 => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.items_since_mark()? };
                match self.stack.last_mut() {
                    Some(Value::List(list)) => Rc::make_mut(list).extend(items),
                    _ => return Err("appends to what is not a list".into()),
                }
            }
            b's' | b'u' => self.set_items(opcode)?,
            b'h' | b'j' | b'q' | b'r' | 0x94 => self.memorise(opcode)?,
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err("names a function by what is not a text".into());
                };
                self.push(Value::Global(format!("{module}.{name}").into()));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}").into()));
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.push(Value::Call(Rc::new(Call { function, arguments, states: RefCell::default() })));
            }
            b'b' => {
                let state = self.pop()?;
                match self.stack.last() {
                    Some(Value::Call(call)) => call.states.borrow_mut().push(state),
                    _ => return Err("sets the state of what was not called".into()),
                }
            }
            b'0' => drop(self.pop()?),
            _ => return Err(format!("has opcode 0x{opcode:02x}, which NumPy and Keras do not write")),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "its stack is empty".to_owned())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or("its pickle is cut short")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn little_endian(&mut self, count: usize) -> Result<u64, String> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Bytes after their count, which takes one byte, four or eight.
    fn counted(&mut self, opcode: u8, one: u8, four: u8) -> Result<&[u8], String> {
        let width = if opcode == one {
            1
        } else if opcode == four {
            4
        } else {
            8
        };
        let count = self.little_endian(width)?;
        self.take(usize::try_from(count).map_err(|_| "its pickle is cut short")?)
    }

    fn integer(&mut self, opcode: u8) -> Result<(), String> {
        let number = match opcode {
            b'K' => self.little_endian(1)? as i64,
            b'M' => self.little_endian(2)? as i64,
            b'J' => i64::from(self.little_endian(4)? as u32 as i32),
            _ => {
                let count = self.little_endian(1)? as usize;
                if count > 8 {
                    return Err(format!("has an integer of {count} bytes"));
                }
                let shift = 64 - 8 * count as u32;
                let number = self.little_endian(count)?;
                if shift == 64 { 0 } else { (number << shift) as i64 >> shift }
            }
        };
        self.push(Value::Int(number));
        Ok(())
    }

    fn items_since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark =
            self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or("has no mark where one is needed")?;
        Ok(self.stack.split_off(mark))
    }

    fn set_items(&mut self, opcode: u8) -> Result<(), String> {
        let items = if opcode == b's' {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![key, value]
        } else {
            self.items_since_mark()?
        };
        let pairs = items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        match self.stack.last_mut() {
            Some(Value::Dict(dict)) => Rc::make_mut(dict).extend(pairs),
            _ => return Err("sets an item of what is not a dictionary".into()),
        }
        Ok(())
    }

    fn memorise(&mut self, opcode: u8) -> Result<(), String> {
        let slot = match opcode {
            0x94 => self.memo.len(),
            b'h' | b'q' => self.little_endian(1)? as usize,
            _ => self.little_endian(4)? as usize,
        };
        if matches!(opcode, b'h' | b'j') {
            let value =
                self.memo.get(slot).cloned().ok_or_else(|| format!("refers to value {slot}, which it lacks"))?;
            self.push(value);
            return Ok(());
        }
        let value = self.stack.last().cloned().ok_or("its stack is empty")?;
        match slot.cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => self.memo[slot] = value,
            std::cmp::Ordering::Equal => self.memo.push(value),
            std::cmp::Ordering::Greater => return Err(format!("stores value {slot} out of turn")),
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(1000).position(|&byte| byte == b'\n').ok_or("its pickle is cut short")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called() {
        // What would run a command, were it run: `posix.system("touch x")` as the only variable.
        let pickle = b"\x80\x02}U\x010cposix\nsystem\nX\x07\0\0\0touch x\x85Rs.";
        assert!(arrays(pickle).unwrap_err().contains("opcode 0x55"));
        let pickle = b"\x80\x04}\x8c\x010cposix\nsystem\nX\x07\0\0\0touch x\x85Rs.";
        assert!(arrays(pickle).unwrap_err().contains("variable 0 holds no array"));
    }

    #[test]
    fn values_that_share_their_parts_are_not_searched_for_ever() {
        // Each list holds the one before twice: 2^60 paths.
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
    fn damaged_pickles_are_refused() {
        for (pickle, expected) in [
            (&b""[..], "cut short"),
            (b"\x80\x04", "cut short"),
            (b"\x80\x04.", "stack is empty"),
            (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"),
            (b"h\x05.", "refers to value 5"),
            (b"t.", "no mark"),
            (b"Na.", "not a list"),
            (b"N.", "no dictionary"),
        ] {
            let problem = arrays(pickle).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
