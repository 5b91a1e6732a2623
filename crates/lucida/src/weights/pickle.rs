//! Reading Python's pickles without executing anything.
//!
//! A pickle is a program for a small stack machine that builds values and calls functions by name. Here every call is only
//! recorded with its function and arguments; nothing is looked up, imported or executed. The caller restricts which names a
//! pickle may contain, and recognizes values by the recorded calls.
//!
//! All composite values are stored in one list and refer to their parts by index, so that deeply nested or cyclic values
//! are handled. The supported opcodes are those of protocols 2 to 5 that Python's pickler writes; see Python's
//! `pickletools`.

/// A value of a pickle; text and bytes reference the pickle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Nothing,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(&'a str),
    /// Bytes, and integers of more than eight bytes.
    Bytes(&'a [u8]),
    /// A composite value: its index for [`Pickle::node`].
    Node(usize),
}

/// A composite value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    /// A list, a tuple or a set.
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A recorded function call.
    Call(Call<'a>),
    /// The name of a function or class: module and name.
    Global(&'a str, &'a str),
    /// A value stored outside the pickle under this key.
    Persistent(Value<'a>),
}

/// A recorded call, which is not executed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call<'a> {
    pub(super) function: Value<'a>,
    pub(super) arguments: Value<'a>,
    /// The states that are set afterwards.
    pub(super) states: Vec<Value<'a>>,
    /// The items that are set afterwards, as for a dictionary; appended items have no key.
    pub(super) items: Vec<(Value<'a>, Value<'a>)>,
}

/// Restrictions on a pickle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The maximum number of opcodes. Memory and time are proportional: about 150 bytes each.
    pub(super) opcodes: usize,
    /// Whether a pickle may contain the function or class of this module and name.
    pub(super) allowed: fn(&str, &str) -> bool,
}

