//! The content of a state dict's pickle: the names, and for each tensor its view of a storage.

use std::collections::{HashMap, HashSet};

use crate::weights::TensorInfo;
use crate::weights::floats::Float;
use crate::weights::pickle::{Node, Pickle, Rules, Value};

/// The restrictions on a pickle. A tensor takes about 35 opcodes, and 150 with its moments in an optimizer.
pub(super) const RULES: Rules = Rules { opcodes: 1_000_000, allowed };
/// Where a checkpoint may have its state dict, most likely first; averaged weights (EMA) come last.
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
/// The attribute that tells which of several dictionaries of tensors was chosen.
pub(super) const CHOICE: &str = "dictionary of tensors";
/// The prefix of dictionaries that belong to an optimizer.
const OPTIMIZER: &str = "optim";
/// Maximum number of dictionaries in a message.
const MAX_NAMED: usize = 8;
/// Maximum number of tensors of a state dict: a pickle can refer to the same one repeatedly. A ResNet50 has 320.
const MAX_TENSORS: usize = 50_000;
/// Maximum number of texts and numbers next to them.
const MAX_ATTRIBUTES: usize = 1000;
/// Maximum number of axes of a tensor, as in PyTorch.
const MAX_RANK: usize = 64;
/// Maximum nesting of dictionaries around the tensors.
const MAX_DEPTH: usize = 4;

/// The functions of `torch._utils` that rebuild tensors.
const REBUILD: [&str; 2] = ["_rebuild_tensor_v2", "_rebuild_tensor"];
/// The function that makes a parameter from a tensor.
const PARAMETER: &str = "_rebuild_parameter";

/// Modules that values of a checkpoint do not come from: calling their functions would run something. The classes of
/// PyTorch's own layers are included, because such an object hides its tensors.
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
/// Lower-case functions and classes that rebuild values: module and name.
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
/// Types of values, which a checkpoint may refer to directly.
const DTYPES: [&str; 10] =
    ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"];

/// The names in a state dict, and those of other values in a checkpoint: options, paths, metrics. Classes are capitalized
/// by convention; whether an object of one contains tensors is checked afterwards.
fn allowed(module: &str, name: &str) -> bool {
    match module {
        "torch._utils" => name == PARAMETER || REBUILD.contains(&name),
        "torch" if matches!(name, "Size" | "device") || DTYPES.contains(&name) => true,
        "torch" | "torch.cuda" | "torch.storage" => kind(name).is_some(),
        _ => is_value(module, name),
    }
}

/// Whether this is the name of a value other than a tensor, by [`VALUES`], or of a class outside of [`PROGRAMS`].
fn is_value(module: &str, name: &str) -> bool {
    let root = module.split('.').next().unwrap_or(module);
    let class = name.starts_with(|first: char| first.is_ascii_uppercase());
    VALUES.contains(&(module, name)) || (class && !name.contains('.') && !PROGRAMS.contains(&root))
}

/// A numeric type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Bytes per value.
    pub(super) size: usize,
    /// How to decode it, if it is floating-point.
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

/// A contiguous range of values that tensors are views of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) kind: Kind,
    /// The number of values.
    pub(super) len: u64,
}

/// A tensor as a view of a storage: value `i, j, ...` is at `offset + i * strides[0] + j * strides[1] + ...`.
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

    /// The number of values from the first to the last in the storage.
    pub(super) fn span(&self) -> u64 {
        if self.len() == 0 {
            return 0;
        }
        self.shape.iter().zip(&self.strides).map(|(&size, &stride)| (size as u64 - 1) * stride).sum::<u64>() + 1
    }

    /// Whether the values are contiguous in row-major order.
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

/// A state dict.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Names, shapes and types, with the view of each tensor.
    pub(super) tensors: Vec<(TensorInfo, View)>,
    pub(super) storages: Vec<Storage>,
    /// Other entries of the dictionaries that are text or numbers.
    pub(super) attributes: Vec<(String, String)>,
}

