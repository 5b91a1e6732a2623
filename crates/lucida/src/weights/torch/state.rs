//! What the pickle of a state dictionary says: the names, and for each tensor the part of a storage that it is.

use std::collections::{HashMap, HashSet};

use crate::weights::TensorInfo;
use crate::weights::floats::Float;
use crate::weights::pickle::{Node, Pickle, Rules, Value};

/// What a pickle may hold. A tensor takes about 35 opcodes, with its moments in an optimizer 150.
pub(super) const RULES: Rules = Rules { opcodes: 1_000_000, allowed };
/// Where a checkpoint may keep its state dictionary, the likeliest first; averaged weights (EMA) come last.
const KEYS: [&str; 13] = [
    "state_dict",
    "model_state_dict",
    "model",
    "model_state",
    "net",
    "network",
    "params",
    "weights",
    "state_dict_ema",
    "model_ema",
    "params_ema",
    "ema_state_dict",
    "ema",
];
/// The attribute that says which of several dictionaries of tensors was taken.
pub(super) const CHOICE: &str = "dictionary of tensors";
/// What the names of dictionaries that belong to an optimizer begin with.
const OPTIMIZER: &str = "optim";
/// Dictionaries that a message names.
const MAX_NAMED: usize = 8;
/// Tensors of a state dictionary: a pickle can name the same one again and again. A ResNet50 has 320.
const MAX_TENSORS: usize = 50_000;
/// Texts and numbers next to them.
const MAX_ATTRIBUTES: usize = 1000;
/// Axes of a tensor, as in PyTorch.
const MAX_RANK: usize = 64;
/// Dictionaries within dictionaries on the way to the tensors.
const MAX_DEPTH: usize = 4;

/// The functions of `torch._utils` that tensors are rebuilt by.
const REBUILD: [&str; 2] = ["_rebuild_tensor_v2", "_rebuild_tensor"];
/// The one that makes a parameter of a tensor.
const PARAMETER: &str = "_rebuild_parameter";

/// Modules of which a checkpoint holds no values: what is named of them would run something. The classes of PyTorch's
/// own layers are among them: an object of these keeps its tensors to itself.
const PROGRAMS: [&str; 12] = [
    "ctypes",
    "importlib",
    "multiprocessing",
    "nt",
    "os",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "subprocess",
    "sys",
    "torch",
];
/// Functions and classes in small letters that values are rebuilt by: module and name.
const VALUES: [(&str, &str); 26] = [
    ("_codecs", "encode"),
    ("__builtin__", "bytearray"),
    ("__builtin__", "complex"),
    ("__builtin__", "frozenset"),
    ("__builtin__", "object"),
    ("__builtin__", "range"),
    ("__builtin__", "set"),
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "object"),
    ("builtins", "range"),
    ("builtins", "set"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
];
/// Types of values, which a checkpoint may name as they are.
const DTYPES: [&str; 10] =
    ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"];

/// The names that a state dictionary is made of, and those of values that lie next to it in a checkpoint: options,
/// paths, metrics. Classes have capitals by convention; whether an object of one holds tensors is checked afterwards.
fn allowed(module: &str, name: &str) -> bool {
    match module {
        "torch._utils" => name == PARAMETER || REBUILD.contains(&name),
        "torch" if matches!(name, "Size" | "device") || DTYPES.contains(&name) => true,
        "torch" | "torch.cuda" | "torch.storage" => kind(name).is_some(),
        _ => is_value(module, name),
    }
}

/// Whether this names a value other than a tensor, by [`VALUES`] or as a class outside of [`PROGRAMS`].
fn is_value(module: &str, name: &str) -> bool {
    let root = module.split('.').next().unwrap_or(module);
    let class = name.starts_with(|first: char| first.is_ascii_uppercase());
    VALUES.contains(&(module, name)) || (class && !name.contains('.') && !PROGRAMS.contains(&root))
}

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Bytes of a value.
    pub(super) size: usize,
    /// How to read it, if it is a floating-point number.
    pub(super) float: Option<Float>,
}