/// A parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    /// The root value.
    pub(super) root: Value<'a>,
    /// The length of the pickle in bytes.
    pub(super) len: usize,
    nodes: Vec<Node<'a>>,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of these bytes.
    ///
    /// # Errors
    /// What is unsupported, or violates the rules.
    pub(super) fn read(bytes: &'a [u8], rules: Rules) -> Result<Self, String> {
        Machine { bytes, at: 0, rules, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), nodes: Vec::new() }.run()
    }

    /// The composite value behind a value, if it is one.
    pub(super) fn node(&self, value: Value) -> Option<&Node<'a>> {
        match value {
            Value::Node(number) => self.nodes.get(number),
            _ => None,
        }
    }

    /// All composite values, including those that are not reachable from the root.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        (0..self.nodes.len()).map(Value::Node)
    }

    /// The elements of a list or tuple.
    pub(super) fn list(&self, value: Value) -> Option<&[Value<'a>]> {
        match self.node(value) {
            Some(Node::List(values)) => Some(values),
            _ => None,
        }
    }

    /// The arguments of a call, if it is of the function with this module and name.
    pub(super) fn called(&self, call: &Call<'a>, module: &str, name: &str) -> Option<&[Value<'a>]> {
        match self.node(call.function) {
            Some(Node::Global(m, n)) if (*m, *n) == (module, name) => self.list(call.arguments),
            _ => None,
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    rules: Rules,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: Vec<Option<Value<'a>>>,
    nodes: Vec<Node<'a>>,
}

const EMPTY: &str = "its stack is empty";
const SHORT: &str = "its pickle is cut short";

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, String> {
        for _ in 0..self.rules.opcodes {
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { root, len: self.at, nodes: self.nodes });
            }
            self.step(opcode)?;
        }
        Err(format!("has more than {} opcodes", self.rules.opcodes))
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'N' => self.stack.push(Value::Nothing),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a => self.integer(opcode)?,
            b'G' => {
                let bytes = self.take(8)?.try_into().map_err(|_| SHORT)?;
                self.stack.push(Value::Real(f64::from_be_bytes(bytes)));
            }
            0x8c | b'X' | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e => self.text_or_bytes(opcode)?,
            b'(' => self.marks.push(self.stack.len()),
            b']' | b')' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' | b'l' | 0x91 => {
                let items = self.items_since_mark()?;
                self.push(Node::List(items));
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or(EMPTY)?;
                let items = self.stack.split_off(from);
                self.push(Node::List(items));
            }
            b'a' | b'e' | 0x90 => self.append(opcode)?,
            b's' | b'u' => self.set_items(opcode)?,
            b'h' | b'j' | b'q' | b'r' | 0x94 => self.memorize(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'Q' => {
                let key = self.pop()?;
                self.push(Node::Persistent(key));
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.push(Node::Call(Call { function, arguments, states: Vec::new(), items: Vec::new() }));
            }
            b'b' => self.set_state()?,
            b'0' => drop(self.pop()?),
            _ => return Err(format!("has opcode 0x{opcode:02x}, which Python's pickler does not write for data")),
        }
        Ok(())
    }

    fn text_or_bytes(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            0x8c | b'X' | 0x8d => {
                let text = self.counted(opcode, 0x8c, b'X')?;
                Value::Text(std::str::from_utf8(text).map_err(|_| "holds a text that is not UTF-8")?)
            }
            // A `str` of Python 2 may be text or bytes.
            b'U' | b'T' => {
                let bytes = self.counted(opcode, b'U', b'T')?;
                std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
            }
            _ => Value::Bytes(self.counted(opcode, b'C', b'B')?),
        };
        self.stack.push(value);
        Ok(())
    }

    fn append(&mut self, opcode: u8) -> Result<(), String> {
        let items = if opcode == b'a' { vec![self.pop()?] } else { self.items_since_mark()? };
        match self.top()? {
            Node::List(list) => list.extend(items),
            // An object with list items.
            Node::Call(call) => call.items.extend(items.into_iter().map(|item| (Value::Nothing, item))),
            _ => return Err("appends to what is not a list".into()),
        }
        Ok(())
    }

    fn set_state(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        match self.top()? {
            Node::Call(call) => call.states.push(state),
            _ => return Err("sets the state of what was not called".into()),
        }
        Ok(())
    }

    /// Records a function or class, if it is allowed.
    fn global(&mut self, opcode: u8) -> Result<(), String> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let (Value::Text(module), Value::Text(name)) = (module, name) else {
                return Err("names a function by what is not a text".into());
            };
            (module, name)
        };
        if !(self.rules.allowed)(module, name) {
            let shown: String = format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(120).collect();
            return Err(format!("would run code: {shown}; refused"));
        }
        self.push(Node::Global(module, name));
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    /// The composite value on top of the stack, mutable.
    fn top(&mut self) -> Result<&mut Node<'a>, String> {
        match self.stack.last() {
            Some(&Value::Node(number)) => Ok(&mut self.nodes[number]),
            Some(_) => Err("changes what cannot be changed, and is not a list or a dictionary".into()),
            None => Err(EMPTY.into()),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or(SHORT)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn little_endian(&mut self, count: usize) -> Result<u64, String> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Bytes preceded by their length, which takes one, four or eight bytes.
    fn counted(&mut self, opcode: u8, one: u8, four: u8) -> Result<&'a [u8], String> {
        let width = if opcode == one {
            1
        } else if opcode == four {
            4
        } else {
            8
        };
        let count = self.little_endian(width)?;
        self.take(usize::try_from(count).map_err(|_| SHORT)?)
    }

    fn integer(&mut self, opcode: u8) -> Result<(), String> {
        let number = match opcode {
            b'K' => self.little_endian(1)? as i64,
            b'M' => self.little_endian(2)? as i64,
            b'J' => i64::from(self.little_endian(4)? as u32 as i32),
            _ => {
                let count = self.little_endian(1)? as usize;
                if count > 8 {
                    let bytes = self.take(count)?;
                    self.stack.push(Value::Bytes(bytes));
                    return Ok(());
                }
                let shift = 64 - 8 * count as u32;
                let number = self.little_endian(count)?;
                if shift == 64 { 0 } else { (number << shift) as i64 >> shift }
            }
        };
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn items_since_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
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
        let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match self.top()? {
            Node::Dict(dict) => dict.extend(pairs),
            Node::Call(call) => call.items.extend(pairs),
            _ => return Err("sets an item of what is not a dictionary".into()),
        }
        Ok(())
    }

    fn memorize(&mut self, opcode: u8) -> Result<(), String> {
        let slot = match opcode {
            0x94 => self.memo.len(),
            b'h' | b'q' => self.little_endian(1)? as usize,
            _ => self.little_endian(4)? as usize,
        };
        if matches!(opcode, b'h' | b'j') {
            let value = self.memo.get(slot).copied().flatten();
            self.stack.push(value.ok_or_else(|| format!("refers to value {slot}, which it lacks"))?);
            return Ok(());
        }
        let value = *self.stack.last().ok_or(EMPTY)?;
        if slot >= self.rules.opcodes {
            return Err(format!("stores value {slot}, more than it can have"));
        }
        if slot >= self.memo.len() {
            self.memo.resize(slot + 1, None);
        }
        self.memo[slot] = Some(value);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(1000).position(|&byte| byte == b'\n').ok_or(SHORT)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| "holds a name that is not UTF-8".into())
    }
}

#[cfg(test)]
mod tests;