impl State {
    /// Finds the tensors in a pickle.
    ///
    /// # Errors
    /// What is unsupported.
    pub(super) fn new(pickle: &Pickle) -> Result<Self, String> {
        let mut reader = Reader { pickle, state: Self::default(), storages: HashMap::new() };
        if let Some(class) = reader.hides_tensors() {
            return Err(format!("would run code: {class}, which keeps tensors; refused"));
        }
        let names = reader.locate(pickle.root)?;
        // Include storages of values other than weights: in the old format, they are interleaved with the others.
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

/// Quoted names for a message.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quote = |name: &str| format!("{:?}", name.chars().take(60).collect::<String>());
    names.take(MAX_NAMED).map(quote).collect::<Vec<_>>().join(", ")
}

struct Reader<'p, 'a> {
    pickle: &'p Pickle<'a>,
    state: State,
    /// The indices of storages by key.
    storages: HashMap<&'a str, usize>,
}

impl<'a> Reader<'_, 'a> {
    /// The entries of a dictionary with text keys.
    fn entries(&self, value: Value<'a>) -> Option<Vec<(&'a str, Value<'a>)>> {
        let mut pairs = Vec::new();
        let items = match self.pickle.node(value)? {
            Node::Dict(items) => items,
            Node::Call(call) => {
                // Python 2 constructs it from a list of pairs.
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

    /// The entries of the dictionary with the tensors: the outermost one, or a nested one of a checkpoint.
    ///
    /// # Errors
    /// When there is no dictionary, or the choice is ambiguous.
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

    /// Whether a value is a dictionary with weights, or contains one. `seen` caches the result for values at each depth,
    /// because they may be shared.
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

    /// The name of a class or function whose object contains tensors, if there is one: without running its code, their
    /// meaning is unknown.
    fn hides_tensors(&self) -> Option<String> {
        let mut seen = HashSet::new();
        for value in self.pickle.nodes() {
            let Some(Node::Call(call)) = self.pickle.node(value) else { continue };
            let Some(Node::Global(module, name)) = self.pickle.node(call.function) else { continue };
            if !is_value(module, name) || (*module, *name) == ("collections", "OrderedDict") {
                continue;
            }
            // An explicit stack, because values may be deeply nested or cyclic.
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

    /// Whether a value would be rebuilt as a tensor with axes, unlike a counter or a loss.
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

    /// The tensor that a value would be rebuilt as; `None` if it is something else.
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
        // Compute the offset of the last value, if there are any. Views with repeated values are not weights, and could be
        // of any size.
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

    /// The storage of a persistent ID, and the referenced part of it: its start and length.
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
        // Old files have views of storages: a key, the start and the length of the part.
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

    /// A tensor with four values, or one without axes.
    fn tensor(axes: bool) -> Vec<u8> {
        let (shape, strides) = if axes { (&b"(K\x04t"[..], &b"(K\x01t"[..]) } else { (&b")"[..], &b")"[..]) };
        let storage =
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), b"K\x04tQ".to_vec()];
        let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n((";
        [&rebuild[..], &storage.concat(), b"K\0", shape, strides, b"\x89)tR"].concat()
    }

    /// The names of the tensors, and the note about a choice.
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
        // Tensors in the outermost dictionary are the state; an optimizer's tensors are not weights of a network.
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

    /// An object in the form of Python's pickler: a class without arguments, whose state is set afterwards.
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
        // Functions that run something are refused, whatever their arguments.
        for name in ["os\nsystem", "subprocess\nPopen", "builtins\neval", "torch.nn.modules.linear\nLinear", "a\nA.b"] {
            let entries = [("w", tensor(true)), ("x", object(name.as_bytes(), b"N".to_vec()))];
            assert!(read(&dict(&entries)).unwrap_err().contains("would run code"), "{name}");
        }
    }

    #[test]
    fn dictionaries_that_share_parts_are_not_searched_for_ever() {
        // Each of ten dictionaries holds the previous one under 250 names.
        let mut value = [dict(&[("epoch", b"K\x03".to_vec())]), b"\x94".to_vec()].concat();
        for memo in 0..10_u8 {
            let names: Vec<String> = (0..250).map(|number| number.to_string()).collect();
            let entries: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), vec![b'h', memo])).collect();
            value = [value, b"0".to_vec(), dict(&entries), b"\x94".to_vec()].concat();
        }
        assert!(read(&value).unwrap_err().contains("no tensors"));
    }
}