/// The type of the values in a storage of this class.
fn kind(class: &str) -> Option<Kind> {
    let (name, size, float) = match class {
        "FloatStorage" => ("float32", 4, Some(Float::F32)),
        "DoubleStorage" => ("float64", 8, Some(Float::F64)),
        "HalfStorage" => ("float16", 2, Some(Float::F16)),
        "BFloat16Storage" => ("bfloat16", 2, Some(Float::BF16)),
        "LongStorage" => ("int64", 8, None),
        "IntStorage" => ("int32", 4, None),
        "ShortStorage" => ("int16", 2, None),
        "CharStorage" => ("int8", 1, None),
        "ByteStorage" | "UntypedStorage" => ("uint8", 1, None),
        "BoolStorage" => ("bool", 1, None),
        "ComplexFloatStorage" => ("complex64", 8, None),
        "ComplexDoubleStorage" => ("complex128", 16, None),
        _ => return None,
    };
    Some(Kind { name, size, float })
}

/// Values in a row that tensors are views of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) kind: Kind,
    /// The number of values.
    pub(super) len: u64,
}

/// A tensor as a part of a storage: value `i, j, ...` lies at `offset + i * strides[0] + j * strides[1] + ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// The index of the storage.
    pub(super) storage: usize,
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<u64>,
}

impl View {
    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Values from the first to the last in the storage.
    pub(super) fn span(&self) -> u64 {
        if self.len() == 0 {
            return 0;
        }
        self.shape.iter().zip(&self.strides).map(|(&size, &stride)| (size as u64 - 1) * stride).sum::<u64>() + 1
    }

    /// Whether the values lie in a row, the last axis first.
    pub(super) fn is_plain(&self) -> bool {
        if self.len() == 0 {
            return true;
        }
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size as u64;
            fits
        })
    }
}

/// A state dictionary.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Names, shapes and types, and the view of each.
    pub(super) tensors: Vec<(TensorInfo, View)>,
    pub(super) storages: Vec<Storage>,
    /// What else the dictionaries hold that is a text or a number.
    pub(super) attributes: Vec<(String, String)>,
}

impl State {
    /// Finds the tensors of a pickle.
    ///
    /// # Errors
    /// What cannot be.
    pub(super) fn new(pickle: &Pickle) -> Result<Self, String> {
        let mut reader = Reader { pickle, state: Self::default(), storages: HashMap::new() };
        if let Some(class) = reader.hides_tensors() {
            return Err(format!("would run code: {class}, which keeps tensors; refused"));
        }
        let names = reader.locate(pickle.root)?;
        // Also the storages of values other than weights: in the old format they lie between the others.
        for value in pickle.nodes() {
            let _ = reader.storage(value);
        }
        let mut seen = HashSet::new();
        for (name, value) in names {
            if let Some((view, kind)) =
                reader.tensor(value, 0).map_err(|problem| format!("tensor {name:?} {problem}"))?
            {
                if !seen.insert(name) {
                    return Err(format!("holds tensor {name:?} twice"));
                }
                if seen.len() > MAX_TENSORS {
                    return Err(format!("holds more than {MAX_TENSORS} tensors"));
                }
                let info = TensorInfo { name: name.to_owned(), shape: view.shape.clone(), dtype: kind.name.to_owned() };
                reader.state.tensors.push((info, view));
            }
        }
        match reader.state.tensors.is_empty() {
            true => Err("contains no tensors in its dictionary".into()),
            false => Ok(reader.state),
        }
    }
}

/// Names for a message.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quote = |name: &str| format!("{:?}", name.chars().take(60).collect::<String>());
    names.take(MAX_NAMED).map(quote).collect::<Vec<_>>().join(", ")
}

struct Reader<'p, 'a> {
    pickle: &'p Pickle<'a>,
    state: State,
    /// The storages by their keys.
    storages: HashMap<&'a str, usize>,
}

impl<'a> Reader<'_, 'a> {
    /// The entries of a dictionary whose keys are texts.
    fn entries(&self, value: Value<'a>) -> Option<Vec<(&'a str, Value<'a>)>> {
        let mut pairs = Vec::new();
        let items = match self.pickle.node(value)? {
            Node::Dict(items) => items,
            Node::Call(call) => {
                // Python 2 made it of a list of pairs.
                let arguments = self.pickle.called(call, "collections", "OrderedDict")?;
                for &pair in arguments.first().and_then(|&list| self.pickle.list(list)).unwrap_or_default() {
                    if let Some(&[key, value]) = self.pickle.list(pair) {
                        pairs.push((key, value));
                    }
                }
                &call.items
            }
            _ => return None,
        };
        let entries = pairs.iter().chain(items).filter_map(|&(key, value)| match key {
            Value::Text(key) => Some((key, value)),
            _ => None,
        });
        Some(entries.collect())
    }

    /// The entries of the dictionary that has the tensors: the outermost one, or the one of a checkpoint within it.
    ///
    /// # Errors
    /// There is no dictionary, or several that could be meant.
    fn locate(&mut self, mut value: Value<'a>) -> Result<Vec<(&'a str, Value<'a>)>, String> {
        for depth in 0..=MAX_DEPTH {
            let entries = self.entries(value).ok_or("contains no dictionary of tensors")?;
            self.take_attributes(&entries);
            let mut seen = HashMap::new();
            let mut nested = entries.clone();
            nested.retain(|&(name, value)| {
                depth < MAX_DEPTH && !name.starts_with(OPTIMIZER) && self.leads_to_tensors(value, depth + 1, &mut seen)
            });
            let known = KEYS.iter().find_map(|key| nested.iter().find(|(name, _)| name == key));
            let (taken, inner) = match (known, nested.as_slice()) {
                (Some(&known), _) => known,
                _ if nested.is_empty() || entries.iter().any(|&(_, value)| self.is_weight(value)) => {
                    return Ok(entries);
                }
                (None, &[only]) => only,
                (None, several) => {
                    return Err(format!(
                        "holds several dictionaries of tensors, {}, and which of them is the network's is unknown: save \
                         that one alone, with torch.save",
                        quoted(several.iter().map(|(name, _)| *name))
                    ));
                }
            };
            if nested.len() > 1 {
                let others = quoted(nested.iter().map(|(name, _)| *name).filter(|name| *name != taken));
                let text = format!("{} was read, not {others}", quoted(std::iter::once(taken)));
                self.state.attributes.push((CHOICE.to_owned(), text));
            }
            value = inner;
        }
        Err("holds dictionaries that are nested too deeply".into())
    }

    /// Whether a value is a dictionary with weights, or one that leads to such a dictionary. `seen` has what was found
    /// of values at each depth: they may share parts.
    fn leads_to_tensors(&self, value: Value<'a>, depth: usize, seen: &mut HashMap<(usize, usize), bool>) -> bool {
        let Value::Node(number) = value else { return false };
        if let Some(&found) = seen.get(&(number, depth)) {
            return found;
        }
        seen.insert((number, depth), false);
        let entries = self.entries(value).unwrap_or_default();
        let found = entries.iter().any(|&(_, value)| self.is_weight(value))
            || (depth < MAX_DEPTH && entries.iter().any(|&(_, value)| self.leads_to_tensors(value, depth + 1, seen)));
        seen.insert((number, depth), found);
        found
    }

    /// The name of a class or function whose object has tensors in it, if there is one: without running it, nobody can
    /// say what they are.
    fn hides_tensors(&self) -> Option<String> {
        let mut seen = HashSet::new();
        for value in self.pickle.nodes() {
            let Some(Node::Call(call)) = self.pickle.node(value) else { continue };
            let Some(Node::Global(module, name)) = self.pickle.node(call.function) else { continue };
            if !is_value(module, name) || (*module, *name) == ("collections", "OrderedDict") {
                continue;
            }
            // A list of what remains, as values may be nested deeply or contain themselves.
            let mut rest = vec![call.arguments];
            rest.extend(call.states.iter().copied().chain(call.items.iter().flat_map(|&(key, value)| [key, value])));
            while let Some(value) = rest.pop() {
                let Value::Node(number) = value else { continue };
                if self.is_weight(value) {
                    return Some(format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(120).collect());
                }
                if !seen.insert(number) {
                    continue;
                }
                match self.pickle.node(value) {
                    Some(Node::List(values)) => rest.extend(values),
                    Some(Node::Dict(items)) => rest.extend(items.iter().flat_map(|&(key, value)| [key, value])),
                    Some(Node::Call(call)) => {
                        rest.extend([call.function, call.arguments].iter().chain(&call.states));
                        rest.extend(call.items.iter().flat_map(|&(key, value)| [key, value]));
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Whether a value would be rebuilt as a tensor with axes: not a counter or a loss.
    fn is_weight(&self, value: Value<'a>) -> bool {
        let Some(Node::Call(call)) = self.pickle.node(value) else { return false };
        let arguments = REBUILD.iter().find_map(|name| self.pickle.called(call, "torch._utils", name));
        match arguments {
            Some(&[_, Value::Int(_), shape, ..]) => self.pickle.list(shape).is_some_and(|shape| !shape.is_empty()),
            _ => self.pickle.called(call, "torch._utils", PARAMETER).is_some(),
        }
    }

    fn take_attributes(&mut self, entries: &[(&str, Value)]) {
        for (name, value) in entries {
            if self.state.attributes.len() == MAX_ATTRIBUTES {
                return;
            }
            let text = match value {
                Value::Text(text) => text.chars().filter(|c| !c.is_control()).take(200).collect(),
                Value::Int(number) => number.to_string(),
                Value::Real(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => continue,
            };
            self.state.attributes.push(((*name).to_owned(), text));
        }
    }

    /// The tensor that a value would be rebuilt as; `None` when it is none.
    fn tensor(&mut self, value: Value<'a>, depth: usize) -> Result<Option<(View, Kind)>, String> {
        let Some(Node::Call(call)) = self.pickle.node(value) else { return Ok(None) };
        if let Some(arguments) = self.pickle.called(call, "torch._utils", PARAMETER) {
            return match arguments.first() {
                Some(&data) if depth < MAX_DEPTH => self.tensor(data, depth + 1),
                _ => Err("is a parameter of nothing".into()),
            };
        }
        let arguments = REBUILD.iter().find_map(|name| self.pickle.called(call, "torch._utils", name));
        let Some(arguments) = arguments else { return Ok(None) };
        let [storage, Value::Int(offset), shape, strides, ..] = *arguments else {
            return Err("is not described as PyTorch does".into());
        };
        let (storage, start, len) = self.storage(storage)?;
        let kind = self.state.storages[storage].kind;
        let numbers = |list: Value| -> Option<Vec<u64>> {
            let number = |value: &Value| match value {
                Value::Int(number) => u64::try_from(*number).ok(),
                _ => None,
            };
            self.pickle.list(list)?.iter().map(number).collect()
        };
        let (shape, strides) = numbers(shape).zip(numbers(strides)).ok_or("has an invalid shape")?;
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return Err(format!(
                "of {} axes with {} strides is not described as PyTorch does",
                shape.len(),
                strides.len()
            ));
        }
        let misplaced = || {
            format!(
                "of shape {shape:?} with strides {strides:?} and offset {offset} in a storage of {len} values does not fit \
                 there"
            )
        };
        let offset = u64::try_from(offset).map_err(|_| misplaced())?;
        let values = shape.iter().try_fold(1_u64, |all, &size| all.checked_mul(size));
        // The last value, if there are any. Values that are used twice are not weights, and could be made to be any
        // number.
        let last =
            shape.iter().zip(&strides).filter(|_| !shape.contains(&0)).try_fold(offset, |last, (size, stride)| {
                (size - 1).checked_mul(*stride).and_then(|more| last.checked_add(more))
            });
        let fits =
            values.is_some_and(|values| values <= len) && (values == Some(0) || last.is_some_and(|last| last < len));
        if !fits {
            return Err(misplaced());
        }
        let shape = shape.into_iter().map(|size| size as usize).collect();
        Ok(Some((View { storage, offset: start + offset, shape, strides }, kind)))
    }

    /// The storage of a persistent identifier, and the part of it that is meant: its start and its length.
    fn storage(&mut self, value: Value<'a>) -> Result<(usize, u64, u64), String> {
        let found = match self.pickle.node(value) {
            Some(Node::Persistent(key)) => self.pickle.list(*key),
            _ => None,
        };
        let Some([Value::Text("storage"), class, Value::Text(key), _location, Value::Int(len), part @ ..]) = found
        else {
            return Err("has no storage".into());
        };
        let kind = match self.pickle.node(*class) {
            Some(Node::Global(_, class)) => kind(class),
            _ => None,
        };
        let (Some(kind), Ok(len)) = (kind, u64::try_from(*len)) else {
            return Err(format!("has an invalid storage {key:?}"));
        };
        let storage = Storage { key: (*key).to_owned(), kind, len };
        let index = *self.storages.entry(key).or_insert(self.state.storages.len());
        if index == self.state.storages.len() {
            self.state.storages.push(storage);
        } else if self.state.storages[index] != storage {
            return Err(format!("has a storage, {key:?}, that is described in two ways"));
        }
        // Old files have parts of storages: a key, where the part starts and its length.
        match part.first().and_then(|&part| self.pickle.list(part)) {
            Some(&[_, Value::Int(start), Value::Int(part)]) => match (u64::try_from(start), u64::try_from(part)) {
                (Ok(start), Ok(part)) if start.checked_add(part).is_some_and(|end| end <= len) => {
                    Ok((index, start, part))
                }
                _ => Err(format!("lies in a part of storage {key:?} that does not fit there")),
            },
            _ => Ok((index, 0, len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&b"X"[..], &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let entries: Vec<u8> = entries.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
        [b"}(", &entries[..], b"u"].concat()
    }

    /// A tensor of four values, or of one without axes.
    fn tensor(axes: bool) -> Vec<u8> {
        let (shape, strides) = if axes { (&b"(K\x04t"[..], &b"(K\x01t"[..]) } else { (&b")"[..], &b")"[..]) };
        let storage =
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), b"K\x04tQ".to_vec()];
        let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n((";
        [&rebuild[..], &storage.concat(), b"K\0", shape, strides, b"\x89)tR"].concat()
    }

    /// The names of the tensors, and what is said about a choice.
    fn read(value: &[u8]) -> Result<(Vec<String>, Option<String>), String> {
        let bytes = [b"\x80\x02", value, b"."].concat();
        let state = State::new(&Pickle::read(&bytes, RULES)?)?;
        let choice = state.attributes.into_iter().find(|(name, _)| name == CHOICE).map(|(_, text)| text);
        Ok((state.tensors.into_iter().map(|(info, _)| info.name).collect(), choice))
    }

    fn state(name: &str) -> Vec<u8> {
        dict(&[(name, tensor(true))])
    }

    #[test]
    fn a_state_dictionary_is_found_in_a_checkpoint() {
        let found = |entries: &[(&str, Vec<u8>)]| read(&dict(entries));
        let only = |name: &str| Ok((vec![name.to_owned()], None));
        let loss = || ("loss", tensor(false));
        let number = || ("epoch", b"K\x03".to_vec());
        for key in ["net", "params", "model_ema", "anything at all"] {
            assert_eq!(found(&[number(), loss(), (key, state("w"))]), only("w"), "{key}");
        }
        // Tensors of the outermost dictionary are the state; an optimizer has no weights of a network.
        assert_eq!(found(&[("w", tensor(true)), ("more", state("v"))]), only("w"));
        assert_eq!(found(&[("mine", state("w")), ("optimizer_g", state("v"))]), only("w"));
        assert_eq!(found(&[("a", dict(&[("b", dict(&[("net", state("w"))]))]))]), only("w"));
        let (names, choice) = found(&[("ema", state("v")), ("other", state("u")), ("model", state("w"))]).unwrap();
        assert_eq!(names, ["w"]);
        assert_eq!(choice.unwrap(), "\"model\" was read, not \"ema\", \"other\"");
        let problem = found(&[("generator", state("v")), ("critic", state("w"))]).unwrap_err();
        assert!(problem.contains("several") && problem.contains("\"generator\", \"critic\""), "{problem}");
        assert!(found(&[number(), ("a", dict(&[number()]))]).unwrap_err().contains("no tensors"));
    }

    /// An object as Python's pickler writes it: of a class without arguments, with a state that is set afterwards.
    fn object(class: &[u8], state: Vec<u8>) -> Vec<u8> {
        [b"c", class, b"\n)\x81", &state[..], b"b"].concat()
    }

    #[test]
    fn what_lies_next_to_the_tensors_is_passed_over() {
        let number = || dict(&[("lr", b"K\x03".to_vec())]);
        let only = Ok((vec!["w".to_owned()], None));
        let scalar =
            b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0f8K\0K\x01\x87RC\x08\0\0\0\0\0\0\xf0?\x86R";
        let path = [b"cpathlib\nPosixPath\n", &text("runs")[..], b"\x85R"].concat();
        for value in [
            object(b"argparse\nNamespace", number()),
            object(b"__main__\nConfig", object(b"argparse\nNamespace", number())),
            scalar.to_vec(),
            path,
            b"ccollections\ndeque\n)R(K\x01K\x02e".to_vec(),
            b"ctorch\nSize\nK\x01K\x02\x86\x85R".to_vec(),
            b"ctorch\nfloat16\n".to_vec(),
        ] {
            let shown = String::from_utf8_lossy(&value).into_owned();
            assert_eq!(read(&dict(&[("args", value.clone()), ("model", state("w"))])), only, "{shown}");
            assert_eq!(read(&dict(&[("w", tensor(true)), ("args", value)])), only, "{shown}");
        }
    }

    #[test]
    fn objects_that_keep_tensors_are_refused_by_name() {
        let list = |value: Vec<u8>| [b"](", &value[..], b"e"].concat();
        for hidden in [
            object(b"nets\nNet", state("v")),
            object(b"nets\nNet", dict(&[("parts", list(list(state("v"))))])),
            [b"cnets\nNet\n(", &tensor(true)[..], b"tR"].concat(),
            object(b"nets\nNet", object(b"argparse\nNamespace", state("v"))),
        ] {
            for entries in [
                vec![("ema", hidden.clone()), ("model", state("w"))],
                vec![("model", hidden.clone())],
                vec![("w", tensor(true)), ("v", hidden.clone())],
            ] {
                let problem = read(&dict(&entries)).unwrap_err();
                assert!(problem.starts_with("would run code: ") && problem.ends_with("refused"), "{problem}");
            }
        }
        // What runs something is refused, whatever it holds.
        for name in ["os\nsystem", "subprocess\nPopen", "builtins\neval", "torch.nn.modules.linear\nLinear", "a\nA.b"] {
            let entries = [("w", tensor(true)), ("x", object(name.as_bytes(), b"N".to_vec()))];
            assert!(read(&dict(&entries)).unwrap_err().contains("would run code"), "{name}");
        }
    }

    #[test]
    fn dictionaries_that_share_parts_are_not_searched_for_ever() {
        // Each of ten dictionaries has the one before under 250 names.
        let mut value = [dict(&[("epoch", b"K\x03".to_vec())]), b"\x94".to_vec()].concat();
        for memo in 0..10_u8 {
            let names: Vec<String> = (0..250).map(|number| number.to_string()).collect();
            let entries: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), vec![b'h', memo])).collect();
            value = [value, b"0".to_vec(), dict(&entries), b"\x94".to_vec()].concat();
        }
        assert!(read(&value).unwrap_err().contains("no tensors"));
    }
}
